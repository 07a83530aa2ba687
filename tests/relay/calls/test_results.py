import asyncio
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from cloud_connect.calls import Operation, ReportedResult
from cloud_connect.errors import Outcome
from cloud_connect.tunnel import ResponseHead
from cloud_connect_relay.calls import resolution
from cloud_connect_relay.calls.results import ForgedResultError
from cloud_connect_relay.storage.calls import CallRecord, CallsOfAll, CallState
from doubles.call_relay import CallRelay, call_relay
from doubles.scripted_agent import Entry, ScriptedAgent, hang


async def call(relay: CallRelay, number: int, connector_id: str, **more: Any) -> str:
    """Store the record of a call of unknown outcome."""
    facts: dict[str, Any] = {
        "state": CallState.UNKNOWN,
        "outcome": Outcome.UNKNOWN,
        "detail": "The relay was restarted while the call ran.",
        **more,
    }
    record = CallRecord(
        id=f"call_{number:016d}".replace("1", "a").replace("0", "b"),
        subscription_id=relay.store.subscription_id,
        connector_id=connector_id,
        operation="records.create",
        started_at=relay.clock() - 60,
        dispatched_at=relay.clock() - 59,
        **facts,
    )
    await CallsOfAll(relay.store.storage).insert(record)
    return record.id


def result(call_id: str, outcome: Outcome, **more: Any) -> ReportedResult:
    return ReportedResult(call_id=call_id, outcome=outcome, **more)


@pytest.mark.parametrize(
    ("outcome", "status", "final"),
    [(Outcome.COMPLETED, 201, True), (Outcome.NOT_EXECUTED, 502, True), (Outcome.UNKNOWN, 0, True)],
)
async def test_a_result_settles_a_call_that_nobody_knew_about(
    relay: CallRelay, outcome: Outcome, status: int, *, final: bool
) -> None:
    connector_id = await relay.enrol()
    call_id = await call(relay, 1, connector_id)
    told = result(call_id, outcome, status=status or None)
    for _ in range(2):  # an acknowledgement may be lost
        assert await relay.calls.take_results(connector_id, [told], since=0.0) == [call_id]
        record = await relay.record(call_id)
        assert (record.outcome, record.final) == (outcome, final)
    assert record.status == (status or None)
    assert (outcome is Outcome.UNKNOWN) == ("Look in Procore" in str(record.detail))


async def test_a_connector_settles_no_call_of_another(relay: CallRelay) -> None:
    owner, other = await relay.enrol(), await relay.enrol()
    call_id = await call(relay, 1, owner)
    told = [result(call_id, Outcome.NOT_EXECUTED), result("call_nobodys", Outcome.COMPLETED)]
    assert await relay.calls.take_results(other, told, since=0.0) == [call_id, "call_nobodys"]
    with pytest.raises(ForgedResultError):
        await relay.calls.take_results(other, [result(call_id, Outcome.COMPLETED)], since=0.0)
    assert (await relay.record(call_id)).outcome is Outcome.UNKNOWN


async def test_an_upsert_that_another_connector_took_over_is_no_forgery(relay: CallRelay) -> None:
    owner, other = await relay.enrol(), await relay.enrol()
    call_id = await call(relay, 1, owner, upsert=True)
    told = [result(call_id, Outcome.COMPLETED, status=200)]
    assert await relay.calls.take_results(other, told, since=0.0) == [call_id]
    assert (await relay.record(call_id)).outcome is Outcome.UNKNOWN


async def test_an_outcome_that_is_final_stays(relay: CallRelay) -> None:
    connector_id = await relay.enrol()
    ended = {"state": CallState.COMPLETED, "outcome": Outcome.COMPLETED, "final": True}
    done = await call(relay, 1, connector_id, **ended)
    lost = await call(relay, 2, connector_id, final=True)
    told = [result(one, Outcome.NOT_EXECUTED) for one in (done, lost)]
    assert await relay.calls.take_results(connector_id, told, since=0.0) == [done, lost]
    assert (await relay.record(done)).outcome is Outcome.COMPLETED
    assert (await relay.record(lost)).outcome is Outcome.UNKNOWN


