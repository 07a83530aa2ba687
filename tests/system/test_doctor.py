"""The doctor between a real relay and a simulated Procore, with the agent running and without."""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from pydantic import SecretStr

from cloud_connect.calls import Environment
from cloud_connect.signing import SigningKey
from cloud_connect_agent.control_server import serve_control
from cloud_connect_agent.doctor import Code, Finding, Status
from cloud_connect_agent.identity import AgentKeys
from cloud_connect_agent.paths import AgentPaths
from cloud_connect_agent.procore.grants.accounts import Account
from cloud_connect_agent.procore.grants.refresh import Phase
from cloud_connect_agent.procore.tokens import StoredToken, app_secret_name, token_secret_name
from cloud_connect_agent.vault import vault_of
from cloud_connect_agent.version import VERSION
from doubles.answering import answering, saying
from doubles.examined import asking_for, companies, copied, examined, procore_at
from doubles.observing import until
from doubles.program import said, wrong_clock
from doubles.simulator_process import HIDDEN
from doubles.world import Agent, World, open_world

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(90)]

CHECKED_WELL = {Status.PASS, Status.WARN}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """A relay, a simulator, an agent that runs, and one that does not."""
    folder = tmp_path_factory.mktemp("world")
    async with open_world(folder, agents=("runs", "rests"), tunnel_proxies=False) as world:
        await world.agents["rests"].program.stop()
        yield world


@pytest.fixture
def runs(world: World) -> Agent:
    return world.agents["runs"]


@pytest.fixture
def rests(world: World) -> Agent:
    return world.agents["rests"]


async def finding(agent: Agent, name: str, **more: Any) -> Finding:
    return (await examined(agent.home, name, **more))[name]


async def test_pc_that_is_well_passes_whether_its_agent_runs_or_not(
    world: World, runs: Agent, rests: Agent
) -> None:
    flags = companies(world.company["id"])
    for agent in (runs, rests):
        found = await examined(agent.home, flags=flags)
        faults = {one for one in found.values() if one.status is Status.FAIL}
        assert not faults
        warnings = {one.code for one in found.values() if one.status is Status.WARN}
        expected = {Code.KEY_IN_FILE, Code.NO_SERVICE, Code.DISK_SLOW}
        assert warnings - expected == (set() if agent is runs else {Code.AGENT_STOPPED})
    assert found["company"].cause == f"Visible and active: company {world.company['id']}."
    assert found["dns"].cause == "127.0.0.1 needs no look-up."


async def test_agent_that_runs_is_not_disturbed_and_a_resting_one_does_not_look_copied(
    world: World, runs: Agent, rests: Agent
) -> None:
    since = (await world.connector(runs))["connected_since"]
    before = (rests.home / "state" / "generation").read_bytes()
    for _ in range(3):
        await examined(runs.home, "key", "session", "grants")
        assert (await finding(rests, "key")).status is Status.PASS
    assert (await world.connector(runs))["connected_since"] == since
    assert (rests.home / "state" / "generation").read_bytes() == before
    assert (await world.connector(rests))["status"] == "offline"
    await rests.program.start()
    await world.until_status("online", rests, within=30)
    await rests.program.stop()


async def test_whole_takes_seconds_and_the_exit_status_says_how_it_went(
    world: World, rests: Agent
) -> None:
    began = time.monotonic()
    status, document, errors = await said(
        "cloud_connect_agent", "doctor", "--home", str(rests.home)
    )
    took = time.monotonic() - began
    assert (status, errors) == (0, "")
    assert took < 20
    for one in document["checks"]:
        assert set(one) == {"name", "status", "cause", "fix", "code"}
        assert one["status"] in {"PASS", "WARN", "FAIL"}
    assert document["summary"].endswith(f"start with {document['start_with']}.")
    assert world.api_key not in json.dumps(document)
    status, document, _ = await said(
        "cloud_connect_agent", "doctor", "--home", str(rests.home / "nowhere"), "--offline"
    )
    assert (status, document["start_with"]) == (1, "CC-ENROL-01")


