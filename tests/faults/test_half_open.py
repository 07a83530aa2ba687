"""Links that are dead without a word: who notices, how soon, and what becomes of the calls.

All of it happens at once, in one network of its own: each agent meets another fate, and the
relay of a second world is frozen meanwhile. The tests look at what was seen.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import pytest_asyncio

from doubles.caller import Caller
from doubles.checker import Violation, check
from doubles.history import Attempt
from doubles.namespaces import PrivateNetwork
from doubles.program import said
from doubles.world import Agent, World, open_world, until

pytestmark = [pytest.mark.timeout(240), pytest.mark.asyncio(loop_scope="module")]

FROZEN_SECONDS: Final = 60.0
SHORT, LONG = 8.0, 45.0  # deadlines of calls
POLL: Final = 0.2  # seconds between two looks at the relay's list
SLACK: Final = 1.0  # seconds that a call may end after its deadline
LARGE: Final = 900_000  # bytes of a record, more than the small windows below take in
AGENTS: Final = ("dead", "deaf", "mute", "frozen", "fine")
SPEEDY: Final = {"CLOUD_CONNECT_TUNNEL__BACKOFF_CAP": "4"}


@dataclass
class Watched:
    """What was seen of one agent; times are seconds after the fault began."""

    offline_at: float | None = None
    online_again_at: float | None = None
    noticed_at: float | None = None
    reason: str = ""
    command: tuple[int, dict[str, Any]] | None = None  # what `status` said after 34 seconds
    attempts: dict[float, list[Attempt]] = field(default_factory=dict)


@dataclass
class Seen:
    """What was seen of everything."""

    agents: dict[str, Watched]
    fine: list[Attempt]
    violations: list[Violation]
    relay_log: str
    connectors: dict[str, str]
    frozen_relay: Watched
    frozen_violations: list[Violation]


def narrow() -> None:
    """Have sockets hold as little as across the world; loopback's own would swallow megabytes."""
    for name, sizes in (("rmem", "4096 65536 131072"), ("wmem", "4096 16384 65536")):
        Path(f"/proc/sys/net/ipv4/tcp_{name}").write_text(sizes)


def events(agent: Agent, name: str) -> list[tuple[float, dict[str, Any]]]:
    """What an agent logged under a name, and when."""
    found = []
    for line in agent.log_text.splitlines():
        if f'"{name}"' in line:
            entry = json.loads(line)
            found.append((datetime.fromisoformat(entry["time"]).timestamp(), entry))
    return found


async def calls(caller: Caller, name: str, watched: Watched) -> None:
    """Read and write with a short and a long deadline while the link is dead."""
    async with asyncio.TaskGroup() as tasks:
        for deadline in (SHORT, LONG):
            made = [
                tasks.create_task(caller.read(deadline=deadline)),
                tasks.create_task(caller.create(f"{name}-{deadline:.0f}", deadline=deadline)),
            ]

            def note(_: object, deadline: float = deadline, made: Any = made) -> None:
                if all(task.done() for task in made):
                    watched.attempts[deadline] = [task.result() for task in made]

            for task in made:
                task.add_done_callback(note)


async def watch(world: World, seen: dict[str, Watched], began: float) -> None:
    """Note when the relay lists agents as gone, and as back; until cancelled."""
    names = {agent.connector_id: name for name, agent in world.agents.items()}
    while True:
        listed = (await world.api.get("/api/connectors")).json()["items"]
        now = time.monotonic() - began
        for item in listed:
            watched = seen[names[item["id"]]]
            if item["status"] == "offline" and watched.offline_at is None:
                watched.offline_at = now
            back = item["status"] == "online" and watched.offline_at is not None
            if back and watched.online_again_at is None:
                watched.online_again_at = now
        await asyncio.sleep(POLL)


async def ask(agent: Agent, watched: Watched, began: float) -> None:
    """Run the status command shortly before 35 seconds are over, as a person would."""
    await asyncio.sleep(began + 34.0 - time.monotonic())
    code, document, _ = await said("cloud_connect_agent", "status", "--home", str(agent.home))
    watched.command = code, document


