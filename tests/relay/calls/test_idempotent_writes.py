import asyncio
from typing import Any

import httpx
import pytest
from sqlalchemy.exc import OperationalError

from cloud_connect.calls import Operation
from cloud_connect.errors import Outcome
from cloud_connect.exchange import Exchange
from cloud_connect.tunnel import ResponseHead
from cloud_connect_relay.storage.calls import CallRecord
from doubles.call_relay import CallRelay
from doubles.scripted_agent import Entry, ScriptedAgent, holding, problem

KEY = {"Idempotency-Key": "key-1"}
DONE = ResponseHead(status=201, outcome=Outcome.COMPLETED)


async def create(relay: CallRelay, base: str, **options: Any) -> httpx.Response:
    given = {"headers": KEY, "json": {"name": "Dent", "count": 1}, **options}
    return await relay.api.post(f"{base}/records/rfis", **given)


async def test_repeat_gets_the_stored_answer_and_executes_nothing(relay: CallRelay) -> None:
    agent, base = await relay.ready()
    first = await create(relay, base)
    again = await create(relay, base)
    assert again.status_code == first.status_code == 201
    assert again.json() == first.json() == {"id": 7, "name": "Dent"}
    assert again.headers["idempotency-replayed"] == "true"
    assert again.headers["cloud-connect-call-id"] == first.headers["cloud-connect-call-id"]
    assert list(agent.executed.values()) == [1]
    assert agent.heard[-1].head.operation == "journal"


async def test_order_and_spacing_of_the_body_do_not_matter(relay: CallRelay) -> None:
    agent, base = await relay.ready()
    await create(relay, base)
    again = await create(relay, base, json=None, content=b'{ "count":1,\n"name" : "Dent"}')
    assert again.headers["idempotency-replayed"] == "true"
    assert len(agent.executed) == 1


async def test_same_key_for_another_request_is_a_mismatch(relay: CallRelay) -> None:
    agent, base = await relay.ready()
    elsewhere = await relay.datasource(relay.connected[0].live.connector_id)
    await create(relay, base)
    others = [
        await create(relay, base, json={"name": "Other", "count": 1}),
        await create(relay, base, params={"project_id": "9"}),
        await create(relay, elsewhere),
        await relay.api.post(
            f"{base}/records/punch_items", headers=KEY, json={"name": "Dent", "count": 1}
        ),
        await relay.api.patch(
            f"{base}/records/rfis/1", headers=KEY, json={"name": "Dent", "count": 1}
        ),
        await relay.api.delete(f"{base}/records/rfis/1", headers=KEY),
    ]
    for answer in others:
        assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_mismatch")
        assert answer.json()["outcome"] == "not_executed"
    assert list(agent.executed.values()) == [1]


@pytest.mark.catalogue("T9")
async def test_another_subscription_has_keys_of_its_own(relay: CallRelay) -> None:
    _, base = await relay.ready()
    await create(relay, base)
    other = await relay.store.subscription("Other")
    key = await relay.store.key("all", subscription_id=other)
    agent = ScriptedAgent()
    connected = await relay.connect(agent, subscription_id=other)
    headers = {"Authorization": f"Bearer {key}"}
    made = await relay.api.post(
        "/api/datasources",
        headers=headers,
        json={
            "title": "Other",
            "settings": {"companyId": "1", "environment": "live"},
            "useConnector": True,
            "connectorId": connected.live.connector_id,
        },
    )
    place = f"/api/datasources/{made.json()['id']}"
    answer = await create(relay, place, headers={**KEY, **headers})
    assert answer.status_code == 201
    assert "idempotency-replayed" not in answer.headers
    assert len(agent.executed) == 1
    foreign = await relay.api.get(f"/api/calls/{answer.headers['cloud-connect-call-id']}")
    assert foreign.status_code == 404


async def test_fifty_repeats_at_once_execute_once(relay: CallRelay) -> None:
    async def slowly(exchange: Exchange, _: bytes) -> None:
        await asyncio.sleep(0.1)
        await agent.write(exchange, b'{"id":7}', head=DONE)

    agent, base = await relay.ready(ScriptedAgent(script={Operation.CREATE: slowly}))
    async with asyncio.TaskGroup() as tasks:
        asked = [tasks.create_task(create(relay, base)) for _ in range(50)]
    answers = [task.result() for task in asked]
    assert list(agent.executed.values()) == [1]
    first = [
        answer
        for answer in answers
        if answer.status_code == 201 and "idempotency-replayed" not in answer.headers
    ]
    assert len(first) == 1
    for answer in answers:
        if answer.status_code == 409:
            assert answer.json()["code"] == "idempotency_conflict"
            assert answer.headers["retry-after"] == "1"
        else:
            assert (answer.status_code, answer.json()) == (201, {"id": 7})


