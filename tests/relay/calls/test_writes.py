import asyncio
from typing import Any

import httpx
import pytest

from cloud_connect.calls import Operation
from cloud_connect.errors import Outcome
from cloud_connect.exchange import Exchange
from cloud_connect.tunnel import ResetCode, ResponseHead
from cloud_connect_relay.storage.calls import CallState
from doubles.call_relay import CallRelay
from doubles.scripted_agent import ScriptedAgent, holding, problem

KEY = {"Idempotency-Key": "key-1"}
DONE = ResponseHead(
    status=201, headers=(("content-type", "application/json"),), outcome=Outcome.COMPLETED
)


@pytest.mark.parametrize(
    ("method", "place", "operation", "answered"),
    [
        ("POST", "rfis", "records.create", (201, {"id": 7, "name": "Dent"})),
        ("PATCH", "rfis/7", "records.update", (200, {"id": 7, "name": "Dent"})),
        ("DELETE", "rfis/7", "records.delete", (200, {})),
    ],
)
async def test_each_write_is_carried_out_once_and_recorded(
    relay: CallRelay, method: str, place: str, operation: str, answered: tuple[int, Any]
) -> None:
    agent, base = await relay.ready()
    body = None if method == "DELETE" else {"name": "Dent"}
    answer = await relay.api.request(
        method, f"{base}/records/{place}?project_id=5", headers=KEY, json=body
    )
    assert (answer.status_code, answer.json()) == answered, answer.text
    assert "idempotency-replayed" not in answer.headers
    call_id = answer.headers["cloud-connect-call-id"]
    assert agent.executed == {call_id: 1}
    assert agent.calls[0].head.operation == operation
    assert agent.calls[0].params["scope"] == {"project_id": "5"}
    stored = await relay.store.storage.of(relay.store.subscription_id).calls.find(call_id)
    assert stored is not None
    assert (stored.state, stored.final, stored.idempotency_key) == ("completed", True, "key-1")
    assert stored.operation == operation
    assert stored.finished_at is not None


@pytest.mark.parametrize(("method", "place"), [("POST", ""), ("PATCH", "/7"), ("DELETE", "/7")])
async def test_write_without_a_key_is_refused_and_not_dispatched(
    relay: CallRelay, method: str, place: str
) -> None:
    agent, base = await relay.ready()
    answer = await relay.api.request(method, f"{base}/records/rfis{place}", json={"name": "x"})
    assert (answer.status_code, answer.json()["code"]) == (400, "idempotency_key_required")
    bad = await relay.api.request(
        method,
        f"{base}/records/rfis{place}",
        headers={"Idempotency-Key": "x" * 256},
        json={"name": "x"},
    )
    assert (bad.status_code, bad.json()["code"]) == (400, "invalid_request")
    assert agent.heard == []


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b'"x"', b'{"a":1,"a":2}', b'{"a":NaN}'])
async def test_body_that_is_no_plain_object_is_refused(relay: CallRelay, body: bytes) -> None:
    agent, base = await relay.ready()
    answer = await relay.api.post(f"{base}/records/rfis", headers=KEY, content=body)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    assert agent.heard == []


async def test_record_over_a_mebibyte_is_refused_in_a_sentence(relay: CallRelay) -> None:
    agent, base = await relay.ready()
    text = b'{"name":"' + b"x" * 1024 * 1024 + b'"}'

    async def pieces() -> Any:
        for start in range(0, len(text), 65536):
            yield text[start : start + 65536]

    declared = await relay.api.post(f"{base}/records/rfis", headers=KEY, content=text)
    chunked = await relay.api.post(f"{base}/records/rfis", headers=KEY, content=pieces())
    for answer in (declared, chunked):
        assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")
        assert "1048576" in answer.json()["detail"]
    assert agent.heard == []


async def test_long_record_arrives_whole(relay: CallRelay) -> None:
    agent, base = await relay.ready()
    name = "x" * 900_000
    answer = await relay.api.post(f"{base}/records/rfis", headers=KEY, json={"name": name})
    assert answer.status_code == 201
    assert len(agent.calls[0].body) > 900_000


async def test_refusal_before_the_whole_body_was_read_is_the_answer(relay: CallRelay) -> None:
    async def refuse(exchange: Exchange, _: bytes) -> None:
        await exchange.send_head(problem("policy_denied", status=403), end_stream=True)

    agent = ScriptedAgent(script={Operation.CREATE: refuse}, reads_body=False)
    _, base = await relay.ready(agent)
    answer = await relay.api.post(f"{base}/records/rfis", headers=KEY, json={"name": "x" * 900_000})
    assert answer.status_code == 403
    assert answer.json()["code"] == "policy_denied"


