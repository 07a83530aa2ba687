import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError
from websockets.exceptions import InvalidStatus

from cloud_connect.calls import Operation, Report
from cloud_connect.closing import CloseCode
from cloud_connect.errors import TunnelClosedError
from cloud_connect.exchange import Exchange
from cloud_connect.session import Role, Session
from cloud_connect.signing import SigningKey
from cloud_connect.tunnel import RequestHead, ResponseHead
from cloud_connect_agent.reports import ReportBoard, send_reports
from cloud_connect_relay.storage import Storage
from cloud_connect_relay.storage.connector_sessions import ConnectorSessions
from cloud_connect_relay.storage.connectors import ConnectorFlag
from cloud_connect_relay.storage.tables import connector_presence
from doubles.link_bench import TEST_TIMES, Relay, answer_at_once, run_agent, serve_relay
from doubles.raw_agent import agent_side, closed_with, greet, socket_to


class StoreIsAway:
    """Takes no results."""

    async def take_results(self, *_: object, **__: object) -> list[str]:
        raise OperationalError("select", {}, OSError("gone"))


CALL = RequestHead(operation="test", call_id="call_1", deadline_ms=5000)


@pytest.fixture
async def relay(tmp_path: Path) -> AsyncIterator[Relay]:
    async with serve_relay(tmp_path) as relay:
        yield relay


async def test_revocation_by_another_process_cuts_the_session(relay: Relay, tmp_path: Path) -> None:
    async with run_agent(relay, tmp_path / "a") as agent:
        await relay.session_of(agent.connector_id)
        await relay.tenant.connectors.revoke(agent.connector_id, actor="test", at=1.0)
        await agent.health.until("revoked")
        await relay.gone(agent.connector_id)


async def test_draining_by_another_process_reaches_the_session(
    relay: Relay, tmp_path: Path
) -> None:
    async with run_agent(relay, tmp_path / "a") as agent:
        live = await relay.session_of(agent.connector_id)
        await relay.tenant.connectors.change(
            agent.connector_id, draining=True, actor="test", at=1.0
        )
        async with asyncio.timeout(5):
            while not live.draining:
                await asyncio.sleep(0.01)
        await relay.tenant.connectors.change(
            agent.connector_id, draining=False, actor="test", at=2.0
        )
        async with asyncio.timeout(5):
            while live.draining:
                await asyncio.sleep(0.01)


async def test_pause_by_another_process_reaches_the_session(relay: Relay, tmp_path: Path) -> None:
    async with run_agent(relay, tmp_path / "a") as agent:
        live = await relay.session_of(agent.connector_id)
        for until in (time.time() + 3600, 0.0):
            await relay.tenant.connectors.change(
                agent.connector_id, paused_until=until, actor="test", at=time.time()
            )
            async with asyncio.timeout(5):
                while live.paused is not bool(until):
                    await asyncio.sleep(0.01)


async def test_newest_session_wins(relay: Relay) -> None:
    key = SigningKey.generate()
    connector = await relay.enrol(key)
    async with socket_to(relay) as first:
        agent = agent_side(relay, connector.id, key, instance="one")
        generation = await greet(first, agent)
        await first.send(agent.confirm())
        older = await relay.session_of(connector.id)
        async with socket_to(relay) as second:
            agent = agent_side(relay, connector.id, key, generation=generation, instance="two")
            await greet(second, agent)
            await second.send(agent.confirm())
            assert await closed_with(first) == CloseCode.SUPERSEDED
            assert relay.registry.get(connector.id) not in {None, older}
            assert (await relay.connector(connector.id)).connected_since is not None


@pytest.mark.catalogue("T25")
async def test_session_that_wakes_up_after_it_was_replaced_is_not_heard(relay: Relay) -> None:
    key = SigningKey.generate()
    connector = await relay.enrol(key)
    answered = asyncio.Event()

    async def answer_late(exchange: Exchange) -> None:
        await answered.wait()
        await exchange.send_head(ResponseHead(status=200), end_stream=True)

    async def run(session: Session) -> None:
        with contextlib.suppress(TunnelClosedError):
            await session.run()

    async with socket_to(relay) as first, socket_to(relay) as second, asyncio.TaskGroup() as tasks:
        side = agent_side(relay, connector.id, key, instance="one")
        generation = await greet(first, side)
        await first.send(side.confirm())
        asleep = Session(first, role=Role.AGENT, handler=answer_late)
        tasks.create_task(run(asleep))
        older = await relay.session_of(connector.id)
        waiting = await older.session.open(CALL, end_stream=True)
        await older.session.ping()
        side = agent_side(relay, connector.id, key, generation=generation, instance="one")
        await greet(second, side)
        await second.send(side.confirm())
        with pytest.raises(TunnelClosedError, match="newer session"):
            await waiting.receive_head()
        answered.set()
        with pytest.raises(TunnelClosedError):
            await send_reports(asleep, ReportBoard(Report(machine="old")))
        assert relay.registry.get(connector.id) not in {None, older}
        assert (await relay.connector(connector.id)).report is None
        await second.close()


