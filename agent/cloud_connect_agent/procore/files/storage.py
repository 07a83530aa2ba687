"""Requests to storage hosts: to checked addresses, without the token, each sent once."""

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final, Protocol

import httpx
import structlog

from cloud_connect.calls import Environment
from cloud_connect.errors import DeadlineExceededError, SourceUnavailableError
from cloud_connect_agent.foreign_answers import ProxyOffers
from cloud_connect_agent.procore.environments import Endpoints
from cloud_connect_agent.procore.files.hosts import FileUrl, HostRefusedError, HostRules
from cloud_connect_agent.procore.messages import plain_headers
from cloud_connect_agent.procore.streaming import StreamedResponse, broken_off
from cloud_connect_agent.procore.transport import (
    ExactUrl,
    RawHeaders,
    Timeouts,
    describe_failure,
    fault_of,
)
from cloud_connect_agent.procore.ways import through
from cloud_connect_agent.proxies import Proxies

__all__ = ["Storage"]

log = structlog.get_logger(__name__)

_MAX_TRANSFERS: Final = 64  # at once; each is one connection and what is on its way
_TURN_SECONDS: Final = 60.0  # to wait for one of them to end
_DOWNLOAD_STALL: Final = 30.0  # seconds; less than most deadlines, so that there is time to repeat
_MAX_ADDRESSES: Final = 4  # of one name, that are tried
_MAX_HEADERS: Final = 200


class Hosts(Protocol):
    """What is needed of the Procore client."""

    def endpoints(self, environment: Environment) -> Endpoints:
        """Return where an environment lives."""
        ...

    def trust(self, ca_file: Path | None) -> ssl.SSLContext:
        """Return whom to trust."""
        ...


