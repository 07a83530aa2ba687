import asyncio
import contextlib
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy.exc import OperationalError

from cloud_connect.calls import Operation
from cloud_connect.errors import Outcome
from cloud_connect.exchange import Exchange
from cloud_connect.tunnel import ResponseHead
from cloud_connect_relay.calls import ledger
from cloud_connect_relay.calls.service import CallService
from cloud_connect_relay.gateway.registry import Registry
from cloud_connect_relay.metrics import Metrics
from cloud_connect_relay.settings import CallSettings
from cloud_connect_relay.storage.calls import CallRecord, CallsOfAll, CallState
from doubles.call_relay import CallRelay
from doubles.relay_node import founded
from doubles.scripted_agent import ScriptedAgent, hang, problem

KEY = {"Idempotency-Key": "key-1"}
DONE = ResponseHead(status=201, outcome=Outcome.COMPLETED)


def record(subscription_id: str, number: int, state: CallState, **more: object) -> CallRecord:
    fields: dict[str, object] = {
        "id": f"call_{number:016d}",
        "subscription_id": subscription_id,
        "operation": "records.create",
        "state": state,
        "started_at": 100.0 + number,
        **more,
    }
    return CallRecord(**fields)  # type: ignore[arg-type]  # the keys are the fields' names


async def test_restart_settles_what_was_running(tmp_path: Path) -> None:
    async with founded(tmp_path) as store:
        calls = CallsOfAll(store.storage)
        await calls.insert(record(store.subscription_id, 1, CallState.ACCEPTED))
        await calls.insert(
            record(store.subscription_id, 2, CallState.DISPATCHED, dispatched_at=105.0)
        )
        await calls.insert(
            record(
                store.subscription_id,
                3,
                CallState.COMPLETED,
                outcome=Outcome.COMPLETED,
                final=True,
            )
        )
        async with CallService.open(
            storage=store.storage,
            registry=Registry(),
            metrics=Metrics(),
            settings=CallSettings(),
        ) as service:
            accepted = await service.find(store.subscription_id, "call_0000000000000001")
            dispatched = await service.find(store.subscription_id, "call_0000000000000002")
            completed = await service.find(store.subscription_id, "call_0000000000000003")
    assert (accepted.outcome, accepted.final) == (Outcome.NOT_EXECUTED, True)
    assert (dispatched.outcome, dispatched.final) == (Outcome.UNKNOWN, False)
    assert completed.outcome is Outcome.COMPLETED


