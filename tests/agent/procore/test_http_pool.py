"""Connections that read many answers: reused, strict, bounded."""

import asyncio
import sys
from collections.abc import AsyncIterator

import httpx
import pytest

from cloud_connect_agent.procore import http_pool
from cloud_connect_agent.procore.transport import (
    Origin,
    Timeouts,
)
from cloud_connect_agent.tls import client_context
from doubles.fake_procore import FakeHost, Reply
from doubles.origins import TARGET, TIMES, get, raw
from doubles.waiting import until


@pytest.fixture
async def host() -> AsyncIterator[FakeHost]:
    async with FakeHost(lambda _: Reply(body=b"fine")).serve() as made:
        yield made


@pytest.fixture
async def origin(host: FakeHost) -> AsyncIterator[Origin]:
    made = Origin(host.url, client_context(), timeouts=TIMES)
    yield made
    await made.aclose()


async def test_a_connection_serves_many_requests(origin: Origin, host: FakeHost) -> None:
    for _ in range(10):
        assert await get(origin) == (200, b"fine")
    assert host.connections == 1
    assert {seen.target for seen in host.seen} == {TARGET.decode()}


async def test_requests_at_once_have_a_connection_each(origin: Origin, host: FakeHost) -> None:
    host.default = lambda _: Reply(body=b"fine", delay=0.05)
    await asyncio.gather(*[get(origin) for _ in range(5)])
    await asyncio.gather(*[get(origin) for _ in range(5)])
    assert host.connections == 5


async def test_a_body_goes_along_in_one_piece(origin: Origin, host: FakeHost) -> None:
    response = await origin.send("GET", b"/x", headers=(), content=b'{"a":1}', reuse=True)
    await response.aclose()
    assert host.seen[0].body == b'{"a":1}'


async def test_a_connection_that_was_closed_meanwhile_is_not_used(
    origin: Origin, host: FakeHost
) -> None:
    host.then(raw("HTTP/1.1 200 OK\nContent-Length: 2\n\nok"))  # and closed without a word
    assert await get(origin) == (200, b"ok")
    await until(lambda: host.open == 0)
    await asyncio.sleep(0.05)
    assert await get(origin) == (200, b"fine")
    assert host.connections == 2


async def test_a_connection_that_speaks_unasked_is_closed(origin: Origin, host: FakeHost) -> None:
    host.then(raw("HTTP/1.1 200 OK\nContent-Length: 2\n\nokHTTP/1.1 200 OK\nA: b\n\n"))
    assert await get(origin) == (200, b"ok")
    assert await get(origin) == (200, b"fine")
    assert host.connections == 2


async def test_a_connection_gets_too_old(
    origin: Origin, host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_pool, "_KEEPALIVE", 0.05)
    await get(origin)
    await until(lambda: host.open == 0)  # closed without a request
    await get(origin)
    assert host.connections == 2


