import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.protocol import CONNECTING, OPEN, SERVER
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from cloud_connect.guarded_links import (
    GuardedClientProtocol,
    GuardedServerProtocol,
    PunctualConnection,
)
from cloud_connect.tunnel import Limits
from doubles.raw_frames import BINARY, CONT, PING, PONG, ws_frame

BURST = Limits().flood_burst
TUNNEL = Subprotocol("cloud-connect.v1")


def relays_end(clock: list[float]) -> GuardedServerProtocol:
    made = GuardedServerProtocol(state=OPEN, max_size=128 * 1024)
    made.clock = lambda: clock[0]
    return made


def test_guarded_protocol_is_like_the_one_it_stands_for() -> None:
    made = GuardedServerProtocol.of(ServerProtocol(subprotocols=[TUNNEL], max_size=7))
    assert (made.available_subprotocols, made.max_message_size) == ([TUNNEL], 7)
    assert (made.side, made.state) == (SERVER, CONNECTING)


@pytest.mark.parametrize(
    "flood",
    [
        ws_frame(PING, mask=True),
        ws_frame(PONG, b"x" * 125, mask=True),
        ws_frame(CONT, mask=True, fin=False),
        ws_frame(BINARY, b"x", mask=True, fin=False) + ws_frame(CONT, mask=True),
    ],
    ids=["pings", "pongs", "empty fragments", "messages in crumbs"],
)
def test_frames_without_use_end_the_link_after_the_burst(flood: bytes) -> None:
    link = relays_end([10.0])
    if flood[0] == CONT:
        link.receive_data(ws_frame(BINARY, mask=True, fin=False))
    for _ in range(BURST - 1):
        link.receive_data(flood)
    for _ in range(2):
        if link.state is OPEN:
            link.receive_data(flood)
    assert link.close_sent is not None
    assert link.close_sent.code == 1002
    assert link.close_sent.reason.startswith("rate_abuse")


def test_what_a_proxy_makes_of_messages_is_taken() -> None:
    clock = [0.0]
    link = relays_end(clock)
    for _ in range(200):
        for last in (False, True):
            kind = CONT if last else BINARY
            link.receive_data(ws_frame(kind, bytes(1400), mask=True, fin=last))
    for _ in range(10 * BURST):
        link.receive_data(ws_frame(PING, mask=True))
        clock[0] += 0.011
    assert link.state is OPEN


def test_agents_end_is_guarded_as_well() -> None:
    link = GuardedClientProtocol(parse_uri("ws://relay.example/tunnel"), state=OPEN)
    link.clock = lambda: 5.0
    for _ in range(BURST + 1):
        link.receive_data(ws_frame(PING, mask=False))
    assert link.close_sent is not None
    assert link.close_sent.reason.startswith("rate_abuse")


class Far(PunctualConnection, ServerConnection):
    pass


@contextlib.asynccontextmanager
async def pair() -> AsyncIterator[tuple[ClientConnection, ServerConnection]]:
    met: asyncio.Future[ServerConnection] = asyncio.get_running_loop().create_future()

    async def hold(connection: ServerConnection) -> None:
        met.set_result(connection)
        with contextlib.suppress(ConnectionClosed):
            await connection.recv()

    async with (
        serve(hold, "127.0.0.1", 0, create_connection=Far, close_timeout=0.2) as server,
        connect(
            f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}", proxy=None, close_timeout=0.2
        ) as near,
    ):
        yield near, await met


async def test_peer_that_breaks_a_rule_and_stays_is_cut_off() -> None:
    async with pair() as (near, far):
        near.transport.pause_reading()  # it never sees the farewell, so it does not hang up
        near.transport.write(ws_frame(3, mask=True) + ws_frame(3, mask=True))
        async with asyncio.timeout(2):
            await far.wait_closed()
        near.transport.resume_reading()


async def test_orderly_end_leaves_no_timer_behind() -> None:
    async with pair() as (near, far):
        await near.close()
        await far.wait_closed()
        assert near.close_code == far.close_code == 1000


async def test_link_that_breaks_off_had_no_timer_to_leave_behind() -> None:
    async with pair() as (near, far):
        near.transport.abort()
        async with asyncio.timeout(2):
            await far.wait_closed()
        assert far.close_code == 1006
