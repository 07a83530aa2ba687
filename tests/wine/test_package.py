"""The package, put on, used, replaced by a newer one and taken off: silently, as IT does it.

The tests of this file are one story, in this order; the last one stands alone. What Wine cannot
show (recovery actions, the service's own account, access lists, the event log, rollback) is in
docs/windows.md and docs/windows-package.md, and not claimed here.
"""

import re
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio

from doubles.canaries import remember_document
from doubles.wine import Said, Wine
from doubles.world import ENVIRONMENT, World, open_world, until

pytestmark = [
    pytest.mark.nightly,
    pytest.mark.timeout(2400),
    pytest.mark.asyncio(loop_scope="module"),
]

PROGRAM: Final = Path("Program Files/Cloud Connect")
HOME: Final = Path("ProgramData/CloudConnect")
SERVICE: Final = "CloudConnect"
PROGRAMS: Final = "HKLM\\Software\\Microsoft\\Windows\\CurrentVersion\\Uninstall"
TOKEN_FILE: Final = "C:\\token.txt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """The agent of the package."""

    wine: Wine
    world: World
    connector_id: str
    seconds: float

    def command(self, *words: str, given: str = "") -> Said:
        """Run ``cloud-connect``, as it lies on the disk."""
        return self.wine.run(
            self.wine.drive / PROGRAM / "cloud-connect.exe", *words, given=given, within=90
        )

    async def listed(self) -> dict[str, Any]:
        """How the relay lists it."""
        answer = await self.world.api.get(f"/api/connectors/{self.connector_id}")
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    async def until_listed(self, status: str, *, within: float = 60) -> float:
        """Wait until the relay lists it so."""

        async def so() -> bool:
            listed: bool = (await self.listed())["status"] == status
            return listed

        return await until(so, within=within, what=f"status {status}")


def msiexec(wine: Wine, *words: str) -> Said:
    return wine.run(
        "msiexec", *words, "/qn", "/l*v", "C:\\msi.log", within=600
    )  # on a busy machine


def state_of(wine: Wine) -> str:
    """Return what the service manager says of the service, such as ``RUNNING``."""
    said = wine.run("sc", "query", SERVICE)
    found = re.search(r"STATE\s*:\s*\d+\s+(\w+)", said.output)
    return found[1] if found else "ABSENT"


def listed_versions(wine: Wine) -> list[str]:
    """Return the versions under which Windows lists the product among its programs."""
    said = wine.run("reg", "query", PROGRAMS, "/s")
    entries = re.split(r"(?m)^HKEY_\S.*$", said.checked().output)
    mine = (entry for entry in entries if re.search(r"DisplayName\s.*Cloud Connect", entry))
    return [
        found for entry in mine for found in re.findall(r"DisplayVersion\s+REG_SZ\s+(\S+)", entry)
    ]


async def join_token(world: World) -> str:
    made = await world.api.post("/api/enrolment-tokens", json={"expires_in": 3600})
    assert made.status_code == 201, made.text
    remember_document("join-token", made.json())
    token: str = made.json()["token"]
    return token


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    folder = tmp_path_factory.mktemp("world")
    async with open_world(folder, agents=(), tunnel_proxies=False) as world:
        yield world


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def installed(wine: Wine, packages: dict[str, Path], world: World) -> Installed:
    """The package, put on with a relay and a token."""
    (wine.drive / "token.txt").write_text(await join_token(world) + "\r\n")
    begun = time.monotonic()
    said = msiexec(
        wine,
        *("/i", wine.windows_path(packages["1.0.0"]), f"RELAY={world.relay.ready['api_url']}"),
        *(f"TOKENFILE={TOKEN_FILE}", "CONNECTORNAME=windows-pc", "POLICY=read-write"),
    )
    seconds = time.monotonic() - begun
    log = wine.drive / HOME / "logs/install.log"
    assert said.status == 0, log.read_text() if log.exists() else said
    items = (await world.api.get("/api/connectors")).json()["items"]
    (mine,) = [one for one in items if one["name"] == "windows-pc"]
    found = Installed(wine=wine, world=world, connector_id=mine["id"], seconds=seconds)
    await found.until_listed("online")
    print(f"installed in {seconds:.1f} s")  # noqa: T201 - a figure of the report
    return found


async def test_one_silent_command_installs_enrols_and_starts_it(installed: Installed) -> None:
    said = installed.wine.run("sc", "query", SERVICE).checked()
    print(said.output)  # noqa: T201 - the transcript of the report
    assert state_of(installed.wine) == "RUNNING"
    assert (await installed.listed())["os"].startswith("Windows")


async def test_the_token_is_used_up_deleted_and_in_no_log(installed: Installed) -> None:
    assert not (installed.wine.drive / "token.txt").exists()
    log = (installed.wine.drive / "msi.log").read_bytes()
    assert b"ccj" not in log.replace(b"\0", b"")
    told = (installed.wine.drive / HOME / "logs/install.log").read_text()
    assert "This PC is enrolled." in told
    assert "ccj" not in told


async def test_the_command_is_on_the_path(installed: Installed) -> None:
    said = installed.wine.run("cmd", "/c", "cloud-connect --version").checked()
    assert "cloud-connect, version" in said.output


async def test_the_service_answers_on_its_pipe(installed: Installed) -> None:
    said = installed.command("status", "--json").checked()
    assert '"connected": true' in said.output
    installed.command("pause", "--for", "10m").checked()
    await installed.until_listed("paused")
    installed.command("resume").checked()
    await installed.until_listed("online")


async def test_a_call_is_carried_through_it(installed: Installed) -> None:
    simulator = installed.world.simulator
    app = simulator["environments"][ENVIRONMENT]
    named = ("--environment", ENVIRONMENT.replace("_", "-"))
    installed.command(
        *("procore", "app", *named, "--api-url", simulator["api_url"]),
        *("--login-url", simulator["login_url"], "--client-id", app["client_id"], "--secret-stdin"),
        given=app["client_secret"],
    ).checked()
    installed.command("procore", "login", *named, "--grant", "client-credentials").checked()
    caller = await installed.world.caller("windows", connectorId=[installed.connector_id])
    made = await caller.create("made from Windows")
    assert made.status == 201, made
    assert (await caller.read()).status == 200
    assert [one["marker"] for one in await installed.world.ledger()] == ["made from Windows"]


async def test_it_stops_in_order_and_starts_again(installed: Installed) -> None:
    installed.wine.run("net", "stop", SERVICE).checked()
    assert state_of(installed.wine) == "STOPPED"
    await installed.until_listed("offline")
    installed.wine.run("net", "start", SERVICE).checked()
    await installed.until_listed("online")


async def test_it_comes_back_by_itself_when_windows_starts(installed: Installed) -> None:
    installed.wine.shut_down()
    await installed.until_listed("offline")
    installed.wine.boot()
    await installed.until_listed("online", within=90)


async def test_a_newer_package_takes_its_place_and_keeps_the_enrolment(
    installed: Installed, packages: dict[str, Path]
) -> None:
    settings = (installed.wine.drive / HOME / "agent.toml").read_bytes()
    said = msiexec(installed.wine, "/i", installed.wine.windows_path(packages["1.1.0"]))
    assert said.status == 0, said
    await installed.until_listed("online", within=90)
    assert (installed.wine.drive / HOME / "agent.toml").read_bytes() == settings
    assert listed_versions(installed.wine) == ["1.1.0"]


async def test_an_older_package_is_refused_and_changes_nothing(
    installed: Installed, packages: dict[str, Path]
) -> None:
    said = msiexec(installed.wine, "/i", installed.wine.windows_path(packages["1.0.0"]))
    assert said.status != 0
    log = (installed.wine.drive / "msi.log").read_bytes().replace(b"\0", b"")
    # Wine's log lacks the sentence that Windows shows, not where it ended.
    assert b"LaunchConditions" in log
    assert b"InstallInitialize" not in log
    assert state_of(installed.wine) == "RUNNING"
    assert listed_versions(installed.wine) == ["1.1.0"]


async def test_taken_off_it_leaves_nothing_but_the_agents_own_files(
    installed: Installed, packages: dict[str, Path]
) -> None:
    said = msiexec(installed.wine, "/x", installed.wine.windows_path(packages["1.1.0"]))
    assert said.status == 0, said
    assert state_of(installed.wine) == "ABSENT"
    program = installed.wine.drive / PROGRAM
    left = [str(path.relative_to(program)) for path in program.rglob("*")]
    assert (program.exists(), left) == (False, [])
    variables = "HKLM\\System\\CurrentControlSet\\Control\\Session Manager\\Environment"
    path = installed.wine.run("reg", "query", variables, "/v", "PATH").checked()
    assert "Cloud Connect" not in path.output
    assert (installed.wine.drive / HOME / "agent.toml").exists()
    await installed.until_listed("offline")


async def test_put_on_again_elsewhere_it_is_the_same_connector_and_purge_removes_all(
    installed: Installed, packages: dict[str, Path]
) -> None:
    wine = installed.wine
    elsewhere = wine.drive / "Tools/Cloud Connect"  # where the next two commands have to find it
    older, newer = (wine.windows_path(packages[version]) for version in ("1.0.0", "1.1.0"))
    assert msiexec(wine, "/i", older, "INSTALLDIR=C:\\Tools\\Cloud Connect").status == 0
    await installed.until_listed("online", within=90)
    assert msiexec(wine, "/i", newer).status == 0
    await installed.until_listed("online", within=90)
    assert (elsewhere / "cloud-connect.exe").exists()
    assert not (wine.drive / PROGRAM).exists()
    assert msiexec(wine, "/x", newer, "PURGE=1").status == 0
    assert not elsewhere.exists()
    assert not (wine.drive / HOME).exists()


async def test_an_installation_that_cannot_enrol_fails_and_says_why(
    wine: Wine, packages: dict[str, Path], world: World
) -> None:
    # Wine rolls nothing back: that the program is gone afterwards is for a real Windows to show.
    log = wine.drive / HOME / "logs/install.log"
    log.unlink(missing_ok=True)
    (wine.drive / "token.txt").write_text("ccj1.of.nobody.at.all")
    said = msiexec(
        wine,
        *("/i", wine.windows_path(packages["1.1.0"])),
        *(f"RELAY={world.relay.ready['api_url']}", f"TOKENFILE={TOKEN_FILE}"),
    )
    assert said.status != 0
    assert state_of(wine) != "RUNNING"
    assert (wine.drive / "token.txt").exists()
    assert "Failed: " in log.read_text()
