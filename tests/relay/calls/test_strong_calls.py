"""Signed and sealed calls at the relay: passed on as they are, to the connector they are for."""

import asyncio
from typing import Any

import httpx
import pytest

from cloud_connect.calls import Operation, Report
from cloud_connect.exchange import Exchange
from cloud_connect.sealing import SEALED_TYPE
from cloud_connect.tunnel import ResponseHead
from doubles.call_relay import CallRelay
from doubles.scripted_agent import ScriptedAgent

SIGNATURE = "v1.key_a.AAAA.1300.BBBB"
SEALED = b"\x01 what nobody but the connector reads"
ANSWER = b"\x01 what nobody but the caller reads"


def sealing_agent(answer: bytes = ANSWER) -> ScriptedAgent:
    async def act(exchange: Exchange, _: bytes) -> None:
        head = ResponseHead(
            status=403, headers=(("content-type", SEALED_TYPE),), outcome="not_executed"
        )
        await exchange.send_head(head)
        await exchange.send(answer, end_stream=True)

    return ScriptedAgent(script={Operation.SEALED: act})


async def ready(relay: CallRelay, agent: ScriptedAgent) -> tuple[str, str]:
    """Return the path of a data source of the agent, and the connector's id."""
    connected = await relay.connect(agent)
    connector_id = connected.live.connector_id
    return await relay.datasource(connector_id), connector_id


async def seal(
    relay: CallRelay, base: str, connector_id: str | None, *, body: bytes = SEALED, **more: Any
) -> httpx.Response:
    headers = {"Content-Type": SEALED_TYPE}
    if connector_id is not None:
        headers["Cloud-Connect-Connector"] = connector_id
    headers |= more.pop("headers", {})
    return await relay.api.post(f"{base}/sealed", content=body, headers=headers, params=more)


async def test_a_sealed_read_is_passed_on_both_ways_as_it_is(relay: CallRelay) -> None:
    agent = sealing_agent()
    base, connector_id = await ready(relay, agent)
    answer = await seal(relay, base, connector_id)
    assert (answer.status_code, answer.content) == (200, ANSWER), answer.text
    assert answer.headers["content-type"] == SEALED_TYPE
    (heard,) = agent.calls
    assert (heard.head.operation, heard.body) == ("sealed", SEALED)
    assert heard.params["writes"] is False
    record = await relay.record(answer.headers["cloud-connect-call-id"])
    assert (record.operation, record.resource, record.status) == ("sealed", None, 403)
    assert record.outcome == "not_executed"


async def test_a_sealed_write_runs_once_for_its_key(relay: CallRelay) -> None:
    agent = sealing_agent()
    agent.script.clear()
    base, connector_id = await ready(relay, agent)
    headers = {"Idempotency-Key": "k"}
    first = await seal(relay, base, connector_id, headers=headers, writes="true")
    assert first.status_code == 200
    again = await seal(relay, base, connector_id, headers=headers, writes="true")
    assert again.headers["idempotency-replayed"] == "true"
    other = await seal(relay, base, connector_id, headers=headers, writes="true", body=b"x")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
    (heard,) = agent.calls
    assert heard.params["writes"] is True


async def test_a_stored_answer_out_of_reach_is_not_called_sealed(relay: CallRelay) -> None:
    agent = sealing_agent()
    agent.script.clear()
    connected = await relay.connect(agent)
    connector_id = connected.live.connector_id
    base = await relay.datasource(connector_id)
    headers = {"Idempotency-Key": "k"}
    await seal(relay, base, connector_id, headers=headers, writes="true")
    await connected.lose()
    again = await seal(relay, base, connector_id, headers=headers, writes="true")
    assert again.headers["content-type"] == "application/json"
    assert again.json()["body_available"] is False


async def test_a_sealed_call_needs_scope_key_and_connector(relay: CallRelay) -> None:
    agent = sealing_agent()
    base, connector_id = await ready(relay, agent)
    reader = {"Authorization": f"Bearer {await relay.store.key('calls:read')}"}
    keyed = {**reader, "Idempotency-Key": "k"}
    refused = await seal(relay, base, connector_id, headers=keyed, writes="true")
    assert (refused.status_code, refused.json()["code"]) == (403, "insufficient_scope")
    keyless = await seal(relay, base, connector_id, writes="true")
    assert keyless.json()["code"] == "idempotency_key_required"
    nowhere = await seal(relay, base, None)
    assert (nowhere.status_code, nowhere.json()["code"]) == (400, "invalid_request")
    long = await seal(relay, base, connector_id, body=bytes(1024 * 1024 + 1))
    assert long.json()["code"] == "payload_too_large"
    assert not agent.calls
    assert (await seal(relay, base, connector_id, headers=reader)).status_code == 200


