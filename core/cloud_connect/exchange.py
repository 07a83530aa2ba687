"""Exchanges: what handlers and callers see of one stream, with waiting built in."""

import asyncio
from collections import deque
from typing import Final, Protocol, Self, assert_never

from cloud_connect.errors import (
    LocalProtocolError,
    Outcome,
    StreamResetError,
    TunnelClosedError,
    TunnelError,
)
from cloud_connect.tunnel import (
    DataReceived,
    Multiplexer,
    RequestHead,
    ResetCode,
    ResponseHead,
    ResponseReceived,
    StreamReset,
    StreamWritable,
    Trailers,
    TrailersReceived,
)

__all__ = ["Carrier", "Exchange", "StreamEvent"]

StreamEvent = ResponseReceived | DataReceived | TrailersReceived | StreamReset | StreamWritable

# Pieces below this are joined as they come in: a peer that sends single bytes costs us bytes,
# not objects. Up to the second figure, so that joining stays cheap.
_SMALL_BYTES: Final = 4096
_JOINED_BYTES: Final = 16 * 1024


class Carrier(Protocol):
    """What an exchange needs of its session."""

    @property
    def multiplexer(self) -> Multiplexer | None:
        """The session's multiplexer; ``None`` once the session is over."""

    def wake(self) -> None:
        """Have what is queued sent."""

    def reset(self, stream_id: int, code: ResetCode) -> None:
        """End a stream early; without effect if it is over."""

    def consume(self, stream_id: int, size: int) -> None:
        """Return credit for bytes that were read or dropped."""