async def test_a_connection_that_is_just_too_old_is_not_used(
    origin: Origin, host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    await get(origin)
    monkeypatch.setattr(http_pool, "_KEEPALIVE", 0.0)
    await get(origin)
    assert host.connections == 2


async def test_the_peer_may_ask_for_the_end(origin: Origin, host: FakeHost) -> None:
    host.default = lambda _: Reply(body=b"fine", headers={"Connection": "close"})
    assert await get(origin) == (200, b"fine")
    assert await get(origin) == (200, b"fine")
    assert host.connections == 2


async def test_an_answer_that_is_left_costs_its_connection(origin: Origin, host: FakeHost) -> None:
    host.then(Reply(body=b"x" * 5_000_000))
    response = await origin.send("GET", b"/x", headers=(), reuse=True)
    await response.aclose()
    await until(lambda: host.open == 0)
    assert await get(origin) == (200, b"fine")


async def test_a_cancelled_request_costs_its_connection(origin: Origin, host: FakeHost) -> None:
    host.then(Reply(delay=5))
    task = asyncio.create_task(get(origin))
    await until(lambda: len(host.seen) == 1)
    task.cancel()
    await asyncio.wait({task})
    await until(lambda: host.open == 0)


async def test_a_slow_reader_holds_the_sender_back(origin: Origin, host: FakeHost) -> None:
    host.then(Reply(body=b"x" * 50_000_000))
    response = await origin.send("GET", b"/x", headers=(), reuse=True)
    stream = response.stream
    assert isinstance(stream, httpx.AsyncByteStream)
    await asyncio.sleep(0.2)
    queued = stream._connection._queued  # type: ignore[attr-defined]
    assert 256 * 1024 < queued < 2 * 1024 * 1024
    size = 0
    async for chunk in stream:
        size += len(chunk)
    assert size == 50_000_000
    await response.aclose()
    assert await get(origin) == (200, b"fine")
    assert host.connections == 1


async def test_an_answer_complete_but_unread_is_not_kept_waiting(
    origin: Origin, host: FakeHost
) -> None:
    host.then(Reply(body=b"x" * 1_000_000))
    response = await origin.send("GET", b"/x", headers=(), reuse=True)
    await asyncio.sleep(0.1)
    await response.aclose()
    assert await get(origin) == (200, b"fine")


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        ("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n3\nabc\n2;x=y\nde\n0\n\n", b"abcde"),
        ("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n1\na\n0\nA: b\n\n", b"a"),
        ("HTTP/1.1 200 OK\n\nuntil the end", b"until the end"),
        ("HTTP/1.0 200 OK\n\nuntil the end", b"until the end"),
        ("HTTP/1.1 204 No Content\n\n", b""),
        ("HTTP/1.1 304 Not Modified\nETag: x\n\n", b""),
        ("HTTP/1.1 100 Continue\n\nHTTP/1.1 200 OK\nContent-Length: 2\n\nok", b"ok"),
        ("HTTP/1.1 103 Early\nLink: x\n\nHTTP/1.1 200 OK\nContent-Length: 2\n\nok", b"ok"),
    ],
)
async def test_every_proper_framing_is_read(
    origin: Origin, host: FakeHost, answer: str, body: bytes
) -> None:
    host.then(raw(answer))
    assert (await get(origin))[1] == body


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "HTTP/1.1 2",
        "HTTP/1.1 200 OK\nContent-Length: 5",
        "HTTP/1.1 200 OK\nContent-Length: 5\n\nabc",
        "HTTP/1.1 200 OK\nContent-Length: 5\nContent-Length: 5\n\nabcde",
        "HTTP/1.1 200 OK\nContent-Length: 5\nContent-Length: 6\n\nabcde",
        "HTTP/1.1 200 OK\nContent-Length: 5, 5\n\nabcde",
        "HTTP/1.1 200 OK\nContent-Length: -5\n\nabcde",
        "HTTP/1.1 200 OK\nContent-Length: 0x5\n\nabcde",
        "HTTP/1.1 200 OK\nContent-Length: 5\nTransfer-Encoding: chunked\n\n0\n\n",
        "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nContent-Length: 5\n\n0\n\n",
        "HTTP/1.1 200 OK\nTransfer-Encoding: gzip, chunked\n\n0\n\n",
        "HTTP/1.1 200 OK\nTransfer-Encoding: gzip\n\nabc",
        "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nTransfer-Encoding: chunked\n\n0\n\n",
        "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\nzz\nabc\n0\n\n",
        "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n3\nabcde\n0\n\n",
        "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n3\nabc\n",
        "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\nfffffffffffffffff\nabc\n",
        "HTTP/1.1 200 OK\n Folded: x\n\n",
        "HTTP/1.1 200 OK\nBad Name: x\n\n",
        "HTTP/1.1 200 OK\nA: \x00\n\n",
        "HTTP/1.1 101 Switching Protocols\nUpgrade: x\nConnection: upgrade\n\n",
        "HTTP/9.9 200 OK\n\n",
        "SSH-2.0-OpenSSH\n\n",
        "HTTP/1.1 200 OK\n" + "A: b\n" * 300 + "\n",
        "HTTP/1.1 200 OK\nA: " + "b" * 200_000 + "\n\n",
    ],
)
async def test_what_could_be_read_in_two_ways_is_refused(
    origin: Origin, host: FakeHost, answer: str
) -> None:
    host.then(raw(answer))
    with pytest.raises(httpx.TransportError):
        await get(origin)
    assert await get(origin) == (200, b"fine")


