"""An httpx transport for reads: few objects, small connections, nothing sent twice."""

import asyncio
import ssl
from collections import deque
from typing import Final, Self

import httpx

from cloud_connect_agent.happy_eyeballs import connect_first
from cloud_connect_agent.procore.http_connection import Connection
from cloud_connect_agent.stages import Stage, spent

__all__ = ["PooledTransport"]

_KEEPALIVE: Final = 20.0  # seconds; below what load balancers in front of APIs allow


class PooledTransport(httpx.AsyncBaseTransport):
    """Connections to one origin, reused as long as they are fresh.

    Requests have no body or one in a single piece. The pool has no limit of its own: whoever
    sends has a slot of the scheduler.
    """

    def __init__(self, host: str, port: int, ssl_context: ssl.SSLContext | None) -> None:
        self._host: Final = host
        self._port: Final = port
        self._ssl: Final = ssl_context
        self._idle: Final[deque[Connection]] = deque()  # the freshest last
        self._open: Final[set[Connection]] = set()
        self._sweep: asyncio.TimerHandle | None = None
        self._closed = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and return the answer, its body unread."""
        timeouts = request.extensions["timeout"]
        data = _serialize(request)
        connection = self._freshest()
        if connection is None:
            with spent(Stage.CONNECT):
                connection = await self._connect(timeouts["connect"])
        status, headers = await connection.send(data, within=timeouts["read"])
        return httpx.Response(status, headers=headers, stream=_Body(connection, timeouts["read"]))

    async def aclose(self) -> None:
        """Close every connection."""
        self._closed = True
        for connection in list(self._open):
            connection.abort()
        self._idle.clear()
        if self._sweep is not None:
            self._sweep.cancel()
        await asyncio.sleep(0)  # the sockets are closed in the loop's next turn

    def _freshest(self) -> Connection | None:
        now = asyncio.get_running_loop().time()
        while self._idle:
            connection = self._idle.pop()
            if connection.usable and now - connection.idle_since < _KEEPALIVE:
                return connection
            connection.abort()
        return None

    async def _connect(self, within: float) -> Connection:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(within):
                sock = await connect_first(self._host, self._port)
                try:
                    _, connection = await loop.create_connection(
                        lambda: Connection(idle=self._keep, gone=self._forget),
                        sock=sock,
                        ssl=self._ssl,
                        server_hostname=self._host if self._ssl else None,
                    )
                except BaseException:
                    sock.close()
                    raise
        except TimeoutError as exc:
            raise httpx.ConnectTimeout("no connection in time") from exc
        except OSError as exc:
            raise httpx.ConnectError(str(exc)) from exc
        self._open.add(connection)
        return connection

    def _keep(self, connection: Connection) -> None:
        if self._closed:
            connection.abort()
            return
        loop = asyncio.get_running_loop()
        connection.idle_since = loop.time()
        self._idle.append(connection)
        if self._sweep is None:
            self._sweep = loop.call_later(_KEEPALIVE, self._sweep_out)

    def _forget(self, connection: Connection) -> None:
        self._open.discard(connection)

    def _sweep_out(self) -> None:
        """Close what nobody used for a while: idle agents hold no connections."""
        loop = asyncio.get_running_loop()
        oldest = loop.time() - _KEEPALIVE
        while self._idle and (self._idle[0].idle_since <= oldest or not self._idle[0].usable):
            self._idle.popleft().abort()
        self._sweep = None
        if self._idle:
            wait = self._idle[0].idle_since - oldest
            self._sweep = loop.call_later(max(wait, 0.1), self._sweep_out)


class _Body(httpx.AsyncByteStream):
    """An answer's body, read as it is asked for."""

    __slots__ = ("_connection", "_patience")

    def __init__(self, connection: Connection, patience: float) -> None:
        self._connection: Connection | None = connection
        self._patience = patience

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        connection = self._connection
        if connection is None:
            raise StopAsyncIteration
        chunk = await connection.receive(within=self._patience)
        if not chunk:
            await self.aclose()
            raise StopAsyncIteration
        return chunk

    async def aclose(self) -> None:
        """Give the connection back, or close it if the body is not complete."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.release()


def _serialize(request: httpx.Request) -> bytes:
    start = b"%b %b HTTP/1.1" % (request.method.encode("ascii"), request.url.raw_path)
    lines = [start, *[b"%b: %b" % header for header in request.headers.raw]]
    head = b"\r\n".join(lines)
    ends = len(lines) - 1
    if head.count(b"\n") != ends or head.count(b"\r") != ends or b"\0" in head:
        raise httpx.LocalProtocolError("a header holds a control character")
    return b"%b\r\n\r\n%b" % (head, request.content)
