"""Versions side by side: the one before and today's, both ways, and from one to the other.

The version before is a commit of this repository, unpacked and put before today's on the path of
its processes; its libraries are today's, whose versions have not changed since.
"""

import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from doubles.caller import Caller
from doubles.canaries import harvest_agent, harvest_relay, remember_document
from doubles.observing import until
from doubles.program import Program, running, running_relay, said

BEFORE: Final = "3dede87f98cb"  # the last commit of the version before: change it at each release
ROOT: Final = Path(__file__).parent.parent.parent
ROOTS: Final = ("core", "agent", "relay")
SANDBOX: Final = ("--environment", "developer-sandbox")

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(720)]

Environment = Mapping[str, str]


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The environment in which our programs are those of the version before."""
    folder = tmp_path_factory.mktemp("before")
    packed = subprocess.run(
        ["git", "-C", str(ROOT), "archive", BEFORE, *ROOTS],
        capture_output=True,
        check=False,
        timeout=60,
    )
    if packed.returncode:
        pytest.skip(f"the history does not reach back to {BEFORE}: {packed.stderr.decode()[:200]}")
    subprocess.run(["tar", "-x", "-C", str(folder)], input=packed.stdout, check=True, timeout=60)
    return {"PYTHONPATH": ":".join(str(folder / root) for root in ROOTS)}


@dataclass
class Pair:
    """A relay and an agent, each of its version."""

    folder: Path
    relay: Program
    agent: Program
    api: httpx.AsyncClient
    connector: str
    caller: Caller

    async def listed(self) -> dict[str, Any]:
        found: dict[str, Any] = (await self.api.get(f"/api/connectors/{self.connector}")).json()
        return found

    async def until_online(self) -> None:
        async def online() -> bool:
            try:
                found = await self.listed()
            except httpx.HTTPError:
                return False
            return str(found["status"]) == "online" and bool(found["procore"])

        await until(online, within=60, what=f"online: {self.agent.last_words()}")

    async def works(self, marker: str) -> None:
        """Write, read, test and look a call up, all through the tunnel."""
        made = await self.caller.create(marker)
        assert (made.status, made.outcome) == (201, "completed"), made
        again = await self.caller.create(marker)
        assert again.status == 201, "the same key executes nothing again"
        assert (await self.caller.read(limit=5)).status == 200
        tested = await self.api.post(f"{self.caller.base}/test", json={})
        assert tested.json()["success"] is True, tested.text
        record = await self.api.get("/api/calls", params={"idempotency_key": marker})
        assert record.json()["outcome"] == "completed"


async def told(environment: Environment, module: str, *words: str, stdin: str = "") -> Any:
    status, document, errors = await said(module, *words, stdin=stdin, environment=environment)
    assert status == 0, errors
    return document


@asynccontextmanager
async def pair(folder: Path, *, relay: Environment, agent: Environment) -> AsyncIterator[Pair]:
    """Found a relay of one version, and enrol an agent of another."""
    data_dir, home = folder / "relay", folder / "agent"
    made = await told(relay, "cloud_connect_relay", "init", "--data-dir", str(data_dir))
    simulator = Program(
        "procore_simulator",
        *("--json", "--port", "0", "--login-port", "0", "--admin-port", "0", "--storage-port", "0"),
        log=folder / "simulator.log",
    )
    program = Program(
        *("cloud_connect_agent", "run", "--home", str(home)),
        log=folder / "agent.log",
        says_ready=False,
        environment=agent,
    )
    async with AsyncExitStack() as stack:
        served = await stack.enter_async_context(
            running_relay(data_dir, log=folder / "relay.log", environment=relay)
        )
        await stack.enter_async_context(running(simulator))
        api = await stack.enter_async_context(
            httpx.AsyncClient(
                base_url=served.ready["api_url"],
                headers={"Authorization": f"Bearer {made['api_key']}"},
                trust_env=False,
                timeout=30,
            )
        )
        connector = await enrolled(agent, home, served.ready["api_url"], api, simulator.ready)
        await stack.enter_async_context(running(program))
        company = next(one for one in simulator.ready["companies"] if one.get("connected"))
        projects = simulator.ready["projects"]
        project = next(one for one in projects if one["company_id"] == company["id"])
        settings = {"companyId": str(company["id"]), "environment": "developer_sandbox"}
        source = await api.post(
            "/api/datasources",
            json={
                "title": "Procore",
                "type": "procore",
                "settings": settings,
                "useConnector": True,
                "connectorId": [connector],
            },
        )
        assert source.status_code == 201, source.text
        caller = Caller(api, source.json()["id"], project["id"])
        try:
            yield Pair(folder, served, program, api, connector, caller)
        finally:
            harvest_relay(data_dir)
            harvest_agent(home)


async def enrolled(
    agent: Environment,
    home: Path,
    url: str,
    api: httpx.AsyncClient,
    simulator: dict[str, Any],
) -> str:
    token = (await api.post("/api/enrolment-tokens", json={})).json()
    remember_document("join-token", token)
    at_home = ("--home", str(home))
    given = ("--relay", url, "--name", "pc", "--policy", "read-write")
    one = "cloud_connect_agent"
    made = await told(agent, one, "enrol", *at_home, *given, stdin=token["token"])
    app = simulator["environments"]["developer_sandbox"]
    places = ("--api-url", simulator["api_url"], "--login-url", simulator["login_url"])
    named = ("--client-id", app["client_id"], "--secret-stdin")
    command = ("procore", "app", *at_home, *SANDBOX, *places, *named)
    await told(agent, one, *command, stdin=app["client_secret"])
    grant = ("--grant", "client-credentials")
    await told(agent, one, "procore", "login", *at_home, *SANDBOX, *grant)
    connector: str = made["connector_id"]
    return connector


@pytest.mark.catalogue("T64")
async def test_relay_of_the_version_before_serves_today_s_agent_and_is_upgraded_below_it(
    tmp_path: Path, before: Environment
) -> None:
    async with pair(tmp_path, relay=before, agent={}) as both:
        await both.until_online()
        await both.works("with the relay of before")
        await both.relay.stop()
        both.relay.environment = {}
        await both.relay.start()
        await both.until_online()
        await both.works("with today's relay")
        copies = [one.name for one in (tmp_path / "relay").glob("relay.sqlite3.schema-*")]
        assert len(copies) == 1, copies
        verified = await told({}, "cloud_connect_relay", "audit", "verify", *at_relay(tmp_path))
        assert verified["ok"] is True
        # The way back by the program alone is closed, and it says so.
        await both.relay.stop()
        status, _, errors = await said(
            "cloud_connect_relay", "serve", *at_relay(tmp_path), environment=before
        )
        assert (status, "newer version of the relay" in errors) == (78, True), errors


@pytest.mark.catalogue("T64")
async def test_agent_of_the_version_before_serves_today_s_relay_and_is_upgraded_behind_it(
    tmp_path: Path, before: Environment
) -> None:
    home = tmp_path / "agent"
    async with pair(tmp_path, relay={}, agent=before) as both:
        await both.until_online()
        await both.works("with the agent of before")
        assert await both.agent.stop() == 0
        both.agent.environment = {}
        await both.agent.start()
        await both.until_online()
        assert (home / "state" / "format").is_file()
        await both.works("with today's agent")
        verified = await told({}, "cloud_connect_agent", "audit", "verify", "--home", str(home))
        assert verified["ok"] is True
        # What the agent of before wrote is known still: nothing is executed twice.
        assert (await both.caller.create("with the agent of before")).status == 201


def at_relay(folder: Path) -> tuple[str, str]:
    return ("--data-dir", str(folder / "relay"))
