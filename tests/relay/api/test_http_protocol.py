import asyncio
import contextlib
from pathlib import Path

import pytest

from doubles.relay_node import Node, running_node


async def exchange(node: Node, *parts: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", node.addresses.port)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0.01)
        return await reader.read(65_536)
    except ConnectionResetError:
        return b""
    finally:
        writer.close()
        with contextlib.suppress(ConnectionResetError):
            await writer.wait_closed()


REQUEST = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"


@pytest.fixture
async def small(tmp_path: Path) -> object:
    async with running_node(
        tmp_path, api={"max_header_bytes": 4096, "head_timeout": 0.5}
    ) as running:
        yield running


async def test_one_endless_header_is_refused(small: Node) -> None:
    answer = await exchange(small, REQUEST + b"X: ", b"a" * 3000, b"a" * 3000)
    assert answer.startswith(b"HTTP/1.1 431")


async def test_many_headers_are_refused(small: Node) -> None:
    many = b"".join(b"X-%d: y\r\n" % number for number in range(1000))
    answer = await exchange(small, REQUEST + many + b"\r\n")
    assert answer.startswith(b"HTTP/1.1 431")


async def test_long_request_line_is_refused(small: Node) -> None:
    answer = await exchange(small, b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 431")


async def test_trailers_count_too(small: Node) -> None:
    trailers = b"".join(b"X-%d: y\r\n" % number for number in range(1000))
    answer = await exchange(
        small,
        b"POST /Token HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
        trailers + b"\r\n",
    )
    assert b" 200 " not in answer.split(b"\r\n")[0]


async def test_head_that_trickles_is_cut_off(small: Node) -> None:
    answer = await exchange(small, REQUEST)
    assert answer == b""


async def test_silent_connection_is_cut_off(small: Node) -> None:
    assert await exchange(small) == b""


async def test_broken_request_is_a_400(small: Node) -> None:
    answer = await exchange(small, b"nonsense\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400")


async def test_connection_is_kept_for_the_next_request_and_its_clock_starts_anew(
    small: Node,
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", small.addresses.port)
    for _ in range(3):
        writer.write(REQUEST + b"\r\n")
        assert (await reader.readuntil(b"}")).startswith(b"HTTP/1.1 200")
        await asyncio.sleep(0.25)
    writer.write(REQUEST)
    assert await reader.read(100) == b""
    writer.close()
    await writer.wait_closed()


async def test_websocket_upgrade_finds_nothing_here(node: Node) -> None:
    answer = await exchange(
        node,
        REQUEST
        + b"Connection: Upgrade, close\r\nUpgrade: websocket\r\n"
        + b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
    )
    assert not answer.startswith(b"HTTP/1.1 101")