async def test_write_is_on_disk_before_its_agent_hears_of_it(relay: CallRelay) -> None:
    seen: list[str] = []

    async def look(exchange: Exchange, _: bytes) -> None:
        calls = relay.store.storage.of(relay.store.subscription_id).calls
        record = await calls.find(exchange.request.call_id)
        seen.append("" if record is None else record.state.value)
        await agent.write(exchange, b"{}", head=DONE)

    agent = ScriptedAgent(script={Operation.CREATE: look})
    _, base = await relay.ready(agent)
    await relay.api.post(f"{base}/records/rfis", headers=KEY, json={"name": "x"})
    assert seen == ["dispatched"]


async def test_refused_write_had_no_effect_and_releases_its_key(relay: CallRelay) -> None:
    async def refuse(exchange: Exchange, _: bytes) -> None:
        await exchange.send_head(
            problem("rate_limited", status=429, retry_after=3), end_stream=True
        )

    agent, base = await relay.ready(ScriptedAgent(script={Operation.CREATE: refuse}))
    refused = await relay.api.post(f"{base}/records/rfis", headers=KEY, json={"name": "x"})
    assert refused.status_code == 429
    assert refused.json()["outcome"] == "not_executed"
    assert refused.json()["retry_safe"] is True
    agent.script.clear()
    again = await relay.api.post(f"{base}/records/rfis", headers=KEY, json={"name": "other"})
    assert again.status_code == 201
    assert "idempotency-replayed" not in again.headers
    assert again.headers["cloud-connect-call-id"] != refused.json()["call_id"]


async def test_refused_stream_moves_to_another_connector(relay: CallRelay) -> None:
    async def refuse(exchange: Exchange, _: bytes) -> None:
        exchange.reset(ResetCode.REFUSED)

    full = ScriptedAgent(script={Operation.CREATE: refuse})
    await relay.connect(full, group="site")
    free = ScriptedAgent()
    await relay.connect(free, group="site")
    base = await relay.datasource(connectorGroup="site")
    for number in range(4):
        answer = await relay.api.post(
            f"{base}/records/rfis",
            headers={"Idempotency-Key": f"k{number}"},
            json={"name": "x"},
        )
        assert answer.status_code == 201
    assert len(free.executed) == 4
    assert full.executed == {}


async def test_caller_who_hangs_up_does_not_end_a_started_write(relay: CallRelay) -> None:
    agent, release = holding(Operation.CREATE, DONE)
    _, base = await relay.ready(agent)
    with pytest.raises(httpx.ReadTimeout):
        await relay.api.post(f"{base}/records/rfis", headers=KEY, json={"name": "x"}, timeout=0.2)
    assert agent.cancelled == []
    release.set()
    await relay.quiet()
    found = (await relay.api.get("/api/calls", params={"idempotency_key": "key-1"})).json()
    assert (found["outcome"], found["status"]) == ("completed", 201)


async def test_caller_who_hangs_up_ends_a_write_that_waits_for_its_connector(
    relay: CallRelay,
) -> None:
    connector = await relay.enrol(last_seen_at=relay.clock())
    base = await relay.datasource(connector)
    with pytest.raises(httpx.ReadTimeout):
        await relay.api.post(f"{base}/records/rfis", headers=KEY, json={"name": "x"}, timeout=0.2)
    await relay.quiet()
    found = (await relay.api.get("/api/calls", params={"idempotency_key": "key-1"})).json()
    assert (found["outcome"], found["final"]) == ("not_executed", True)
    agent = ScriptedAgent()
    await relay.connect(agent, connector)
    assert agent.calls == []


async def test_waiting_write_is_on_disk_as_accepted(relay: CallRelay) -> None:
    connector = await relay.enrol(last_seen_at=relay.clock())
    base = await relay.datasource(connector)
    agent = ScriptedAgent()
    async with asyncio.TaskGroup() as tasks:
        asked = tasks.create_task(
            relay.api.post(f"{base}/records/rfis", headers=KEY, json={"name": "x"})
        )
        calls = relay.store.storage.of(relay.store.subscription_id).calls
        async with asyncio.timeout(5):
            while (waiting := await calls.latest("key-1", since=0)) is None:
                await asyncio.sleep(0.01)
        assert waiting.state is CallState.ACCEPTED
        await relay.connect(agent, connector)
    assert asked.result().status_code == 201


async def test_answer_over_the_limit_is_told_as_executed(relay: CallRelay) -> None:
    async def flood(exchange: Exchange, _: bytes) -> None:
        agent.execute(exchange.request.call_id)
        await exchange.send_head(DONE)
        for _turn in range(20):
            await exchange.send(b" " * 1024 * 1024)
        await exchange.end()

    agent, base = await relay.ready(ScriptedAgent(script={Operation.CREATE: flood}))
    answer = await relay.api.post(f"{base}/records/rfis", headers=KEY, json={"name": "x"})
    assert answer.status_code == 413
    assert answer.json()["outcome"] == "completed"
