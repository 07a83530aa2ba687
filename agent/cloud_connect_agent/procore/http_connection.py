"""One connection that reads many answers, one after the other: HTTP/1.1 on asyncio.

It sends each request once, in one piece, and never again; whether a request is repeated is
for its caller to decide. What the parser takes is checked again where two readings of a
message could differ: more than one length, a length beside chunks.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, cast

import httptools
import httpx

__all__ = ["Connection"]

_MAX_HEAD_BYTES: Final = 128 * 1024  # of one answer's head
_MAX_HEADERS: Final = 256
_PAUSE_ABOVE: Final = 256 * 1024  # bytes of a body that wait for their reader
_RESUME_BELOW: Final = 64 * 1024


class Connection(asyncio.Protocol):
    """A connection and the answer that it is reading.

    Args:
        idle: Called when an answer is complete and another request may follow.
        gone: Called when the connection is over.
    """

    __slots__ = (
        "_body",
        "_busy",
        "_chunked",
        "_complete",
        "_error",
        "_framed",
        "_gone",
        "_head_bytes",
        "_header_bytes",
        "_headers",
        "_idle",
        "_interim",
        "_keep",
        "_length",
        "_parser",
        "_paused",
        "_queued",
        "_status",
        "_transport",
        "_waiter",
        "answers",
        "idle_since",
    )

    def __init__(
        self, *, idle: Callable[["Connection"], None], gone: Callable[["Connection"], None]
    ) -> None:
        self._idle = idle
        self._gone = gone
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._body: deque[bytes] = deque()
        self._busy = False
        self._paused = False
        self.idle_since = 0.0
        self.answers = 0
        self._reset()

    def _reset(self) -> None:
        self._headers: list[tuple[bytes, bytes]] = []
        self._head_bytes = 0  # that came in before the head was complete
        self._header_bytes = 0
        self._status = 0
        self._queued = 0
        self._length: bytes | None = None
        self._chunked = False
        self._framed = False  # the answer says where it ends
        self._interim = False
        self._complete = False
        self._keep = False
        self._error: httpx.TransportError | None = None

    # What callers use.

    @property
    def usable(self) -> bool:
        """Whether a request may be sent."""
        transport = self._transport
        return transport is not None and not self._busy and not transport.is_closing()

    async def send(self, request: bytes, *, within: float) -> tuple[int, list[tuple[bytes, bytes]]]:
        """Send a request and return the answer's status and headers.

        Raises:
            httpx.TransportError: If the connection failed or the answer is no HTTP.
        """
        transport = self._transport
        if transport is None or not self.usable:
            raise httpx.LocalProtocolError("the connection is in use")
        self._reset()
        self._busy = True
        transport.write(request)
        try:
            async with asyncio.timeout(within):
                while not self._status:
                    await self._news()
        except TimeoutError:
            self.abort()
            raise httpx.ReadTimeout("no answer") from None
        except BaseException:
            self.abort()
            raise
        return self._status, self._headers

    async def receive(self, *, within: float) -> bytes:
        """Return the next piece of the body; ``b""`` is its end.

        Raises:
            httpx.TransportError: If it broke off.
        """
        body = self._body
        if not body and not self._complete:
            try:
                async with asyncio.timeout(within):
                    while not body and not self._complete:
                        await self._news()
            except TimeoutError:
                self.abort()
                raise httpx.ReadTimeout("the answer stalled") from None
        if not body:
            return b""
        chunk = body.popleft()
        self._queued -= len(chunk)
        if self._paused and self._queued < _RESUME_BELOW and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        return chunk

    def release(self) -> None:
        """End the reading of an answer; what is not complete closes the connection."""
        self._body.clear()
        if not self._complete or not self._keep or self._paused:
            self.abort()
        elif self._busy:
            self._busy = False
            self.answers += 1
            self._idle(self)

    def abort(self) -> None:
        """Close at once."""
        self._fail(httpx.ReadError("the connection was closed on this side"))

    # What the event loop brings.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        # TCP and TLS give nothing else; uvloop's transports are no subclass.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Parse what came in."""
        if not self._busy or self._complete:
            self._fail(httpx.RemoteProtocolError("bytes beyond the answer"))
            return
        if not self._status:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as exc:
            ours = exc.__context__  # what a callback below objected to
            reason = ours if isinstance(ours, ValueError) else exc
            self._fail(httpx.RemoteProtocolError(f"the answer is no proper HTTP: {reason}"))
            return
        if not self._status and self._head_bytes > _MAX_HEAD_BYTES:
            error = f"a head of more than {_MAX_HEAD_BYTES} bytes"
            self._fail(httpx.RemoteProtocolError(error))
        if self._queued > _PAUSE_ABOVE and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> None:
        """Take the end of what the peer sends; an unframed body ends with it."""
        if self._busy and self._status and not self._framed and not self._complete:
            self._complete = True
        self._fail(httpx.RemoteProtocolError("the peer closed the connection"))

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._fail(httpx.ReadError(str(exc) if exc else "the connection is closed"))

    # What the parser finds.

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header line."""
        headers = self._headers
        headers.append((name, value))
        self._header_bytes += len(name) + len(value)
        if len(headers) > _MAX_HEADERS:
            raise ValueError(f"more than {_MAX_HEADERS} header lines")
        if self._header_bytes > _MAX_HEAD_BYTES:
            raise ValueError(f"a head of more than {_MAX_HEAD_BYTES} bytes")
        lower = name.lower()
        if lower == b"content-length":
            if self._length is not None:
                raise ValueError("more than one length")
            self._length = value
        elif lower == b"transfer-encoding":
            if self._chunked or value.strip().lower() != b"chunked":
                raise ValueError("an unknown transfer encoding")
            self._chunked = True

    def on_headers_complete(self) -> None:
        """Take the end of the head."""
        status = self._parser.get_status_code()
        if self._chunked and self._length is not None:
            raise ValueError("a length beside chunks")
        if 100 <= status < 200:
            if status == 101:
                raise ValueError("an upgrade nobody asked for")
            self._interim = True
            return
        self._framed = self._chunked or self._length is not None or status in {204, 304}
        self._keep = self._framed and self._parser.should_keep_alive()
        self._status = status

    def on_body(self, data: bytes) -> None:
        """Take a piece of the body."""
        self._body.append(data)
        self._queued += len(data)

    def on_message_complete(self) -> None:
        """Take the end of an answer."""
        if self._interim:  # the real one follows
            self._interim = False
            self._headers = []
            self._length = None
            return
        if self._complete:
            raise ValueError("a second answer")
        self._complete = True

    def on_message_begin(self) -> None:
        """Refuse an answer behind the answer."""
        if self._complete:
            raise ValueError("a second answer")

    def _fail(self, error: httpx.TransportError) -> None:
        if self._error is None:
            self._error = error
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()
            self._gone(self)
        self._keep = False
        self._wake()

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    async def _news(self) -> None:
        if self._error is not None:
            raise self._error
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None
