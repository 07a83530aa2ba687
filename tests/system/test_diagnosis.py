"""What IT asks a running agent: what comes through, what waits, what to send to support."""

import asyncio
import json
import os
import signal
import stat
import zipfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from click.testing import CliRunner

from cloud_connect.redact import is_secret_name
from cloud_connect_agent.cli.root import cloud_connect
from cloud_connect_agent.paths import AgentPaths
from cloud_connect_agent.vault import vault_of
from doubles import canaries
from doubles.canaries import harvest_agent, remember, search
from doubles.observing import until
from doubles.program import command, said
from doubles.world import Agent, World, open_world

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.slow,
    pytest.mark.system,
    pytest.mark.timeout(90),
]

AGENT = "cloud_connect_agent"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    folder = tmp_path_factory.mktemp("world")
    soon = {"CLOUD_CONNECT_TUNNEL__BACKOFF_CAP": "1"}
    async with open_world(folder, agent_settings=soon, tunnel_proxies=False) as world:
        yield world


class Following:
    """A command that prints a line of JSON for each thing that happens."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.seen: list[dict[str, Any]] = []

    async def next(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        async with asyncio.timeout(30):
            line = await self.process.stdout.readline()
        assert line, "it ended"
        self.seen.append(json.loads(line))
        return self.seen[-1]

    async def until(self, **facts: object) -> dict[str, Any]:
        while True:
            found = await self.next()
            if all(found.get(name) == value for name, value in facts.items()):
                return found


@asynccontextmanager
async def following(agent: Agent, *words: str, to_nobody: bool = False) -> AsyncIterator[Following]:
    process = await asyncio.create_subprocess_exec(
        *command(AGENT, (*words, "--follow", "--json", "--home", str(agent.home))),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        limit=2**12 if to_nobody else 2**20,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        yield Following(process)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
        async with asyncio.timeout(20):
            await process.wait()


async def on(agent: Agent, *words: str) -> tuple[int, dict[str, Any], str]:
    return await said(AGENT, *words, "--home", str(agent.home))


async def test_calls_are_seen_as_they_end_and_never_what_they_hold(world: World) -> None:
    caller = await world.caller()
    first = await caller.read()
    async with following(world.agent, "requests", "-n", "1") as live:
        shown = await live.next()
        assert shown["call_id"] == first.call_id
        made = await caller.create("a secret name of a record")
        call = await live.until(call_id=made.call_id)
    assert (call["operation"], call["resource"], call["outcome"], call["status"]) == (
        "records.create",
        "punch_items",
        "completed",
        201,
    )
    assert call["hops"]["procore"] <= call["ms"]
    assert call["company_id"] == world.company["id"]
    assert "secret name" not in json.dumps(live.seen)
    assert live.process.returncode == 0


async def test_a_terminal_that_stalls_holds_up_nothing(world: World) -> None:
    caller = await world.caller()
    async with following(world.agent, "requests", "-n", "1", to_nobody=True) as live:
        await live.next()
        live.process.send_signal(signal.SIGSTOP)
        for _ in range(20):
            assert (await caller.read()).status == 200
        assert (await world.agent.state() or {})["connected"]
        live.process.send_signal(signal.SIGCONT)
        last = await caller.read()
        await live.until(call_id=last.call_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Absence:
    """What was seen while the agent went away and came back.

    Attributes:
        calls: The ids of calls before it went, and of the one after it came back.
        requests: What `requests --follow` showed.
        events: What `logs --follow` showed.
        offline: What `requests` said meanwhile.
        waits: Exit status and answer of each `wait`, by what it was for.
    """

    calls: list[str | None]
    requests: list[dict[str, Any]]
    events: list[dict[str, Any]]
    offline: list[dict[str, Any]]
    waits: dict[str, tuple[int, dict[str, Any]]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def absence(world: World) -> Absence:
    agent, waits = world.agent, {}
    caller = await world.caller()
    calls = [(await caller.read()).call_id for _ in range(3)]
    async with (
        following(agent, "requests", "-n", "1") as requests,
        following(agent, "logs", "-n", "1") as logs,
        asyncio.TaskGroup() as tasks,
    ):
        await requests.until(call_id=calls[-1])
        await logs.next()
        stopped = tasks.create_task(on(agent, "wait", "--for", "stopped"))
        await agent.program.stop()
        waits["stopped"] = (await stopped)[:2]
        log = AgentPaths.of(agent.home).log_file
        log.rename(log.with_name("agent.log.1"))
        _, offline, _ = await on(agent, "requests", "-n", "2")
        waits["never"] = (await on(agent, "wait", "--timeout", "0"))[:2]
        connected = tasks.create_task(on(agent, "wait", "--for", "connected"))
        await agent.program.start()
        waits["connected"] = (await connected)[:2]
        calls.append((await caller.read()).call_id)
        await requests.until(call_id=calls[-1])
        await logs.until(event="request_finished", call_id=calls[-1])
    return Absence(
        calls=calls,
        requests=requests.seen,
        events=logs.seen,
        offline=offline["items"],
        waits=waits,
    )


async def test_looking_on_goes_on_over_a_restart_and_repeats_nothing(absence: Absence) -> None:
    assert [call["call_id"] for call in absence.requests] == absence.calls[-2:]


async def test_logs_are_followed_over_a_restart_and_another_file(absence: Absence) -> None:
    names = [event["event"] for event in absence.events]
    assert "agent_stopped" in names
    assert names.index("agent_stopped") < names.index("agent_started")


async def test_the_last_calls_are_known_without_the_agent(absence: Absence) -> None:
    assert [(call["call_id"], call["resource"]) for call in absence.offline] == [
        (call_id, "punch_items") for call_id in absence.calls[1:3]
    ]


async def test_a_script_waits_for_an_agent_that_goes_and_comes(absence: Absence) -> None:
    assert absence.waits["stopped"][0] == 0
    status, said_then = absence.waits["never"]
    assert (status, said_then["reached"], said_then["state"]) == (4, False, "stopped")
    assert absence.waits["connected"][0] == 0
    assert absence.waits["connected"][1]["reached"]


async def test_the_log_of_one_call_is_told_by_its_id(world: World, absence: Absence) -> None:
    status, events, _ = await on(world.agent, "logs", "--call", str(absence.calls[0]))
    assert status == 0
    assert events
    assert {event["call_id"] for event in events} == {absence.calls[0]}  # type: ignore[index]


async def test_a_reload_keeps_the_session_and_says_what_waits(world: World) -> None:
    agent = world.agent
    file = agent.home / "agent.toml"
    content = file.read_text()
    since = (await agent.state() or {})["since"]
    try:
        file.write_text(content + "\n[audit]\nretention_days = 99\n[procore2]\n")
        status, _, errors = await on(agent, "reload")
        assert status == 78
        assert "procore2" in errors
        assert "Nothing was changed" in errors
        procore = content.replace("[procore.", "[audit]\nretention_days = 99\n[procore.", 1)
        file.write_text(procore)
        status, document, _ = await on(agent, "reload")
        assert status == 0
        assert document["restart"] == ["audit.retention_days"]
        _, shown, _ = await on(agent, "config", "show", "--running", "audit", "tunnel.backoff_cap")
        rows = {row["name"]: row for row in shown["settings"]}
        assert rows["audit.retention_days"]["value"] == 400
        assert rows["audit.retention_days"]["pending"] == 99
        # Its environment is the agent's, not that of whoever asks.
        assert rows["tunnel.backoff_cap"]["from"] == "CLOUD_CONNECT_TUNNEL__BACKOFF_CAP"
        state = await agent.state() or {}
        assert state["since"] == since
        assert any("audit.retention_days" in problem for problem in state["problems"])
        file.write_text(content)
        agent.program.signal(signal.SIGHUP)

        async def taken_back() -> bool:
            return not (await agent.state() or {"problems": ["gone"]})["problems"]

        await until(taken_back)
        assert (await agent.state() or {})["since"] == since
    finally:
        file.write_text(content)


async def test_a_script_waits_until_nothing_runs(world: World) -> None:
    agent = world.agent
    status, document, _ = await on(agent, "wait", "--for", "drained", "--timeout", "0")
    assert (status, document["reached"]) == (4, False)
    await on(agent, "pause")
    try:
        assert (await on(agent, "wait", "--for", "drained", "--timeout", "20"))[0] == 0
    finally:
        await on(agent, "resume")


@pytest.fixture
def needles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A search of its own, apart from the one that ends the run."""
    folder = tmp_path / "needles"
    folder.mkdir()
    monkeypatch.setenv(canaries.FOLDER, str(folder))
    return folder


