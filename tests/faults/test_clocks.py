"""Clocks that are wrong, that step, and machines that sleep: the calls do not mind."""

import asyncio
import json
import math
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio

from doubles.caller import Caller
from doubles.checker import check
from doubles.program import wrong_clock
from doubles.untraced import untraced
from doubles.world import Agent, World, open_world, until

pytestmark = [pytest.mark.timeout(180), pytest.mark.asyncio(loop_scope="module")]

RELAY_AHEAD: Final = 600.0
OFFSETS: Final = {"day-ahead": 86400, "day-behind": -86400, "ahead": 900, "behind": -900}
NIGHT: Final = 8 * 3600.0
SPEEDY: Final = {"CLOUD_CONNECT_TUNNEL__BACKOFF_CAP": "4"}


def constant(offset: float) -> dict[str, str]:
    """Return the environment of a process whose clock is wrong, the same all the time."""
    variables = wrong_clock(f"{offset:+.0f}")
    del variables["FAKETIME_NO_CACHE"]  # it costs more than all the rest of the process
    return variables


class Hands:
    """The hands of a wall clock that a test turns while processes look at it."""

    def __init__(self, file: Path) -> None:
        self._file: Final = file
        self.offset = 0.0
        self.turn(0.0)

    def turn(self, seconds: float) -> None:
        """Set the clock to be ahead by so much of what it was."""
        self.offset += seconds
        fresh = self._file.with_suffix(".new")
        fresh.write_text(f"{self.offset:+.0f}\n")
        fresh.replace(self._file)

    @property
    def environment(self) -> dict[str, str]:
        """Variables of a process that looks at this clock."""
        variables = wrong_clock("+0")
        # The variable would go before the file; reading that each time costs more than all else.
        del variables["FAKETIME"], variables["FAKETIME_NO_CACHE"]
        return {
            **variables,
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": "1",
        }


@dataclass(kw_only=True)
class Stepped:
    """A world on a machine whose clock is turned, and which may sleep."""

    world: World
    hands: Hands
    slept: Path
    caller: Caller

    def logged(self, name: str, *, after: float) -> list[float]:
        """When the agent logged an event, by the true clock, after a moment of that."""
        found = []
        for line in self.world.agent.log_text.splitlines():
            if f'"{name}"' in line:
                at = datetime.fromisoformat(json.loads(line)["time"]).timestamp()
                if at - self.hands.offset >= after - 0.01:
                    found.append(at - self.hands.offset)
        return found


@dataclass(kw_only=True)
class Worlds:
    """Both, which stand up together."""

    skewed: World
    stepped: Stepped


async def open_skewed(stack: AsyncExitStack, folder: Path) -> World:
    """Agents whose clocks are all wrong, and a relay whose is, too."""

    def skew(agent: Agent) -> None:
        agent.program.environment.update(constant(OFFSETS[agent.name]))

    return await stack.enter_async_context(
        open_world(
            folder,
            agents=tuple(OFFSETS),
            tunnel_proxies=False,
            relay_environment=constant(RELAY_AHEAD),
            agent_settings=SPEEDY,
            prepare=skew,
            seed=36,
        )
    )


async def open_stepped(stack: AsyncExitStack, folder: Path) -> Stepped:
    """Relay and agent on one machine, whose clock the test turns."""
    hands, slept = Hands(folder / "clock"), folder / "slept"
    await asyncio.to_thread(slept.write_text, "0")

    def make_sleepy(agent: Agent) -> None:
        agent.program.module = "doubles.sleepy_agent"
        agent.program.arguments = (str(slept), *agent.program.arguments)

    world = await stack.enter_async_context(
        open_world(
            folder,
            tunnel_proxies=False,
            relay_environment=hands.environment,
            agent_environment=hands.environment,
            agent_settings=SPEEDY,
            prepare=make_sleepy,
            seed=38,
        )
    )
    caller = await world.caller()
    assert (await caller.read()).status == 200
    return Stepped(world=world, hands=hands, slept=slept, caller=caller)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def worlds(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Worlds]:
    """Both worlds; a library between them and their clock makes them slow enough by itself."""
    async with AsyncExitStack() as stack:
        stack.enter_context(untraced())
        async with asyncio.TaskGroup() as tasks:
            skewed = tasks.create_task(open_skewed(stack, tmp_path_factory.mktemp("skewed")))
            stepped = tasks.create_task(open_stepped(stack, tmp_path_factory.mktemp("stepped")))
        yield Worlds(skewed=skewed.result(), stepped=stepped.result())


@pytest.mark.catalogue("T36")
async def test_wrong_clocks_connect_work_and_are_shown(worlds: Worlds) -> None:
    world = worlds.skewed

    async def works(name: str, offset: int) -> None:
        caller, agent = await world.caller(name), world.agents[name]
        assert (await caller.create(f"made-{name}")).status == 201
        assert (await caller.create(f"made-{name}")).replayed
        assert (await caller.read()).status == 200
        expected = pytest.approx(offset - RELAY_AHEAD, abs=2)

        async def reported() -> bool:
            return bool((await world.connector(agent))["clock_skew_seconds"] == expected)

        await until(reported, within=20, what=f"a skew of {offset - RELAY_AHEAD} at the relay")
        status = await agent.status()
        print(name, status["clock_skew_seconds"])  # noqa: T201 - the measured figure
        assert status["clock_skew_seconds"] == expected
        assert any("clock is" in problem for problem in status["problems"])

    async with asyncio.TaskGroup() as tasks:
        for name, offset in OFFSETS.items():
            tasks.create_task(works(name, offset))
    assert len(await world.ledger()) == len(OFFSETS)