async def test_unknown_calls_of_a_former_process_flip_when_their_agent_connects(
    relay: CallRelay,
) -> None:
    agent = ScriptedAgent()
    connector = await relay.enrol()
    calls = CallsOfAll(relay.store.storage)
    now = relay.clock()
    from doubles.scripted_agent import Entry, problem

    for number in range(30):
        await calls.insert(
            record(
                relay.store.subscription_id,
                number,
                CallState.UNKNOWN,
                outcome=Outcome.UNKNOWN,
                connector_id=connector,
                dispatched_at=now - 5,
            )
        )
    for number in range(10):
        agent.journal[f"call_{number:016d}"] = Entry(head=DONE)
    for number in range(10, 20):
        agent.journal[f"call_{number:016d}"] = Entry(
            head=problem("outcome_unknown", "It stopped.", outcome=Outcome.UNKNOWN)
        )
    await relay.connect(agent, connector)
    async with asyncio.timeout(10):
        while await calls.unresolved(connector, limit=100):
            await asyncio.sleep(0.02)
    found = await relay.api.get("/api/calls", params={"limit": "1000"})
    outcomes = {call["call_id"]: call["outcome"] for call in found.json()["items"]}
    for number in range(30):
        expected = ("completed", "unknown", "not_executed")[number // 10]
        assert outcomes[f"call_{number:016d}"] == expected
    assert all(call["final"] for call in found.json()["items"])


async def test_stopping_relay_records_what_it_leaves_as_unknown(tmp_path: Path) -> None:
    from doubles.call_relay import call_relay

    agent = ScriptedAgent(script={Operation.CREATE: hang})
    async with call_relay(tmp_path) as relay:
        _, base = await relay.ready(agent)
        async with asyncio.TaskGroup() as tasks:
            asked = tasks.create_task(
                relay.api.post(f"{base}/records/rfis", headers=KEY, json={"name": "x"})
            )
            await agent.arrived.wait()  # on a busy machine that takes longer than any guess
            asked.cancel()
        assert relay.calls.running == 1
    from cloud_connect_relay.paths import RelayPaths
    from cloud_connect_relay.storage import Storage

    database = RelayPaths(data_dir=tmp_path).database
    async with Storage.open(f"sqlite+aiosqlite:///{database}") as storage:
        found = await storage.of(relay.store.subscription_id).calls.latest("key-1", since=0)
    assert found is not None
    assert (found.state, found.final) == (CallState.UNKNOWN, False)


async def test_write_that_cannot_be_recorded_is_not_dispatched(
    relay: CallRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent, base = await relay.ready()

    async def fail(*_: object, **__: object) -> None:
        raise OperationalError("INSERT", {}, Exception("disk full"))

    monkeypatch.setattr(relay.calls._records, "insert", fail)
    monkeypatch.setattr(relay.calls._ledger._calls, "insert", fail)
    answer = await relay.api.post(f"{base}/records/rfis", headers=KEY, json={"name": "x"})
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert answer.json()["outcome"] == "not_executed"
    assert "cannot record" in answer.json()["detail"]
    assert agent.executed == {}
    assert (await relay.api.get(f"{base}/records/rfis")).status_code == 200
    monkeypatch.undo()
    assert (
        await relay.api.post(f"{base}/records/rfis", headers=KEY, json={"name": "x"})
    ).status_code == 201


async def test_key_is_free_when_the_store_took_it_and_could_not_say_so(
    relay: CallRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent, base = await relay.ready()
    calls = relay.calls._ledger._calls
    working = calls.insert

    async def lose_the_answer(accepted: CallRecord) -> None:
        await working(accepted)
        monkeypatch.setattr(calls, "insert", working)
        raise OperationalError("COMMIT", {}, Exception("the server closed the connection"))

    monkeypatch.setattr(calls, "insert", lose_the_answer)
    refused = await relay.api.post(f"{base}/records/rfis", headers=KEY, json={"name": "x"})
    assert (refused.status_code, refused.json()["outcome"]) == (500, "not_executed")
    again = await relay.api.post(f"{base}/records/rfis", headers=KEY, json={"name": "x"})
    assert again.status_code == 201
    assert list(agent.executed.values()) == [1]
    stored = await relay.record(refused.json()["call_id"])
    assert (stored.outcome, stored.final) == (Outcome.NOT_EXECUTED, True)


async def test_store_that_does_not_answer_holds_nobody_beyond_the_deadline(
    relay: CallRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent, base = await relay.ready()

    async def stall(_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(relay.calls._ledger._calls, "insert", stall)
    headers = {**KEY, "Cloud-Connect-Deadline-Ms": "300"}
    late = await relay.api.post(f"{base}/records/rfis", headers=headers, json={"name": "x"})
    assert (late.status_code, late.json()["outcome"]) == (504, "not_executed")
    monkeypatch.undo()
    again = await relay.api.post(f"{base}/records/rfis", headers=KEY, json={"name": "x"})
    assert again.status_code == 201
    assert list(agent.executed.values()) == [1]


async def test_repeat_that_waits_for_the_store_first_has_one_deadline_in_all(
    relay: CallRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(exchange: Exchange, _: bytes) -> None:
        await exchange.send_head(problem("source_unavailable"), end_stream=True)

    agent, base = await relay.ready(ScriptedAgent(script={Operation.CREATE: refuse}))
    calls = relay.calls._ledger._calls
    working, ended, back = calls.update, asyncio.Event(), asyncio.Event()

    async def slowly(changed: CallRecord, **more: Any) -> None:
        if changed.outcome is not None:
            ended.set()
            await back.wait()
        await working(changed, **more)

    async def create(**headers: str) -> httpx.Response:
        return await relay.api.post(
            f"{base}/records/rfis", headers={**KEY, **headers}, json={"name": "x"}
        )

    monkeypatch.setattr(calls, "update", slowly)
    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(create())
        async with asyncio.timeout(10):
            await ended.wait()
        agent.script[Operation.CREATE] = hang
        loop = asyncio.get_running_loop()
        began = loop.time()
        loop.call_later(1.5, back.set)
        late = await create(**{"Cloud-Connect-Deadline-Ms": "2000"})
        assert loop.time() - began < 3  # and not 3.5
        assert late.status_code == 504
    assert first.result().json()["outcome"] == "not_executed"


async def test_connector_is_not_blamed_for_the_store(
    relay: CallRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent, base = await relay.ready()
    calls = relay.calls._ledger._calls
    working, back = calls.update, asyncio.Event()

    async def slowly(changed: CallRecord, **more: Any) -> None:
        await back.wait()
        await working(changed, **more)

    monkeypatch.setattr(calls, "update", slowly)
    headers = {**KEY, "Cloud-Connect-Deadline-Ms": "300"}
    late = await relay.api.post(f"{base}/records/rfis", headers=headers, json={"name": "x"})
    assert (late.status_code, late.json()["outcome"]) == (504, "unknown")
    assert "waits for its database" in late.json()["detail"]
    assert "has had the call" not in late.json()["detail"]
    assert agent.executed == {}
    back.set()
    await relay.quiet()


async def test_records_wait_for_a_store_that_is_away(
    relay: CallRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "_RETRY_SECONDS", 0.05)
    _, base = await relay.ready()
    calls = relay.calls._ledger._calls
    working = calls.insert_all
    failures = 0

    async def fail(_: object, **__: object) -> None:
        nonlocal failures
        failures += 1
        raise OSError("the disk is gone")

    monkeypatch.setattr(calls, "insert_all", fail)
    answer = await relay.api.get(f"{base}/records/rfis")
    async with asyncio.timeout(5):
        while failures < 2:
            await asyncio.sleep(0.01)
    call_id = answer.headers["cloud-connect-call-id"]
    assert (await relay.api.get(f"/api/calls/{call_id}")).json()["outcome"] == "completed"
    monkeypatch.setattr(calls, "insert_all", working)
    async with asyncio.timeout(5):
        tenant = relay.store.storage.of(relay.store.subscription_id)
        while await tenant.calls.find(call_id) is None:
            await asyncio.sleep(0.01)


async def test_end_of_a_write_that_cannot_be_stored_is_stored_later(
    relay: CallRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, base = await relay.ready()
    calls = relay.calls._ledger._calls
    working = calls.update

    async def fail(ended: CallRecord, **more: Any) -> None:
        if ended.outcome is None:
            await working(ended, **more)
            return
        raise OperationalError("UPDATE", {}, Exception("locked"))

    monkeypatch.setattr(calls, "update", fail)
    answer = await relay.api.post(f"{base}/records/rfis", headers=KEY, json={"name": "x"})
    assert answer.status_code == 201
    monkeypatch.setattr(calls, "update", working)
    stored = await relay.record(answer.headers["cloud-connect-call-id"])
    assert stored.state is CallState.COMPLETED


async def test_record_that_was_stored_after_all_is_not_stored_twice(relay: CallRelay) -> None:
    _, base = await relay.ready()
    answer = await relay.api.get(f"{base}/records/rfis")
    stored = await relay.record(answer.headers["cloud-connect-call-id"])
    waiting = relay.calls._ledger
    again = await relay.api.get(f"{base}/records/rfis")
    await relay.quiet()
    with contextlib.suppress(KeyError):
        call = waiting._waiting[again.headers["cloud-connect-call-id"]]
        await waiting._calls.insert(call.record())
    assert (await relay.record(again.headers["cloud-connect-call-id"])).outcome == stored.outcome


async def test_old_records_are_forgotten_and_what_nobody_can_tell_any_more_is_final(
    relay: CallRelay,
) -> None:
    calls = CallsOfAll(relay.store.storage)
    subscription = relay.store.subscription_id
    completed = {"outcome": Outcome.COMPLETED, "final": True}
    unknown = {"outcome": Outcome.UNKNOWN, "connector_id": "con_1"}
    await calls.insert(record(subscription, 1, CallState.COMPLETED, **completed))
    lately = relay.clock() - 1.5 * relay.calls.settings.retention
    await calls.insert(
        record(subscription, 2, CallState.UNKNOWN, **{**unknown, "started_at": lately})
    )
    await calls.insert(record(subscription, 4, CallState.UNKNOWN, **unknown))
    await calls.insert(
        record(subscription, 3, CallState.COMPLETED, **{**completed, "started_at": relay.clock()})
    )
    assert await relay.calls.forget() == 2
    tenant = relay.store.storage.of(subscription)
    assert await tenant.calls.find("call_0000000000000001") is None
    assert await tenant.calls.find("call_0000000000000004") is None
    kept = await tenant.calls.find("call_0000000000000002")
    assert kept is not None
    assert (kept.outcome, kept.final) == (Outcome.UNKNOWN, True)
    assert "look in Procore" in (kept.detail or "")


async def test_full_ledger_drops_the_oldest_records(
    relay: CallRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "_MAX_WAITING", 2)
    monkeypatch.setattr(ledger, "_GATHER_SECONDS", 5)
    _, base = await relay.ready()
    await relay.calls._ledger.flush()
    ids = []
    for _ in range(4):
        answer = await relay.api.get(f"{base}/records/rfis")
        ids.append(answer.headers["cloud-connect-call-id"])
        await relay.quiet()
    waiting = relay.calls._ledger._waiting
    assert set(waiting) <= set(ids[2:])
