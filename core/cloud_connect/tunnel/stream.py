"""Streams: their states, the transition tables, and what one stream has queued."""

from collections import deque
from enum import IntEnum
from typing import TYPE_CHECKING, Final

from cloud_connect.errors import LocalProtocolError, RemoteProtocolError
from cloud_connect.tunnel.window import ReceiveWindow, SendWindow

if TYPE_CHECKING:
    from cloud_connect.tunnel.frames import ResetCode

__all__ = ["ON_RECEIVE", "ON_SEND", "Signal", "Stream", "StreamState"]


class StreamState(IntEnum):
    """Where a stream stands. The slot is free in ``CLOSED`` only."""

    OPEN = 0
    HALF_CLOSED_LOCAL = 1  # this side ended
    HALF_CLOSED_REMOTE = 2  # the peer ended
    RESET_SENT = 3  # waits for the peer's confirmation
    RESET_RECEIVED = 4  # waits for our confirmation
    RESET_CROSSED = 5  # both sides reset: theirs is confirmed, ours not yet
    CLOSED = 6


class Signal(IntEnum):
    """What moves a stream from state to state."""

    HEAD = 0
    DATA = 1
    END_STREAM = 2
    RESET = 3
    CONFIRM = 4  # RST_STREAM with ACK


_S = StreamState

# What this side may send. A pair that is missing is a fault of ours.
ON_SEND: Final = {
    (_S.OPEN, Signal.HEAD): _S.OPEN,
    (_S.OPEN, Signal.DATA): _S.OPEN,
    (_S.OPEN, Signal.END_STREAM): _S.HALF_CLOSED_LOCAL,
    (_S.OPEN, Signal.RESET): _S.RESET_SENT,
    (_S.HALF_CLOSED_LOCAL, Signal.RESET): _S.RESET_SENT,
    (_S.HALF_CLOSED_REMOTE, Signal.HEAD): _S.HALF_CLOSED_REMOTE,
    (_S.HALF_CLOSED_REMOTE, Signal.DATA): _S.HALF_CLOSED_REMOTE,
    (_S.HALF_CLOSED_REMOTE, Signal.END_STREAM): _S.CLOSED,
    (_S.HALF_CLOSED_REMOTE, Signal.RESET): _S.RESET_SENT,
    (_S.RESET_RECEIVED, Signal.CONFIRM): _S.CLOSED,
}

# What the peer may send. A pair that is missing breaks the protocol.
# While a reset of ours is on its way, the peer's frames still arrive and are dropped.
ON_RECEIVE: Final = {
    (_S.OPEN, Signal.HEAD): _S.OPEN,
    (_S.OPEN, Signal.DATA): _S.OPEN,
    (_S.OPEN, Signal.END_STREAM): _S.HALF_CLOSED_REMOTE,
    (_S.OPEN, Signal.RESET): _S.RESET_RECEIVED,
    (_S.HALF_CLOSED_LOCAL, Signal.HEAD): _S.HALF_CLOSED_LOCAL,
    (_S.HALF_CLOSED_LOCAL, Signal.DATA): _S.HALF_CLOSED_LOCAL,
    (_S.HALF_CLOSED_LOCAL, Signal.END_STREAM): _S.CLOSED,
    (_S.HALF_CLOSED_LOCAL, Signal.RESET): _S.RESET_RECEIVED,
    (_S.HALF_CLOSED_REMOTE, Signal.RESET): _S.RESET_RECEIVED,
    (_S.RESET_SENT, Signal.HEAD): _S.RESET_SENT,
    (_S.RESET_SENT, Signal.DATA): _S.RESET_SENT,
    (_S.RESET_SENT, Signal.END_STREAM): _S.RESET_SENT,
    (_S.RESET_SENT, Signal.RESET): _S.RESET_CROSSED,
    (_S.RESET_SENT, Signal.CONFIRM): _S.CLOSED,
    (_S.RESET_CROSSED, Signal.CONFIRM): _S.CLOSED,
}


class Stream:
    """One stream as the multiplexer keeps it.

    Attributes:
        local: Whether this side opened it.
        heads_sent: HEADERS that this side queued; ``heads_received`` likewise.
        remote_ended: Whether the peer sent END_STREAM.
        pieces: Body bytes that wait for credit, ``queued`` bytes altogether.
        ended: Whether END_STREAM is queued or sent.
        trailers: HEADERS payload that ends the stream behind the body.
        farewell: Reset to send behind END_STREAM.
        in_ring: Whether the outbox will come to this stream.
        withheld: Whether its reset waits for its time; what comes in is dropped.
        awaits_room: Whether its writer was told to wait for ``StreamWritable``.
    """

    __slots__ = (
        "awaits_room",
        "ended",
        "farewell",
        "heads_received",
        "heads_sent",
        "id",
        "in_ring",
        "local",
        "pieces",
        "queued",
        "receive_window",
        "remote_ended",
        "send_window",
        "state",
        "trailers",
        "withheld",
    )

    def __init__(
        self, stream_id: int, *, local: bool, send_window: SendWindow, receive_window: ReceiveWindow
    ) -> None:
        self.id = stream_id
        self.local = local
        self.state = StreamState.OPEN
        self.heads_sent = 0
        self.heads_received = 0
        self.remote_ended = False
        self.send_window = send_window
        self.receive_window = receive_window
        self.pieces: deque[bytes | memoryview] = deque()
        self.queued = 0
        self.ended = False
        self.trailers: bytes | None = None
        self.farewell: ResetCode | None = None
        self.in_ring = False
        self.awaits_room = False
        self.withheld = False

    def sent(self, signal: Signal) -> None:
        """Move on because of what this side sends."""
        state = ON_SEND.get((self.state, signal))
        if state is None:
            raise LocalProtocolError(f"{signal.name} sent on a stream in {self.state.name}")
        self.state = state

    def received(self, signal: Signal) -> None:
        """Move on because of what the peer sent."""
        state = ON_RECEIVE.get((self.state, signal))
        if state is None or (self.remote_ended and signal <= Signal.END_STREAM):
            raise RemoteProtocolError(f"{signal.name} received on a stream in {self.state.name}")
        self.state = state

    @property
    def is_reset(self) -> bool:
        """Whether nothing but confirmations is still to happen."""
        return self.state >= StreamState.RESET_SENT

    @property
    def unwanted(self) -> bool:
        """Whether what the peer still sends is dropped."""
        return self.withheld or self.is_reset

    def forget_body(self) -> None:
        """Drop what is queued, because the stream was reset."""
        self.pieces.clear()
        self.queued = 0
        self.trailers = None
        self.farewell = None