async def test_clock_that_is_a_day_ahead_is_told(rests: Agent) -> None:
    async def clock_with(offset: str) -> dict[str, str]:
        _, document, _ = await said(
            "cloud_connect_agent",
            *("doctor", "--home", str(rests.home), "--only", "clock"),
            environment=wrong_clock(offset),
        )
        (clock,) = document["checks"]
        found: dict[str, str] = clock
        return found

    async with asyncio.TaskGroup() as group:
        ahead = group.create_task(clock_with("+24h"))
        behind = group.create_task(clock_with("-90s"))
    assert ahead.result()["code"] == "CC-CLOCK-01"
    assert re.search("(1 d 0 h|23 h 59 min) ahead of", ahead.result()["cause"])
    assert behind.result()["code"] == "CC-CLOCK-02"
    assert "behind" in behind.result()["cause"]


async def test_relay_that_holds_another_key_is_told_nothing(rests: Agent) -> None:
    key = {"relay": {"relay_public_key": "A" * 43}}
    found = await examined(rests.home, "relay", "key", flags=key)
    assert found["relay"].code is Code.OTHER_RELAY
    assert found["key"].code is Code.NOT_CHECKED


async def test_address_without_a_relay_and_one_without_a_tunnel_are_told_apart(
    world: World, rests: Agent
) -> None:
    port = world.simulator_program.ready["api_url"].rpartition(":")[2]
    elsewhere = {"url": f"http://127.0.0.1:{port}", "tunnel_url": f"ws://127.0.0.1:{port}/tunnel"}
    found = await finding(rests, "relay", flags={"relay": elsewhere})
    assert found.code is Code.NO_RELAY

    no_tunnel = {"tunnel_url": world.relay.ready["api_url"].replace("http", "ws") + "/tunnel"}
    found = await finding(rests, "relay", flags={"relay": no_tunnel})
    assert found.code is Code.NO_TUNNEL

    found = await finding(rests, "relay", flags={"relay": {"url": f"http://127.0.0.1:{port}"}})
    assert found.code is Code.NO_API
    assert found.status is Status.WARN


async def test_agent_that_is_paused_says_so(runs: Agent) -> None:
    await said("cloud_connect_agent", "pause", "--home", str(runs.home))
    try:
        assert (await finding(runs, "session")).code is Code.AGENT_PAUSED
    finally:
        await said("cloud_connect_agent", "resume", "--home", str(runs.home))
    assert (await finding(runs, "session")).status is Status.PASS


async def test_agent_that_hangs_is_told_within_the_bounds(runs: Agent) -> None:
    runs.program.freeze()
    try:
        began = time.monotonic()
        found = await examined(runs.home, "session", "key", "disk")
        assert time.monotonic() - began < 10
    finally:
        runs.program.thaw()
    assert found["session"].code is Code.AGENT_SILENT
    assert found["key"].code is Code.NOT_CHECKED
    assert found["disk"].status in CHECKED_WELL


async def test_procore_that_cannot_be_found_reached_or_is_somebody_else_is_told_apart(
    world: World, rests: Agent
) -> None:
    async def at(**urls: str) -> Finding:
        return await finding(rests, "procore-hosts", flags=procore_at(**urls))

    assert (await at()).status is Status.PASS
    assert (await at(api_url="http://127.0.0.1:1")).code is Code.PROCORE_UNREACHABLE
    secure = world.simulator["api_url"].replace("http://", "https://")
    assert (await at(login_url=secure)).code is Code.PROCORE_TLS
    assert (await at(api_url="https://procore.invalid")).code is Code.PROCORE_NAME

    page = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 8\r\n\r\nSign in!"
    async with answering(saying(page)) as port:
        found = await at(api_url=f"http://127.0.0.1:{port}")
    assert found.code is Code.PROCORE_STRANGE


async def test_account_that_procore_refuses_is_told_with_the_command_that_mends_it(
    world: World, rests: Agent
) -> None:
    app = world.simulator["environments"]["developer_sandbox"]
    at_home = ("--home", str(rests.home), "--environment", "developer-sandbox")
    storing = ("procore", "app", *at_home, "--client-id", app["client_id"], "--secret-stdin")
    vault = {file.name: file.read_bytes() for file in (rests.home / "state/vault").iterdir()}
    await said("cloud_connect_agent", *storing, stdin="not-the-secret-of-the-app")
    try:
        found = await examined(rests.home, "grants", "company")
        assert found["grants"].code is Code.SIGN_IN_NEEDED
        assert "procore login --environment developer-sandbox" in found["grants"].fix
        assert "not-the-secret" not in found["grants"].cause
        assert found["company"].code is Code.NOT_CHECKED
    finally:
        await said("cloud_connect_agent", *storing, stdin=app["client_secret"])
    assert (await finding(rests, "grants")).status is Status.PASS
    assert vault.keys() <= {file.name for file in (rests.home / "state/vault").iterdir()}


