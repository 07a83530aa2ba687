import asyncio

import pytest
from structlog.testing import capture_logs

from cloud_connect.errors import (
    BodyTooLargeError,
    LocalProtocolError,
    QuotaExceededError,
    StreamResetError,
)
from cloud_connect.exchange import Exchange
from cloud_connect.session import Role, Session, SessionSettings
from cloud_connect.tunnel import Limits, RequestHead, ResetCode
from doubles.memory_link import link_pair
from doubles.session_pair import session_pair
from doubles.tunnel_pair import GET_PROJECTS, OK
from doubles.waiting import until


async def answer(exchange: Exchange) -> None:
    await exchange.send_head(OK)
    await exchange.send(b"[]", end_stream=True)


async def never(exchange: Exchange) -> None:
    del exchange
    await asyncio.Event().wait()


async def call(session: Session) -> bytes:
    exchange = await session.open(GET_PROJECTS, end_stream=True)
    await exchange.receive_head()
    return b"".join([piece async for piece in exchange])


async def test_calls_run_side_by_side() -> None:
    together = asyncio.Barrier(50)

    async def meet(exchange: Exchange) -> None:
        await together.wait()
        await answer(exchange)

    async with session_pair(meet) as pair, asyncio.TaskGroup() as group:
        calls = [group.create_task(call(pair.relay)) for _ in range(50)]
        assert [await task for task in calls] == [b"[]"] * 50
        assert not pair.relay.in_flight


async def test_calls_go_both_ways() -> None:
    relay_link, agent_link = link_pair()
    relay = Session(relay_link, role=Role.RELAY, handler=answer)
    agent = Session(agent_link, role=Role.AGENT)
    async with asyncio.TaskGroup() as group:
        group.create_task(relay.run())
        group.create_task(agent.run())
        assert await call(agent) == b"[]"
        agent.drain()


async def test_small_calls_of_one_turn_share_a_message() -> None:
    async with session_pair(answer) as pair, asyncio.TaskGroup() as group:
        await call(pair.relay)
        await pair.relay.ping()
        before = pair.relay_link.sent
        for _ in range(20):
            group.create_task(call(pair.relay))
        await until(lambda: not pair.relay.in_flight)
        assert pair.relay_link.sent - before <= 2


async def test_ping_measures_the_way() -> None:
    async with session_pair() as pair:
        assert 0 < await pair.agent.ping() < 5
        assert pair.agent.round_trip is not None
        await until(lambda: pair.relay.round_trip is not None)
        assert pair.relay.last_received > 0


async def test_ping_that_is_given_up_disturbs_no_other() -> None:
    async with session_pair() as pair, asyncio.TaskGroup() as group:
        given_up = group.create_task(pair.relay.ping())
        await asyncio.sleep(0)
        given_up.cancel()
        assert await pair.relay.ping() >= 0


async def test_session_runs_once() -> None:
    async with session_pair() as pair:
        await pair.relay.ping()
        with pytest.raises(LocalProtocolError, match="once"):
            await pair.relay.run()


async def test_head_over_its_limit_is_refused_before_it_goes_out() -> None:
    async with session_pair(answer) as pair:
        head = RequestHead(operation="x", call_id="c", deadline_ms=1, params={"a": "x" * 20_000})
        with pytest.raises(BodyTooLargeError):
            await pair.relay.open(head)
        assert await call(pair.relay) == b"[]"


async def test_too_many_calls_at_once_are_refused() -> None:
    settings = SessionSettings(limits=Limits(max_streams=2))
    async with session_pair(never, settings=settings) as pair:
        for _ in range(2):
            await pair.relay.open(GET_PROJECTS)
        with pytest.raises(QuotaExceededError):
            await pair.relay.open(GET_PROJECTS)


