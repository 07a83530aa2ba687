import asyncio
from typing import Any

from cloud_connect.errors import Outcome
from cloud_connect_relay.calls.tenure import Tenure
from cloud_connect_relay.storage.calls import CallRecord, CallsOfAll, CallState
from cloud_connect_relay.storage.nodes import Interrupted, NodeRun, Nodes
from doubles.relay_node import NOW, Founded


def record(store: Founded, number: int, state: CallState, **more: Any) -> CallRecord:
    return CallRecord(
        id=f"call_{number:016d}",
        subscription_id=store.subscription_id,
        operation="records.create",
        started_at=NOW + number,
        state=state,
        **more,
    )


async def test_key_is_bound_to_one_call_whoever_asks_at_once(store: Founded) -> None:
    calls = CallsOfAll(store.storage)
    tenant = store.storage.of(store.subscription_id).calls
    asked = [record(store, number, CallState.ACCEPTED, idempotency_key="k") for number in range(20)]
    async with asyncio.TaskGroup() as tasks:
        claims = [tasks.create_task(calls.claim(one)) for one in asked]
    won = [one for one, claim in zip(asked, claims, strict=True) if claim.result()]
    assert len(won) == 1
    holder = await tenant.holder("k")
    assert holder is not None
    assert holder.id == won[0].id


async def test_key_is_free_again_once_its_call_had_no_effect(store: Founded) -> None:
    calls = CallsOfAll(store.storage)
    first = record(store, 1, CallState.ACCEPTED, idempotency_key="k")
    assert await calls.claim(first)
    assert not await calls.claim(record(store, 2, CallState.ACCEPTED, idempotency_key="k"))
    undone = record(
        store, 1, CallState.NOT_EXECUTED, idempotency_key="k", outcome=Outcome.NOT_EXECUTED
    )
    await calls.update(undone)
    assert await calls.claim(record(store, 3, CallState.ACCEPTED, idempotency_key="k"))
    # A late word about the first one must not take the key back.
    await calls.update(record(store, 1, CallState.COMPLETED, idempotency_key="k"))
    holder = await store.storage.of(store.subscription_id).calls.holder("k")
    assert holder is not None
    assert holder.id == "call_0000000000000003"


async def test_node_that_is_gone_leaves_its_calls_settled_and_others_theirs(
    store: Founded,
) -> None:
    nodes, calls = Nodes(store.storage), CallsOfAll(store.storage)
    for name in ("run_a", "run_b"):
        await nodes.enter(name, name=name, at=NOW)
    await calls.insert(record(store, 1, CallState.ACCEPTED, owner="run_a", idempotency_key="k"))
    await calls.insert(record(store, 2, CallState.DISPATCHED, owner="run_a", dispatched_at=NOW))
    await calls.insert(record(store, 3, CallState.DISPATCHED, owner="run_b", dispatched_at=NOW))
    await calls.insert(record(store, 4, CallState.DISPATCHED, owner="run_x", dispatched_at=NOW))
    assert await nodes.settle_orphans() == Interrupted(undispatched=0, unknown=1)
    assert await nodes.beat("run_a")
    assert await nodes.bury(NodeRun(id="run_a", name="run_a", beats=0)) is None
    left = await nodes.bury(NodeRun(id="run_a", name="run_a", beats=1))
    assert left == Interrupted(undispatched=1, unknown=1)
    assert not await nodes.beat("run_a")
    tenant = store.storage.of(store.subscription_id).calls
    found = [await tenant.find(f"call_{number:016d}") for number in range(1, 5)]
    assert [one and one.state for one in found] == [
        CallState.NOT_EXECUTED,
        CallState.UNKNOWN,
        CallState.DISPATCHED,
        CallState.UNKNOWN,
    ]
    assert await tenant.holder("k") is None


async def test_silent_node_is_buried_and_never_trusts_its_hold_that_long(
    store: Founded,
) -> None:
    now = 0.0

    def clock() -> float:
        return now

    nodes = Nodes(store.storage)
    quiet = Tenure(nodes, node="a", alone=False, clock=clock)
    watcher = Tenure(nodes, node="b", alone=False, clock=clock)
    await quiet.begin()
    await watcher.begin()
    first, left = quiet.run_id, list[Interrupted]()
    calls = CallsOfAll(store.storage)
    await calls.insert(record(store, 1, CallState.DISPATCHED, owner=first, dispatched_at=NOW))
    trusted = []
    for second in range(14):
        now = float(second)
        await watcher._beat()
        await watcher._look_around(left.append)
        trusted.append((quiet.covers(first), bool(left)))
    assert (True, True) not in trusted
    assert trusted[6] == (True, False)
    assert trusted[8] == (False, False)
    assert left == [Interrupted(undispatched=0, unknown=1), Interrupted()]
    assert watcher.covers(watcher.run_id)
    await quiet._beat()  # it wakes: what it ran before is no longer its own
    assert not quiet.covers(first)
    assert quiet.covers(quiet.run_id)
    await quiet.end()
    assert [run.id for run in await nodes.all()] == [watcher.run_id]
