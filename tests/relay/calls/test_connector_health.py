"""How healthy a connector is: its echo, its way to Procore, what its calls were like."""

import asyncio
import time

import pytest

from cloud_connect.calls import Environment, Operation, Report, ReportedGrant
from cloud_connect.errors import ErrorCode
from cloud_connect.exchange import Exchange
from cloud_connect_relay.storage.presence import Presence
from doubles.call_relay import CallRelay
from doubles.scripted_agent import ScriptedAgent, problem

GRANT = ReportedGrant.model_validate(
    {
        "environment": Environment.LIVE,
        "grant": "client-credentials",
        "last_contact_at": "2026-11-26T10:00:00Z",
        "last_contact_ms": 12.5,
    }
)
REPORT = Report(procore=(GRANT,), clock_skew_seconds=3600.0)


async def test_connector_is_echoed_on_demand(relay: CallRelay) -> None:
    connected = await relay.connect(ScriptedAgent())
    path = f"/api/connectors/{connected.live.connector_id}"
    before = (await relay.api.get(path)).json()
    assert (before["echo_ms"], before["echoed_at"]) == (None, None)
    answer = await relay.api.post(f"{path}/echo")
    assert answer.status_code == 200
    told = answer.json()
    assert told["id"] == connected.live.connector_id
    assert told["echo_ms"] > 0
    after = (await relay.api.get(path)).json()
    assert {name: after[name] for name in told} == told


async def test_connector_that_is_not_connected_has_no_echo(relay: CallRelay) -> None:
    connector = await relay.enrol()
    answer = await relay.api.post(f"/api/connectors/{connector}/echo")
    assert answer.status_code == 503
    assert answer.json()["code"] == ErrorCode.CONNECTOR_OFFLINE
    foreign = await relay.enrol(subscription_id=await relay.store.subscription("Other"))
    for other in (foreign, "con_0000000000000000", "x"):
        assert (await relay.api.post(f"/api/connectors/{other}/echo")).status_code == 404


async def test_metrics_tell_each_level_of_health(relay: CallRelay) -> None:
    connected = await relay.connect(ScriptedAgent(), report=REPORT)
    connector = connected.live.connector_id
    text = (await relay.api.get("/metrics")).text
    assert "cloud_connect_connector_echo_seconds{" not in text  # not zero: nobody knows
    assert (await relay.api.post(f"/api/connectors/{connector}/echo")).status_code == 200
    text = (await relay.api.get("/metrics")).text
    assert f'cloud_connect_connector_echo_seconds{{connector="{connector}"}}' in text
    assert f'cloud_connect_connector_round_trip_seconds{{connector="{connector}"}}' in text
    name = "cloud_connect_procore_contact_timestamp_seconds"
    labels = f'account="default",connector="{connector}",environment="live"'
    value = text.partition(f"{name}{{{labels}}} ")[2].partition("\n")[0]
    # By the relay's clock, of which the PC's is an hour ahead.
    assert GRANT.last_contact_at is not None
    assert float(value) == GRANT.last_contact_at.timestamp() - 3600.0


async def test_statistics_tell_what_the_calls_were_like(relay: CallRelay) -> None:
    async def fail(exchange: Exchange, _: bytes) -> None:
        head = problem(ErrorCode.SOURCE_UNAVAILABLE, status=502)
        await exchange.send_head(head, end_stream=True)

    agent = ScriptedAgent()
    connected = await relay.connect(agent)
    path = f"/api/connectors/{connected.live.connector_id}"
    unknown = (await relay.api.get(path)).json()["statistics"]
    assert unknown["calls"] == 0
    for name in ("error_rate", "latency_p50_ms", "latency_p95_ms", "last_error", "uptime_24h"):
        assert unknown[name] is None, name
    source = await relay.datasource(connected.live.connector_id)
    good = await relay.api.get(f"{source}/records/rfis")
    assert good.status_code == 200, good.text
    agent.script[Operation.LIST] = fail
    bad = await relay.api.get(f"{source}/records/rfis")
    assert bad.status_code == 502
    known = (await relay.api.get(path)).json()["statistics"]
    assert (known["calls"], known["error_rate"]) == (2, 0.5)
    assert known["latency_p95_ms"] >= known["latency_p50_ms"] > 0
    assert known["last_error"]["status"] == 502
    assert known["last_error"]["code"] == ErrorCode.SOURCE_UNAVAILABLE
    assert known["last_error"]["call_id"] == bad.json()["call_id"]


async def test_uptime_counts_what_a_relay_saw(relay: CallRelay) -> None:
    connector = await relay.enrol(enrolled_at=0.0)
    presence, now = Presence(relay.store.storage), time.time()
    await presence.relay_began("run-1", at=now - 4000)
    await presence.session_began(
        "one",
        run_id="run-1",
        subscription_id=relay.store.subscription_id,
        connector_id=connector,
        at=now - 4000,
    )
    await presence.session_ended("one", seen=now - 3000)
    await presence.seen("run-1", at=now - 2000)
    shown = (await relay.api.get(f"/api/connectors/{connector}")).json()["statistics"]
    assert shown["uptime_24h"] == pytest.approx(0.5, abs=0.001)
    assert shown["uptime_known_seconds"] == pytest.approx(2000, abs=1)
    (listed,) = (await relay.api.get("/api/connectors")).json()["items"]
    assert listed["statistics"]["uptime_24h"] == shown["uptime_24h"]
    await presence.forget(before=now)
    forgotten = (await relay.api.get(f"/api/connectors/{connector}")).json()["statistics"]
    assert (forgotten["uptime_24h"], forgotten["uptime_known_seconds"]) == (None, 0.0)


async def test_echo_under_way_is_no_call_of_the_connector(relay: CallRelay) -> None:
    async with asyncio.timeout(10):
        connected = await relay.connect(ScriptedAgent())
        assert connected.live.in_flight == 0