async def test_two_processes_that_take_turns_are_suspected(relay: Relay) -> None:
    key = SigningKey.generate()
    connector = await relay.enrol(key)
    generation = 0
    async with contextlib.AsyncExitStack() as stack:
        codes = []
        for turn in range(4):
            socket = await stack.enter_async_context(socket_to(relay))
            agent = agent_side(
                relay, connector.id, key, generation=generation, instance=f"copy-{turn % 2}"
            )
            generation = await greet(socket, agent)
            await socket.send(agent.confirm())
            codes.append(socket)
            if turn < 3:
                async with asyncio.timeout(5):
                    while (await relay.connector(connector.id)).generation != generation or (
                        relay.registry.get(connector.id) is None
                    ):
                        await asyncio.sleep(0.01)
        assert await closed_with(codes[-1]) == CloseCode.CLONE_SUSPECTED
    stored = await relay.connector(connector.id)
    assert stored.flag is ConnectorFlag.CLONE_SUSPECTED


async def test_report_is_kept_and_shown(relay: Relay, tmp_path: Path) -> None:
    async with run_agent(relay, tmp_path / "a") as agent:
        live = await relay.session_of(agent.connector_id)
        async with asyncio.timeout(5):
            while live.report.machine != "pc-1":
                await relay.registry.changed()
        agent.reports.publish(agent.reports.report.model_copy(update={"paused": True}))
        async with asyncio.timeout(5):
            while not live.paused:
                await relay.registry.changed()
            while not ((await relay.connector(agent.connector_id)).report or {}).get("paused"):
                await asyncio.sleep(0.01)
    stored = await relay.connector(agent.connector_id)
    assert stored.machine == "pc-1"


@pytest.mark.parametrize(
    ("operation", "body", "status"),
    [
        (Operation.REPORT, b"no json", 400),
        (Operation.REPORT, b"x" * 70_000, 413),
        (Operation.RESULTS, b'{"results":[{}]}', 400),
        (Operation.RESULTS, b'{"results":[]}', 503),
        (Operation.QUERY, b"", 405),
    ],
)
async def test_relay_takes_nothing_but_reports(
    relay: Relay, operation: Operation, body: bytes, status: int
) -> None:
    relay.services.calls = StoreIsAway()
    key = SigningKey.generate()
    connector = await relay.enrol(key)
    async with socket_to(relay, max_size=None) as socket:
        agent = agent_side(relay, connector.id, key)
        await greet(socket, agent)
        await socket.send(agent.confirm())
        session = Session(socket, role=Role.AGENT, handler=answer_at_once)

        async def send() -> ResponseHead:
            head = RequestHead(operation=operation, call_id="call_1", deadline_ms=1000)
            exchange = await session.open(head)
            await exchange.send(body, end_stream=True)
            return await exchange.receive_head()

        async with asyncio.TaskGroup() as tasks:
            sending = tasks.create_task(send())
            running = tasks.create_task(session.run())
            answer = await sending
            assert answer.status == status
            assert answer.problem is not None
            session.drain()
            await running


async def test_end_of_a_session_is_stored(relay: Relay, tmp_path: Path) -> None:
    async with run_agent(relay, tmp_path / "a") as agent:
        await relay.session_of(agent.connector_id)
        async with asyncio.timeout(5):
            while (await relay.connector(agent.connector_id)).connected_since is None:
                await asyncio.sleep(0.01)
        first = (await relay.connector(agent.connector_id)).last_seen_at or 0.0
        async with asyncio.timeout(5):
            while ((await relay.connector(agent.connector_id)).last_seen_at or 0.0) <= first:
                await asyncio.sleep(0.01)
    await relay.gone(agent.connector_id)
    async with asyncio.timeout(5):
        while (await relay.connector(agent.connector_id)).connected_since is not None:
            await asyncio.sleep(0.01)


