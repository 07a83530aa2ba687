"""Dry runs and lists of new records, as the relay passes them on."""

import asyncio
import json
from typing import Any

import pytest

from cloud_connect.calls import Operation
from cloud_connect.errors import Outcome
from cloud_connect.exchange import Exchange
from cloud_connect.tunnel import ResponseHead, Trailers
from doubles.call_relay import CallRelay
from doubles.scripted_agent import ScriptedAgent, row_lines

KEY = {"Idempotency-Key": "key-1"}
DELETE = {"action": "delete", "info": {"name": "rfis"}, "conditions": [], "dryRun": True}


@pytest.mark.parametrize(
    ("method", "place", "verb", "body"),
    [
        ("POST", "rfis", "create", {"subject": "A"}),
        ("POST", "rfis", "create", [{"subject": "A"}, {"subject": "B"}]),
        ("PATCH", "rfis/7", "update", {"subject": "A"}),
        ("DELETE", "rfis/7", "delete", None),
    ],
)
async def test_dry_run_of_a_record_needs_no_key_and_writes_nothing(
    relay: CallRelay, method: str, place: str, verb: str, body: Any
) -> None:
    agent, base = await relay.ready()
    answer = await relay.api.request(
        method, f"{base}/records/{place}?project_id=5&dryRun=true", json=body
    )
    assert (answer.status_code, answer.json()["dryRun"]) == (200, True), answer.text
    (heard,) = agent.calls
    assert heard.head.operation == "records.dry_run"
    assert heard.params["verb"] == verb
    assert heard.params["scope"] == {"project_id": "5"}
    assert (json.loads(heard.body) if heard.body else None) == body
    assert agent.executed == {}
    record = await relay.record(answer.headers["cloud-connect-call-id"])
    assert (record.operation, record.rows) == ("records.dry_run", 1)


async def test_dry_run_false_is_a_write(relay: CallRelay) -> None:
    agent, base = await relay.ready()
    place = f"{base}/records/rfis/7?dryRun=false"
    assert (await relay.api.delete(place)).json()["code"] == "idempotency_key_required"
    assert (await relay.api.delete(place, headers=KEY)).status_code == 200
    assert [one.head.operation for one in agent.calls] == ["records.delete"]


@pytest.mark.parametrize("name", ["dryRun", "dryrun", "dry_run"])
async def test_dry_run_is_meant_however_it_is_spelt(relay: CallRelay, name: str) -> None:
    agent, base = await relay.ready()
    answer = await relay.api.delete(f"{base}/records/rfis/7?{name}=true", headers=KEY)
    assert answer.json()["dryRun"] is True
    assert [one.head.operation for one in agent.calls] == ["records.dry_run"]


async def test_dry_run_that_is_not_true_or_false_is_refused(relay: CallRelay) -> None:
    agent, base = await relay.ready()
    for query in ("dryRun=yes", "dry_run=1", "dryRun=true&dry_run=true"):
        answer = await relay.api.delete(f"{base}/records/rfis/7?{query}", headers=KEY)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    assert agent.heard == []


async def test_dry_run_of_a_query_says_how_many(relay: CallRelay) -> None:
    agent, base = await relay.ready()
    answer = await relay.api.post(f"{base}/query", json=DELETE)
    told = answer.json()
    assert (told["success"], told["dryRun"], told["count"]) == (True, True, 3)
    assert len(told["items"]) == 3
    (heard,) = agent.calls
    assert heard.head.operation == "query.dry_run"
    assert agent.executed == {}


@pytest.mark.parametrize("total", [6000, None])
async def test_long_dry_run_is_streamed_and_has_a_count_if_all_was_counted(
    relay: CallRelay, total: int | None
) -> None:
    async def many(exchange: Exchange, _: bytes) -> None:
        head = ResponseHead(status=200, outcome=Outcome.COMPLETED, total_items=total)
        await exchange.send_head(head)
        for start in range(0, 6000, 2000):
            await exchange.send(row_lines(2000, start=start))
        await exchange.send_trailers(Trailers(outcome=Outcome.COMPLETED))

    _, base = await relay.ready(ScriptedAgent(script={Operation.QUERY_DRY_RUN: many}))
    told = (await relay.api.post(f"{base}/query", json=DELETE)).json()
    assert (told["dryRun"], told.get("count"), len(told["items"])) == (True, total, 6000)


async def test_long_dry_run_that_shows_a_part_counts_all(relay: CallRelay) -> None:
    async def part(exchange: Exchange, _: bytes) -> None:
        head = ResponseHead(status=200, outcome=Outcome.COMPLETED, total_items=7000)
        await exchange.send_head(head)
        await exchange.send(row_lines(6000))
        await exchange.send_trailers(Trailers(outcome=Outcome.COMPLETED))

    _, base = await relay.ready(ScriptedAgent(script={Operation.QUERY_DRY_RUN: part}))
    told = (await relay.api.post(f"{base}/query", json=DELETE)).json()
    assert (told["count"], len(told["items"])) == (7000, 6000)