async def test_a_call_whose_end_is_about_to_be_recorded_is_told_again_later(
    relay: CallRelay,
) -> None:
    connector_id = await relay.enrol()
    call_id = await call(relay, 1, connector_id, state=CallState.DISPATCHED, outcome=None)
    told = [result(call_id, Outcome.COMPLETED, status=201)]
    assert await relay.calls.take_results(connector_id, told, since=0.0) == []


async def test_a_call_that_runs_is_told_again_later(relay: CallRelay) -> None:
    agent, base = await relay.ready(ScriptedAgent(script={Operation.CREATE: hang}))
    connector_id = relay.connected[0].live.connector_id
    async with asyncio.TaskGroup() as tasks:
        held = tasks.create_task(
            relay.api.post(
                f"{base}/records/rfis",
                headers={"Idempotency-Key": "k", "Cloud-Connect-Deadline-Ms": "1000"},
                json={"name": "x"},
            )
        )
        await agent.arrived.wait()
        told = [result(agent.calls[0].head.call_id, Outcome.COMPLETED)]
        assert await relay.calls.take_results(connector_id, told, since=0.0) == []
        held.cancel()


async def test_unknown_call_is_settled_once_the_store_is_back(
    relay: CallRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolution, "_RETRY_SECONDS", 0.02)
    agent = ScriptedAgent()
    connected = await relay.connect(agent)
    call_ids = [await call(relay, number, connected.live.connector_id) for number in (1, 10)]
    for call_id in call_ids:
        agent.journal[call_id] = Entry(head=ResponseHead(status=201, outcome=Outcome.COMPLETED))
    failures = 0

    async def fail(_: CallRecord, **__: object) -> None:
        nonlocal failures
        failures += 1
        raise OperationalError("UPDATE", {}, Exception("the server closed the connection"))

    monkeypatch.setattr(relay.calls._records, "settle", fail)
    relay.calls._resolution.expect(connected.live.connector_id)
    async with asyncio.timeout(10):
        while failures < 2:
            await asyncio.sleep(0.01)
    monkeypatch.undo()
    async with asyncio.timeout(10):
        for call_id in call_ids:
            while (await relay.record(call_id)).outcome is not Outcome.COMPLETED:
                await asyncio.sleep(0.01)


async def test_result_of_a_deletion_says_that_its_first_attempt_had_succeeded(
    relay: CallRelay,
) -> None:
    connector_id = await relay.enrol()
    call_id = await call(relay, 1, connector_id)
    told = [result(call_id, Outcome.COMPLETED, status=200, already_absent=True)]
    await relay.calls.take_results(connector_id, told, since=0.0)
    assert (await relay.record(call_id)).already_absent


async def test_result_without_a_status_leaves_none_of_the_failure_that_it_settles(
    relay: CallRelay,
) -> None:
    connector_id = await relay.enrol()
    call_id = await call(relay, 1, connector_id, status=502, code="outcome_unknown")
    await relay.calls.take_results(connector_id, [result(call_id, Outcome.COMPLETED)], since=0.0)
    record = await relay.record(call_id)
    assert (record.outcome, record.status, record.code) == (Outcome.COMPLETED, None, None)


async def test_unknown_call_of_another_node_is_settled_by_the_one_that_has_its_agent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolution, "_SWEEP_SECONDS", 0.05)
    async with call_relay(tmp_path) as relay:
        agent = ScriptedAgent()
        connector_id = (await relay.connect(agent)).live.connector_id
        away = await call(relay, 1, await relay.enrol())
        busy = relay.calls._resolution._busy
        async with asyncio.timeout(10):  # its journal is asked when it connects: for nothing
            while connector_id not in busy:
                await asyncio.sleep(0)
            while connector_id in busy:
                await asyncio.sleep(0.01)
        told = await call(relay, 10, connector_id, upsert=True, detail=f"No. {resolution._REPEAT}")
        await asyncio.sleep(0.3)
        assert not agent.heard
        call_id = await call(relay, 100, connector_id)
        agent.journal[call_id] = Entry(head=ResponseHead(status=201, outcome=Outcome.COMPLETED))
        async with asyncio.timeout(10):
            while (await relay.record(call_id)).outcome is not Outcome.COMPLETED:
                await asyncio.sleep(0.01)
        asked = {one.params["call_id"] for one in agent.heard}
        assert call_id in asked <= {call_id, told}
        assert (await relay.record(away)).outcome is Outcome.UNKNOWN
