"""Connectors that stand in for each other, as real processes that die at the worst moment."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from doubles.caller import Caller
from doubles.checker import check
from doubles.world import Agent, World, open_world, until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]

WITHIN = 5.0  # seconds that a read may take from its connector's death on
HEARTBEAT = 25.0  # seconds of silence after which the relay gives a session up
PUNCH_ITEMS = "/punch_items"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with open_world(
        tmp_path_factory.mktemp("group"),
        agents=("a", "b"),
        groups={"a": "site", "b": "site"},
        tunnel_proxies=False,
        seed=12,
    ) as world:
        yield world


async def drained(world: World, agent: Agent, *, draining: bool) -> None:
    """Have the relay give an agent no calls, or calls again."""
    path = f"/api/connectors/{agent.connector_id}"
    answer = await world.api.patch(path, json={"draining": draining})
    assert answer.status_code == 200


async def reads_at_procore(world: World) -> int:
    found = await world.admin("GET", "/requests")
    items = found["items"] if isinstance(found, dict) else found
    return sum(one["method"] == "GET" and one["path"].endswith(PUNCH_ITEMS) for one in items)


async def busy(world: World, agent: Agent, calls: int) -> None:
    """Wait until an agent has so many calls."""

    async def has_them() -> bool:
        return bool((await world.connector(agent))["in_flight"] >= calls)

    await until(has_them, within=20, what=f"{calls} calls at {agent.name}")


@pytest.mark.catalogue("T12")
async def test_read_whose_connector_dies_comes_from_the_other(world: World) -> None:
    first, second = world.agents.values()
    caller = await world.caller(connectorGroup="site")
    await caller.read()  # what is asked for once a process is not counted below
    before = await reads_at_procore(world)
    await drained(world, second, draining=True)
    await world.fault({"kind": "hang"}, method="GET", path=f"{PUNCH_ITEMS}$", times=1)
    async with asyncio.TaskGroup() as tasks:
        asked = tasks.create_task(caller.read())
        await busy(world, first, 1)

        async def at_procore() -> bool:
            return await reads_at_procore(world) == before + 1

        await until(at_procore, within=20, what="the read at Procore")
        await drained(world, second, draining=False)
        died = time.monotonic()
        await first.program.crash()
    took = time.monotonic() - died
    assert asked.result().status == 200
    assert took <= WITHIN, f"{took:.1f} s"
    assert await reads_at_procore(world) <= before + 2
    await first.program.start()
    await world.until_status("online", within=60)


@pytest.mark.catalogue("T13")
async def test_write_whose_connector_dies_is_never_executed_by_the_other(world: World) -> None:
    first, second = world.agents.values()
    caller = await world.caller(connectorGroup="site")
    made = [await caller.create(f"before-{number}") for number in range(2)]
    assert {attempt.status for attempt in made} == {201}
    records = [(await world.ledger(marker=f"before-{n}"))[0]["record_id"] for n in range(2)]
    journal, known = len(second.journal()), len(await world.ledger())
    await drained(world, second, draining=True)
    for method in ("POST", "PATCH", "DELETE"):
        await world.fault(
            {"kind": "hang"}, method=method, path=PUNCH_ITEMS, times=1, after_execute=True
        )
    async with asyncio.TaskGroup() as tasks:
        asked = [
            tasks.create_task(caller.create("made", deadline=6)),
            tasks.create_task(caller.update(str(records[0]), "changed", deadline=6)),
            tasks.create_task(caller.delete(str(records[1]), deadline=6)),
        ]

        async def executed() -> bool:
            return len(await world.ledger()) >= known + 3

        await until(executed, within=20, what="three executions")
        await drained(world, second, draining=False)
        await first.program.crash()
    assert [task.result().outcome for task in asked] == ["unknown"] * 3
    assert len(second.journal()) == journal
    assert len(await world.ledger()) == known + 3
    await first.program.start()
    await world.until_status("online", within=60)
    for key in ("made", "changed", f"delete-{records[1]}"):
        await settled(caller, key)
    repeated = await caller.create("made")  # the same key: whatever it is told, nothing runs
    assert repeated.outcome in {"unknown", "completed"}
    assert len(second.journal()) == journal
    assert len(await world.ledger(marker="made")) == 1
    assert not check(await world.history())


@pytest.mark.catalogue("T61")
@pytest.mark.parametrize("leaving", ["in order", "by kill"])
async def test_connector_that_leaves_its_group_interrupts_no_call_of_the_other(
    world: World, leaving: str
) -> None:
    first, second = world.agents.values()
    of_group, of_second = await world.caller(connectorGroup="site"), await world.caller("b")
    since = (await world.connector(second))["connected_since"]
    await world.behave(latency_ms=400)
    try:
        async with asyncio.TaskGroup() as tasks:
            calls = []
            for number in range(20):
                calls.append(tasks.create_task(of_second.read()))
                calls.append(tasks.create_task(of_second.create(f"{leaving}-{number}")))
            shared = [tasks.create_task(of_group.read()) for _ in range(10)]
            await busy(world, second, 8)
            if leaving == "in order":
                await first.program.stop()
            else:
                await first.program.crash()
    finally:
        await world.behave(latency_ms=0)
    assert {call.result().status for call in calls} == {200, 201}
    assert {call.result().outcome for call in [*calls, *shared]} == {"completed"}
    assert (await world.connector(second))["connected_since"] == since
    listed = (await world.api.get("/api/connectors")).json()["items"]
    assert {one["id"]: one["status"] for one in listed} == {
        first.connector_id: "offline",
        second.connector_id: "online",
    }
    await first.program.start()
    await world.until_status("online", within=60)
    assert not check(await world.history())


@pytest.mark.nightly
@pytest.mark.catalogue("T12", "T13")
async def test_connector_that_freezes_is_given_up_and_its_stand_in_repeats_no_write(
    world: World,
) -> None:
    first, second = world.agents.values()
    caller = await world.caller(connectorGroup="site")
    await caller.read()
    before = await reads_at_procore(world)
    journal = len(second.journal())
    await drained(world, second, draining=True)
    await world.fault({"kind": "hang"}, method="GET", path=f"{PUNCH_ITEMS}$", times=1)
    await world.fault(
        {"kind": "hang", "seconds": 30},
        method="POST",
        path=PUNCH_ITEMS,
        times=1,
        after_execute=True,
    )
    async with asyncio.TaskGroup() as tasks:
        read = tasks.create_task(caller.read())
        write = tasks.create_task(caller.create("frozen", deadline=HEARTBEAT + 10))

        async def at_procore() -> bool:
            executed = await world.ledger(marker="frozen")
            return bool(executed) and await reads_at_procore(world) == before + 1

        await until(at_procore, within=20, what="both calls at Procore")
        await drained(world, second, draining=False)
        first.program.freeze()
        froze = time.monotonic()
        assert (await read).status == 200
        took = time.monotonic() - froze
        assert took <= HEARTBEAT + WITHIN, f"{took:.1f} s"
        assert await reads_at_procore(world) <= before + 2
        print(f"read from the stand-in after {took:.1f} s")  # noqa: T201 - measured
        await world.until_status("offline", first, within=HEARTBEAT + 10 - took)
    assert write.result().outcome == "unknown"
    first.program.thaw()
    await world.until_status("online", within=60)
    await settled(caller, "frozen")
    listed = (await world.api.get("/api/connectors")).json()["items"]
    assert [one["status"] for one in listed] == ["online"] * 2
    assert len(second.journal()) == journal
    assert len(await world.ledger(marker="frozen")) == 1
    assert not check(await world.history())


async def settled(caller: Caller, key: str) -> None:
    """Wait until the outcome of the call with *key* stays as it is."""

    async def is_final() -> bool:
        found = await caller.look_up(key)
        return found is not None and bool(found["final"])

    await until(is_final, within=10, what=f"the outcome of {key}")
