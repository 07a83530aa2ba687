"""Signing in as a person, with a browser that follows Procore's pages."""

import asyncio
import json
import re
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urljoin

import httpx
import pytest

from agent.cli.conftest import ENVIRONMENT, Cli, Ended, run
from cloud_connect_agent.config_file import change_settings
from cloud_connect_agent.paths import AgentPaths
from cloud_connect_agent.vault import open_vault
from doubles.simulator_process import COMPANY, HIDDEN, Simulator, simulator_process

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]

HERE = ("--environment", ENVIRONMENT)
CODE = ("procore", "login", *HERE, "--grant", "authorization-code")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


PORT = free_port()
CALLBACK = f"http://localhost:{PORT}/callback"


@pytest.fixture(scope="module")
def procore() -> Iterator[Simulator]:
    with simulator_process("--redirect-uri", CALLBACK) as made:
        yield made


@pytest.fixture
def person(cli: Cli, home: Path, procore: Simulator) -> str:
    """Store the app; the login of whoever approves."""
    found = procore.app
    ended = cli(
        *("procore", "app", *HERE, "--secret-stdin", "--client-id", found["client_id"]),
        *("--api-url", found["api_url"], "--login-url", found["login_url"]),
        stdin=found["client_secret"],
    )
    assert ended.status == 0, ended.errors
    change_settings(
        AgentPaths.of(home), {("procore", "environments", ENVIRONMENT, "redirect_uri"): CALLBACK}
    )
    with procore.client(user=True) as client:
        return str(client.get("/rest/v1.0/me").json()["login"])


def approve(url: str, *, button: str = "approve") -> httpx.Response:
    """Do what a browser does: load the page, press the button, follow the redirects."""
    with httpx.Client(trust_env=False, timeout=15, follow_redirects=True) as browser:
        page = browser.get(url)
        fields = dict(re.findall(r"name='(\w+)' value='([^']*)'", page.text))
        return browser.post(urljoin(url, "/oauth/authorize"), data={**fields, "commit": button})


