"""Connections to Procore that die as a write is sent: each write is executed once at most."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio

from doubles.caller import Caller
from doubles.checker import check
from doubles.world import World, open_world

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]

WRITES = 500
AT_ONCE = 16
SEED = 41


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    folder = tmp_path_factory.mktemp("one-execution")
    async with open_world(
        folder,
        tunnel_proxies=False,
        simulator_arguments=("--spike-limit", "100000", "--hourly-limit", "1000000"),
        seed=SEED,
    ) as world:
        yield world


async def clear_faults(world: World) -> None:
    await world.admin("DELETE", "/faults")


@pytest.mark.catalogue("T7")
@pytest.mark.parametrize("method", ["POST", "PATCH"])
@pytest.mark.parametrize("action", ["drop", "reset", "hang"])
async def test_write_that_procore_executed_without_an_answer_is_unknown_and_stays_single(
    world: World, method: str, action: str
) -> None:
    caller, marker = await world.caller(), f"silent-{method}-{action}"
    assert (await caller.create(f"{marker}-first")).outcome == "completed"
    record = str((await world.ledger(marker=f"{marker}-first"))[0]["record_id"])
    fault = {"kind": action} | ({"seconds": 0.2} if action == "hang" else {})
    await world.fault(fault, method=method, after_execute=True, times=1)
    for _ in range(4):
        if method == "POST":
            attempt = await caller.create(marker)
        else:
            attempt = await caller.update(record, marker)
        assert attempt.outcome == "unknown"
    assert len(await world.ledger(marker=marker)) == 1
    await clear_faults(world)
    assert not check(await world.history())


@pytest.mark.catalogue("T16")
async def test_keep_alive_connection_that_closes_as_a_write_is_sent_doubles_nothing(
    world: World,
) -> None:
    print(f"seed {SEED}")  # noqa: T201 - for a replay
    dice = random.Random(SEED)
    caller = await world.caller()
    kinds = dice.choices(("POST", "PATCH", "PUT", "DELETE"), weights=(4, 2, 1, 3), k=WRITES)
    records = iter(await items(world, caller, WRITES - kinds.count("POST")))
    await world.behave(put_as_patch=True)
    for after in (True, False):
        await world.fault(
            {"kind": "reset"}, method="POST|PATCH|PUT", probability=0.4, after_execute=after
        )
        # A deletion may be sent twice; that the second fails, too, is for others to see to.
        await world.fault({"kind": "drop"}, method="DELETE", probability=0.2, after_execute=after)
        await world.fault({"kind": "drop"}, method="GET", probability=0.1, after_execute=after)
    turns = asyncio.Semaphore(AT_ONCE)
    outcomes: Counter[tuple[str, str]] = Counter()

    async def one(number: int, kind: str) -> None:
        async with turns:
            if number % 10 == 0:
                await caller.read()  # leaves a connection behind that could be used again
            writes: dict[str, Callable[[], Awaitable[object]]] = {
                "POST": lambda: caller.create(f"kept-{number}"),
                "PATCH": lambda: caller.update(next(records), f"kept-{number}"),
                "PUT": lambda: put(caller, next(records), f"kept-{number}"),
                "DELETE": lambda: caller.delete(next(records)),
            }
            await writes[kind]()
            outcomes[kind, str(caller.attempts[-1].outcome)] += 1

    async with asyncio.TaskGroup() as tasks:
        for number, kind in enumerate(kinds):
            tasks.create_task(one(number, kind))
    await clear_faults(world)
    history = await world.history(within=30)
    assert not check(history)
    executed = Counter(entry.effect for entry in history.executions if "kept-" in entry.effect)
    assert executed
    assert max(executed.values()) == 1
    sent = Counter(
        entry["path"]
        for entry in (await world.admin("GET", "/requests", params={"method": "DELETE"}))["items"]
    )
    assert max(sent.values()) == 2
    journal = Counter(line["operation"] for line in world.agent.journal())
    assert journal["records.delete"] == kinds.count("DELETE")
    for kind in ("POST", "PATCH", "PUT"):
        assert outcomes[kind, "completed"], outcomes
        assert outcomes[kind, "unknown"], outcomes


async def put(caller: Caller, record_id: str, marker: str) -> object:
    """Rename a punch item as a raw client would, without a key."""
    path = f"/procore/rest/v1.1/punch_items/{record_id}"
    body = {"project_id": caller.project_id, "punch_item": {"name": marker}}
    return await caller.write("PUT", path, effect=marker, key=None, body=body)


async def items(world: World, caller: Caller, count: int) -> list[str]:
    """Return the ids of so many punch items, made at Procore if need be."""
    made: list[str] = []
    turns = asyncio.Semaphore(AT_ONCE)

    async def make(number: int) -> None:
        async with turns:
            assert (await caller.create(f"made-{number}")).outcome == "completed"

    async with asyncio.TaskGroup() as tasks:
        for number in range(count):
            tasks.create_task(make(number))
    made = [str(entry["record_id"]) for entry in await world.ledger() if "made-" in entry["marker"]]
    assert len(made) == count
    return made
