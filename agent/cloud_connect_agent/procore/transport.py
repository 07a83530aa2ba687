"""Connections to one origin, through httpx's transports: reused for reads, never for writes."""

import asyncio
import itertools
import socket
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import httpx

from cloud_connect_agent.procore.bodies import BodyLimits, read_body
from cloud_connect_agent.procore.http_pool import PooledTransport
from cloud_connect_agent.proxies import Proxy, explain_refusal
from cloud_connect_agent.reaching import reach
from cloud_connect_agent.stages import Stage, spent

__all__ = ["ExactUrl", "Origin", "Sent", "Timeouts", "describe_failure", "fault_of", "through"]

_POOLS: Final = 8  # httpcore walks a whole pool on every request: many small ones cost less
_POOL_SIZE: Final = 8  # connections of one pool
_KEEPALIVE: Final = 20.0  # seconds; below what load balancers in front of APIs allow

# Steps of the transport's trace that make a connection.
_CONNECTING: Final = (".connect_tcp.started", ".start_tls.started")
_CONNECTED: Final = tuple(
    f".{step}.{end}" for step in ("connect_tcp", "start_tls") for end in ("complete", "failed")
)

RawHeaders = Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Bounds of one request's steps, in seconds; deadlines come on top."""

    connect_timeout: float = 10.0
    stall_timeout: float = 60.0


def through(proxy: Proxy | None) -> httpx.Proxy | None:
    """Return the proxy as httpx has it."""
    return None if proxy is None else httpx.Proxy(proxy.url, auth=proxy.sign_in)


class _Place(NamedTuple):
    host: str
    port: int


class Sent:
    """Whether a request's first byte went out: before that, it was surely not executed."""

    __slots__ = ("_connecting", "started")

    def __init__(self) -> None:
        self._connecting: Final = spent(Stage.CONNECT)
        self.started = False

    async def __call__(self, event: str, info: Mapping[str, object]) -> None:
        """Take a trace event of the transport."""
        if event.endswith(".send_request_headers.started"):
            # What asks a proxy for a tunnel is not yet the request.
            self.started |= getattr(info.get("request"), "method", b"") != b"CONNECT"
        elif event.endswith(_CONNECTING):
            self._connecting.__enter__()
        elif event.endswith(_CONNECTED):
            self._connecting.__exit__(None, None, None)


class ExactUrl(httpx.URL):
    """A base URL with a path and query that are sent to the byte."""

    def __init__(self, base: httpx.URL, target: bytes) -> None:
        super().__init__(base)
        self._target = target

    @property
    def raw_path(self) -> bytes:
        """Path and query."""
        return self._target


