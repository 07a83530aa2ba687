"""The outbox: joins what is ready into messages, small frames first, bodies in turn."""

from collections import deque
from typing import Final

from cloud_connect.tunnel.events import Event, StreamClosed, StreamWritable
from cloud_connect.tunnel.frames import Flag, FrameType, ResetCode, pack_header, pack_reset, split
from cloud_connect.tunnel.limits import HEADER_BYTES, MAX_DATA_BYTES, MAX_MESSAGE_BYTES
from cloud_connect.tunnel.stream import Signal, Stream, StreamState
from cloud_connect.tunnel.window import SendWindow

__all__ = ["Outbox"]

# A stream may queue so much and go on; what is over it makes its writer wait.
_STREAM_ROOM: Final = 64 * 1024
# Once all streams together queue so much, each writer waits until its own bytes went out.
_SESSION_ROOM: Final = 2 * 1024 * 1024
# However short the session's credit is, a stream may have so much out: enough for small calls.
_MIN_SHARE: Final = 2 * 1024
# Less than this is not worth a frame, unless it is the last.
_MIN_PIECE: Final = 1024
# A piece that only the message's end cuts short waits for the next message instead.
_MIN_CUT: Final = 16 * 1024


class Outbox:
    """What waits to be sent.

    Attributes:
        streams: The open streams, those of both sides.
        local_open: How many of them this side opened.
        next_id: The id of the next stream that this side opens.
        session_window: What the peer allows for all streams together.
        events: What happened and is not reported.
        replies: Frames queued because the peer provoked them.
    """

    __slots__ = (
        "_control",
        "_parked",
        "_queued",
        "_ring",
        "events",
        "local_open",
        "next_id",
        "replies",
        "session_window",
        "streams",
    )

    def __init__(self, first_id: int) -> None:
        self.streams: dict[int, Stream] = {}
        self.local_open = 0
        self.next_id = first_id
        self.session_window = SendWindow(0)  # until the peer's SETTINGS
        self.events: list[Event] = []
        self.replies = 0
        self._control: deque[bytes] = deque()
        self._ring: deque[Stream] = deque()
        self._parked: dict[int, Stream] = {}
        self._queued = 0

    def __bool__(self) -> bool:
        return bool(self._control or self._ring)

    def take_events(self) -> list[Event]:
        """Return what happened since the last time."""
        events = self.events
        if events:
            self.events = []
        return events

    def post(self, frame: bytes) -> None:
        """Queue a frame that goes before all bodies: control, or a head."""
        self._control.append(frame)

    def queue(self, stream: Stream, data: bytes | memoryview) -> bool:
        """Queue a piece of body; return whether its writer may go on at once."""
        size = len(data)
        stream.pieces.append(data)
        stream.queued += size
        self._queued += size
        self.enter(stream)
        if stream.queued <= self._room:
            return True
        stream.awaits_room = True
        return False

    @property
    def _room(self) -> int:
        return _STREAM_ROOM if self._queued <= _SESSION_ROOM else 0

    def enter(self, stream: Stream) -> None:
        """Have the outbox come to the stream, if it has something to send and credit."""
        if not stream.in_ring and (stream.send_window.credit or not stream.queued):
            stream.in_ring = True
            self._ring.append(stream)

    def credited(self, stream: Stream) -> None:
        """Come back to a stream that got credit."""
        if stream.id in self._parked:
            del self._parked[stream.id]
            self._ring.append(stream)
        elif stream.queued:
            self.enter(stream)

    def session_credited(self) -> None:
        """Come back to the streams that waited for credit of the session."""
        self._ring.extend(self._parked.values())
        self._parked.clear()

    def close(self, stream: Stream) -> None:
        """Free a stream's slot, once its state says so."""
        if stream.state is StreamState.CLOSED:
            del self.streams[stream.id]
            self.local_open -= stream.local
            self.events.append(StreamClosed(stream_id=stream.id))

    def drop(self, stream: Stream) -> None:
        """Forget what a stream has queued, because it was reset."""
        self._queued -= stream.queued
        stream.forget_body()
        if stream.id in self._parked:
            del self._parked[stream.id]
            stream.in_ring = False

    def unsent_heads(self) -> frozenset[int]:
        """Return the streams with a head that no message took yet."""
        return frozenset(
            stream_id
            for frame in self._control
            for kind, _, stream_id, _, _ in split(frame)
            if kind == FrameType.HEADERS
        )

    def next_message(self) -> bytes | None:
        """Build the next message, or return ``None`` if nothing can be sent."""
        parts: list[bytes | memoryview] = []
        room = MAX_MESSAGE_BYTES
        control = self._control
        while control and len(control[0]) <= room:
            frame = control.popleft()
            room -= len(frame)
            parts.append(frame)
        if not control:
            self.replies = 0
            ring = self._ring
            while ring and room > HEADER_BYTES:
                stream = ring.popleft()
                left = self._write(stream, room, parts)
                if left is None:
                    ring.appendleft(stream)
                    break
                room = left
        return b"".join(parts) if parts else None

    def _write(self, stream: Stream, room: int, parts: list[bytes | memoryview]) -> int | None:
        """Write a turn of a stream; return the room left, ``None`` if there is too little."""
        if stream.unwanted:
            stream.in_ring = False
            return room
        if stream.queued:
            window = stream.send_window
            size = min(stream.queued, MAX_DATA_BYTES, window.credit, self._share(stream))
            if size <= 0:
                self._wait(stream)
                return room
            if size > room - HEADER_BYTES:
                size = room - HEADER_BYTES
                if size < _MIN_CUT:
                    return None
            window.take(size)
            self.session_window.take(size)
            room -= self._write_data(stream, size, parts)
        elif stream.trailers is None:
            room -= self._write_data(stream, 0, parts)
        if stream.trailers is not None and not stream.queued:
            if len(stream.trailers) > room - HEADER_BYTES:
                return None
            room -= self._write_trailers(stream, stream.trailers, parts)
        if stream.queued:
            self._ring.append(stream)
        else:
            stream.in_ring = False
        return room

    def _share(self, stream: Stream) -> int:
        """Return how much of the session's credit a stream may take: stalled ones leave some.

        A stream holds at most twice what it leaves free of three quarters of the window
        (dynamic thresholds, Choudhury and Hahne 1998). The last quarter lets every stream have
        a little out, however many of them are stalled.
        """
        session = self.session_window
        held = stream.send_window.outstanding
        reserve = session.size >> 2
        share = (2 * (session.credit - reserve) - held) // 3
        if share < min(stream.queued, _MIN_PIECE):
            share = min(max(_MIN_SHARE, reserve >> 10) - held, session.credit)
            if share < min(stream.queued, _MIN_PIECE):
                return 0
        return share

    def _wait(self, stream: Stream) -> None:
        if stream.send_window.credit:
            self._parked[stream.id] = stream
        else:
            stream.in_ring = False

    def _write_data(self, stream: Stream, size: int, parts: list[bytes | memoryview]) -> int:
        last = stream.ended and stream.trailers is None and size == stream.queued
        flags = Flag.END_STREAM if last else Flag.NONE
        parts.append(pack_header(FrameType.DATA, flags, stream.id, size))
        stream.queued -= size
        self._queued -= size
        pieces = stream.pieces
        wanted = size
        while wanted:
            piece = pieces.popleft()
            if len(piece) > wanted:
                view = memoryview(piece)
                pieces.appendleft(view[wanted:])
                piece = view[:wanted]
            parts.append(piece)
            wanted -= len(piece)
        if stream.awaits_room and stream.queued <= self._room:
            stream.awaits_room = False
            self.events.append(StreamWritable(stream_id=stream.id))
        if last:
            self._finish(stream)
        return HEADER_BYTES + size

    def _write_trailers(
        self, stream: Stream, trailers: bytes, parts: list[bytes | memoryview]
    ) -> int:
        parts.append(pack_header(FrameType.HEADERS, Flag.END_STREAM, stream.id, len(trailers)))
        parts.append(trailers)
        stream.trailers = None
        self._finish(stream)
        return HEADER_BYTES + len(trailers)

    def _finish(self, stream: Stream) -> None:
        stream.sent(Signal.END_STREAM)
        if stream.farewell is not None and stream.state is not StreamState.CLOSED:
            self.reset(stream, stream.farewell)
        self.close(stream)

    def reset(self, stream: Stream, code: ResetCode) -> None:
        """Reset a stream: nothing queued of its body goes out any more."""
        stream.sent(Signal.RESET)
        self.drop(stream)
        self.post(pack_reset(stream.id, code))