async def test_token_that_the_doctor_gets_is_not_kept(world: World, rests: Agent) -> None:
    refusal = {"kind": "status", "status": 401, "body": {"error": "invalid_token"}}
    await world.fault(refusal, path="/rest/v1.0/companies", times=1)
    folder = rests.home / "state" / "vault"
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    await examined(rests.home, "grants", "company", flags=companies(world.company["id"]))
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


async def test_company_that_the_account_does_not_see_is_told(world: World, rests: Agent) -> None:
    found = await examined(rests.home, "company", "permissions", flags=companies(HIDDEN))
    assert found["company"].code is Code.COMPANY_REFUSED
    assert str(HIDDEN) in found["company"].cause
    assert found["permissions"].code is Code.NOT_CHECKED
    unnamed = await finding(rests, "company")
    assert unnamed.code is Code.NO_COMPANY
    assert "doctor --company ID" in unnamed.fix
    named = await finding(rests, "company", prepare=asking_for(world.company["id"]))
    assert named.status is Status.PASS

    refusal = {"kind": "status", "status": 403, "body": {"errors": "no"}}
    await world.fault(refusal, path="/rest/v1.0/settings/permissions", times=1)
    flags = companies(world.company["id"])
    found = await examined(rests.home, "company", "permissions", flags=flags)
    assert found["company"].status is Status.PASS
    assert found["permissions"].code is Code.PERMISSIONS_UNKNOWN


async def test_rate_limit_is_not_taken_for_a_refusal(world: World, rests: Agent) -> None:
    limit = {"kind": "status", "status": 429, "body": {}, "headers": {"retry-after": "3600"}}
    await world.fault(limit, path="/rest/v1.0/companies", times=50)
    found = await finding(rests, "company", flags=companies(world.company["id"]))
    await world.admin("DELETE", "/faults")
    assert (found.code, found.status) == (Code.RATE_LIMITED, Status.WARN)


async def test_sign_ins_that_end_fail_or_are_not_there_are_told_apart(
    world: World, rests: Agent, tmp_path: Path
) -> None:
    home = copied(rests, tmp_path)
    vault = vault_of(AgentPaths.of(home))
    name = token_secret_name(Account(environment=Environment.DEVELOPER_SANDBOX))
    stored = StoredToken.parse(await vault.get(name) or b"")
    assert stored is not None

    async def with_token(**changes: Any) -> Finding:
        await vault.put(name, stored.model_copy(update=changes).dump())
        return (await examined(home, "grants"))["grants"]

    person = {
        "grant": "authorization-code",
        "login": "site@example.com",
        "refresh_token": SecretStr("canary-refresh-token"),
        "expires_at": time.time() + 3600,
        "lifetime": 5400.0,
    }
    assert (await with_token(**person)).status is Status.PASS
    found = await with_token(**person, phase=Phase.LAST_ATTEMPT)
    assert found.code is Code.GRANT_AT_RISK
    assert "--grant authorization-code" in found.fix

    found = await with_token(**{**person, "expires_at": time.time() - 60})
    assert found.status is Status.PASS, "the agent renews it: each refresh token works once"
    assert "the agent renews it" in found.cause
    kept = StoredToken.parse(await vault.get(name) or b"")
    assert kept is not None
    assert kept.phase is Phase.SETTLED

    assert (await with_token(**person, phase=Phase.ENDED)).code is Code.SIGN_IN_NEEDED

    await world.fault("unavailable", origin="login", path="/oauth/token", times=20)
    found = await with_token(expires_at=1.0)
    await world.admin("DELETE", "/faults")
    assert found.code is Code.NO_TOKEN

    await vault.delete(name)
    assert (await examined(home, "grants"))["grants"].code is Code.SIGN_IN_NEEDED
    await vault.delete(app_secret_name(Account(environment=Environment.DEVELOPER_SANDBOX)))
    assert (await examined(home, "grants"))["grants"].code is Code.NO_GRANT