class Origin:
    """One base URL and the connections to it.

    Redirects are never followed, cookies never kept, and nothing is sent twice: that is
    the caller's decision.
    """

    def __init__(
        self,
        base_url: str,
        ssl_context: ssl.SSLContext,
        *,
        timeouts: Timeouts,
        proxy: Proxy | None = None,
    ) -> None:
        self.base_url: Final = base_url
        self._url: Final = httpx.URL(f"{base_url}/")
        self._prefix: Final = urlsplit(base_url).path.rstrip("/").encode("ascii")
        self._host: Final = self._url.netloc
        self._ssl: Final = ssl_context
        self._timeouts: Final = timeouts
        self.proxy: Final = proxy
        self._direct: Final = None if self.proxy else self._pool()
        self._readers: Final = [
            self._transport(connections=_POOL_SIZE, reuse=True)
            for _ in range(_POOLS if self.proxy else 1)
        ]
        self._turns: Final = itertools.cycle(self._readers)
        # A reused connection may die as a write is sent, and nobody knows if it arrived.
        self._writer: Final = self._transport(connections=None, reuse=False)

    @property
    def host(self) -> str:
        """The host's name, for people."""
        return self._url.host

    def _pool(self) -> PooledTransport:
        secure = self._url.scheme == "https"
        return PooledTransport(
            self._url.host,
            self._url.port or (443 if secure else 80),
            self._ssl if secure else None,
        )

    def _transport(self, *, connections: int | None, reuse: bool) -> httpx.AsyncHTTPTransport:
        return httpx.AsyncHTTPTransport(
            verify=self._ssl,
            trust_env=False,
            limits=httpx.Limits(
                max_connections=connections,
                max_keepalive_connections=connections if reuse else 0,
                keepalive_expiry=_KEEPALIVE,
            ),
            proxy=through(self.proxy),
            retries=0,
        )

    async def send(
        self,
        method: str,
        target: bytes,
        *,
        headers: RawHeaders,
        content: bytes | AsyncIterator[bytes] | None = None,
        reuse: bool,
        sent: "Sent | None" = None,
        read_timeout: float | None = None,
    ) -> httpx.Response:
        """Send a request and return the answer's head; its body is unread.

        Args:
            target: Path and query below the base URL, sent as they are.
            reuse: Whether the connection may be one that served others.
            sent: Told when the first byte goes out; for requests without *reuse*.
            read_timeout: How long to wait for the next bytes, if not as long as usual.

        Raises:
            httpx.TransportError: If it failed.
        """
        timeouts = self._timeouts
        request = httpx.Request(
            method,
            self._url,
            headers=[
                (b"host", self._host),
                *headers,
                *(() if reuse else ((b"connection", b"close"),)),
            ],
            content=content,
            extensions={
                "timeout": {
                    "connect": timeouts.connect_timeout,
                    "read": read_timeout or timeouts.stall_timeout,
                    "write": timeouts.stall_timeout,
                    "pool": timeouts.stall_timeout,
                },
                **({} if sent is None else {"trace": sent}),
            },
        )
        request.url = ExactUrl(self._url, self._prefix + target)
        transport: httpx.AsyncBaseTransport = self._writer
        if reuse:
            plain = method == "GET" and (content is None or isinstance(content, bytes))
            transport = self._direct if plain and self._direct else next(self._turns)
        with spent(Stage.PROCORE):
            try:
                return await transport.handle_async_request(request)
            except httpx.TransportError as exc:
                if (error := fault_of(self.proxy, exc)) is None:
                    raise
                raise error from exc

    async def fetch(
        self,
        method: str,
        target: bytes,
        *,
        headers: RawHeaders,
        content: bytes | None = None,
        limits: BodyLimits,
        within: float,
        sent: "Sent | None" = None,
    ) -> tuple[int, httpx.Headers, bytes]:
        """Send a request over a connection of its own and return the whole answer.

        Args:
            within: Seconds for all of it.

        Raises:
            httpx.TransportError: If it failed.
            TimeoutError: If it took too long.
            SourceUnavailableError: If the body is over a limit.
        """
        async with asyncio.timeout(within):
            response = await self.send(
                method, target, headers=headers, content=content, reuse=False, sent=sent
            )
            try:
                body = await read_body(
                    response.aiter_raw(),
                    encoding=response.headers.get("content-encoding"),
                    limits=limits,
                )
            finally:
                await response.aclose()
        return response.status_code, response.headers, body

    async def reach(self) -> None:
        """Open a connection and close it: name, TCP and TLS of the origin, through its proxy.

        Raises:
            OSError: If one of them fails; :func:`describe_failure` says how.
            DialError: If the proxy opens no tunnel; the message says why.
        """
        seconds = self._timeouts.connect_timeout
        secure = self._url.scheme == "https"
        port = self._url.port or (443 if secure else 80)
        tls = self._ssl if secure else None
        async with asyncio.timeout(2 * seconds):
            if self.proxy is not None and secure:
                sock = await reach(self.host, port, proxy=self.proxy, attempt=0, seconds=seconds)
                _, writer = await asyncio.open_connection(
                    sock=sock, ssl=tls, server_hostname=self.host
                )
            else:
                # What goes in plain text to this machine's own addresses opens no tunnel.
                place = self.proxy or _Place(self.host, port)
                _, writer = await asyncio.open_connection(place.host, place.port, ssl=tls)
        writer.close()
        try:
            async with asyncio.timeout(1.0):
                await writer.wait_closed()
        except (OSError, TimeoutError):  # it was reached; how it parts does not matter
            writer.transport.abort()

    async def aclose(self) -> None:
        """Close all connections."""
        for transport in (*self._readers, self._writer):
            await transport.aclose()
        if self._direct is not None:
            await self._direct.aclose()


def fault_of(proxy: Proxy | None, error: httpx.TransportError) -> httpx.ProxyError | None:
    """Return the error that names *proxy*, if it is the proxy that failed and not the host."""
    if proxy is None:
        return None
    if isinstance(error, httpx.ProxyError):
        status = str(error)[:3]
        return httpx.ProxyError(
            explain_refusal(int(status), proxy)
            if status.isdigit()
            else f"What answers at {proxy.url} is no proxy"
        )
    if not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return None
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ssl.SSLError):
            return None  # the tunnel was there, and the host's TLS in it was not good
        seen = seen.__cause__ or seen.__context__
    return httpx.ProxyError(f"The proxy {proxy.url} ({proxy.source}) cannot be reached")


def describe_failure(exc: BaseException, host: str) -> str:  # noqa: C901 - a sentence per cause
    """Say in a sentence why *host* could not be reached."""
    seen: BaseException | None = exc
    while seen is not None:
        match seen:
            case ssl.SSLCertVerificationError():
                return (
                    f"The certificate of {host} is not trusted: {seen.verify_message}. If a proxy "
                    "inspects traffic here, its authority belongs in the system's store or ca_file."
                )
            case ssl.SSLError():
                return f"No secure connection to {host}: {_short(seen)}."
            case socket.gaierror():
                return f"The name {host} cannot be resolved; check DNS, the proxy and the address."
            case ConnectionRefusedError():
                return f"{host} refused the connection; check the address and the firewall."
            case ConnectionResetError() | BrokenPipeError():
                return f"{host} cut the connection."
            case httpx.ProxyError():
                return f"{host} cannot be reached. {_short(seen)}."
            case httpx.ConnectTimeout() | httpx.PoolTimeout():
                return f"{host} did not accept a connection in time; check the firewall or proxy."
            case httpx.TimeoutException() | TimeoutError():
                return f"{host} did not answer in time."
            case httpx.LocalProtocolError():
                return f"The request to {host} could not be sent: {_short(seen)}."
            case httpx.RemoteProtocolError():
                return f"{host} broke off its answer or sent none: {_short(seen)}."
            case _:
                seen = seen.__cause__ or seen.__context__
    if isinstance(exc, (httpx.ReadError, httpx.WriteError)) and not str(exc):
        return f"{host} cut the connection."  # httpx keeps no reason of a reset
    return f"The connection to {host} failed: {_short(exc)}."


def _short(exc: BaseException) -> str:
    words = " ".join(str(exc).split())[:200].rstrip(".")
    return words or type(exc).__name__