async def test_a_bundle_holds_no_secret_no_data_and_nobodys_name(
    world: World, needles: Path, tmp_path: Path
) -> None:
    agent, payload = world.agent, "Payload-of-a-record-4711"
    caller = await world.caller()
    assert (await caller.create(payload)).status == 201
    secrets = [value for value in _secrets_of(agent) if len(value) > 15]
    assert len(secrets) >= 2
    policy = agent.home / "policy.toml"
    policy.write_text(
        policy.read_text() + "\n# Ask jane.doe@customer.example before you change it.\n"
    )
    output = tmp_path / "bundle.zip"
    with leaked(agent, secrets) as log:
        status, document, errors = await on(agent, "support-bundle", "-o", str(output))
        assert secrets[0] in log.read_text()  # what is looked for was there to be found
    assert status == 0, errors
    assert stat.S_IMODE(output.stat().st_mode) == 0o600
    inside = tmp_path / "inside"
    with zipfile.ZipFile(output) as archive:
        archive.extractall(inside)
    listed = {entry["name"] for entry in document["manifest"]["files"]}
    assert listed == {
        path.relative_to(inside).as_posix() for path in inside.rglob("*.*") if path.is_file()
    } - {"manifest.json"}
    harvest_agent(agent.home)
    remember("payload", payload)
    remember("person", "jane.doe@customer.example", "jane.doe@customer")
    assert search(needles, inside) == []
    assert json.loads((inside / "status.json").read_text())["state"] == "connected"
    assert json.loads((inside / "journal.json").read_text())["calls"]
    assert json.loads((inside / "audit.json").read_text())["by_action"]["call"] >= 1
    assert "request_finished" in (inside / "logs" / "agent.log").read_text()
    status, _, errors = await on(agent, "support-bundle", "-o", str(output))
    assert status == 1
    assert "is there already" in errors


