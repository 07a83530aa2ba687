import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cloud_connect.calls import Report
from cloud_connect.closing import CloseCode
from cloud_connect.errors import ConfigurationError
from cloud_connect.exchange import Exchange
from cloud_connect.signing import SigningKey, to_text
from cloud_connect.tunnel import RequestHead, ResponseHead
from cloud_connect_agent.connection import connect_forever
from cloud_connect_agent.identity import Generation
from cloud_connect_agent.relay_address import RelayAddress
from cloud_connect_agent.reports import ReportBoard
from cloud_connect_agent.settings import RelaySettings
from cloud_connect_agent.stopping import StopSignal
from cloud_connect_agent.tls import client_context
from cloud_connect_relay.gateway.server import serve_tunnel
from doubles.link_bench import (
    QUICK,
    TEST_TIMES,
    Agent,
    HealthNotes,
    Relay,
    open_relay,
    run_agent,
    serve_relay,
)

CALL = RequestHead(operation="test", call_id="call_1", deadline_ms=5000)


@pytest.fixture
async def relay(tmp_path: Path) -> AsyncIterator[Relay]:
    async with serve_relay(tmp_path) as relay:
        yield relay


async def test_agent_connects_and_answers_calls(relay: Relay, tmp_path: Path) -> None:
    async with run_agent(relay, tmp_path / "a") as agent:
        live = await relay.session_of(agent.connector_id)
        exchange = await live.session.open(CALL, end_stream=True)
        assert (await exchange.receive_head()).status == 200
        await agent.health.until("connected")
        assert agent.health.told == ["connecting", "connected"]
        assert agent.health.skew == pytest.approx(0, abs=5)
        assert await agent.generation.read() == 1


async def test_round_trips_are_told_as_they_happen(relay: Relay, tmp_path: Path) -> None:
    async with run_agent(relay, tmp_path / "a") as agent:
        async with asyncio.timeout(5):
            while agent.health.pings < 3:
                await asyncio.sleep(0.01)


async def test_dropped_link_is_redialled_at_once(relay: Relay, tmp_path: Path) -> None:
    async with run_agent(relay, tmp_path / "a", uniform=lambda _, high: high) as agent:
        await agent.health.until("connected")
        live = await relay.session_of(agent.connector_id)
        await asyncio.sleep(1.05)  # younger sessions count as failures
        dropped = time.monotonic()
        live.link.abort()  # type: ignore[attr-defined]  # the real socket has it
        await agent.health.until("connected", times=2)
        assert time.monotonic() - dropped < 0.4  # 0.15 alone on a machine
        assert agent.delays == [0.05]
        assert await agent.generation.read() == 2


async def test_relay_that_comes_back_is_found_again(tmp_path: Path) -> None:
    async with open_relay(tmp_path) as relay:
        async with serve_tunnel(relay.services, "127.0.0.1", 0, times=TEST_TIMES) as gateway:
            relay.gateway = gateway
            port = gateway.port
            agents = contextlib.AsyncExitStack()
            agent = await agents.enter_async_context(run_agent(relay, tmp_path / "a"))
            await agent.health.until("connected")
        async with agents:
            await agent.health.until("offline", times=3)
            assert "cannot be reached" in agent.health.reasons[-1]
            async with serve_tunnel(relay.services, "127.0.0.1", port, times=TEST_TIMES):
                await agent.health.until("connected", times=2)


async def test_revoked_agent_is_cut_off_and_stays_away(relay: Relay, tmp_path: Path) -> None:
    async with run_agent(relay, tmp_path / "a", uniform=lambda _, high: high) as agent:
        await agent.health.until("connected")
        assert await relay.registry.cut(agent.connector_id)
        await agent.health.until("revoked")
        await asyncio.sleep(0.05)
        assert agent.health.told[-1] == "revoked"
        assert agent.delays == [60.0]  # added to fifteen minutes


