"""A session that was given up wakes: what it says is said too late."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cloud_connect.calls import Operation, Report
from cloud_connect.closing import CloseCode
from cloud_connect.errors import TunnelClosedError
from cloud_connect.signing import SigningKey
from cloud_connect.tunnel import Multiplexer, RequestHead, RequestReceived, ResponseHead, Role
from doubles.link_bench import Relay, run_agent, serve_relay
from doubles.raw_agent import agent_side, closed_with, greet, socket_to


@pytest.fixture
async def relay(tmp_path: Path) -> AsyncIterator[Relay]:
    async with serve_relay(tmp_path) as relay:
        yield relay


@pytest.mark.catalogue("T60")
async def test_session_that_wakes_after_a_newer_one_took_over_is_not_heard(
    relay: Relay, tmp_path: Path
) -> None:
    key = SigningKey.generate()
    connector = await relay.enrol(key)
    async with run_agent(relay, tmp_path / "other") as other, socket_to(relay) as asleep:
        neighbour = await relay.session_of(other.connector_id)
        agent = agent_side(relay, connector.id, key, instance="one")
        generation = await greet(asleep, agent)
        await asleep.send(agent.confirm())
        old = Multiplexer(Role.AGENT)
        for message in old.messages_to_send():
            await asleep.send(message)
        older = await relay.session_of(connector.id)
        head = RequestHead(operation=Operation.LIST, call_id="call_1", deadline_ms=60_000)
        exchange = await older.session.open(head, end_stream=True)
        async with asyncio.timeout(5):
            while not (opened := _streams(old, await asleep.recv())):
                pass
        asleep.transport.pause_reading()  # asleep: it will not even see that it is closed

        async with socket_to(relay) as awake:
            agent = agent_side(relay, connector.id, key, generation=generation, instance="two")
            await greet(awake, agent)
            await awake.send(agent.confirm())
            async with asyncio.timeout(1.5):  # sooner than its link could be closed in order
                with pytest.raises(TunnelClosedError):
                    await exchange.receive_head()
            newer = relay.registry.get(connector.id)
            assert newer not in {None, older}

            # The older one wakes: it answers the call, and tells of itself.
            now = time.monotonic()
            old.send_head(opened[0], ResponseHead(status=200), end_stream=True)
            report = RequestHead(operation=Operation.REPORT, call_id="report_1", deadline_ms=5000)
            told = old.open_stream(report, now=now)
            old.send_data(
                told, Report(machine="asleep").model_dump_json().encode(), end_stream=True
            )
            for message in old.messages_to_send():
                await asleep.send(message)
            asleep.transport.resume_reading()
            assert await closed_with(asleep) == CloseCode.SUPERSEDED

            assert relay.registry.get(connector.id) is newer
            assert newer is not None
            assert newer.report.machine == ""
            assert (await relay.connector(connector.id)).machine == ""
            listed = relay.registry.sessions(relay.subscription_id)
            assert sorted(one.connector_id for one in listed) == sorted(
                [connector.id, other.connector_id]
            )
            assert relay.registry.get(other.connector_id) is neighbour
            async with asyncio.timeout(5):
                assert await neighbour.session.ping() >= 0


def _streams(multiplexer: Multiplexer, message: bytes | str) -> list[int]:
    """Take in a message and return the streams that it opened."""
    assert isinstance(message, bytes)
    events = multiplexer.receive_frame(message, now=time.monotonic())
    return [event.stream_id for event in events if isinstance(event, RequestReceived)]