class TestHandlers:
    async def test_without_a_handler_calls_are_refused(self) -> None:
        async with session_pair() as pair:
            exchange = await pair.relay.open(GET_PROJECTS)
            await exchange.send(b"body that comes with the head")
            with pytest.raises(StreamResetError) as caught:
                await exchange.receive_head()
            assert caught.value.reason is ResetCode.REFUSED
            await until(lambda: not pair.agent._multiplexer.open_streams)
            assert pair.agent._multiplexer._inbox._session_window.buffered == 0

    async def test_call_that_is_refused_and_reset_at_once_is_confirmed(self) -> None:
        async with session_pair() as pair:
            await pair.relay.ping()
            exchange = await pair.relay.open(GET_PROJECTS)
            exchange.reset(ResetCode.CANCEL)
            await until(lambda: not pair.relay.in_flight)

    async def test_peers_reset_cancels_the_handler_and_waits_for_it(self) -> None:
        written = asyncio.Event()
        may_end = asyncio.Event()

        async def write(exchange: Exchange) -> None:
            try:
                await never(exchange)
            finally:
                written.set()
                await may_end.wait()

        async with session_pair(write) as pair:
            exchange = await pair.relay.open(GET_PROJECTS)
            await pair.relay.ping()
            exchange.reset(ResetCode.CANCEL)
            await written.wait()
            await pair.relay.ping()
            assert pair.relay.in_flight == pair.agent.in_flight == 1
            may_end.set()
            await until(lambda: not pair.relay.in_flight)
            assert not pair.agent.in_flight

    async def test_handler_that_is_cancelled_before_it_began_confirms_too(self) -> None:
        began = False

        async def handler(exchange: Exchange) -> None:
            nonlocal began
            began = True
            await never(exchange)

        async with session_pair(handler) as pair:
            await pair.relay.ping()
            exchange = await pair.relay.open(GET_PROJECTS)
            exchange.reset(ResetCode.CANCEL)
            await until(lambda: not pair.relay.in_flight)
            assert not pair.agent.in_flight
            assert not began

    async def test_fault_of_a_handler_ends_its_call_only(self) -> None:
        async def fail(exchange: Exchange) -> None:
            if exchange.stream_id == 1:
                raise ValueError("a bug")
            await answer(exchange)

        async with session_pair(fail) as pair:
            exchange = await pair.relay.open(GET_PROJECTS)
            with capture_logs() as logs, pytest.raises(StreamResetError) as caught:
                await exchange.receive_head()
            assert caught.value.reason is ResetCode.INTERNAL
            assert await call(pair.relay) == b"[]"
        assert [entry["event"] for entry in logs] == ["exchange_failed"]

    async def test_handler_that_forgets_to_end_resets_its_call(self) -> None:
        async def forget(exchange: Exchange) -> None:
            await exchange.send_head(OK)

        async with session_pair(forget) as pair:
            exchange = await pair.relay.open(GET_PROJECTS, end_stream=True)
            with pytest.raises(StreamResetError, match="INTERNAL"):
                await exchange.receive()

    async def test_handler_whose_own_reset_surfaces_is_no_fault(self) -> None:
        async def give_up(exchange: Exchange) -> None:
            exchange.reset(ResetCode.DEADLINE)
            await exchange.receive()

        async with session_pair(give_up) as pair:
            exchange = await pair.relay.open(GET_PROJECTS)
            with capture_logs() as logs, pytest.raises(StreamResetError, match="DEADLINE"):
                await exchange.receive_head()
        assert [entry["event"] for entry in logs] == ["exchange_ended_early"]

    async def test_handlers_that_linger_count_against_the_limit(self) -> None:
        async def linger(exchange: Exchange) -> None:
            await exchange.send_head(OK, end_stream=True)
            await asyncio.Event().wait()

        settings = SessionSettings(limits=Limits(max_streams=2))
        async with session_pair(linger, settings=settings) as pair:
            for _ in range(2):
                exchange = await pair.relay.open(GET_PROJECTS, end_stream=True)
                await exchange.receive_head()
            await until(lambda: not pair.relay.in_flight)
            assert pair.agent.in_flight == 2
            exchange = await pair.relay.open(GET_PROJECTS, end_stream=True)
            with pytest.raises(StreamResetError, match="REFUSED"):
                await exchange.receive_head()