async def drown(caller: Caller) -> None:
    """Send more than fits into what lies between relay and agent."""
    async with asyncio.TaskGroup() as tasks:
        for number in range(6):
            marker = f"large-{number}"
            body = {"name": marker, "description": "x" * LARGE}
            path = "/records/punch_items"
            tasks.create_task(
                caller.write("POST", path, effect=marker, key=marker, body=body, deadline=LONG)
            )


async def quietly(caller: Caller, attempts: list[Attempt]) -> None:
    """Read once a second through the agent that is fine, until cancelled."""
    while True:
        attempts.append(await caller.read(deadline=SHORT))
        await asyncio.sleep(1.0)


async def freeze_relay(world: World, watched: Watched) -> None:
    """Stop the relay for a minute, in the middle of calls."""
    caller, agent = await world.caller(), world.agent
    assert (await caller.read()).status == 200
    await world.behave(latency_ms=2000)
    async with asyncio.TaskGroup() as tasks:
        pending = [
            tasks.create_task(caller.read(deadline=SHORT)),
            tasks.create_task(caller.create("before the freeze", deadline=SHORT)),
        ]
        await asyncio.sleep(1.0)
        world.relay.freeze()
        began_wall = time.time()
        await asyncio.sleep(FROZEN_SECONDS)
        world.relay.thaw()
        thawed = time.monotonic()
        watched.attempts[SHORT] = [await task for task in pending]
    await world.behave(latency_ms=0)

    async def works() -> bool:
        try:
            return (await caller.read(deadline=5.0)).status == 200
        except httpx.HTTPError:
            return False

    await until(works, within=30, what="a call after the freeze")
    watched.online_again_at = time.monotonic() - thawed
    lost = [at for at, _ in events(agent, "session_ended") if at > began_wall]
    watched.noticed_at = lost[0] - began_wall if lost else None


async def harm(network: PrivateNetwork, world: World, seen: dict[str, Watched]) -> list[Attempt]:
    """Do to each agent what its name says, and call through all of them meanwhile."""
    callers = {name: await world.caller(name) for name in AGENTS}
    for caller in callers.values():
        assert (await caller.read()).status == 200
    fine: list[Attempt] = []
    ports = {name: agent.tunnel.port for name, agent in world.agents.items() if agent.tunnel}
    async with asyncio.TaskGroup() as tasks:
        background = [tasks.create_task(quietly(callers["fine"], fine))]
        network.drop(ports["dead"], way="both")
        network.drop(ports["deaf"], way="from")
        network.drop(ports["mute"], way="to")
        world.agents["frozen"].program.freeze()
        began, began_wall = time.monotonic(), time.time()
        background.append(tasks.create_task(watch(world, seen, began)))
        pending = [
            tasks.create_task(calls(callers[name], name, seen[name]))
            for name in ("dead", "deaf", "mute", "frozen")
        ]
        pending.append(tasks.create_task(drown(callers["frozen"])))
        pending.append(tasks.create_task(ask(world.agents["dead"], seen["dead"], began)))
        await asyncio.sleep(began + FROZEN_SECONDS - time.monotonic())
        for task in pending:
            await task
        for name in ("dead", "deaf", "mute"):
            ended = [one for one in events(world.agents[name], "offline") if one[0] > began_wall]
            if ended:
                seen[name].noticed_at = ended[0][0] - began_wall
                seen[name].reason = ended[0][1]["reason"]
        network.heal()
        world.agents["frozen"].program.thaw()
        await world.until_status("online", within=40)
        for task in background:
            task.cancel()
    return fine


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def seen(
    module_network: PrivateNetwork, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Seen]:
    """Everything that is to be seen, at once."""
    narrow()
    folders = [tmp_path_factory.mktemp(name) for name in ("harmed", "frozen")]
    async with AsyncExitStack() as stack:
        async with asyncio.TaskGroup() as tasks:
            opening = [
                tasks.create_task(
                    stack.enter_async_context(
                        open_world(folder, agents=agents, agent_settings=SPEEDY, seed=21)
                    )
                )
                for folder, agents in zip(folders, (AGENTS, ("a",)), strict=True)
            ]
        world, other = (task.result() for task in opening)
        agents = {name: Watched() for name in AGENTS}
        frozen_relay = Watched()
        async with asyncio.TaskGroup() as tasks:
            harmed = tasks.create_task(harm(module_network, world, agents))
            tasks.create_task(freeze_relay(other, frozen_relay))
        found = Seen(
            agents=agents,
            fine=harmed.result(),
            violations=check(await world.history(within=20)),
            relay_log=world.relay.log.read_text(),
            connectors={name: agent.connector_id for name, agent in world.agents.items()},
            frozen_relay=frozen_relay,
            frozen_violations=check(await other.history(within=20)),
        )
    yield found