async def test_running_key_with_another_body_is_a_mismatch(relay: CallRelay) -> None:
    agent, release = holding(Operation.CREATE, DONE)
    _, base = await relay.ready(agent)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(create(relay, base))
        await agent.arrived.wait()
        assert (await create(relay, base, json={"name": "Other"})).status_code == 422
        assert (await create(relay, base)).status_code == 409
        running = await relay.api.get("/api/calls", params={"idempotency_key": "key-1"})
        assert running.json()["state"] == "dispatched"
        release.set()


async def test_stored_rejection_is_told_again(relay: CallRelay) -> None:
    async def reject(exchange: Exchange, _: bytes) -> None:
        head = problem(
            "source_rejected",
            "A name is needed.",
            status=422,
            outcome=Outcome.COMPLETED,
            source={"errors": {"name": ["required"]}},
        )
        await agent.write(exchange, b"", head=head)

    agent, base = await relay.ready(ScriptedAgent(script={Operation.CREATE: reject}))
    first, again = await create(relay, base), await create(relay, base)
    for answer in (first, again):
        assert (answer.status_code, answer.json()["code"]) == (422, "source_rejected")
        assert answer.json()["source"] == {"errors": {"name": ["required"]}}
        assert answer.json()["retry_safe"] is False
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert again.json()["call_id"] == first.json()["call_id"]
    await relay.connected[0].lose()
    offline = await create(relay, base)
    assert (offline.status_code, offline.json()["detail"]) == (422, "A name is needed.")
    assert offline.json()["outcome"] == "completed"


async def test_repeat_while_the_agent_is_away_tells_that_it_was_done(relay: CallRelay) -> None:
    _, base = await relay.ready()
    first = await create(relay, base)
    await relay.connected[0].lose()
    again = await create(relay, base)
    assert again.status_code == 201
    assert again.headers["idempotency-replayed"] == "true"
    assert again.json() == {
        "call_id": first.headers["cloud-connect-call-id"],
        "outcome": "completed",
        "status": 201,
        "body_available": False,
    }


async def test_answer_that_the_journal_did_not_keep_is_told_as_done(relay: CallRelay) -> None:
    agent, base = await relay.ready()
    first = await create(relay, base)
    call_id = first.headers["cloud-connect-call-id"]
    agent.journal[call_id] = Entry(
        head=problem("not_found", "Too large to be kept.", status=404, outcome=Outcome.COMPLETED)
    )
    agent.keeps_answers = False
    again = await create(relay, base)
    assert again.json()["body_available"] is False


async def test_unknown_call_answers_the_same_until_its_journal_tells(relay: CallRelay) -> None:
    async def drop(exchange: Exchange, _: bytes) -> None:
        agent.execute(exchange.request.call_id)
        unknown = problem("outcome_unknown", "No answer came.", outcome=Outcome.UNKNOWN)
        agent.journal[exchange.request.call_id] = Entry(head=None)
        await exchange.send_head(unknown, end_stream=True)

    agent, base = await relay.ready(ScriptedAgent(script={Operation.CREATE: drop}))
    first = await create(relay, base)
    assert (first.status_code, first.json()["outcome"]) == (502, "unknown")
    call_id = first.json()["call_id"]
    again = await create(relay, base)
    assert (again.status_code, again.json()["code"]) == (502, "outcome_unknown")
    assert again.json()["call_id"] == call_id
    other = await create(relay, base, json={"name": "Other"})
    assert other.status_code == 422
    assert agent.executed == {call_id: 1}
    agent.journal[call_id] = Entry(head=DONE, body=b'{"id":7}')
    resolved = await create(relay, base)
    assert (resolved.status_code, resolved.json()) == (201, {"id": 7})
    assert agent.executed == {call_id: 1}