async def read_by_a_person(agent: Agent, *words: str) -> tuple[int, str]:
    """Run a command without ``--json``, here: what it prints is what counts."""

    def run() -> tuple[int, str]:
        ended = CliRunner().invoke(
            cloud_connect, [*words, "--home", str(agent.home)], standalone_mode=False
        )
        assert ended.exception is None, ended.exception
        return int(ended.return_value or 0), ended.output

    return await asyncio.to_thread(run)


@pytest.mark.usefixtures("restored_logging")
async def test_a_preview_lists_everything_and_writes_nothing(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    status, output = await read_by_a_person(world.agent, "support-bundle", "--preview")
    assert status == 0
    for word in ("status.json", "doctor.json", "logs/agent.log", "What for", "No secrets"):
        assert word in output
    assert "Nothing was written" in output
    assert os.listdir(tmp_path) == []  # noqa: PTH208 - pathlib's would be a blocking call, too


@pytest.mark.usefixtures("restored_logging")
async def test_what_people_read_is_a_line_for_each_thing(world: World) -> None:
    agent = world.agent
    caller = await world.caller()
    call = await caller.read()
    _, output = await read_by_a_person(agent, "requests", "-n", "1")
    titles, row = output.splitlines()
    assert titles.split()[:3] == ["Time", "(UTC)", "Operation"]
    assert row.split()[2:5] == ["list", "punch_items", "completed"]
    assert str(call.call_id) in row
    assert await read_by_a_person(agent, "wait") == (0, "Connected.\n")
    status, output = await read_by_a_person(agent, "wait", "--for", "drained", "--timeout", "0")
    assert status == 4
    assert "run `cloud-connect pause` first" in output
    status, output = await read_by_a_person(agent, "reload")
    assert (status, output.splitlines()) == (
        0,
        ["Read again; no setting has changed. Policy and credentials are as in their files."],
    )
    policy = agent.home / "policy.toml"
    content = policy.read_text()
    policy.write_text("nonsense = 1\n")
    try:
        status, output = await read_by_a_person(agent, "reload")
        assert status == 78
        assert "unknown key" in output
    finally:
        policy.write_text(content)
    assert (await read_by_a_person(agent, "reload"))[0] == 0
    _, output = await read_by_a_person(agent, "logs", "--level", "info", "-n", "1")
    assert len(output.splitlines()) == 1


@contextmanager
def leaked(agent: Agent, secrets: list[str]) -> Iterator[Path]:
    """Have an older file of the log hold what some version, or a library, should not have logged.

    It is taken away again: the search that ends the run would find it.
    """
    log = AgentPaths.of(agent.home).log_file.with_name("agent.log.1")
    before = log.read_bytes() if log.exists() else None
    lines = [json.dumps({"time": "2999", "event": "odd", "text": one}) for one in secrets]
    lines += [f"no event: {one} of jane.doe@customer.example" for one in secrets]
    try:
        log.write_text("\n".join(lines) + "\n")
        yield log
    finally:
        if before is None:
            log.unlink()
        else:
            log.write_bytes(before)


def _secrets_of(agent: Agent) -> list[str]:
    """Return what the vault of the agent holds under names of secrets."""
    paths = AgentPaths.of(agent.home)
    vault = vault_of(paths)
    found: list[str] = []

    def walk(value: object, name: str) -> None:
        if isinstance(value, dict):
            for key, one in value.items():
                walk(one, key)
        elif isinstance(value, str) and is_secret_name(name):
            found.append(value)

    for sealed in paths.vault_dir.glob("[!.]*.sealed"):
        content = vault.read(sealed.stem.replace("@", "/")) or b""
        if content.startswith(b"{"):
            walk(json.loads(content), "")
    return found