async def test_a_call_goes_to_the_connector_that_it_names_and_to_no_other(
    relay: CallRelay,
) -> None:
    one, two = sealing_agent(), sealing_agent()
    first = (await relay.connect(one)).live.connector_id
    second = (await relay.connect(two)).live.connector_id
    grouped = (await relay.connect(sealing_agent(), group="g")).live.connector_id
    base = await relay.datasource([first, second])
    for _ in range(3):
        assert (await seal(relay, base, second)).status_code == 200
    assert (len(one.calls), len(two.calls)) == (0, 3)
    for stranger in (grouped, "conn_nobody", ""):
        answer = await seal(relay, base, stranger)
        assert (answer.status_code, answer.json()["code"]) == (503, "connector_offline")
    of_group = await relay.datasource(connectorGroup="g")
    assert (await seal(relay, of_group, grouped)).status_code == 200
    raw = {"Cloud-Connect-Connector": first}
    passed = await relay.api.get(f"{base}/procore/rest/v1.0/me", headers=raw)
    assert passed.status_code == 200
    assert len(one.calls) == 1


@pytest.mark.parametrize(
    ("method", "place", "body"),
    [
        ("POST", "records/rfis", b"{}"),
        ("GET", "records/rfis/7", b""),
        ("POST", "query", b'{"action":"insert","info":{"name":"rfis"}}'),
        ("PATCH", "procore/rest/v1.0/rfis/7", b"{}"),
    ],
)
async def test_a_signature_is_passed_on_unread(
    relay: CallRelay, method: str, place: str, body: bytes
) -> None:
    agent, base = await relay.ready()
    headers = {"Cloud-Connect-Signature": SIGNATURE, "Idempotency-Key": "k"}
    await relay.api.request(method, f"{base}/{place}", content=body, headers=headers)
    (heard,) = agent.calls
    assert ("cloud-connect-signature", SIGNATURE) in heard.head.headers
    resigned = {**headers, "Cloud-Connect-Signature": "v1.key_a.CCCC.1400.DDDD"}
    again = await relay.api.request(method, f"{base}/{place}", content=body, headers=resigned)
    assert again.status_code < 400  # a new signature under the same key is no other request


@pytest.mark.parametrize("place", ["records/rfis", "procore/rest/v1.0/rfis"])
async def test_what_cannot_be_a_signature_is_refused(relay: CallRelay, place: str) -> None:
    agent, base = await relay.ready()
    headers = {"Cloud-Connect-Signature": "no signature", "Idempotency-Key": "k"}
    answer = await relay.api.post(f"{base}/{place}", content=b"{}", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    twice = [("Cloud-Connect-Signature", SIGNATURE)] * 2
    answer = await relay.api.get(f"{base}/records/rfis", headers=twice)
    assert answer.status_code == 400
    assert not agent.calls


async def test_inserts_that_are_signed_are_as_many_as_their_caller_says(
    relay: CallRelay,
) -> None:
    agent, base = await relay.ready(ScriptedAgent())
    body = b'{"action":"insert","info":{"name":"rfis"}}'

    async def insert(signature: str | None) -> None:
        headers = {} if signature is None else {"Cloud-Connect-Signature": signature}
        await relay.api.post(f"{base}/query", content=body, headers=headers)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(2):
            tasks.create_task(insert(None))
    assert len(agent.calls) == 1
    async with asyncio.TaskGroup() as tasks:
        for number in range(2):
            tasks.create_task(insert(f"v1.key_a.{number}.1300.BBBB"))
    assert len(agent.calls) == 3


async def test_the_sealing_key_is_listed_as_the_connector_tells_it(relay: CallRelay) -> None:
    key = "A" * 43
    connected = await relay.connect(ScriptedAgent(), report=Report(sealing_key=key))
    answer = await relay.api.get(f"/api/connectors/{connected.live.connector_id}")
    assert answer.json()["sealing_key"] == key
