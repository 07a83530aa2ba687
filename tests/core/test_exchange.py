import asyncio

import pytest

from cloud_connect.errors import (
    LocalProtocolError,
    Outcome,
    StreamResetError,
    TunnelClosedError,
)
from cloud_connect.exchange import Exchange
from cloud_connect.tunnel import Multiplexer, ResetCode, ResponseHead, Trailers
from doubles.session_pair import session_pair
from doubles.tunnel_pair import GET_PROJECTS, OK
from doubles.waiting import until


async def echo(exchange: Exchange) -> None:
    await exchange.send_head(OK)
    async for piece in exchange:
        await exchange.send(piece)
    await exchange.end()


async def body_of(exchange: Exchange) -> bytes:
    return b"".join([piece async for piece in exchange])


async def test_body_comes_back_as_it_went() -> None:
    body = bytes(range(256)) * 20_000
    async with session_pair(echo) as pair, asyncio.TaskGroup() as group:
        exchange = await pair.relay.open(GET_PROJECTS)
        answer = group.create_task(body_of(exchange))
        await exchange.send(body)
        await exchange.end()
        assert await exchange.receive_head() == OK
        assert await answer == body
        assert exchange.receive_ended
        assert exchange.send_ended


@pytest.mark.parametrize(
    "view",
    [
        memoryview(b"abcdef"),
        memoryview(bytearray(b"abcdef")),
        memoryview(b"a_b_c_d_e_f_")[::2],
    ],
    ids=["of bytes", "of what may change", "with gaps"],
)
async def test_views_are_sent_as_they_are_at_the_call(view: memoryview) -> None:
    async with session_pair(echo) as pair:
        exchange = await pair.relay.open(GET_PROJECTS)
        await exchange.send(view)
        if not view.readonly:
            view[:] = b"------"
        await exchange.end()
        assert await body_of(exchange) == b"abcdef"


async def test_trailers_are_known_after_the_end() -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.send_head(OK)
        await exchange.send(b"row\n")
        await exchange.send_trailers(Trailers(total_items=1))

    async with session_pair(answer) as pair:
        exchange = await pair.relay.open(GET_PROJECTS, end_stream=True)
        assert exchange.trailers is None
        assert await body_of(exchange) == b"row\n"
        assert exchange.trailers == Trailers(total_items=1)


async def test_small_pieces_that_wait_are_joined() -> None:
    gate = asyncio.Event()

    async def answer(exchange: Exchange) -> None:
        await exchange.send_head(OK)
        for size in (5000, 10, 10, 10, 20_000, 4000, 4000, 4000, 4000, 4000, 4000, 10):
            await exchange.send(bytes(size))
            await asyncio.sleep(0.002)
        await exchange.end()
        gate.set()

    async with session_pair(answer) as pair:
        exchange = await pair.relay.open(GET_PROJECTS, end_stream=True)
        await gate.wait()
        await until(lambda: exchange.receive_ended)
        sizes = [len(piece) async for piece in exchange]
        assert sizes == [5000, 30, 20_000, 20_000, 4010]


async def test_what_came_already_is_received_without_waiting() -> None:
    gate = asyncio.Event()

    async def answer(exchange: Exchange) -> None:
        await exchange.send_head(OK)
        await gate.wait()
        await exchange.send(b"row\n", end_stream=True)

    async with session_pair(answer) as pair:
        exchange = await pair.relay.open(GET_PROJECTS, end_stream=True)
        await exchange.receive_head()
        assert exchange.receive_nowait() is None
        gate.set()
        await until(lambda: exchange.receive_ended)
        taken = [exchange.all_received, exchange.receive_nowait(), exchange.all_received]
        assert taken == [False, b"row\n", True]
        assert exchange.receive_nowait() == b""


async def test_head_is_waited_for() -> None:
    async def answer(exchange: Exchange) -> None:
        await asyncio.sleep(0.01)
        await exchange.send_head(ResponseHead(status=204), end_stream=True)

    async with session_pair(answer) as pair:
        exchange = await pair.relay.open(GET_PROJECTS, end_stream=True)
        assert (await exchange.receive_head()).status == 204
        assert await exchange.receive() == b""


async def test_sender_waits_while_nobody_reads() -> None:
    sent = 0

    async def answer(exchange: Exchange) -> None:
        nonlocal sent
        await exchange.send_head(OK)
        for _ in range(100):
            await exchange.send(bytes(65_536))
            sent += 65_536
        await exchange.end()

    async with session_pair(answer) as pair:
        exchange = await pair.relay.open(GET_PROJECTS, end_stream=True)
        await until(lambda: sent >= 262_144)
        await asyncio.sleep(0.05)
        assert sent <= 262_144 + 2 * 65_536
        assert len(await body_of(exchange)) == 6_553_600