class Storage:
    """Sends requests to storage hosts.

    A host's name is resolved here, and the connection goes to the very address that was
    checked: a name that changes its address between the two leads nowhere else. Behind a
    proxy it is the proxy that resolves, and its rules decide.
    """

    def __init__(
        self,
        hosts: Hosts,
        *,
        timeouts: Timeouts | None = None,
        proxies: Proxies | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._hosts: Final = hosts
        self._timeouts: Final = timeouts or Timeouts()
        self._proxies: Final = proxies or Proxies()
        self._clock: Final = clock
        self._transfers: Final = asyncio.Semaphore(_MAX_TRANSFERS)

    def rules(self, environment: Environment) -> HostRules:
        """Return what is allowed in an environment."""
        return HostRules.of(self._hosts.endpoints(environment))

    def check(self, environment: Environment, text: str, *, base: FileUrl | None = None) -> FileUrl:
        """Check a URL that Procore or its storage named.

        Raises:
            HostRefusedError: If files may not come from or go there.
        """
        try:
            return self.rules(environment).check(text, base=base)
        except HostRefusedError as error:
            log.warning("file_host_refused", reason=error.message)
            raise

    @asynccontextmanager
    async def open(
        self,
        method: str,
        url: FileUrl,
        *,
        environment: Environment,
        headers: RawHeaders,
        content: bytes | AsyncIterator[bytes] | None = None,
        deadline: float | None,
    ) -> AsyncIterator[StreamedResponse]:
        """Send a request and hold its answer, whatever its status.

        Args:
            headers: All of them but for the host's and the connection's.
            content: An iterator's body needs its length among the headers.
            deadline: For the answer's head, on the clock; ``None`` leaves it to the time that
                may pass without a byte.

        Raises:
            HostRefusedError: If the host stands for an address it may not have.
            SourceUnavailableError: If it cannot be reached, or breaks off.
            DeadlineExceededError: If the deadline passes first.
        """
        late = f"{_MAX_TRANSFERS} files are on their way already, and none ended"
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(self._left(deadline)) as bound:
                    await stack.enter_async_context(self._transfers)
                    late = "The storage host did not answer"
                    if deadline is None:
                        bound.reschedule(None)  # its steps have bounds of their own
                    response = await self._send(
                        stack, method, url, environment, headers=headers, content=content
                    )
            except TimeoutError as exc:
                raise DeadlineExceededError(f"{late} before the call's deadline.") from exc
            yield StreamedResponse(
                response,
                headers=plain_headers(response.headers),
                write=False,
                host=url.host,
                hold=0.0,
                deadline=self._clock() + self._timeouts.stall_timeout,
                clock=self._clock,
            )

    def _left(self, deadline: float | None) -> float:
        return _TURN_SECONDS if deadline is None else max(0.0, deadline - self._clock())

    async def _send(
        self,
        stack: AsyncExitStack,
        method: str,
        url: FileUrl,
        environment: Environment,
        *,
        headers: RawHeaders,
        content: bytes | AsyncIterator[bytes] | None,
    ) -> httpx.Response:
        endpoints = self._hosts.endpoints(environment)
        proxy = await self._proxies.way(url.base)
        offers = None if proxy is None else ProxyOffers()
        transport = httpx.AsyncHTTPTransport(
            verify=self._hosts.trust(endpoints.ca_file),
            trust_env=False,
            limits=httpx.Limits(max_connections=1, max_keepalive_connections=0),
            proxy=through(proxy),
            retries=0,
        )
        await stack.enter_async_context(transport)
        places = [url.host] if proxy else await self._addresses(url, HostRules.of(endpoints))
        failure: httpx.TransportError = httpx.ConnectError("no address")
        for place in places:
            try:
                response = await transport.handle_async_request(
                    self._request(
                        method, url, place, headers=headers, content=content, offers=offers
                    )
                )
            except (httpx.ConnectError, httpx.ConnectTimeout) as exc:
                # Nothing was sent: the next address may do.
                failure = fault_of(proxy, exc, host=url.host) or exc
                continue
            except httpx.TransportError as exc:
                failed = fault_of(proxy, exc, host=url.host, offers=offers) or exc
                raise broken_off(failed, url.host, write=False) from exc
            stack.push_async_callback(response.aclose)
            if len(response.headers.raw) > _MAX_HEADERS:
                raise SourceUnavailableError(
                    f"{url.host} answered with more than {_MAX_HEADERS} header lines."
                )
            return response
        raise SourceUnavailableError(describe_failure(failure, url.host)) from failure

    async def _addresses(self, url: FileUrl, rules: HostRules) -> list[str]:
        """Return the addresses of a host, each of which must be allowed."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._timeouts.connect_timeout):
                found = await loop.getaddrinfo(url.host, url.port, type=socket.SOCK_STREAM)
        except (OSError, TimeoutError) as exc:
            raise SourceUnavailableError(describe_failure(exc, url.host)) from exc
        addresses = list(dict.fromkeys(str(place[0]) for *_, place in found))
        try:
            for address in addresses:
                rules.check_address(url, address)
        except HostRefusedError as error:
            log.warning("file_host_refused", reason=error.message)
            raise
        return addresses[:_MAX_ADDRESSES]

    def _request(
        self,
        method: str,
        url: FileUrl,
        place: str,
        *,
        headers: RawHeaders,
        content: bytes | AsyncIterator[bytes] | None,
        offers: ProxyOffers | None,
    ) -> httpx.Request:
        timeouts = self._timeouts
        stall = timeouts.stall_timeout
        if method == "GET":
            stall = min(stall, _DOWNLOAD_STALL)
        host = f"[{place}]" if ":" in place else place
        base = httpx.URL(f"{url.scheme}://{host}:{url.port}/")
        request = httpx.Request(
            method,
            base,
            headers=[
                (b"host", url.base.partition("://")[2].encode("ascii")),
                *headers,
                (b"connection", b"close"),
            ],
            content=content,
            extensions={
                "sni_hostname": url.host,
                **({} if offers is None else {"trace": offers}),
                "timeout": {
                    "connect": timeouts.connect_timeout,
                    "read": stall,
                    "write": timeouts.stall_timeout,
                    "pool": timeouts.stall_timeout,
                },
            },
        )
        request.url = ExactUrl(base, url.target.encode("ascii"))
        return request
