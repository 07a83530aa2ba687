"""How sessions end: drained, lost, given up, or because a peer breaks the protocol."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator

import pytest

from cloud_connect.closing import CloseCode
from cloud_connect.errors import (
    LocalProtocolError,
    Outcome,
    StreamResetError,
    TunnelClosedError,
)
from cloud_connect.exchange import Exchange
from cloud_connect.session import Role, Session, SessionSettings
from cloud_connect.tunnel import Frame, FrameType, GoAwayCode, ResetCode
from doubles.memory_link import MemoryLink, link_pair
from doubles.session_pair import SessionPair, session_pair
from doubles.tunnel_pair import GET_PROJECTS, OK
from doubles.waiting import until


async def answer(exchange: Exchange) -> None:
    await exchange.send_head(OK)
    await exchange.send(b"[]", end_stream=True)


async def never(exchange: Exchange) -> None:
    del exchange
    await asyncio.Event().wait()


async def ended(session: Session) -> TunnelClosedError | None:
    try:
        await session.run()
    except TunnelClosedError as exc:
        return exc
    return None


class TestDrain:
    async def test_running_calls_finish_and_both_sides_return(self) -> None:
        gate = asyncio.Event()

        async def wait(exchange: Exchange) -> None:
            await gate.wait()
            await answer(exchange)

        async with session_pair(wait) as pair:
            exchange = await pair.relay.open(GET_PROJECTS, end_stream=True)
            await pair.relay.ping()
            pair.agent.drain(code=GoAwayCode.RESTART, reconnect_window_ms=500, reason="update")
            pair.agent.drain()
            await until(lambda: pair.relay.peer_draining)
            assert pair.agent.draining
            assert pair.relay.go_away is not None
            assert pair.relay.go_away.reconnect_window_ms == 500
            with pytest.raises(TunnelClosedError) as caught:
                await pair.relay.open(GET_PROJECTS)
            assert caught.value.outcome is Outcome.NOT_EXECUTED
            gate.set()
            assert await exchange.receive() == b"[]"
            assert await pair.agent_run is None
            assert await pair.relay_run is None
            assert pair.agent_link.closed_with == (1001, "drained")
            assert await exchange.receive() == b""
            pair.agent.drain()

    async def test_idle_session_returns_at_once(self) -> None:
        async with session_pair() as pair:
            await pair.relay.ping()
            pair.relay.drain()
            assert await pair.relay_run is None
            assert await pair.agent_run is None
            with pytest.raises(TunnelClosedError, match="drained"):
                await pair.relay.open(GET_PROJECTS)
            with pytest.raises(TunnelClosedError, match="drained"):
                await pair.relay.ping()

    async def test_call_that_crosses_the_drain_is_refused_not_lost(self) -> None:
        async with session_pair(answer) as pair:
            await pair.relay.ping()
            pair.agent.drain()
            exchange = await pair.relay.open(GET_PROJECTS, end_stream=True)
            with pytest.raises(StreamResetError) as caught:
                await exchange.receive_head()
            assert caught.value.outcome is Outcome.NOT_EXECUTED
            assert await pair.agent_run is None

    async def test_ping_that_left_before_the_drain_does_not_end_it(self) -> None:
        async with session_pair(answer) as pair, asyncio.TaskGroup() as group:
            await pair.relay.ping()
            await pair.agent.ping()
            ping = group.create_task(pair.agent.ping())
            await asyncio.sleep(0)
            pair.agent.drain()
            assert not pair.agent._farewell
            assert await pair.agent_run is None
            assert ping.done()


class TestLoss:
    async def test_lost_link_fails_calls_and_cancels_handlers(self) -> None:
        ended: list[str] = []

        async def handler(exchange: Exchange) -> None:
            try:
                await never(exchange)
            finally:
                ended.append("handler")

        async with session_pair(handler) as pair:
            exchange = await pair.relay.open(GET_PROJECTS)
            await pair.relay.ping()
            pair.relay_link.break_off()
            pair.agent_link.break_off()
            with pytest.raises(TunnelClosedError, match="link was lost") as caught:
                await exchange.receive_head()
            assert caught.value.outcome is Outcome.UNKNOWN
            error = await pair.agent_run
            assert isinstance(error, TunnelClosedError)
            assert ended == ["handler"]
            exchange.reset(ResetCode.CANCEL)
            with pytest.raises(TunnelClosedError):
                await exchange.send(b"x")

    async def test_complete_answer_outlives_the_link(self) -> None:
        async with session_pair(answer) as pair:
            exchange = await pair.relay.open(GET_PROJECTS)
            await until(lambda: exchange.receive_ended)
            pair.relay_link.break_off()
            await pair.relay_run
            assert await exchange.receive() == b"[]"
            assert await exchange.receive() == b""

    async def test_call_that_never_left_is_known_not_to_be_executed(self) -> None:
        async with session_pair(answer) as pair:
            await pair.relay.ping()
            pair.relay_link.blocked = asyncio.Event()
            sent = await pair.relay.open(GET_PROJECTS)
            await asyncio.sleep(0.01)
            unsent = await pair.relay.open(GET_PROJECTS)
            pair.relay_link.break_off()
            outcomes = []
            for exchange in (sent, unsent):
                with pytest.raises(TunnelClosedError) as caught:
                    await exchange.receive_head()
                outcomes.append(caught.value.outcome)
            assert outcomes == [Outcome.UNKNOWN, Outcome.NOT_EXECUTED]

    async def test_waiting_ping_and_open_end_with_the_session(self) -> None:
        async def failure(work: Coroutine[None, None, object]) -> str:
            with pytest.raises(TunnelClosedError) as caught:
                await work
            return caught.value.message

        link, _ = link_pair()
        session = Session(link, role=Role.AGENT)
        works: list[Coroutine[None, None, object]] = [
            session.run(),
            session.ping(),
            session.open(GET_PROJECTS),
        ]
        async with asyncio.TaskGroup() as group:
            cancelled = [
                group.create_task(session.ping()),
                group.create_task(session.open(GET_PROJECTS)),
            ]
            waiting = [group.create_task(failure(work)) for work in works]
            await asyncio.sleep(0.01)
            for task in cancelled:
                task.cancel()
            await asyncio.sleep(0)
            link.break_off()
        assert {task.result() for task in waiting} == {"the link was lost: closed"}

    async def test_stopped_session_closes_its_link(self) -> None:
        async with session_pair(never) as pair:
            await pair.relay.open(GET_PROJECTS)
            pair.relay_run.cancel()
            await until(pair.agent_run.done)
            assert pair.relay_link.closed_with == (1001, "stopped")


def raising(error: Exception) -> Callable[[], Iterator[bytes]]:
    def raise_it() -> Iterator[bytes]:
        raise error

    return raise_it


class TestProtocolErrors:
    async def expect(self, pair: SessionPair, reason: str) -> None:
        error = await pair.agent_run
        assert error is not None
        assert reason in error.message
        assert pair.agent_link.closed_with is not None
        assert pair.agent_link.closed_with[0] == 1002
        assert reason in pair.agent_link.closed_with[1]

    async def test_malformed_message_closes_with_1002(self) -> None:
        async with session_pair() as pair:
            pair.agent_link.inject(b"\0")
            await self.expect(pair, "within a frame header")

    async def test_text_message_closes_with_1002(self) -> None:
        async with session_pair() as pair:
            pair.agent_link.inject("hello")
            await self.expect(pair, "text message")

    async def test_ping_flood_closes_with_1002(self) -> None:
        async with session_pair() as pair:
            await pair.agent.ping()
            flood = Frame(kind=FrameType.PING, payload=bytes(8)).encode() * 2000
            pair.agent_link.inject(flood)
            await self.expect(pair, "rate_abuse")

    async def test_fault_of_ours_closes_with_1011(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async with session_pair() as pair:
            await pair.agent.ping()

            monkeypatch.setattr(
                pair.agent._multiplexer, "messages_to_send", raising(LocalProtocolError("a bug"))
            )
            pair.agent.wake()
            assert isinstance(await pair.agent_run, LocalProtocolError)
            assert pair.agent_link.closed_with == (1011, "internal error")

    async def test_fault_that_nobody_foresaw_closes_with_1001(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        link, _ = link_pair()
        session = Session(link, role=Role.AGENT)

        monkeypatch.setattr(session._multiplexer, "messages_to_send", raising(ZeroDivisionError()))
        with pytest.raises(ExceptionGroup):
            await session.run()
        assert link.closed_with == (1001, "stopped")


class TestLiveness:
    async def test_heartbeats_go_out_and_keep_an_idle_session(self) -> None:
        settings = SessionSettings(heartbeat_interval=0.02)
        async with session_pair(settings=settings) as pair:
            await pair.relay.ping()
            sent = pair.relay_link.sent
            await until(lambda: pair.relay_link.sent >= sent + 5)
            assert not pair.relay_run.done()

    async def test_silent_peer_is_given_up(self) -> None:
        link, _ = link_pair()
        session = Session(link, role=Role.AGENT, settings=SessionSettings(silence_timeout=0.05))
        with pytest.raises(TunnelClosedError, match="silent: nothing was received"):
            await session.run()
        assert link.closed_with is not None
        assert link.closed_with[1].startswith("silent")

    async def test_farewell_to_a_silent_peer_is_not_waited_for(self) -> None:
        class Unanswered(MemoryLink):
            async def close(self, code: int = 1000, reason: str = "") -> None:
                del code, reason
                await asyncio.Event().wait()

        settings = SessionSettings(silence_timeout=0.05, close_timeout=60.0)
        session = Session(Unanswered(), role=Role.AGENT, settings=settings)
        with pytest.raises(TunnelClosedError, match="silent"):
            async with asyncio.timeout(5):
                await session.run()

    async def test_peer_that_takes_nothing_is_given_up(self) -> None:
        settings = SessionSettings(write_timeout=0.1, heartbeat_interval=0.02)
        async with session_pair(answer, settings=settings) as pair:
            await pair.relay.ping()
            pair.relay_link.blocked = asyncio.Event()
            error = await pair.relay_run
            assert error is not None
            assert error.message.startswith("slow")

    async def test_link_that_breaks_while_the_peer_takes_nothing_is_called_slow(self) -> None:
        settings = SessionSettings(write_timeout=0.3, heartbeat_interval=0.02)
        async with session_pair(answer, settings=settings) as pair:
            await pair.relay.ping()
            pair.relay_link.blocked = asyncio.Event()
            await asyncio.sleep(0.2)
            pair.relay_link.break_off()
            error = await pair.relay_run
            assert error is not None
            assert error.message.startswith("slow")

    @pytest.mark.catalogue("T25")
    async def test_fenced_session_takes_nothing_of_what_was_sent_before(self) -> None:
        heard = []

        async def note(exchange: Exchange) -> None:
            heard.append(exchange.request.call_id)

        link, other = link_pair()
        relay = Session(link, role=Role.RELAY, handler=note)
        agent = Session(other, role=Role.AGENT)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(ended(relay))
            peer = tasks.create_task(ended(agent))
            await agent.ping()
            waiting = await relay.open(GET_PROJECTS, end_stream=True)
            other.peer = MemoryLink()  # where it waits to be read
            await agent.open(GET_PROJECTS.model_copy(update={"call_id": "old"}), end_stream=True)
            await until(lambda: bool(other.peer._messages))
            for message in other.peer._messages:
                link.inject(message)
            relay.fence(CloseCode.SUPERSEDED, "A newer session took over.")
            error = await running
            assert error is not None
            assert error.message == "A newer session took over."
            assert link.closed_with == (CloseCode.SUPERSEDED, "A newer session took over.")
            with pytest.raises(TunnelClosedError, match="newer session"):
                await waiting.receive_head()
            other.break_off()
            await peer
        assert heard == []

    async def test_session_that_is_fenced_before_it_runs_ends_at_once(self) -> None:
        link, _ = link_pair()
        session = Session(link, role=Role.RELAY)
        session.fence(CloseCode.SUPERSEDED, "A newer session took over.")
        with pytest.raises(TunnelClosedError, match="newer session"):
            async with asyncio.timeout(5):
                await session.run()

    async def test_process_that_stood_still_reads_first(self) -> None:
        now = 0.0
        settings = SessionSettings(heartbeat_interval=0.02)
        link, other = link_pair()
        session = Session(link, role=Role.AGENT, settings=settings, clock=lambda: now)
        peer = Session(other, role=Role.RELAY, clock=lambda: now)
        async with asyncio.TaskGroup() as group:
            runs = [group.create_task(session.run()), group.create_task(peer.run())]
            await session.ping()
            now = 90.0
            await asyncio.sleep(0.05)
            now = 90.1
            await session.ping()
            await asyncio.sleep(0.6)
            assert not runs[0].done()
            session.drain()


async def test_session_that_is_fenced_before_it_runs_keeps_nobody_waiting() -> None:
    link, _ = link_pair()
    session = Session(link, role=Role.RELAY)
    opening = asyncio.create_task(session.open(GET_PROJECTS))
    await asyncio.sleep(0)
    session.fence(CloseCode.CLONE_SUSPECTED, "Another PC has its identity.")
    for opened in (opening, session.open(GET_PROJECTS)):
        with pytest.raises(TunnelClosedError, match="Another PC"):
            await opened
    assert await ended(session) is not None
    assert link.closed_with == (CloseCode.CLONE_SUSPECTED, "Another PC has its identity.")
