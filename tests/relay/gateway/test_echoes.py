import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from cloud_connect.errors import AgentOfflineError, DeadlineExceededError
from cloud_connect.exchange import Exchange
from cloud_connect.signing import SigningKey
from cloud_connect.tunnel import ResetCode
from cloud_connect_relay.gateway.echoes import echo
from doubles.link_bench import Relay, answer_at_once, run_agent, serve_relay
from doubles.raw_agent import agent_side, greet, socket_to


@pytest.fixture
async def relay(tmp_path: Path) -> AsyncIterator[Relay]:
    async with serve_relay(tmp_path, tunnel={"echo_interval": 0.05}) as relay:
        yield relay


async def test_each_session_is_echoed_again_and_again(relay: Relay, tmp_path: Path) -> None:
    async with run_agent(relay, tmp_path / "a") as agent:
        live = await relay.session_of(agent.connector_id)
        times: set[float | None] = set()
        async with asyncio.timeout(10):
            while len(times - {None}) < 3:
                times.add(live.echo.at)
                await asyncio.sleep(0.005)
        assert live.echo.milliseconds is not None
        assert 0 < live.echo.milliseconds < 5000
        assert live.echo.error is None


async def test_agent_whose_calls_hang_has_no_echo_though_it_answers_pings(
    relay: Relay, tmp_path: Path
) -> None:
    async def hang(_: Exchange) -> None:
        await asyncio.Event().wait()

    async with run_agent(relay, tmp_path / "a", handler=hang) as agent:
        live = await relay.session_of(agent.connector_id)
        with pytest.raises(DeadlineExceededError, match="did not answer within"):
            await echo(live, within=0.2)
        assert live.echo.milliseconds is None
        assert live.echo.error is not None
        assert await live.session.ping() > 0
        async with asyncio.timeout(5):
            while live.in_flight:
                await asyncio.sleep(0.01)


async def test_what_an_administrator_does_to_keep_calls_away_is_told_at_once(
    tmp_path: Path,
) -> None:
    told: list[dict[str, Any]] = []

    async def note(exchange: Exchange) -> None:
        told.append(exchange.request.params)
        await answer_at_once(exchange)

    async def heard(count: int) -> None:
        async with asyncio.timeout(10):
            while len(told) < count:
                await asyncio.sleep(0.01)

    async with (
        serve_relay(tmp_path, tunnel={"echo_interval": 3600}) as relay,
        run_agent(relay, tmp_path / "a", handler=note) as agent,
    ):
        await heard(1)
        for number, seconds in enumerate((600, 0)):
            now = relay.services.clock()
            await relay.tenant.connectors.change(
                agent.connector_id, paused_until=now + seconds, actor="test", at=now
            )
            await heard(2 + number)
        for number, draining in enumerate((True, False)):
            await relay.tenant.connectors.change(
                agent.connector_id, draining=draining, actor="test", at=relay.services.clock()
            )
            await heard(4 + number)
    assert told[0] == told[2] == told[4] == {}
    assert told[3] == {"draining": True}
    assert 590 < told[1]["held_seconds"] <= 600


async def test_echo_that_an_agent_resets_is_a_failure(relay: Relay, tmp_path: Path) -> None:
    async def refuse(exchange: Exchange) -> None:
        exchange.reset(ResetCode.INTERNAL)

    async with run_agent(relay, tmp_path / "a", handler=refuse) as agent:
        live = await relay.session_of(agent.connector_id)
        with pytest.raises(AgentOfflineError, match="cannot be asked"):
            await echo(live)


async def test_echo_over_a_session_that_ends_is_a_failure(relay: Relay) -> None:
    key = SigningKey.generate()
    connector = await relay.enrol(key)
    async with socket_to(relay) as socket:
        side = agent_side(relay, connector.id, key)
        await greet(socket, side)
        await socket.send(side.confirm())
        live = await relay.session_of(connector.id)
    with pytest.raises(AgentOfflineError):
        await echo(live, within=5)