class Exchange:
    """One call: its request, its answer, and the bodies of both.

    One task at a time may receive, and one may send. Iterating gives the body's pieces.

    Attributes:
        stream_id: The stream's id on the wire.
        request: The head that opened the stream.
        inbound: Whether the peer opened it.
        trailers: What ended the answer, once :meth:`receive` returned ``b""``.
    """

    __slots__ = (
        "_abandoned",
        "_carrier",
        "_chunks",
        "_error",
        "_head",
        "_receive_ended",
        "_receiver",
        "_send_ended",
        "_send_error",
        "_sender",
        "inbound",
        "request",
        "stream_id",
        "trailers",
    )

    def __init__(
        self,
        carrier: Carrier,
        stream_id: int,
        request: RequestHead,
        *,
        inbound: bool,
        send_ended: bool = False,
        receive_ended: bool = False,
    ) -> None:
        self.stream_id: Final = stream_id
        self.request: Final = request
        self.inbound: Final = inbound
        self.trailers: Trailers | None = None
        self._abandoned = False
        self._carrier = carrier
        self._chunks: deque[bytes | bytearray] = deque()
        self._head: ResponseHead | None = None
        self._error: TunnelError | None = None
        self._send_error: TunnelError | None = None
        self._send_ended = send_ended
        self._receive_ended = receive_ended
        self._receiver: asyncio.Future[None] | None = None
        self._sender: asyncio.Future[None] | None = None

    @property
    def send_ended(self) -> bool:
        """Whether this side ended its direction, or reset the stream."""
        return self._send_ended

    @property
    def receive_ended(self) -> bool:
        """Whether the peer's direction is complete; some of it may be unread."""
        return self._receive_ended

    @property
    def all_received(self) -> bool:
        """Whether the peer's direction is complete and all of it was read."""
        return self._receive_ended and not self._chunks

    async def send_head(self, head: ResponseHead, *, end_stream: bool = False) -> None:
        """Answer the request; *head* goes out before queued bodies of other streams.

        Raises:
            StreamResetError: If the peer reset the stream.
            TunnelClosedError: If the session is over.
        """
        self._sending().send_head(self.stream_id, head, end_stream=end_stream)
        self._send_ended = end_stream
        self._carrier.wake()

    async def send(self, data: bytes | memoryview, *, end_stream: bool = False) -> None:
        """Send a piece of body of any size, and wait while the peer does not read.

        Raises:
            StreamResetError: If the peer reset the stream; with ``NO_ERROR`` as its reason it
                has answered and wants no more of the body.
            TunnelClosedError: If the session is over.
        """
        goes_on = self._sending().send_data(
            self.stream_id, _unchanging(data), end_stream=end_stream
        )
        self._send_ended = end_stream
        self._carrier.wake()
        if not goes_on:
            await self._room()

    async def end(self) -> None:
        """End this direction."""
        self._sending().send_data(self.stream_id, b"", end_stream=True)
        self._send_ended = True
        self._carrier.wake()

    async def send_trailers(self, trailers: Trailers) -> None:
        """End the answer with trailers."""
        self._sending().send_trailers(self.stream_id, trailers)
        self._send_ended = True
        self._carrier.wake()

    async def receive_head(self) -> ResponseHead:
        """Wait for the answer's head.

        Raises:
            StreamResetError: If the peer reset the stream.
            TunnelClosedError: If the session is over.
        """
        if self.inbound:
            raise LocalProtocolError("the answer of an inbound exchange is ours to send")
        while self._head is None:
            if self._error is not None:
                raise self._error
            await self._news()
        return self._head

    async def receive(self) -> bytes:
        """Wait for the next piece of body; ``b""`` is its end.

        Raises:
            StreamResetError: If the stream was reset.
            TunnelClosedError: If the session is over and the body is not complete.
        """
        while (chunk := self.receive_nowait()) is None:
            await self._news()
        return chunk

    def receive_nowait(self) -> bytes | None:
        """Return what :meth:`receive` would return at once, or ``None`` if it would wait.

        Raises:
            StreamResetError: If the stream was reset.
            TunnelClosedError: If the session is over and the body is not complete.
        """
        if not self._chunks:
            if self._error is not None:
                raise self._error
            return b"" if self._receive_ended else None
        chunk = self._chunks.popleft()
        self._carrier.consume(self.stream_id, len(chunk))
        return chunk if type(chunk) is bytes else bytes(chunk)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        chunk = await self.receive()
        if not chunk:
            raise StopAsyncIteration
        return chunk

    def reset(self, code: ResetCode) -> None:
        """End the stream early; without effect if it is over."""
        self._carrier.reset(self.stream_id, code)
        self._send_ended = True
        error = StreamResetError("the exchange was reset on this side", reason=code)
        self._fail(error, receiving=not self._receive_ended or bool(self._chunks))

    # What the session brings.

    def deliver(self, event: StreamEvent) -> None:
        """Take in what happened on the stream."""
        match event:
            case DataReceived(data=data, end_stream=end_stream):
                if self._abandoned:
                    self._carrier.consume(self.stream_id, len(data))
                elif data:
                    self._append(data)
                self._receive_ended = end_stream
            case ResponseReceived(head=head, end_stream=end_stream):
                self._head = head
                self._receive_ended = end_stream
            case TrailersReceived(trailers=trailers):
                self.trailers = trailers
                self._receive_ended = True
            case StreamWritable():
                _set(self._sender)
                return
            case StreamReset(code=code):
                error = StreamResetError(f"the peer reset the stream: {code.name}", reason=code)
                if code is ResetCode.REFUSED:
                    error.outcome = Outcome.NOT_EXECUTED
                self._fail(error, receiving=not self._receive_ended)
                return
            case _:
                assert_never(event)
        _set(self._receiver)

    def lose(self, message: str, outcome: Outcome) -> None:
        """Take in that the session is over; a body that is complete stays readable."""
        error = TunnelClosedError(message, outcome=outcome)
        self._fail(error, receiving=not self._receive_ended)

    def abandon(self) -> None:
        """Take in that nobody receives any more: what comes is dropped."""
        self._abandoned = True
        while self._chunks:
            self._carrier.consume(self.stream_id, len(self._chunks.popleft()))

    def _fail(self, error: TunnelError, *, receiving: bool) -> None:
        if self._send_error is None:
            self._send_error = error
        if receiving and self._error is None:
            self._error = error
            self.abandon()
        _set(self._receiver)
        _set(self._sender)

    def _append(self, data: bytes) -> None:
        chunks = self._chunks
        if chunks and len(data) < _SMALL_BYTES:
            last = chunks[-1]
            if type(last) is bytearray and len(last) < _JOINED_BYTES:
                last += data
                return
            if len(last) < _SMALL_BYTES:
                chunks[-1] = bytearray(last) + data
                return
        chunks.append(data)

    def _sending(self) -> Multiplexer:
        if self._send_error is not None:
            raise self._send_error
        multiplexer = self._carrier.multiplexer
        if multiplexer is None:
            raise TunnelClosedError("the session is over", outcome=Outcome.UNKNOWN)
        return multiplexer

    async def _news(self) -> None:
        if self._receiver is not None:
            raise LocalProtocolError("two tasks receive from one exchange")
        self._receiver = asyncio.get_running_loop().create_future()
        try:
            await self._receiver
        finally:
            self._receiver = None

    async def _room(self) -> None:
        if self._sender is not None:
            raise LocalProtocolError("two tasks send on one exchange")
        self._sender = asyncio.get_running_loop().create_future()
        try:
            await self._sender
        finally:
            self._sender = None
        if self._send_error is not None:
            raise self._send_error


def _set(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)


def _unchanging(data: bytes | memoryview) -> bytes | memoryview:
    # The multiplexer keeps a piece until it was sent: views of what may change are copied.
    if type(data) is bytes:
        return data
    if type(data) is memoryview and type(data.obj) is bytes and data.c_contiguous:
        return data.cast("B")
    return bytes(data)