async def test_unknown_call_that_proves_undone_releases_its_key(relay: CallRelay) -> None:
    async def drop(exchange: Exchange, _: bytes) -> None:
        unknown = problem("outcome_unknown", "No answer came.", outcome=Outcome.UNKNOWN)
        agent.journal[exchange.request.call_id] = Entry(head=None)
        await exchange.send_head(unknown, end_stream=True)

    agent, base = await relay.ready(ScriptedAgent(script={Operation.CREATE: drop}))
    first = await create(relay, base)
    undone = problem("source_unavailable", "It stopped before.", status=502)
    agent.journal[first.json()["call_id"]] = Entry(head=undone)
    agent.script.clear()
    again = await create(relay, base)
    assert again.status_code == 201
    assert again.headers["cloud-connect-call-id"] != first.json()["call_id"]


@pytest.mark.catalogue("T10")
async def test_key_is_kept_for_a_day(relay: CallRelay) -> None:
    agent, base = await relay.ready()
    await create(relay, base)
    relay.clock.ahead = 24 * 3600 - 60
    assert (await create(relay, base)).headers["idempotency-replayed"] == "true"
    relay.clock.ahead = 24 * 3600 + 60
    again = await create(relay, base)
    assert "idempotency-replayed" not in again.headers
    assert len(agent.executed) == 2


async def test_key_of_a_call_that_never_was_dispatched_is_looked_up_and_free(
    relay: CallRelay,
) -> None:
    connector = await relay.enrol()
    base = await relay.datasource(connector)
    refused = await create(relay, base)
    assert (refused.status_code, refused.json()["code"]) == (503, "connector_offline")
    found = (await relay.api.get("/api/calls", params={"idempotency_key": "key-1"})).json()
    assert found["call_id"] == refused.json()["call_id"]
    assert (found["outcome"], found["final"], found["code"]) == (
        "not_executed",
        True,
        "connector_offline",
    )
    await relay.connect(ScriptedAgent(), connector)
    assert (await create(relay, base)).status_code == 201


@pytest.mark.parametrize("key", ["never-used", "x" * 300])
async def test_lookup_of_a_key_that_was_never_used(relay: CallRelay, key: str) -> None:
    answer = await relay.api.get("/api/calls", params={"idempotency_key": key})
    assert answer.status_code == (404 if len(key) < 256 else 400)


async def test_lookup_by_key_tells_of_the_call_that_has_it_not_of_a_repeat_that_failed(
    relay: CallRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, base = await relay.ready()
    first = (await create(relay, base)).headers["cloud-connect-call-id"]

    async def fail(_: CallRecord) -> bool:
        raise OperationalError("INSERT", {}, Exception("the server closed the connection"))

    with monkeypatch.context() as patch:
        patch.setattr(relay.calls._ledger._calls, "claim", fail)
        repeated = await create(relay, base)
    assert (repeated.status_code, repeated.json()["outcome"]) == (500, "not_executed")
    second = repeated.json()["call_id"]
    assert (await relay.record(second)).outcome is Outcome.NOT_EXECUTED
    found = (await relay.api.get("/api/calls", params={"idempotency_key": "key-1"})).json()
    assert (found["call_id"], found["outcome"]) == (first, "completed")


async def test_repeat_whose_caller_hangs_up_before_it_has_the_key_was_never_a_call(
    relay: CallRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, base = await relay.ready()
    await create(relay, base)
    asked = asyncio.Event()

    async def stall(record: CallRecord) -> CallRecord:
        asked.set()
        await asyncio.Event().wait()
        return record

    monkeypatch.setattr(relay.calls._resolution, "resolve", stall)
    async with asyncio.TaskGroup() as tasks:
        impatient = tasks.create_task(create(relay, base))
        await asked.wait()
        impatient.cancel()
    await relay.quiet()
    listed = (await relay.api.get("/api/calls")).json()["items"]
    assert [one["outcome"] for one in listed] == ["completed"]


async def test_claim_whose_word_the_store_lost_is_the_calls_own(
    relay: CallRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shared commit that was lost halfway is tried again, and finds its own row."""
    agent, base = await relay.ready()
    records = relay.calls._ledger._calls

    async def stored_before(record: CallRecord) -> bool:
        await records.insert(record)
        return False

    monkeypatch.setattr(records, "claim", stored_before)
    made = await create(relay, base)
    assert made.status_code == 201, made.text
    assert list(agent.executed.values()) == [1]
    record = await relay.record(made.headers["cloud-connect-call-id"])
    assert record.outcome is Outcome.COMPLETED