class Login:
    """``procore login`` in a process of its own."""

    def __init__(self, home: Path, *arguments: str) -> None:
        command = [sys.executable, "-m", "cloud_connect_agent", "--home", str(home), *CODE]
        self.process = subprocess.Popen(
            [*command, "--no-browser", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.told: list[str] = []

    def url(self) -> str:
        """Read what the person is told until the address comes."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.told.append(line)
            if line.startswith("http"):
                return line.strip()
        raise AssertionError("".join(self.told))

    def end(self, typed: str = "") -> Ended:
        output, errors = self.process.communicate(typed, timeout=30)
        return Ended(status=self.process.returncode, output=output, errors=errors)


Logins = Callable[..., Login]


@pytest.fixture
def login_on(home: Path) -> Iterator[Logins]:
    """Begin to sign in on the home."""
    begun: list[Login] = []

    def begin(*arguments: str) -> Login:
        begun.append(Login(home, *arguments))
        return begun[-1]

    yield begin
    for login in begun:
        if login.process.poll() is None:
            login.process.kill()
            login.process.communicate()


def test_the_browser_comes_back_to_this_pc(
    login_on: Logins, cli: Cli, person: str, procore: Simulator
) -> None:
    login = login_on("--json")
    page = approve(login.url())
    ended = login.end()
    assert page.status_code == 200
    assert person in page.text
    assert "You can close this window" in page.text
    assert page.headers["cache-control"] == "no-store"
    assert ended.status == 0, ended.errors
    report = json.loads(ended.output)
    assert (report["grant"], report["login"]) == ("authorization-code", person)
    assert person in cli("procore", "list").output
    tested = cli("test", "--company", str(COMPANY), *HERE)
    assert tested.status == 0, tested.output
    assert f"sign-in of {person} (account default)" in tested.output
    before = Counter(procore.counters())["tokens_revoked"]
    assert cli("procore", "logout", *HERE).status == 0
    assert Counter(procore.counters())["tokens_revoked"] > before
    (grant,) = cli("procore", "list", "--json").document["items"]
    assert grant["state"] == "no_grant"


def test_a_person_who_denies_is_told_on_both_sides(login_on: Logins, person: str) -> None:
    assert person
    login = login_on()
    page = approve(login.url(), button="deny")
    ended = login.end()
    assert "Not signed in" in page.text
    assert ended.status == 5
    assert "Deny" in ended.errors


def test_a_code_is_pasted_where_no_browser_can_come_back(
    login_on: Logins, cli: Cli, person: str
) -> None:
    login = login_on("--oob", "--json")
    page = approve(login.url())
    found = re.search(r"<code id='authorization_code'>(\w+)<", page.text)
    assert found
    ended = login.end(found[1] + "\n")
    assert ended.status == 0, ended.errors
    assert json.loads(ended.output)["login"] == person
    assert found[1] not in ended.errors
    again = login_on("--oob")
    again.url()
    ended = again.end(found[1] + "\n")  # a code works once
    assert ended.status == 5
    assert "no longer accepts" in ended.errors
    (grant,) = cli("procore", "list", "--json").document["items"]
    assert grant["state"] == "ready"  # what was there is as it was


def test_somebody_else_than_the_expected_user_is_refused(
    login_on: Logins, cli: Cli, person: str, procore: Simulator
) -> None:
    login = login_on("--user", "boss@example.com")
    before = Counter(procore.counters())["tokens_revoked"]
    page = approve(login.url())
    ended = login.end()
    assert ended.status == 5
    assert f"{person} signed in" in ended.errors
    assert "is for boss@example.com" in page.text
    assert Counter(procore.counters())["tokens_revoked"] > before
    (grant,) = cli("procore", "list", "--json").document["items"]
    assert grant["state"] == "no_grant"
    login = login_on("--user", "", "--company", str(HIDDEN))
    page = approve(login.url())
    assert login.end().status == 5
    assert f"does not see company {HIDDEN}" in page.text


def test_accounts_live_side_by_side(login_on: Logins, cli: Cli, person: str) -> None:
    assert cli("procore", "login", *HERE).status == 0
    login = login_on("--account", "site", "--company", str(COMPANY))
    approve(login.url())
    assert login.end().status == 0
    items = {one["account"]: one for one in cli("procore", "list", "--json").document["items"]}
    assert items["default"]["grant"] == "client-credentials"
    assert items["site"]["login"] == person
    tested = cli("test", "--company", str(COMPANY))
    assert "(account site)" in tested.output
    assert "account site" in cli("procore", "list").output
    assert cli("procore", "logout", *HERE, "--account", "site").status == 0
    tested = cli("test", "--company", str(COMPANY))
    assert tested.status == 5
    assert "--account site" in tested.output
    taken = cli("procore", "login", *HERE, "--company", str(COMPANY))
    assert taken.status == 78
    assert f"company {COMPANY} is bound to" in taken.errors


def test_a_damaged_grant_is_replaced_by_the_next_sign_in(cli: Cli, home: Path, person: str) -> None:
    assert person
    assert cli("procore", "login", *HERE).status == 0
    (token,) = (home / "state" / "vault").glob("procore-token@*.sealed")
    token.write_bytes(b"damaged")
    ended = cli("procore", "login", *HERE)
    assert ended.status == 0, ended.errors
    assert "damaged_grant_replaced" in ended.errors
    assert cli("procore", "list", "--json").document["items"][0]["state"] == "ready"


def test_a_taken_port_is_told_before_anybody_signs_in(login_on: Logins, person: str) -> None:
    assert person
    with socket.socket(socket.AF_INET6) as squatter:
        squatter.bind(("::1", PORT))
        squatter.listen()
        ended = login_on().end()
    assert ended.status == 78
    assert "is taken" in ended.errors
    assert "http" not in ended.errors.replace("redirect_uri", "")


@pytest.mark.parametrize(
    "arguments",
    [
        ("procore", "login", *HERE, "--oob"),
        ("procore", "login", *HERE, "--no-browser"),
        (*CODE, "--oob", "--redirect-uri", CALLBACK),
        (*CODE, "--redirect-uri", "https://example.com/"),
        (*CODE, "--account", "No Name"),
    ],
)
def test_what_does_not_go_together_is_refused(cli: Cli, arguments: tuple[str, ...]) -> None:
    assert cli(*arguments).status == 2


def expire(home: Path) -> None:
    """End the access token, as time does."""

    async def change() -> None:
        async with open_vault(AgentPaths.of(home)) as vault:
            name = f"procore-token/{ENVIRONMENT}"
            document = json.loads(await vault.get(name) or b"{}")
            await vault.put(name, json.dumps({**document, "expires_at": 1.0}).encode())

    asyncio.run(change())


def test_processes_at_once_on_one_vault_present_a_refresh_token_once(
    login_on: Logins, home: Path, person: str, procore: Simulator
) -> None:
    assert person
    login = login_on()
    approve(login.url())
    assert login.end().status == 0
    expire(home)
    before = Counter(procore.counters())
    with ThreadPoolExecutor(3) as pool:
        tests = [pool.submit(run, home, "test", "--company", str(COMPANY), *HERE) for _ in range(3)]
    assert [one.result().status for one in tests] == [0, 0, 0]
    after = Counter(procore.counters())
    assert after["refreshes"] - before["refreshes"] == 1
    assert after["refreshes_refused"] == before["refreshes_refused"]


KILLED = """
import asyncio, os, signal, sys
from cloud_connect.calls import Environment
from cloud_connect_agent.config_file import change_settings
from cloud_connect_agent.paths import AgentPaths
from cloud_connect_agent.procore.client import ProcoreClient
from cloud_connect_agent.settings import load_settings
from cloud_connect_agent.vault import EncryptedVault
from pathlib import Path

class Dying(EncryptedVault):
    left = int(sys.argv[2])

    async def put(self, name, value):
        self.step()
        await super().put(name, value)
        self.step()

    def step(self):
        if not Dying.left:
            os.kill(os.getpid(), signal.SIGKILL)
        Dying.left -= 1

async def main():
    paths = AgentPaths.of(Path(sys.argv[1]))
    vault = Dying(folder=paths.vault_dir, key_file=paths.vault_key_file)
    async with ProcoreClient.open(load_settings(paths.config_file).procore, vault) as client:
        await client.authenticator.token(Environment.DEVELOPER_SANDBOX)

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("step", "presented"),
    [(0, 0), (1, 0), (2, 1), (3, 1)],
    ids=["before-the-mark", "after-the-mark", "after-the-answer", "after-the-new-pair"],
)
def test_a_process_killed_at_a_step_of_the_refresh_loses_no_more_than_it_must(
    login_on: Logins,
    cli: Cli,
    home: Path,
    person: str,
    procore: Simulator,
    *,
    step: int,
    presented: int,
) -> None:
    assert person
    login = login_on()
    approve(login.url())
    assert login.end().status == 0
    expire(home)
    before = Counter(procore.counters())
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(home), str(step)], check=False, timeout=30
    )
    assert killed.returncode == -signal.SIGKILL
    assert Counter(procore.counters())["refreshes"] - before["refreshes"] == presented
    tests = [cli("test", "--company", str(COMPANY), *HERE) for _ in range(3)]
    after = Counter(procore.counters())
    refused = after["refreshes_refused"] - before["refreshes_refused"]
    if step == 2:  # Procore has rotated, and nobody has the new pair: only a person helps
        assert [one.status for one in tests] == [5, 5, 5]
        assert "procore login" in tests[0].output
        assert refused == 1
    else:
        assert [one.status for one in tests] == [0, 0, 0]
        assert refused == 0
        assert after["refreshes"] - before["refreshes"] == 1


def test_an_answer_that_is_lost_is_asked_for_once_more_and_then_by_a_person(
    login_on: Logins, cli: Cli, home: Path, person: str, procore: Simulator
) -> None:
    assert person
    login = login_on()
    approve(login.url())
    assert login.end().status == 0
    expire(home)
    before = Counter(procore.counters())
    procore.fault(
        {"kind": "drop"}, origin="login", path="/oauth/token", after_execute=True, times=1
    )
    first, *others = [cli("test", "--company", str(COMPANY), *HERE) for _ in range(4)]
    assert first.status == 5
    assert [one.status for one in others] == [5, 5, 5]
    after = Counter(procore.counters())
    assert after["refreshes"] - before["refreshes"] == 1
    assert after["refreshes_refused"] - before["refreshes_refused"] == 1
    login = login_on()
    approve(login.url())
    assert login.end().status == 0
    assert cli("test", "--company", str(COMPANY), *HERE).status == 0
