"""Connections to one origin, through httpx's transports: reused for reads, never for writes."""

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import httpx

from cloud_connect_agent.foreign_answers import ProxyOffers, explain_other_name, explain_refusal
from cloud_connect_agent.procore.bodies import BodyLimits, read_body
from cloud_connect_agent.procore.ways import Way
from cloud_connect_agent.proxies import Proxies, Proxy, ProxySettings
from cloud_connect_agent.reaching import reach
from cloud_connect_agent.stages import Stage, spent

__all__ = ["ExactUrl", "Origin", "Sent", "Timeouts", "describe_failure", "fault_of"]

_MAX_WORDS: Final = 500  # characters of a reason
_CHOICE_SECONDS: Final = 1.0  # for which a proxy is used before the choice is made again

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
        proxies: Proxies | None = None,
    ) -> None:
        self.base_url: Final = base_url
        self._url: Final = httpx.URL(f"{base_url}/")
        self._prefix: Final = urlsplit(base_url).path.rstrip("/").encode("ascii")
        self._host: Final = self._url.netloc
        self._ssl: Final = ssl_context
        self._timeouts: Final = timeouts
        self._proxies: Final = proxies or Proxies(ProxySettings(url="none"))
        # A PC changes between networks a few times a day: there is a way for each proxy it knew.
        self._ways: Final[dict[Proxy | None, Way]] = {}
        self._way: Way | None = None
        self._chosen_at = 0.0

    @property
    def host(self) -> str:
        """The host's name, for people."""
        return self._url.host

    async def _choose(self) -> Way:
        """Return the way that leads there at the moment."""
        now = time.monotonic()
        if self._way is None or now - self._chosen_at > _CHOICE_SECONDS:
            proxy = await self._proxies.way(self.base_url)
            way = self._ways.get(proxy)
            if way is None:
                way = self._ways[proxy] = Way(self._url, self._ssl, proxy)
            self._way, self._chosen_at = way, now
        return self._way

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
        way = await self._choose()
        offers = None if way.proxy is None else ProxyOffers(sent)
        trace = offers or sent
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
                **({} if trace is None else {"trace": trace}),
            },
        )
        request.url = ExactUrl(self._url, self._prefix + target)
        plain = method == "GET" and (content is None or isinstance(content, bytes))
        transport = way.transport(reuse=reuse, plain=plain)
        with spent(Stage.PROCORE):
            try:
                return await transport.handle_async_request(request)
            except httpx.TransportError as exc:
                error = fault_of(way.proxy, exc, host=self.host, offers=offers)
                if error is None:
                    raise
                self._way = None  # perhaps this PC is in another network by now
                self._proxies.doubt()
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
            proxy = (await self._choose()).proxy
            if proxy is not None and secure:
                sock = await reach(self.host, port, proxy=proxy, attempt=0, seconds=seconds)
                _, writer = await asyncio.open_connection(
                    sock=sock, ssl=tls, server_hostname=self.host
                )
            else:
                # What goes in plain text to this machine's own addresses opens no tunnel.
                place = proxy or _Place(self.host, port)
                _, writer = await asyncio.open_connection(place.host, place.port, ssl=tls)
        writer.close()
        try:
            async with asyncio.timeout(1.0):
                await writer.wait_closed()
        except (OSError, TimeoutError):  # it was reached; how it parts does not matter
            writer.transport.abort()

    async def aclose(self) -> None:
        """Close all connections."""
        for way in self._ways.values():
            await way.aclose()


def fault_of(
    proxy: Proxy | None,
    error: httpx.TransportError,
    *,
    host: str,
    offers: ProxyOffers | None = None,
) -> httpx.ProxyError | None:
    """Return the error that names *proxy*, if it is the proxy that failed and not *host*.

    Args:
        offers: What the proxy said of how to sign in.
    """
    if proxy is None:
        return None
    if isinstance(error, httpx.ProxyError):
        status = str(error)[:3]
        return httpx.ProxyError(
            explain_refusal(
                int(status), proxy, host=host, offers=() if offers is None else offers.schemes
            )
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
                return explain_other_name(seen, host) or (
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
    words = " ".join(str(exc).split())[:_MAX_WORDS].rstrip(".")
    return words or type(exc).__name__
