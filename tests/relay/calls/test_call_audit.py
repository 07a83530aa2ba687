"""What the audit log says of calls."""

import asyncio
from typing import Any

from cloud_connect.calls import Operation, ReportedResult
from cloud_connect.errors import Outcome
from cloud_connect.exchange import Exchange
from cloud_connect_relay.storage.audit import AuditFilter
from cloud_connect_relay.storage.calls import CallRecord, CallsOfAll, CallState
from cloud_connect_relay.storage.nodes import Nodes
from doubles.call_relay import CallRelay
from doubles.scripted_agent import ScriptedAgent, hang, problem

KEY = {"Idempotency-Key": "key-1"}


async def said(relay: CallRelay, action: str = "call") -> list[dict[str, Any]]:
    log = relay.store.storage.of(relay.store.subscription_id).audit
    found = await log.newest(AuditFilter(action=action), limit=100)
    return [dict(entry.chained.fields()) for entry in found]


async def until_said(relay: CallRelay, action: str, count: int) -> list[dict[str, Any]]:
    async with asyncio.timeout(10):
        while len(found := await said(relay, action)) < count:
            await asyncio.sleep(0.01)
    return found


async def test_write_is_recorded_once_with_its_end_and_who_asked(relay: CallRelay) -> None:
    agent, base = await relay.ready()
    url = f"{base}/records/rfis?project_id=5"
    answer = await relay.api.post(url, headers=KEY, json={"name": "Dent"})
    await relay.api.post(url, headers=KEY, json={"name": "Dent"})  # answered as before
    await relay.quiet()
    (record,) = await said(relay)
    assert record["action"] == "call.write"
    assert record["target"] == answer.headers["cloud-connect-call-id"]
    assert record["actor"].startswith("key:key_")
    detail = record["detail"]
    assert (detail["outcome"], detail["status"], detail["resource"]) == ("completed", 201, "rfis")
    assert detail["operation"] == "records.create"
    assert detail["connector_id"].startswith("con_")
    assert "Dent" not in str(record)
    stored = await relay.record(record["target"])
    assert stored.fingerprint is not None
    pepper = relay.store.identity.pepper
    assert detail["digest"] == pepper.digest(stored.fingerprint).hex()[:32]
    assert stored.fingerprint not in str(record)  # who steals the log cannot try contents
    assert len(agent.executed) == 1


async def test_write_that_went_nowhere_is_not_recorded(relay: CallRelay) -> None:
    base = await relay.datasource(await relay.enrol())
    answer = await relay.api.post(
        f"{base}/records/rfis",
        headers={**KEY, "Cloud-Connect-Deadline-Ms": "1000"},
        json={"name": "x"},
    )
    assert answer.json()["code"] == "connector_offline"
    await relay.quiet()
    assert await said(relay) == []


async def test_refusal_of_the_agent_s_policy_is_recorded(relay: CallRelay) -> None:
    async def refuse(exchange: Exchange, _: bytes) -> None:
        await exchange.send_head(problem("policy_denied", "No.", status=403), end_stream=True)

    _, base = await relay.ready(ScriptedAgent(script={Operation.CREATE: refuse}))
    await relay.api.post(f"{base}/records/rfis", headers=KEY, json={"name": "x"})
    await relay.quiet()
    (record,) = await said(relay)
    assert (record["detail"]["code"], record["detail"]["outcome"]) == (
        "policy_denied",
        "not_executed",
    )


async def test_reads_that_end_together_share_a_record_that_names_each(relay: CallRelay) -> None:
    _, base = await relay.ready()
    async with asyncio.TaskGroup() as tasks:
        reads = [
            tasks.create_task(relay.api.get(f"{base}/records/rfis?project_id=5")) for _ in range(5)
        ]
    wanted = {task.result().headers["cloud-connect-call-id"] for task in reads}
    async with asyncio.timeout(10):
        while True:
            records = await said(relay, "call.read")
            calls = {name for one in records for name in one["detail"]["calls"]}
            if calls == wanted:
                break
            await asyncio.sleep(0.01)
    assert len(records) < 5
    assert records[0]["target"].startswith("con_")
    assert set(records[0]["detail"]["calls"].values()) == {200}
    assert records[0]["detail"]["operation"] == Operation.LIST


async def test_outcome_that_is_found_out_later_is_a_record_of_its_own(relay: CallRelay) -> None:
    agent, base = await relay.ready(ScriptedAgent(script={Operation.CREATE: hang}))
    connector_id = relay.connected[0].live.connector_id
    headers = {**KEY, "Cloud-Connect-Deadline-Ms": "1000"}
    async with asyncio.TaskGroup() as tasks:
        asked = tasks.create_task(
            relay.api.post(f"{base}/records/rfis", headers=headers, json={"name": "x"})
        )
        await agent.arrived.wait()
        await relay.connected[0].lose()
    answer = asked.result()
    assert answer.json()["outcome"] == "unknown"
    call_id = answer.headers["cloud-connect-call-id"]
    (first,) = await until_said(relay, "call.write", 1)
    assert first["detail"]["outcome"] == "unknown"
    result = ReportedResult(call_id=call_id, outcome=Outcome.COMPLETED, status=201)
    assert await relay.calls.take_results(connector_id, [result], since=0.0) == [call_id]
    (later,) = await until_said(relay, "call.resolved", 1)
    assert (later["target"], later["detail"]["outcome"]) == (call_id, "completed")
    assert len(await said(relay, "call.write")) == 1


async def test_write_that_a_stopped_relay_left_is_recorded_when_it_is_settled(
    relay: CallRelay,
) -> None:
    await CallsOfAll(relay.store.storage).insert(
        CallRecord(
            id="call_0000000000000000",
            subscription_id=relay.store.subscription_id,
            key_id="key_1",
            operation="records.create",
            state=CallState.DISPATCHED,
            started_at=1.0,
            dispatched_at=2.0,
            owner="gone",
        )
    )
    await Nodes(relay.store.storage).settle_orphans()
    (record,) = await said(relay)
    assert (record["action"], record["actor"]) == ("call.write", "key:key_1")
    assert record["detail"]["outcome"] == "unknown"
