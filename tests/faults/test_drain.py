"""Agents and relays that are told to stop: what runs ends, what comes is refused in time."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio

from doubles.caller import Caller
from doubles.checker import check
from doubles.program import told
from doubles.world import Agent, World, open_world, until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(150)]

SHORT: Final = 100
LONG: Final = 5
HELD_SECONDS: Final = 90  # that Procore keeps a long call: longer than any drain
EXIT_WITHIN: Final = 30.0
URGENT_WITHIN: Final = 2.0


async def busy(world: World, agent: Agent, calls: int, done: Callable[[], int] = lambda: 0) -> None:
    async def all_there() -> bool:
        return bool((await world.connector(agent))["in_flight"] + done() >= calls)

    await until(all_there, within=30, what=f"{calls} calls on their way")


@pytest_asyncio.fixture(scope="module", loop_scope="module", autouse=True)
async def agents_ended(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[asyncio.Task[None]]:
    """A drain takes half a minute: it goes on beside the other tests of this module."""
    folder = tmp_path_factory.mktemp("agents")
    ending = asyncio.create_task(_end_agents(folder))
    yield ending
    if not ending.done():
        ending.cancel()
        await asyncio.wait({ending})


async def _end_agents(folder: Path) -> None:
    async with open_world(
        folder,
        agents=("a", "b"),
        tunnel_proxies=False,
        # All of them on the PC, since only what is there can be finished there.
        relay_settings="[calls]\nmax_dispatched = 200\n",
        seed=39,
    ) as world:
        patient, hasty = world.agents["a"], world.agents["b"]
        async with asyncio.TaskGroup() as tests:
            tests.create_task(_ends_in_order(world, patient))
            tests.create_task(_ends_at_once(world, hasty))
        assert not check(await world.history())


async def _ends_in_order(world: World, agent: Agent) -> None:
    caller = await world.caller(agent.name)
    assert (await caller.create("warm-a")).outcome == "completed"
    record = (await world.ledger(marker="warm-a"))[0]["record_id"]
    held_rule = {"kind": "slow_first_byte", "seconds": HELD_SECONDS}
    await world.fault(held_rule, path="punch_items/", method="PATCH")
    await world.fault({"kind": "slow_first_byte", "seconds": 1}, path="punch_items")
    long = [f"long-{number}" for number in range(LONG)]
    async with asyncio.TaskGroup() as tasks:
        held = [tasks.create_task(caller.update(record, key, deadline=28)) for key in long]
        short = [
            tasks.create_task(
                caller.create(f"short-{number}")
                if number % 5 == 0
                else caller.read(limit=number)  # each one of its own: none shares another's
            )
            for number in range(SHORT)
        ]
        await busy(world, agent, SHORT + LONG, lambda: sum(one.done() for one in short))
        began = time.monotonic()
        agent.program.terminate()
        await world.until_status("draining", agent, within=5)
        late = await caller.create("late")
        assert (late.status, late.code, late.outcome) == (
            503,
            "connector_draining",
            "not_executed",
        )
        assert (await agent.status())["draining"]
        assert await agent.program.ended() == 0
        took = time.monotonic() - began
    assert took <= EXIT_WITHIN
    assert [one.result().status for one in short if one.result().method == "GET"] == [200] * 80
    assert [one.result().status for one in short if one.result().method == "POST"] == [201] * 20
    assert {one.result().outcome for one in held} == {"unknown"}
    print(f"T39: {SHORT} short calls ended, exit after {took:.1f} s")  # noqa: T201

    await agent.program.start()

    async def all_final() -> bool:
        found = [
            (await world.api.get("/api/calls", params={"idempotency_key": key})).json()
            for key in long
        ]
        return all(one["final"] for one in found)

    await until(all_final, within=30, what="the long calls terminal by lookup")


async def _ends_at_once(world: World, agent: Agent) -> None:
    caller = await world.caller(agent.name)
    await world.fault(
        {"kind": "slow_first_byte", "seconds": HELD_SECONDS}, path="submittals", method="GET"
    )
    async with asyncio.TaskGroup() as tasks:
        cut = tasks.create_task(
            caller.send(
                "GET",
                f"/records/submittals?project_id={caller.project_id}",
                effect="cut",
                deadline=20,
            )
        )
        await busy(world, agent, 1)
        agent.program.terminate()
        await world.until_status("draining", agent, within=5)
        began = time.monotonic()
        agent.program.signal(signal.SIGTERM)
        await agent.program.ended()
        took = time.monotonic() - began
    assert took <= URGENT_WITHIN
    assert cut.result().outcome == "not_executed"
    print(f"T39: second signal, exit after {took:.2f} s")  # noqa: T201


async def test_relay_that_restarts_ends_what_runs_and_refuses_what_comes(tmp_path: Path) -> None:
    async with open_world(
        tmp_path, tunnel_proxies=False, relay_settings="drain_notice = 1.0\n", seed=40
    ) as world:
        caller = await world.caller()
        assert (await caller.create("warm")).outcome == "completed"
        await world.fault({"kind": "slow_first_byte", "seconds": 4}, path="punch_items")
        async with asyncio.TaskGroup() as tasks:
            read = tasks.create_task(caller.read())
            write = tasks.create_task(caller.create("running"))
            await busy(world, world.agent, 2)
            world.relay.terminate()
            began = time.monotonic()

            async def unready() -> bool:
                return (await world.api.get("/readyz")).status_code == 503

            await until(unready, within=1, what="not ready")
            noticed = await world.api.get(f"{caller.base}/procore/rest/v1.0/me")
            assert noticed.headers["connection"] == "close"
            assert noticed.status_code == 200  # a load balancer needs a moment to see it

            async def refused() -> bool:
                answer = await world.api.get(f"{caller.base}/procore/rest/v1.0/me")
                return answer.status_code == 503 and int(answer.headers["retry-after"]) >= 1

            await until(refused, within=3, what="new calls refused")
            late = await caller.create("late")
            assert (late.status, late.code, late.outcome) == (
                503,
                "connector_draining",
                "not_executed",
            )
            assert (await world.api.get("/readyz")).json() == {"status": "draining"}
        assert (read.result().status, write.result().status) == (200, 201)
        assert await world.relay.ended() == 0
        took = time.monotonic() - began
        assert took <= EXIT_WITHIN
        print(f"relay: exit after {took:.1f} s")  # noqa: T201
        await world.relay.start()
        await world.until_status("online", within=15)
        await _pause_outlives_the_agent(world, caller)
        assert not check(await world.history())


async def _pause_outlives_the_agent(world: World, caller: Caller) -> None:
    agent = world.agent
    home = ("--home", str(agent.home))
    await told("cloud_connect_agent", "pause", "--for", "10m", *home)
    await world.until_status("paused", within=5)
    listed = await world.connector(agent)
    left = datetime.fromisoformat(listed["paused_until"]).timestamp() - time.time()
    assert 500 < left <= 601
    await agent.program.restart()
    await world.until_status("paused", within=30)
    refused = await world.api.get(f"{caller.base}/procore/rest/v1.0/me")
    assert (refused.status_code, refused.json()["code"]) == (503, "connector_paused")
    assert "for another 10 min" in refused.json()["detail"]
    assert refused.json()["outcome"] == "not_executed"
    status = await agent.status()
    assert status["paused"]
    assert 500 < status["pause_seconds_left"] <= 600
    await told("cloud_connect_agent", "resume", *home)
    await world.until_status("online", within=5)
    assert (await world.api.get(f"{caller.base}/procore/rest/v1.0/me")).status_code == 200


@pytest.mark.catalogue("T39")
async def test_agent_finishes_what_it_can_and_says_what_it_cannot(
    agents_ended: asyncio.Task[None],
) -> None:
    await agents_ended