async def test_drain_lets_calls_end_and_sends_agents_away(relay: Relay, tmp_path: Path) -> None:
    release = asyncio.Event()

    async def slow(exchange: Any) -> None:
        await release.wait()
        await exchange.send_head(ResponseHead(status=200), end_stream=True)

    assert relay.gateway is not None
    async with run_agent(relay, tmp_path / "a", handler=slow) as agent:
        live = await relay.session_of(agent.connector_id)
        head = RequestHead(operation="test", call_id="call_1", deadline_ms=5000)
        exchange = await live.session.open(head, end_stream=True)
        async with asyncio.TaskGroup() as tasks:
            draining = tasks.create_task(relay.gateway.drain())
            async with asyncio.timeout(5):
                while not live.draining:
                    await asyncio.sleep(0.01)
            with pytest.raises(InvalidStatus) as caught:
                async with socket_to(relay):
                    pass
            assert caught.value.response.status_code == 503
            assert not draining.done()
            release.set()
            assert (await exchange.receive_head()).status == 200
            await draining
        assert len(relay.registry) == 0
        await agent.health.until("offline")
        assert agent.health.reasons[0] == "The relay restarts."


async def test_drain_cuts_what_does_not_end(tmp_path: Path) -> None:
    async def endless(exchange: Any) -> None:
        del exchange
        await asyncio.Event().wait()

    times = replace(TEST_TIMES, drain_timeout=0.1)
    async with (
        serve_relay(tmp_path, times=times) as relay,
        run_agent(relay, tmp_path / "a", handler=endless) as agent,
    ):
        assert relay.gateway is not None
        live = await relay.session_of(agent.connector_id)
        head = RequestHead(operation="test", call_id="call_1", deadline_ms=5000)
        await live.session.open(head, end_stream=True)
        await relay.gateway.drain()
        await agent.health.until("offline")


async def test_sessions_outlive_an_outage_of_the_store(
    relay: Relay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures: list[str] = []

    async def fail(*_: object, **__: object) -> None:
        failures.append("failed")
        raise OperationalError("statement", {}, Exception("disk I/O error"))

    async with run_agent(relay, tmp_path / "a") as agent:
        live = await relay.session_of(agent.connector_id)
        for method in ("flagged", "seen", "offline"):
            monkeypatch.setattr(ConnectorSessions, method, fail)
        async with asyncio.timeout(5):
            while len(failures) < 4:
                await asyncio.sleep(0.01)
        assert relay.registry.get(agent.connector_id) is live


async def test_session_that_ended_is_unlisted_while_the_store_does_not_answer(
    relay: Relay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = asyncio.Event()

    async def stall(*_: object, **__: object) -> None:
        await answer.wait()

    monkeypatch.setattr(ConnectorSessions, "online", stall)
    try:
        async with run_agent(relay, tmp_path / "a") as agent:
            await relay.session_of(agent.connector_id)
        await relay.gone(agent.connector_id)
    finally:
        answer.set()


async def test_begin_and_end_of_a_session_are_stored_after_an_outage_of_the_store(
    relay: Relay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = asyncio.Event()
    record = Storage.record

    async def fail(storage: Storage, statement: Any, parameters: Any) -> None:
        if statement.table is connector_presence:
            failed.set()
            raise OperationalError("statement", {}, OSError("gone"))
        await record(storage, statement, parameters)

    async def until_stored(*, ended: bool) -> None:
        query = select(connector_presence.c.ended)
        async with asyncio.timeout(5):
            while True:
                async with relay.storage.read() as connection:
                    if (await connection.execute(query)).scalars().all() == [ended]:
                        return
                await asyncio.sleep(0.01)

    async with contextlib.AsyncExitStack() as connected:
        with monkeypatch.context() as outage:
            outage.setattr(Storage, "record", fail)
            agent = await connected.enter_async_context(run_agent(relay, tmp_path / "a"))
            await relay.session_of(agent.connector_id)
            async with asyncio.timeout(5):
                await failed.wait()
        await until_stored(ended=False)
        failed.clear()
        with monkeypatch.context() as outage:
            outage.setattr(Storage, "record", fail)
            await connected.aclose()
            await relay.gone(agent.connector_id)
            async with asyncio.timeout(5):
                await failed.wait()
        await until_stored(ended=True)