class TestReset:
    async def test_caller_that_resets_gets_its_own_error(self) -> None:
        async with session_pair(echo) as pair:
            exchange = await pair.relay.open(GET_PROJECTS)
            await exchange.receive_head()
            exchange.reset(ResetCode.CANCEL)
            exchange.reset(ResetCode.CANCEL)
            with pytest.raises(StreamResetError) as caught:
                await exchange.receive()
            assert caught.value.reason is ResetCode.CANCEL
            with pytest.raises(StreamResetError):
                await exchange.send(b"x")
            await until(lambda: not pair.relay.in_flight)

    async def test_reset_reaches_who_waits_for_a_head(self) -> None:
        async def refuse(exchange: Exchange) -> None:
            exchange.reset(ResetCode.REFUSED)

        async with session_pair(refuse) as pair:
            exchange = await pair.relay.open(GET_PROJECTS, end_stream=True)
            with pytest.raises(StreamResetError, match="REFUSED") as caught:
                await exchange.receive_head()
            assert caught.value.outcome is Outcome.NOT_EXECUTED

    async def test_reset_reaches_who_waits_for_room(self) -> None:
        async def stall(exchange: Exchange) -> None:
            await exchange.send_head(OK)
            await asyncio.sleep(0.02)
            exchange.reset(ResetCode.SLOW)

        async with session_pair(stall) as pair:
            exchange = await pair.relay.open(GET_PROJECTS)
            with pytest.raises(StreamResetError, match="SLOW") as caught:
                await exchange.send(bytes(2**20))
            assert caught.value.outcome is Outcome.UNKNOWN

    async def test_unread_bytes_go_with_the_reset(self) -> None:
        async def break_off(exchange: Exchange) -> None:
            await exchange.send_head(OK)
            await exchange.send(bytes(100_000))
            await asyncio.sleep(0.02)
            exchange.reset(ResetCode.TRUNCATED)

        async with session_pair(break_off) as pair:
            exchange = await pair.relay.open(GET_PROJECTS, end_stream=True)
            await until(lambda: not pair.relay.in_flight)
            with pytest.raises(StreamResetError, match="TRUNCATED"):
                await exchange.receive()
            assert pair.relay._multiplexer._inbox._session_window.buffered == 0

    async def test_complete_answer_is_readable_until_it_is_reset(self) -> None:
        async with session_pair(echo) as pair:
            exchange = await pair.relay.open(GET_PROJECTS)
            await exchange.send(b"abc", end_stream=True)
            await until(lambda: not pair.relay.in_flight)
            assert await exchange.receive() == b"abc"
            exchange.reset(ResetCode.CANCEL)
            assert await exchange.receive() == b""

    async def test_answered_upload_stops_with_no_error_and_leaves_the_answer(self) -> None:
        async def answer_early(exchange: Exchange) -> None:
            await exchange.send_head(OK)
            await exchange.send(b"enough", end_stream=True)

        async with session_pair(answer_early) as pair:
            exchange = await pair.relay.open(GET_PROJECTS)
            with pytest.raises(StreamResetError) as caught:
                await exchange.send(bytes(2**22))
            assert caught.value.reason is ResetCode.NO_ERROR
            assert await body_of(exchange) == b"enough"
            await until(lambda: not pair.agent.in_flight)
            assert pair.agent._multiplexer._inbox._session_window.buffered == 0

    async def test_upload_behind_an_answer_that_waits_is_dropped(self) -> None:
        async def answer_much(exchange: Exchange) -> None:
            await exchange.send_head(OK)
            await exchange.send(bytes(300_000), end_stream=True)

        async with session_pair(answer_much) as pair:
            exchange = await pair.relay.open(GET_PROJECTS)
            await exchange.receive_head()
            await exchange.send(bytes(60_000))
            await pair.relay.ping()
            assert pair.agent._multiplexer._inbox._session_window.buffered == 0
            assert len(await body_of(exchange)) == 300_000
            await until(lambda: not pair.relay.in_flight)


class TestMisuse:
    async def test_two_receivers(self) -> None:
        async with session_pair(echo) as pair, asyncio.TaskGroup() as group:
            exchange = await pair.relay.open(GET_PROJECTS)
            waiting = group.create_task(exchange.receive())
            await asyncio.sleep(0)
            with pytest.raises(LocalProtocolError, match="two tasks receive"):
                await exchange.receive()
            waiting.cancel()

    async def test_two_senders(self) -> None:
        async def stall(exchange: Exchange) -> None:
            del exchange
            await asyncio.Event().wait()

        async with session_pair(stall) as pair, asyncio.TaskGroup() as group:
            exchange = await pair.relay.open(GET_PROJECTS)
            waiting = group.create_task(exchange.send(bytes(2**20)))
            await asyncio.sleep(0)
            with pytest.raises(LocalProtocolError, match="two tasks send"):
                await exchange.send(b"x")
            waiting.cancel()

    async def test_own_answer_awaited(self) -> None:
        caught: list[LocalProtocolError] = []

        async def handler(exchange: Exchange) -> None:
            assert exchange.inbound
            try:
                await exchange.receive_head()
            except LocalProtocolError as exc:
                caught.append(exc)
            await exchange.send_head(OK, end_stream=True)

        async with session_pair(handler) as pair:
            exchange = await pair.relay.open(GET_PROJECTS, end_stream=True)
            await exchange.receive_head()
        assert caught


class OverCarrier:
    """A session that is over."""

    multiplexer: Multiplexer | None = None

    def wake(self) -> None: ...

    def reset(self, stream_id: int, code: ResetCode) -> None: ...

    def consume(self, stream_id: int, size: int) -> None: ...


async def test_exchange_of_a_session_that_is_over_sends_nothing() -> None:
    exchange = Exchange(OverCarrier(), 1, GET_PROJECTS, inbound=False)
    with pytest.raises(TunnelClosedError):
        await exchange.send(b"x")