@pytest.mark.catalogue("T37")
@pytest.mark.parametrize("name", ["day-ahead", "behind"])
async def test_limit_is_waited_out_by_procores_clock_and_not_by_the_pcs(
    worlds: Worlds, name: str
) -> None:
    world, limit, window = worlds.skewed, 5, 2.0
    caller, company = await world.caller(name), world.company["id"]
    await world.behave(spike_limit=limit, spike_seconds=window, window="fixed")
    began = time.time()
    try:
        async with asyncio.TaskGroup() as tasks:
            reads = [
                tasks.create_task(
                    caller.send(
                        "GET",
                        f"/procore/rest/v1.1/projects?company_id={company}&page={page}",
                        effect=f"page-{page}",
                        deadline=60,
                    )
                )
                for page in range(1, 2 * limit + 3)
            ]
        assert {read.result().status for read in reads} == {200}
    finally:
        await world.behave(spike_limit=0)
    asked = [
        entry
        for entry in (await world.admin("GET", "/requests", params={"limit": "500"}))["items"]
        if entry["at"] >= began and entry["path"].endswith("/projects")
    ]
    asked.sort(key=lambda entry: float(entry["at"]))
    assert [entry["status"] for entry in asked] == [200] * len(reads)  # none came too early
    times = [float(entry["at"]) for entry in asked]
    for first, after in ((0, limit), (limit, 2 * limit)):
        reset = math.ceil(times[first] + window)
        print(name, round(times[after] - reset, 3))  # noqa: T201 - the measured figure
        assert reset <= times[after] <= reset + 2


@pytest.mark.catalogue("T38")
async def test_clock_that_steps_back_changes_no_timer_and_no_order(worlds: Worlds) -> None:
    stepped = worlds.stepped
    world, caller = stepped.world, stepped.caller
    before = await caller.create("before the step")
    assert before.status == 201
    session = (await world.connector(world.agent))["connected_since"]
    path = f"/api/connectors/{world.agent.connector_id}"
    assert (await world.api.patch(path, json={"name": "earlier"})).status_code == 200
    await world.behave(latency_ms=6000)
    clock = time.monotonic()
    async with asyncio.TaskGroup() as tasks:
        late = tasks.create_task(caller.read(deadline=3.0))
        await asyncio.sleep(0.5)
        stepped.hands.turn(-3600)  # seen within a second
    elapsed = time.monotonic() - clock
    await world.behave(latency_ms=0)
    print("deadline", elapsed)  # noqa: T201 - the measured figure
    assert late.result().status == 504
    assert 3.0 <= elapsed <= 4.0
    assert (await caller.create("after the step")).status == 201
    assert (await caller.create("before the step")).replayed
    assert (await world.api.patch(path, json={"name": "later"})).status_code == 200
    audit = (
        await world.api.get("/api/audit", params={"action": "connector.change", "limit": 2})
    ).json()["items"]
    assert [entry["detail"]["name"] for entry in audit] == ["later", "earlier"]
    assert audit[0]["time"] < audit[1]["time"]  # the clock did step
    shown = await world.connector(world.agent)
    assert (shown["status"], shown["connected_since"]) == ("online", session)
    assert check(await world.history()) == []


@pytest.mark.catalogue("T35")
async def test_night_of_sleep_during_calls_is_over_within_seconds(worlds: Worlds) -> None:
    stepped = worlds.stepped
    world, caller, agent = stepped.world, stepped.caller, stepped.world.agent
    await world.behave(latency_ms=3000)
    async with asyncio.TaskGroup() as tasks:
        reads = [
            tasks.create_task(caller.read(limit=number, deadline=40)) for number in range(1, 6)
        ]
        writes = [
            tasks.create_task(caller.create(f"overnight-{number}", deadline=40))
            for number in range(5)
        ]
        await asyncio.sleep(1.5)
        agent.program.freeze()
        stepped.hands.turn(NIGHT)
        await asyncio.to_thread(stepped.slept.write_text, str(NIGHT))
        await world.admin("POST", "/state", json={"advance_seconds": NIGHT})
        await asyncio.sleep(2.0)
        resumed = time.time()
        agent.program.thaw()

        async def back() -> bool:
            return bool(stepped.logged("relay_authenticated", after=resumed))

        await until(back, within=30, what="a session after the night")
        await world.behave(latency_ms=0)
    (slept, *_) = stepped.logged("machine_slept", after=resumed)
    (dropped, *_) = stepped.logged("session_ended", after=resumed)
    (connected, *_) = stepped.logged("relay_authenticated", after=resumed)
    print(slept - resumed, dropped - resumed, connected - resumed)  # noqa: T201 - measured
    assert dropped - resumed <= 2
    assert connected - resumed <= 10
    for attempt in [task.result() for task in reads]:
        assert attempt.status in {200, 502, 503, 504}, attempt
    assert (await caller.create("in the morning")).status == 201
    assert (await caller.read()).status == 200
    tokens = await requests_for(world, "/oauth/token")
    assert len([entry for entry in tokens if entry["at"] >= resumed + NIGHT]) == 1
    history = await world.history()
    records = {record.key: record for record in history.records}
    for number, write in enumerate(writes):
        assert write.result().outcome in {"completed", "unknown", "not_executed"}
        record = records[f"overnight-{number}"]
        assert record.outcome in {"completed", "not_executed"} or record.final, record
    assert check(history) == []


async def requests_for(world: World, path: str) -> list[dict[str, Any]]:
    """What Procore was asked at a path."""
    asked = await world.admin("GET", "/requests", params={"limit": "1000"})
    return [entry for entry in asked["items"] if entry["path"].endswith(path)]
