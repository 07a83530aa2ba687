"""The drift report and refreshed trees, as the relay passes them on."""

import json

import pytest

from cloud_connect.calls import Operation
from cloud_connect.exchange import Exchange
from cloud_connect.tunnel import ResponseHead
from doubles.call_relay import CallRelay
from doubles.scripted_agent import DRIFT, ScriptedAgent, problem


async def test_drift_report_is_passed_on(relay: CallRelay) -> None:
    agent, base = await relay.ready()
    answer = await relay.api.get(f"{base}/drift")
    assert (answer.status_code, answer.json()) == (200, DRIFT)
    (heard,) = agent.calls
    assert (heard.head.operation, heard.params["refresh"]) == ("drift", False)
    record = await relay.record(answer.headers["cloud-connect-call-id"])
    assert (record.operation, record.rows) == ("drift", 1)


@pytest.mark.parametrize(("method", "place"), [("GET", "drift"), ("POST", "tree")])
async def test_refresh_reaches_the_agent(relay: CallRelay, method: str, place: str) -> None:
    agent, base = await relay.ready()
    answer = await relay.api.request(method, f"{base}/{place}?refresh=true")
    assert answer.status_code == 200
    assert agent.calls[0].params["refresh"] is True
    assert (await relay.api.request(method, f"{base}/{place}?refresh=perhaps")).status_code == 400


async def test_drift_needs_the_scope_of_data_sources(relay: CallRelay) -> None:
    agent, base = await relay.ready()
    for scope, status in (("calls:read", 403), ("datasources:read", 200)):
        headers = {"Authorization": f"Bearer {await relay.store.key(scope)}"}
        assert (await relay.api.get(f"{base}/drift", headers=headers)).status_code == status
    assert len(agent.calls) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"{}",
        json.dumps({**DRIFT, "version": "x"}).encode(),
        json.dumps({**DRIFT, "items": [{"kind": "gone"}]}).encode(),
    ],
)
async def test_nonsense_of_an_agent_is_not_passed_on(relay: CallRelay, body: bytes) -> None:
    async def nonsense(exchange: Exchange, _: bytes) -> None:
        await exchange.send_head(ResponseHead(status=200))
        await exchange.send(body, end_stream=True)

    _, base = await relay.ready(ScriptedAgent(script={Operation.DRIFT: nonsense}))
    answer = await relay.api.get(f"{base}/drift")
    assert (answer.status_code, answer.json()["code"]) == (502, "source_unavailable")


async def test_agent_that_does_not_know_drift_says_so(relay: CallRelay) -> None:
    head = problem("unsupported_operation", "The connector does not know it.", status=405)

    async def unknown(exchange: Exchange, _: bytes) -> None:
        await exchange.send_head(head, end_stream=True)

    _, base = await relay.ready(ScriptedAgent(script={Operation.DRIFT: unknown}))
    answer = await relay.api.get(f"{base}/drift")
    assert (answer.status_code, answer.json()["code"]) == (405, "unsupported_operation")


async def test_data_source_without_details_has_no_drift(relay: CallRelay) -> None:
    base = await relay.datasource(title="", settings={})
    answer = await relay.api.get(f"{base}/drift")
    assert (answer.status_code, answer.json()["code"]) == (409, "data_source_incomplete")