def in_time(watched: Watched) -> None:
    """No call hangs for longer than a second beyond its deadline."""
    assert set(watched.attempts) == {SHORT, LONG}
    for deadline, attempts in watched.attempts.items():
        for attempt in attempts:
            assert attempt.status is not None, attempt
            assert attempt.status >= 500, attempt
            assert attempt.ended_at - attempt.sent_at <= deadline + SLACK, attempt


def noticed_by_both_ends(watched: Watched) -> None:
    """The agent finds out within 25 seconds, the relay within 35, and no call hangs."""
    print(watched)  # noqa: T201 - the measured figures
    assert watched.noticed_at is not None
    assert watched.noticed_at <= 25
    assert watched.offline_at is not None
    assert watched.offline_at <= 35
    in_time(watched)


@pytest.mark.catalogue("T21")
async def test_link_that_is_dead_both_ways_is_noticed_by_both_ends(seen: Seen) -> None:
    noticed_by_both_ends(seen.agents["dead"])


@pytest.mark.catalogue("T132")
async def test_status_of_a_live_process_with_a_dead_link_is_not_connected(seen: Seen) -> None:
    dead = seen.agents["dead"]
    assert dead.command is not None
    code, document = dead.command
    assert code == 4
    assert not document["connected"]
    assert document["state"] in {"offline", "connecting"}
    assert dead.offline_at is not None
    assert dead.offline_at <= 35


@pytest.mark.catalogue("T22")
@pytest.mark.parametrize("name", ["deaf", "mute"])
async def test_link_that_is_dead_one_way_is_noticed_by_both_ends(seen: Seen, name: str) -> None:
    noticed_by_both_ends(seen.agents[name])


@pytest.mark.catalogue("T25")
async def test_agent_that_stood_still_for_a_minute_begins_anew(seen: Seen) -> None:
    frozen = seen.agents["frozen"]
    print(frozen)  # noqa: T201 - the measured figures
    assert frozen.offline_at is not None
    assert frozen.offline_at <= 35
    assert frozen.online_again_at is not None
    assert FROZEN_SECONDS <= frozen.online_again_at <= FROZEN_SECONDS + 20
    in_time(frozen)


@pytest.mark.catalogue("T25")
async def test_relay_that_stood_still_for_a_minute_is_left_and_found_again(seen: Seen) -> None:
    relay = seen.frozen_relay
    print(relay)  # noqa: T201 - the measured figures
    assert relay.noticed_at is not None
    assert relay.noticed_at <= 25
    assert relay.online_again_at is not None
    assert relay.online_again_at <= 15
    for attempt in relay.attempts[SHORT]:
        assert attempt.status == 504, attempt
    assert seen.frozen_violations == []


@pytest.mark.catalogue("T44")
async def test_agent_that_takes_nothing_is_cut_as_slow_and_hurts_nobody(seen: Seen) -> None:
    frozen = seen.agents["frozen"]
    assert frozen.offline_at is not None
    assert frozen.offline_at <= 30
    connector = seen.connectors["frozen"]
    (ended, *_) = [
        line
        for line in seen.relay_log.splitlines()
        if "agent_disconnected" in line and connector in line
    ]
    assert "slow: the peer took nothing" in ended
    print(ended, len(seen.fine))  # noqa: T201 - the measured figures
    assert len(seen.fine) > FROZEN_SECONDS / 3
    assert {attempt.status for attempt in seen.fine} == {200}


@pytest.mark.catalogue("T21", "T22", "T25", "T44")
async def test_nobody_was_told_anything_wrong_meanwhile(seen: Seen) -> None:
    assert seen.violations == []
