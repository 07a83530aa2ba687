"""Connections to Procore's hosts: through TLS and proxies, with failures as sentences."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx
import pytest

from cloud_connect_agent.procore.transport import (
    Origin,
    Sent,
    Timeouts,
    describe_failure,
)
from cloud_connect_agent.proxies import Proxies, ProxySettings
from cloud_connect_agent.reaching import DialError
from cloud_connect_agent.tls import client_context
from doubles.certificates import Authority
from doubles.fake_procore import FakeHost, Reply
from doubles.origins import TARGET, TIMES, get


def by(url: str) -> Proxies:
    return Proxies(ProxySettings(url=url, loopback=True))


@pytest.fixture
async def host() -> AsyncIterator[FakeHost]:
    async with FakeHost(lambda _: Reply(body=b"fine")).serve() as made:
        yield made


@pytest.fixture
async def origin(host: FakeHost) -> AsyncIterator[Origin]:
    made = Origin(host.url, client_context(), timeouts=TIMES)
    yield made
    await made.aclose()


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
    times = Timeouts(connect_timeout=0.2, stall_timeout=0.3)
    origin = Origin(host.url.replace("http:", "https:"), client_context(), timeouts=times)
    with pytest.raises(httpx.TransportError) as caught:
        await get(origin)
    assert describe_failure(caught.value, origin.host)
    await origin.aclose()


@pytest.fixture
async def proxy() -> AsyncIterator[FakeHost]:
    """A forward proxy for plain http, which answers itself."""
    async with FakeHost(lambda _: Reply(body=b"by proxy")).serve() as made:
        yield made


async def test_a_proxy_is_used(host: FakeHost, proxy: FakeHost) -> None:
    origin = Origin(host.url, client_context(), timeouts=TIMES, proxies=by(proxy.url))
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
    secure: tuple[FakeHost, Path],
) -> None:
    host, ca_file = secure
    async with connect_proxy() as (url, tunnels):
        origin = Origin(host.url, client_context(ca_file), timeouts=TIMES, proxies=by(url))
        await origin.reach()
        assert await get(origin) == (200, b"fine")
        sent = Sent()
        response = await origin.send("POST", b"/x", headers=(), reuse=False, sent=sent)
        await response.aclose()
        await origin.aclose()
    assert sent.started
    assert tunnels == [host.url.removeprefix("https://")] * 3
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
    url = "https://sandbox.procore.com"
    origin = Origin(url, client_context(), timeouts=TIMES, proxies=by(proxy.url))
    sent = Sent()
    with pytest.raises(httpx.ProxyError) as caught:
        await origin.send("POST", b"/rest/x", headers=(), reuse=False, sent=sent)
    said = describe_failure(caught.value, origin.host)
    assert said.startswith(f"sandbox.procore.com cannot be reached. The proxy {proxy.url} wants")
    with pytest.raises(DialError, match="wants a user name and password"):
        await origin.reach()
    assert not sent.started
    assert (proxy.seen[0].method, proxy.seen[0].target) == ("CONNECT", "sandbox.procore.com:443")
    await origin.aclose()


async def test_who_failed_is_named_the_proxy_or_the_host(secure: tuple[FakeHost, Path]) -> None:
    host, _ = secure
    dead = by("http://127.0.0.1:9")
    origin = Origin("https://sandbox.procore.com", client_context(), timeouts=TIMES, proxies=dead)
    with pytest.raises(httpx.ProxyError) as caught:
        await origin.send("GET", b"/rest/x", headers=(), reuse=True)
    said = describe_failure(caught.value, origin.host)
    assert "The proxy http://127.0.0.1:9 (proxy.url) cannot be reached." in said
    await origin.aclose()
    async with connect_proxy() as (url, _):
        origin = Origin(host.url, client_context(), timeouts=TIMES, proxies=by(url))
        with pytest.raises(httpx.ConnectError) as failed:
            await origin.send("GET", b"/rest/x", headers=(), reuse=True)
        assert "certificate of 127.0.0.1 is not trusted" in describe_failure(
            failed.value, origin.host
        )
        await origin.aclose()


@pytest.mark.parametrize(
    ("exc", "words"),
    [
        (httpx.ConnectTimeout("x"), "did not accept a connection in time"),
        (httpx.ReadTimeout("x"), "did not answer in time"),
        (TimeoutError(), "did not answer in time"),
        (httpx.LocalProtocolError("odd"), "could not be sent: odd"),
        (httpx.ReadError(""), "host cut the connection."),
        (ConnectionResetError(104, "Connection reset by peer"), "host cut the connection."),
        (httpx.ReadError("odd"), "connection to host failed: odd"),
        (httpx.CloseError(""), "connection to host failed: CloseError"),
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
