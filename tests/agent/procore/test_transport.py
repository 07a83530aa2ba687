"""Connections to Procore: reused, strict, bounded, through proxies and TLS."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx
import pytest

from cloud_connect_agent.procore import http_pool
from cloud_connect_agent.procore.transport import (
    Origin,
    Sent,
    Timeouts,
    describe_failure,
    proxy_for,
)
from cloud_connect_agent.tls import client_context
from doubles.certificates import Authority
from doubles.fake_procore import FakeHost, Reply

TIMES = Timeouts(connect_timeout=2.0, stall_timeout=0.3)


@pytest.fixture
async def host() -> AsyncIterator[FakeHost]:
    async with FakeHost(lambda _: Reply(body=b"fine")).serve() as made:
        yield made


@pytest.fixture
async def origin(host: FakeHost) -> AsyncIterator[Origin]:
    made = Origin(host.url, client_context(), timeouts=TIMES)
    yield made
    await made.aclose()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.005)


TARGET = b'/rest/v1.0/me?filters[q]="<a>"&b=%2f..'


async def get(origin: Origin, target: bytes = TARGET, *, method: str = "GET") -> tuple[int, bytes]:
    response = await origin.send(method, target, headers=(), reuse=True)
    try:
        assert isinstance(response.stream, httpx.AsyncByteStream)
        body = b"".join([chunk async for chunk in response.stream])
    finally:
        await response.aclose()
    return response.status_code, body


def raw(text: str) -> Reply:
    return Reply(raw=text.replace("\n", "\r\n").encode("latin-1"))


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


async def test_a_head_request_has_no_body(origin: Origin, host: FakeHost) -> None:
    host.default = lambda _: Reply(body=b"12345")
    for _ in range(2):
        assert await get(origin, method="HEAD") == (200, b"")
    assert [seen.method for seen in host.seen] == ["HEAD", "HEAD"]


async def test_a_base_url_may_have_a_path(host: FakeHost) -> None:
    origin = Origin(f"{host.url}/gateway", client_context(), timeouts=TIMES)
    await get(origin)
    await origin.send("POST", b"/rest/x", headers=(), reuse=False)
    await origin.aclose()
    assert [seen.target for seen in host.seen] == [f"/gateway{TARGET.decode()}", "/gateway/rest/x"]


async def test_the_first_byte_of_a_write_is_noted(origin: Origin) -> None:
    sent = Sent()
    response = await origin.send("POST", b"/x", headers=(), reuse=False, sent=sent)
    await response.aclose()
    assert sent.started
    nowhere = Origin("http://127.0.0.1:9", client_context(), timeouts=TIMES)
    sent = Sent()
    with pytest.raises(httpx.ConnectError):
        await nowhere.send("POST", b"/x", headers=(), reuse=False, sent=sent)
    assert not sent.started
    await nowhere.aclose()


# TLS.


@pytest.fixture
async def secure(tmp_path: Path) -> AsyncIterator[tuple[FakeHost, Path]]:
    authority = Authority.make()
    certificate, key = authority.issue(tmp_path, "localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    async with FakeHost(lambda _: Reply(body=b"fine")).serve(ssl=context) as made:
        yield made, authority.trusted(tmp_path)


async def test_an_authority_of_the_company_can_be_trusted(
    secure: tuple[FakeHost, Path],
) -> None:
    host, ca_file = secure
    origin = Origin(host.url, client_context(ca_file), timeouts=TIMES)
    await origin.reach()
    for _ in range(3):
        assert await get(origin) == (200, b"fine")
    response = await origin.send("POST", b"/x", headers=(), reuse=False)
    assert response.status_code == 200
    await response.aclose()
    await origin.aclose()
    assert host.connections == 3


async def test_a_certificate_that_nobody_vouches_for_is_refused(
    secure: tuple[FakeHost, Path],
) -> None:
    host, _ = secure
    origin = Origin(host.url, client_context(), timeouts=TIMES)
    for reuse in (True, False):
        with pytest.raises(httpx.ConnectError) as caught:
            await origin.send("GET", b"/x", headers=(), reuse=reuse)
        assert "certificate of 127.0.0.1 is not trusted" in describe_failure(
            caught.value, origin.host
        )
    with pytest.raises(ssl.SSLCertVerificationError):
        await origin.reach()
    await origin.aclose()
    assert not host.seen


async def test_plain_text_on_a_secure_port_is_told(host: FakeHost) -> None:
    origin = Origin(host.url.replace("http:", "https:"), client_context(), timeouts=TIMES)
    with pytest.raises(httpx.TransportError) as caught:
        await get(origin)
    assert describe_failure(caught.value, origin.host)
    await origin.aclose()


# Proxies.


@pytest.fixture
async def proxy(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeHost]:
    """A forward proxy for plain http, which answers itself."""
    async with FakeHost(lambda _: Reply(body=b"by proxy")).serve() as made:
        monkeypatch.setenv("http_proxy", made.url)
        monkeypatch.setenv("https_proxy", made.url.removeprefix("http://"))
        monkeypatch.setenv("no_proxy", "intern.example")
        yield made


async def test_a_proxy_of_the_system_is_used(host: FakeHost, proxy: FakeHost) -> None:
    origin = Origin(host.url, client_context(), timeouts=TIMES)
    assert await get(origin) == (200, b"by proxy")
    response = await origin.send("POST", b"/rest/x", headers=(), reuse=False)
    await response.aclose()
    await origin.reach()
    await origin.aclose()
    assert [seen.target for seen in proxy.seen] == [
        f"{host.url}{TARGET.decode()}",
        f"{host.url}/rest/x",
    ]
    assert not host.seen


async def test_a_tunnel_of_a_proxy_carries_reads_and_writes(
    secure: tuple[FakeHost, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    host, ca_file = secure
    async with connect_proxy() as (url, tunnels):
        monkeypatch.setenv("https_proxy", url)
        monkeypatch.setenv("no_proxy", "")
        origin = Origin(host.url, client_context(ca_file), timeouts=TIMES)
        assert await get(origin) == (200, b"fine")
        sent = Sent()
        response = await origin.send("POST", b"/x", headers=(), reuse=False, sent=sent)
        await response.aclose()
        await origin.aclose()
    assert sent.started
    assert tunnels == [host.url.removeprefix("https://")] * 2
    assert [seen.target for seen in host.seen] == [TARGET.decode(), "/x"]


@asynccontextmanager
async def connect_proxy() -> AsyncIterator[tuple[str, list[str]]]:
    """A proxy that opens tunnels, and where to."""
    tunnels: list[str] = []
    tasks: set[asyncio.Task[None]] = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        head = await reader.readuntil(b"\r\n\r\n")
        target = head.split()[1].decode()
        tunnels.append(target)
        name, _, port = target.partition(":")
        far_reader, far_writer = await asyncio.open_connection(name, int(port))
        writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
        await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", tunnels
    finally:
        server.close()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_proxy_that_refuses_is_told_and_nothing_was_sent(proxy: FakeHost) -> None:
    proxy.default = lambda _: Reply(status=407)
    origin = Origin("https://sandbox.procore.com", client_context(), timeouts=TIMES)
    sent = Sent()
    with pytest.raises(httpx.ProxyError) as caught:
        await origin.send("POST", b"/rest/x", headers=(), reuse=False, sent=sent)
    assert "proxy did not connect to sandbox.procore.com: 407" in describe_failure(
        caught.value, origin.host
    )
    assert not sent.started
    assert (proxy.seen[0].method, proxy.seen[0].target) == ("CONNECT", "sandbox.procore.com:443")
    await origin.aclose()


@pytest.mark.usefixtures("proxy")
def test_the_proxy_is_chosen_by_scheme_and_host(monkeypatch: pytest.MonkeyPatch) -> None:
    https = proxy_for("https://api.procore.com")
    assert https is not None
    assert https.startswith("http://127.0.0.1:")
    assert proxy_for("https://intern.example") is None
    monkeypatch.delenv("https_proxy")
    assert proxy_for("https://api.procore.com") is None


@pytest.mark.parametrize(
    ("exc", "words"),
    [
        (httpx.ConnectTimeout("x"), "did not accept a connection in time"),
        (httpx.ReadTimeout("x"), "did not answer in time"),
        (TimeoutError(), "did not answer in time"),
        (httpx.LocalProtocolError("odd"), "could not be sent: odd"),
        (httpx.ReadError(""), "connection to host failed: ReadError"),
        (OSError("no route"), "failed: no route"),
        (ssl.SSLError(1, "handshake"), "No secure connection to host"),
    ],
)
def test_a_failure_is_a_sentence(exc: Exception, words: str) -> None:
    assert words in describe_failure(exc, "host")


async def test_a_name_that_does_not_exist_is_told() -> None:
    origin = Origin("https://nowhere.invalid", client_context(), timeouts=TIMES)
    for reuse in (True, False):
        with pytest.raises(httpx.ConnectError) as caught:
            await origin.send("GET", b"/x", headers=(), reuse=reuse)
        assert "cannot be resolved" in describe_failure(caught.value, origin.host)
    await origin.aclose()
