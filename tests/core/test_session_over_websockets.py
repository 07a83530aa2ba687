"""Sessions over real WebSockets on loopback."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from cloud_connect.errors import StreamResetError, TunnelClosedError
from cloud_connect.exchange import Exchange
from cloud_connect.session import Role, Session
from cloud_connect.tunnel import MAX_MESSAGE_BYTES, ResetCode, Trailers
from doubles.tunnel_pair import GET_PROJECTS, OK
from doubles.waiting import until


@asynccontextmanager
async def connection() -> AsyncIterator[tuple[ServerConnection, ClientConnection]]:
    accepted: asyncio.Future[ServerConnection] = asyncio.get_running_loop().create_future()
    done = asyncio.Event()

    async def accept(websocket: ServerConnection) -> None:
        accepted.set_result(websocket)
        await done.wait()

    async with serve(
        accept, "127.0.0.1", 0, compression=None, max_size=MAX_MESSAGE_BYTES, ping_interval=None
    ) as server:
        port = server.sockets[0].getsockname()[1]
        async with connect(
            f"ws://127.0.0.1:{port}/",
            compression=None,
            max_size=MAX_MESSAGE_BYTES,
            ping_interval=None,
            proxy=None,
        ) as websocket:
            try:
                yield await accepted, websocket
            finally:
                done.set()


async def answer(exchange: Exchange) -> None:
    await exchange.send_head(OK)
    received = 0
    async for piece in exchange:
        received += len(piece)
        await exchange.send(piece)
    await exchange.send_trailers(Trailers(total_items=received))


async def test_bodies_go_there_and_back_and_both_ends_drain() -> None:
    body = bytes(range(256)) * 40_000
    async with connection() as (served, dialled), asyncio.TaskGroup() as group:
        relay = Session(served, role=Role.RELAY)
        agent = Session(dialled, role=Role.AGENT, handler=answer)
        runs = [group.create_task(relay.run()), group.create_task(agent.run())]
        exchange = await relay.open(GET_PROJECTS)
        sending = group.create_task(exchange.send(body, end_stream=True))
        received = b"".join([piece async for piece in exchange])
        await sending
        assert received == body
        assert exchange.trailers == Trailers(total_items=len(body))
        agent.drain()
        async with asyncio.timeout(10):
            for run in runs:
                await run
        assert served.close_code == 1001


async def test_cut_connection_ends_both_sessions() -> None:
    async with connection() as (served, dialled):
        relay = Session(served, role=Role.RELAY)
        agent = Session(dialled, role=Role.AGENT, handler=answer)

        async def run(session: Session) -> str:
            with pytest.raises(TunnelClosedError) as caught:
                await session.run()
            assert isinstance(caught.value.__cause__, ConnectionClosed)
            return caught.value.message

        async with asyncio.TaskGroup() as group:
            runs = [group.create_task(run(session)) for session in (relay, agent)]
            exchange = await relay.open(GET_PROJECTS)
            await exchange.receive_head()
            dialled.transport.abort()
            with pytest.raises(TunnelClosedError):
                await exchange.receive()
        assert all("link was lost" in task.result() for task in runs)


async def test_cancelled_call_leaves_nothing_behind() -> None:
    async with connection() as (served, dialled), asyncio.TaskGroup() as group:
        relay = Session(served, role=Role.RELAY)
        agent = Session(dialled, role=Role.AGENT, handler=answer)
        group.create_task(relay.run())
        group.create_task(agent.run())
        exchange = await relay.open(GET_PROJECTS)
        await exchange.send(bytes(100_000))
        exchange.reset(ResetCode.CANCEL)
        with pytest.raises(StreamResetError):
            await exchange.receive()
        await until(lambda: not relay.in_flight and not agent.in_flight)
        relay.drain()