async def test_company_without_projects_and_settings_of_procore_that_are_wrong_are_told(
    world: World, rests: Agent, tmp_path: Path
) -> None:
    nothing = {"kind": "status", "status": 200, "body": [], "headers": {"total": "0"}}
    await world.fault(nothing, path="/rest/v1.1/projects", times=1)
    flags = companies(world.company["id"])
    assert (await finding(rests, "company", flags=flags)).code is Code.NO_PROJECT
    missing = procore_at(ca_file=str(tmp_path / "nowhere.pem"))
    assert (await finding(rests, "procore-hosts", flags=missing)).code is Code.PROCORE_SETTINGS


async def test_agent_with_a_problem_says_it_here_too(runs: Agent) -> None:
    async def told() -> bool:
        return (await finding(runs, "session")).code is Code.AGENT_TROUBLED

    approvals = runs.home / "approvals.json"
    approvals.write_text("not JSON")
    try:
        await until(told, within=15, what="the agent has looked at the file")
        assert "approvals.json" in (await finding(runs, "session")).cause
    finally:
        approvals.unlink()


async def test_older_agent_that_still_runs_and_one_with_another_proxy_are_told(
    runs: Agent, tmp_path: Path
) -> None:
    told = await runs.state()
    assert told is not None
    told |= {"version": "0.0.1", "proxy": {"url": "http://proxy.test:3128", "source": "x"}}

    async def answer(_: object) -> dict[str, Any]:
        return {"status": told}

    home = tmp_path / "home"
    (home / "state").mkdir(parents=True, mode=0o700)
    (home / "agent.toml").write_text((runs.home / "agent.toml").read_text())
    (home / "agent.toml").chmod(0o600)
    async with serve_control(home / "state" / "control.sock", answer):
        found = await examined(home, "version", "proxy")
    assert found["version"].code is Code.VERSIONS_DIFFER
    assert f"{VERSION} is installed" in found["version"].cause
    assert found["proxy"].code is Code.PROXY_DIFFERS


async def test_status_of_a_pc_that_is_offline_names_the_doctor(rests: Agent, runs: Agent) -> None:
    _, _, errors = await said("cloud_connect_agent", "status", "--home", str(rests.home))
    assert f"`cloud-connect --home {rests.home} doctor` finds out why." in errors
    _, _, errors = await said("cloud_connect_agent", "status", "--home", str(runs.home))
    assert "doctor" not in errors


async def test_keys_that_the_relay_does_not_let_in_are_told_apart(
    world: World, rests: Agent, tmp_path: Path
) -> None:
    home = copied(rests, tmp_path)
    generation = home / "state" / "generation"

    async def key() -> Finding:
        return (await examined(home, "key"))["key"]

    assert (await key()).status is Status.PASS
    count = generation.read_text()
    generation.unlink()
    assert (await key()).code is Code.KEY_MISSING
    generation.write_text(count)
    keys = AgentKeys(vault_of(AgentPaths.of(home)))
    ours = await keys.load()
    await keys.adopt(SigningKey.generate())
    assert (await key()).code is Code.KEY_UNKNOWN

    asked = await world.api.post("/api/enrolment-tokens", json={"approval": True})
    waits = tmp_path / "waits"
    enrolling = ("enrol", "--home", str(waits), "--relay", world.relay.ready["api_url"])
    await said("cloud_connect_agent", *enrolling, stdin=asked.json()["token"])
    assert (await examined(waits, "key"))["key"].code is Code.KEY_WAITS

    await keys.adopt(ours)
    generation.write_text("0\n")
    assert (await key()).code is Code.KEY_COPIED, "as the agent itself would be told"


async def test_revoked_connector_is_told_by_the_running_agent_and_by_the_relay(
    world: World, runs: Agent, rests: Agent
) -> None:
    for agent in (runs, rests):
        answer = await world.api.delete(f"/api/connectors/{agent.connector_id}")
        answer.raise_for_status()

    async def heard() -> bool:
        state = await runs.state()
        return state is not None and state["state"] == "revoked"

    await until(heard, within=30, what="the agent knows")
    found = await examined(runs.home, "key", "session")
    assert found["key"].code is Code.KEY_REVOKED
    assert found["session"].code is Code.AGENT_OFFLINE
    assert "revoked" in found["session"].cause
    assert (await finding(rests, "key")).code is Code.KEY_REVOKED
