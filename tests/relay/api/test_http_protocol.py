import asyncio
import contextlib
import time
from email.utils import parsedate_to_datetime
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


@pytest.mark.catalogue("T97")
async def test_websocket_upgrade_is_refused_here(node: Node) -> None:
    answer = await exchange(
        node,
        REQUEST
        + b"Connection: Upgrade, close\r\nUpgrade: websocket\r\n"
        + b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
    )
    assert answer.startswith(b"HTTP/1.1 400")


async def lasts(node: Node, *parts: bytes) -> bytes:
    """Send bytes and read until the connection is closed, which must be soon."""
    reader, writer = await asyncio.open_connection("127.0.0.1", node.addresses.port)
    answer = b""
    try:
        async with asyncio.timeout(5):
            for part in parts:
                with contextlib.suppress(OSError, RuntimeError):  # it was closed meanwhile
                    writer.write(part)
                await asyncio.sleep(0.05)
            with contextlib.suppress(ConnectionError):
                while piece := await reader.read(65_536):
                    answer += piece
    finally:
        writer.transport.abort()
    return answer


async def test_more_headers_than_a_head_of_the_tunnel_has_are_refused(small: Node) -> None:
    some = b"".join(b"X-%d: \r\n" % number for number in range(260))
    assert (await exchange(small, REQUEST + some + b"\r\n")).startswith(b"HTTP/1.1 431")


async def test_line_ends_behind_a_request_keep_no_connection(small: Node) -> None:
    answer = await lasts(small, REQUEST + b"\r\n", b"\r\n")
    assert answer.count(b"HTTP/1.1 200") == 1


async def test_body_that_nobody_wants_keeps_no_connection(small: Node) -> None:
    start = b"POST /api/connectors HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n"
    assert (await lasts(small, start, b"x", b"x")).startswith(b"HTTP/1.1 401")


async def test_body_of_a_stranger_has_the_time_of_a_head(small: Node) -> None:
    start = b"POST /Token HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n"
    answer = await lasts(small, start, b"x")
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"connection: close" in answer.lower()


async def test_chunks_that_are_nearly_all_extension_are_refused(small: Node) -> None:
    start = b"POST /Token HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    start += b"Transfer-Encoding: chunked\r\n\r\n"
    chunk = b"1;" + b"x" * 10_000 + b"\r\na\r\n"
    answer = await lasts(small, start, *[chunk] * 10)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 400")
    crumbs = await lasts(small, start, *[b"1\r\na\r\n" * 1000] * 3, b"0\r\n\r\n")
    assert crumbs.startswith(b"HTTP/1.1 4")


async def test_answer_in_progress_is_cut_rather_than_mixed_with_a_refusal(small: Node) -> None:
    start = b"POST /Token HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = await lasts(small, start + b"zz\r\n")
    assert answer.startswith(b"HTTP/1.1 400")
    assert answer.count(b"HTTP/1.1") == 1


async def test_connections_without_a_request_are_few(tmp_path: Path) -> None:
    async with running_node(tmp_path, api={"max_pending": 2}) as node:
        port = node.addresses.port
        waiting = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        third, writer = await asyncio.open_connection("127.0.0.1", port)
        with contextlib.suppress(ConnectionResetError):
            assert await third.read(1) == b""
        writer.close()
        waiting[0][1].write(REQUEST + b"\r\n")  # who says what it wants is no stranger any more
        assert (await waiting[0][0].readuntil(b"}")).startswith(b"HTTP/1.1 200")
        fourth, another = await asyncio.open_connection("127.0.0.1", port)
        another.write(REQUEST + b"\r\n")
        assert (await fourth.readuntil(b"}")).startswith(b"HTTP/1.1 200")
        for _, one in (*waiting, (fourth, another)):
            one.close()
            await one.wait_closed()


async def test_answers_bear_the_date_of_their_second(node: Node) -> None:
    async def behind() -> float:
        answer = await node.api.get("/healthz")
        return time.time() - parsedate_to_datetime(answer.headers["date"]).timestamp()

    assert 0 <= await behind() < 3
    await asyncio.sleep(3)
    assert 0 <= await behind() < 3