async def test_superseded_agent_says_so_and_waits(relay: Relay, tmp_path: Path) -> None:
    async with run_agent(relay, tmp_path / "a", uniform=lambda _, high: high) as agent:
        await agent.health.until("connected")
        await relay.registry.cut(agent.connector_id, CloseCode.SUPERSEDED)
        await agent.health.until("offline")
        assert "took over" in agent.health.reasons[-1]
        assert agent.delays == [10.0]


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (CloseCode.CLONE_SUSPECTED, "in use twice"),
        (CloseCode.INTERCEPTED, "certificate"),
        (CloseCode.UNSUPPORTED_VERSION, "version"),
    ],
)
async def test_agent_that_is_not_welcome_waits_for_minutes(
    relay: Relay, tmp_path: Path, code: CloseCode, says: str
) -> None:
    async with run_agent(relay, tmp_path / "a", uniform=lambda _, high: high) as agent:
        await agent.health.until("connected")
        await relay.registry.cut(agent.connector_id, code)
        await agent.health.until("intercepted" if says == "certificate" else "offline")
        assert says in agent.health.reasons[-1]
        assert agent.delays == [600.0]


async def test_fault_of_the_relay_is_not_answered_by_a_dial_at_once(
    relay: Relay, tmp_path: Path
) -> None:
    async with run_agent(relay, tmp_path / "a") as agent:
        await agent.health.until("connected")
        await asyncio.sleep(1.05)  # younger sessions count as failures anyway
        await relay.registry.cut(agent.connector_id, CloseCode.INTERNAL_ERROR)
        await agent.health.until("offline")
        assert agent.delays == [QUICK.backoff_base]


async def test_unknown_connector_is_told_to_enrol_again(relay: Relay, tmp_path: Path) -> None:
    async with run_agent(
        relay, tmp_path / "a", connector_id="con_unknown", uniform=lambda _, high: high
    ) as agent:
        await agent.health.until("offline")
        assert "enrol it again" in agent.health.reasons[-1]
        assert agent.delays == [600.0]


@pytest.mark.parametrize("pin", ["key", "id"])
async def test_relay_that_is_another_one_is_not_believed(
    relay: Relay, tmp_path: Path, pin: str
) -> None:
    pins = (
        {"relay_key": SigningKey.generate().public_key}
        if pin == "key"
        else {"relay_id": "rel_another"}
    )
    async with run_agent(relay, tmp_path / "a", uniform=lambda _, high: high, **pins) as agent:
        await agent.health.until("offline")
        assert "enrolled at" in agent.health.reasons[-1]
        assert await agent.generation.read() == 0
        assert relay.registry.get(agent.connector_id) is None


async def stopped(agent: Agent) -> float:
    began = time.monotonic()
    async with asyncio.timeout(10):
        await agent.task
    return time.monotonic() - began


async def test_agent_that_shall_stop_finishes_what_runs(relay: Relay, tmp_path: Path) -> None:
    release, started = asyncio.Event(), asyncio.Event()

    async def slow(exchange: Exchange) -> None:
        started.set()
        await release.wait()
        await exchange.send_head(ResponseHead(status=200), end_stream=True)

    async with run_agent(relay, tmp_path / "a", handler=slow) as agent:
        live = await relay.session_of(agent.connector_id)
        exchange = await live.session.open(CALL, end_stream=True)
        await started.wait()
        agent.stop.request()
        await agent.health.until("draining")
        async with asyncio.timeout(5):
            while not live.draining:
                await asyncio.sleep(0.01)
        assert not agent.task.done()
        release.set()
        assert (await exchange.receive_head()).status == 200
        await stopped(agent)
        await relay.gone(agent.connector_id)


async def endless(exchange: Exchange) -> None:
    del exchange
    await asyncio.Event().wait()


@pytest.mark.parametrize("asked", [1, 2])
async def test_agent_does_not_wait_for_ever_and_asked_twice_not_at_all(
    relay: Relay, tmp_path: Path, asked: int
) -> None:
    async with run_agent(relay, tmp_path / "a", handler=endless) as agent:
        live = await relay.session_of(agent.connector_id)
        await live.session.open(CALL, end_stream=True)
        await agent.health.until("connected")
        for _ in range(asked):
            agent.stop.request()
        assert agent.stop.urgent is (asked == 2)
        took = await stopped(agent)
        assert (took > 0.9) is (asked == 1)