async def test_dry_run_that_is_neither_true_nor_false_is_refused(relay: CallRelay) -> None:
    agent, base = await relay.ready()
    answer = await relay.api.post(f"{base}/query", json={**DELETE, "dryRun": "perhaps"})
    told = answer.json()
    assert (told["success"], told["message"]) == (
        False,
        "“dryRun” must be true or false, not “perhaps”.",
    )
    assert (told["data"]["code"], told["data"]["outcome"]) == ("invalid_request", "not_executed")
    assert agent.heard == []


async def test_dry_run_needs_the_scope_of_the_write(relay: CallRelay) -> None:
    agent, base = await relay.ready()
    headers = {"Authorization": f"Bearer {await relay.store.key('calls:read')}"}
    query = await relay.api.post(f"{base}/query", json=DELETE, headers=headers)
    record = await relay.api.delete(f"{base}/records/rfis/7?dry_run=true", headers=headers)
    assert (query.status_code, record.status_code) == (403, 403)
    assert agent.heard == []


async def test_select_with_dry_run_is_a_select(relay: CallRelay) -> None:
    agent, base = await relay.ready()
    answer = await relay.api.post(f"{base}/query", json={**DELETE, "action": "select"})
    assert "dryRun" not in answer.json()
    assert agent.calls[0].head.operation == "query"


async def test_list_of_records_is_one_write_with_a_result_for_each(relay: CallRelay) -> None:
    agent, base = await relay.ready()
    records = [{"subject": "A"}, {"subject": "B"}]
    answer = await relay.api.post(f"{base}/records/rfis", headers=KEY, json=records)
    assert answer.status_code == 200
    assert (answer.json()["count"], answer.json()["failed"]) == (2, 1)
    (heard,) = agent.calls
    assert heard.head.operation == "records.create"
    assert json.loads(heard.body) == records
    record = await relay.record(answer.headers["cloud-connect-call-id"])
    assert (record.operation, record.rows) == ("records.create", 2)
    again = await relay.api.post(f"{base}/records/rfis", headers=KEY, json=records)
    assert again.headers["idempotency-replayed"] == "true"
    assert again.json() == answer.json()
    other = await relay.api.post(f"{base}/records/rfis", headers=KEY, json=records[:1])
    assert other.status_code == 422
    assert len(agent.executed) == 1


async def test_new_records_can_be_known_by_their_call(relay: CallRelay) -> None:
    agent, base = await relay.ready()
    for key in ("a", "b"):
        headers = {"Idempotency-Key": key}
        await relay.api.post(f"{base}/records/rfis", headers=headers, json={"subject": "A"})
        insert = {"action": "insert", "info": {"name": "rfis"}, "mappings": {"subject": "A"}}
        headers = {"Idempotency-Key": f"{key}2"}
        await relay.api.post(f"{base}/query", headers=headers, json=insert)
    seeds = [heard.params["seed"] for heard in agent.calls]
    assert len(set(seeds)) == 4
    assert all(len(seed) == 32 for seed in seeds)


@pytest.mark.parametrize("body", [b"[]", b"[1]", b'[{"a":1},[]]', b'"x"'])
async def test_list_that_holds_no_records_is_refused(relay: CallRelay, body: bytes) -> None:
    agent, base = await relay.ready()
    answer = await relay.api.post(f"{base}/records/rfis", headers=KEY, content=body)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    patched = await relay.api.patch(f"{base}/records/rfis/7", headers=KEY, content=b"[{}]")
    assert patched.status_code == 400
    assert agent.heard == []


async def test_write_of_unknown_outcome_keeps_its_results(relay: CallRelay) -> None:
    results = b'{"items":[{"index":0,"status":"unknown"}],"count":1,"failed":1}'
    head = ResponseHead(status=200, outcome=Outcome.UNKNOWN)
    agent = ScriptedAgent()

    async def unclear(exchange: Exchange, _: bytes) -> None:
        await agent.write(exchange, results, head=head)

    agent.script[Operation.CREATE] = unclear
    _, base = await relay.ready(agent)
    answer = await relay.api.post(f"{base}/records/rfis", headers=KEY, json=[{"subject": "A"}])
    assert (answer.status_code, answer.content) == (200, results)
    async with asyncio.timeout(5):
        call = answer.headers["cloud-connect-call-id"]
        while not (told := (await relay.api.get(f"/api/calls/{call}")).json())["final"]:
            await asyncio.sleep(0.01)
    assert told["outcome"] == "unknown"
    again = await relay.api.post(f"{base}/records/rfis", headers=KEY, json=[{"subject": "A"}])
    assert (again.status_code, again.content) == (200, results)
    assert again.headers["idempotency-replayed"] == "true"
    await relay.connected[0].lose()
    gone = await relay.api.post(f"{base}/records/rfis", headers=KEY, json=[{"subject": "A"}])
    assert gone.json()["code"] == "outcome_unknown"
    assert len(agent.executed) == 1