async def test_a_head_without_an_end_is_bounded(origin: Origin, host: FakeHost) -> None:
    host.then(Reply(raw=b"HTTP/1.1 200 OK\r\nA: " + b"b" * 10_000_000))
    with pytest.raises(httpx.RemoteProtocolError, match="a head of more than"):
        await get(origin)


@pytest.mark.parametrize("reply", [Reply(delay=5), Reply(body=b"12345", cut=2, hang=True)])
async def test_a_host_that_stalls_is_given_up(origin: Origin, host: FakeHost, reply: Reply) -> None:
    host.then(reply)
    with pytest.raises(httpx.ReadTimeout):
        await get(origin)
    await until(lambda: host.open == 0)


async def test_a_header_cannot_start_a_line(origin: Origin, host: FakeHost) -> None:
    for value in (b"a\r\nEvil: b", b"a\nEvil: b", b"a\rb", b"a\0b"):
        with pytest.raises(httpx.LocalProtocolError):
            await origin.send("GET", b"/x", headers=((b"a", value),), reuse=True)
    with pytest.raises(httpx.LocalProtocolError):
        await origin.send("GET", b"/x y HTTP/1.1\r\nEvil: b", headers=(), reuse=True)
    assert not host.seen


async def test_a_failed_handshake_is_told_and_leaves_no_socket_behind() -> None:
    gone = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")  # what a plain server says to TLS
        await reader.read()
        writer.close()
        gone.set()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        origin = Origin(f"https://127.0.0.1:{port}", client_context(), timeouts=TIMES)
        with pytest.raises(httpx.ConnectError):
            await get(origin)
        async with asyncio.timeout(5):
            await gone.wait()
        await origin.aclose()


@pytest.mark.skipif(sys.platform == "win32", reason="there is no uvloop for Windows")
def test_uvloop_carries_requests_too() -> None:
    import uvloop

    async def ask() -> None:
        async with FakeHost(lambda _: Reply(body=b"fine" * 100_000)).serve() as host:
            origin = Origin(host.url, client_context(), timeouts=TIMES)
            try:
                for _ in range(2):
                    assert await get(origin) == (200, b"fine" * 100_000)
                assert host.connections == 1
            finally:
                await origin.aclose()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(ask())


async def test_connections_age_one_by_one(
    origin: Origin, host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_pool, "_KEEPALIVE", 0.3)
    host.default = lambda _: Reply(body=b"fine", delay=0.05)
    await asyncio.gather(get(origin), get(origin))
    await asyncio.sleep(0.2)
    await get(origin)
    await until(lambda: host.open == 1)
    await until(lambda: host.open == 0)


async def test_a_host_that_accepts_no_connection_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def never(*_: object, **__: object) -> None:
        await asyncio.sleep(5)

    monkeypatch.setattr(http_pool, "connect_first", never)
    times = Timeouts(connect_timeout=0.05, stall_timeout=0.3)
    origin = Origin("http://127.0.0.1:9", client_context(), timeouts=times)
    with pytest.raises(httpx.ConnectTimeout):
        await get(origin)
    await origin.aclose()


async def test_what_is_given_back_after_the_end_is_closed(host: FakeHost) -> None:
    origin = Origin(host.url, client_context(), timeouts=TIMES)
    response = await origin.send("GET", b"/x", headers=(), reuse=True)
    assert isinstance(response.stream, httpx.AsyncByteStream)
    assert b"".join([chunk async for chunk in response.stream]) == b"fine"
    await origin.aclose()
    await response.aclose()
    await until(lambda: host.open == 0)