async def test_agent_stops_at_once_while_it_waits(relay: Relay, tmp_path: Path) -> None:
    url = "ws://127.0.0.1:9/tunnel"
    async with run_agent(relay, tmp_path / "a", url=url, uniform=lambda *_: 60.0) as agent:
        await agent.health.until("offline")
        agent.stop.request()
        assert await stopped(agent) < 1.0


async def test_generation_that_cannot_be_stored_is_not_confirmed(
    relay: Relay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    key = SigningKey.generate()
    connector = await relay.enrol(key)
    await Generation(tmp_path / "generation").store(0)
    monkeypatch.setattr(Generation, "store", full)
    async with run_agent(relay, tmp_path, key=key, connector_id=connector.id) as agent:
        await agent.health.until("offline")
        assert "No space left" in agent.health.reasons[0]
        assert relay.registry.get(connector.id) is None
    assert (await relay.connector(connector.id)).generation == 0


async def test_fault_of_ours_does_not_end_the_loop(
    relay: Relay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Generation.read
    faults = iter([ZeroDivisionError("bug")])

    async def once(self: Generation) -> int:
        for fault in faults:
            raise fault
        return await read(self)

    monkeypatch.setattr(Generation, "read", once)
    async with run_agent(relay, tmp_path / "a") as agent:
        await agent.health.until("connected")
        assert agent.health.told == ["connecting", "offline", "connecting", "connected"]


async def test_damaged_state_ends_the_loop(relay: Relay, tmp_path: Path) -> None:
    (tmp_path / "generation").write_text("seven")
    key = SigningKey.generate()
    connector = await relay.enrol(key)
    address = RelayAddress.of(
        relay_settings(relay, connector.id, key), key=key, tls=client_context()
    )
    with pytest.raises(ConfigurationError, match="damaged"):
        await connect_forever(
            endless,
            relay=address,
            generation=Generation(tmp_path / "generation"),
            settings=QUICK,
            health=HealthNotes(),
            reports=ReportBoard(Report()),
            stop=StopSignal(),
        )


def relay_settings(relay: Relay, connector_id: str, key: SigningKey) -> RelaySettings:
    return RelaySettings(
        tunnel_url=relay.tunnel_url,
        connector_id=connector_id,
        key_id=key.key_id,
        relay_id=relay.identity.relay_id,
        relay_public_key=to_text(relay.identity.public_key),
    )


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"tunnel_url": None}, "not complete"),
        ({"relay_public_key": "AAAA"}, "relay_public_key"),
        ({"relay_public_key": "!"}, "relay_public_key"),
    ],
)
async def test_settings_that_do_not_fit_are_named(
    relay: Relay, change: dict[str, str | None], says: str
) -> None:
    key = SigningKey.generate()
    settings = relay_settings(relay, "con_a", key).model_copy(update=change)
    with pytest.raises(ConfigurationError, match=says):
        RelayAddress.of(settings, key=key, tls=client_context())


async def test_agent_that_is_sent_away_dials_anew_while_its_calls_end(
    relay: Relay, tmp_path: Path
) -> None:
    go_on = asyncio.Event()

    async def answer_late(exchange: Exchange) -> None:
        await go_on.wait()
        await exchange.send_head(ResponseHead(status=200), end_stream=True)

    async with run_agent(relay, tmp_path / "a", handler=answer_late) as agent:
        live = await relay.session_of(agent.connector_id)
        await agent.health.until("connected")
        exchange = await live.session.open(CALL, end_stream=True)
        assert relay.gateway is not None
        relay.gateway.send_away()
        await agent.health.until("connecting", times=2)
        assert agent.health.told.count("offline") >= 1
        go_on.set()
        assert (await exchange.receive_head()).status == 200
