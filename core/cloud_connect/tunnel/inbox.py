"""The inbox: checks what the peer sends, frame by frame, and turns it into events."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cloud_connect.errors import RemoteProtocolError
from cloud_connect.tunnel.abuse import RATE_ABUSE, CancelGuard, FloodGuard
from cloud_connect.tunnel.events import (
    DataReceived,
    Event,
    GoAwayReceived,
    PingAnswered,
    RequestReceived,
    ResponseReceived,
    SettingsReceived,
    StreamReset,
    TrailersReceived,
)
from cloud_connect.tunnel.frames import (
    Flag,
    FrameType,
    ResetCode,
    Setting,
    decode_goaway,
    decode_reset,
    decode_settings,
    decode_window_update,
    pack_ping,
    pack_reset_ack,
    pack_window_update,
    split,
)
from cloud_connect.tunnel.heads import decode_request_head, decode_response_head, decode_trailers
from cloud_connect.tunnel.limits import (
    MAX_WINDOW_BYTES,
    MIN_CREDIT_BYTES,
    MIN_WINDOW_BYTES,
    PING_BYTES,
    PROTOCOL_VERSION,
    PROTOCOL_VERSION_MIN,
    Limits,
)
from cloud_connect.tunnel.outbox import Outbox
from cloud_connect.tunnel.pacing import CancelPacer
from cloud_connect.tunnel.stream import Signal, Stream, StreamState
from cloud_connect.tunnel.window import ReceiveWindow, SendWindow

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Inbox", "Peer"]

_ROUND_TRIPS: Final = 8  # the fastest of so many counts: the others waited behind data
_END: Final = int(Flag.END_STREAM)
_ACK: Final = int(Flag.ACK)


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """What the peer's SETTINGS say."""

    version: int
    max_streams: int
    stream_window_bytes: int
    session_window_bytes: int

    @classmethod
    def from_settings(cls, settings: dict[int, int]) -> "Peer":
        """Check the peer's settings and choose the version.

        Raises:
            RemoteProtocolError: If one is missing or out of range, or no version is common.
        """
        missing = [setting.name for setting in Setting if setting not in settings]
        if missing:
            raise RemoteProtocolError(f"SETTINGS lacks {', '.join(missing)}")
        version = min(settings[Setting.VERSION_MAX], PROTOCOL_VERSION)
        if version < max(settings[Setting.VERSION_MIN], PROTOCOL_VERSION_MIN):
            raise RemoteProtocolError(
                f"no common protocol version: peer speaks {settings[Setting.VERSION_MIN]} to "
                f"{settings[Setting.VERSION_MAX]}, this side {PROTOCOL_VERSION_MIN} to "
                f"{PROTOCOL_VERSION}"
            )
        for setting in (Setting.STREAM_WINDOW, Setting.SESSION_WINDOW):
            if not MIN_WINDOW_BYTES <= settings[setting] <= MAX_WINDOW_BYTES:
                raise RemoteProtocolError(f"{setting.name} of {settings[setting]} bytes")
        if settings[Setting.SESSION_WINDOW] < settings[Setting.STREAM_WINDOW]:
            raise RemoteProtocolError("SESSION_WINDOW is smaller than STREAM_WINDOW")
        return cls(
            version=version,
            max_streams=settings[Setting.MAX_STREAMS],
            stream_window_bytes=settings[Setting.STREAM_WINDOW],
            session_window_bytes=settings[Setting.SESSION_WINDOW],
        )


class Inbox:
    """What came in and is accounted for.

    Attributes:
        peer: The peer's settings, once they came.
        draining: Whether this side takes no more streams.
        peer_draining: Whether the peer takes no more streams.
        round_trip: Seconds that the last ping took.
        ping: The ping that waits for its answer, and when it was sent.
    """

    __slots__ = (
        "_cancels",
        "_fastest",
        "_flood",
        "_handlers",
        "_last_peer_id",
        "_limits",
        "_local_parity",
        "_outbox",
        "_pacer",
        "_peer_stream_window",
        "_round_trips",
        "_session_window",
        "_time",
        "draining",
        "peer",
        "peer_draining",
        "ping",
        "round_trip",
    )

    def __init__(
        self, outbox: Outbox, pacer: CancelPacer, limits: Limits, local_parity: int
    ) -> None:
        self._outbox = outbox
        self._pacer = pacer
        self._limits = limits
        self._local_parity = local_parity
        self._last_peer_id = 0
        self._peer_stream_window = 0
        self._session_window = ReceiveWindow(
            limits.session_window_bytes, limits.max_session_window_bytes
        )
        self._flood = FloodGuard(limits.flood_burst, limits.flood_per_second)
        self._cancels = CancelGuard(limits.cancel_burst, limits.cancel_share, limits.cancel_period)
        self._round_trips: list[float] = []
        self._fastest: float | None = None
        self._time = 0.0
        self.peer: Peer | None = None
        self.draining = False
        self.peer_draining = False
        self.round_trip: float | None = None
        self.ping: tuple[bytes, float] | None = None
        self._handlers: dict[int, Callable[[int, int, bytes], None]] = {
            FrameType.DATA: self._on_data,
            FrameType.HEADERS: self._on_headers,
            FrameType.WINDOW_UPDATE: self._on_window_update,
            FrameType.RST_STREAM: self._on_reset,
            FrameType.PING: self._on_ping,
            FrameType.SETTINGS: self._on_settings,
            FrameType.GOAWAY: self._on_goaway,
        }

    def receive(self, message: bytes, now: float) -> list[Event]:
        """Take a message in and return what it means.

        Raises:
            RemoteProtocolError: If it breaks the protocol.
        """
        self._time = now
        handlers = self._handlers
        for kind, flags, stream_id, start, end in split(message):
            if self.peer is None and kind != FrameType.SETTINGS:
                raise RemoteProtocolError(f"frame of type {kind} before SETTINGS")
            handler = handlers.get(kind)
            if handler is None:
                self._flood.charge(now)
            else:
                handler(flags, stream_id, message[start:end])
        return self._outbox.take_events()

    def consume(self, stream: Stream | None, size: int, now: float) -> None:
        """Account for received bytes that were read or dropped, and return credit if due."""
        fastest = self._fastest
        session = self._session_window
        # While stalled readers hold much of the session's window, the others live on little
        # credit: it goes back in small steps.
        eager = session.is_short
        if stream is not None and not stream.remote_ended and not stream.unwanted:
            window = stream.receive_window
            if window.consume(size, now=now, round_trip=fastest, eager=eager):
                session.grow(4 * window.size)  # see Outbox._share: a stream gets half
                self._outbox.post(pack_window_update(stream.id, window.give_back(), window.size))
        if session.consume(size, now=now, round_trip=fastest, eager=eager):
            self._outbox.post(pack_window_update(0, session.give_back(), session.size))

    def _on_data(self, flags: int, stream_id: int, payload: bytes) -> None:
        stream = self._outbox.streams.get(stream_id)
        if stream is None:
            raise RemoteProtocolError("DATA on a stream that is not open")
        size = len(payload)
        end = bool(flags & _END)
        if not size and not end:
            self._flood.charge(self._time)
        stream.received(Signal.DATA)
        stream.receive_window.receive(size)
        session = self._session_window
        session.receive(size)
        if session.is_short and session.grow(2 * session.size):
            self._outbox.post(pack_window_update(0, session.give_back(), session.size))
        if stream.unwanted:
            self.consume(None, size, self._time)
        elif stream.local and not stream.heads_received:
            raise RemoteProtocolError("DATA before the response head")
        else:
            self._report(DataReceived(stream_id=stream_id, data=payload, end_stream=end))
        if end:
            self._end(stream)

    def _on_headers(self, flags: int, stream_id: int, payload: bytes) -> None:
        end = bool(flags & _END)
        stream = self._outbox.streams.get(stream_id)
        if stream is None:
            self._on_request(stream_id, payload, end_stream=end)
            return
        stream.received(Signal.HEAD)
        stream.heads_received += 1
        if not stream.local:
            raise RemoteProtocolError("second HEADERS in the request direction")
        if stream.heads_received > 1 and not end:
            raise RemoteProtocolError("trailers without END_STREAM")
        if not stream.unwanted:
            self._on_answer(stream, payload, end_stream=end)
        if end:
            self._end(stream)

    def _on_answer(self, stream: Stream, payload: bytes, *, end_stream: bool) -> None:
        if stream.heads_received == 1:
            head = decode_response_head(payload)
            self._report(ResponseReceived(stream_id=stream.id, head=head, end_stream=end_stream))
        else:
            trailers = decode_trailers(payload)
            self._report(TrailersReceived(stream_id=stream.id, trailers=trailers))

    def _on_request(self, stream_id: int, payload: bytes, *, end_stream: bool) -> None:
        if stream_id <= self._last_peer_id or stream_id & 1 == self._local_parity:
            raise RemoteProtocolError(f"HEADERS on stream {stream_id} that is not open")
        self._last_peer_id = stream_id
        outbox = self._outbox
        if len(outbox.streams) - outbox.local_open >= self._limits.max_streams:
            raise RemoteProtocolError(f"more than {self._limits.max_streams} streams open")
        head = decode_request_head(payload)
        stream = Stream(
            stream_id,
            local=False,
            send_window=SendWindow(self._peer_stream_window),
            receive_window=ReceiveWindow(
                self._limits.stream_window_bytes, self._limits.max_stream_window_bytes
            ),
        )
        outbox.streams[stream_id] = stream
        self._cancels.opened(self._time)
        if self.draining:
            outbox.reset(stream, ResetCode.REFUSED)
        else:
            self._report(RequestReceived(stream_id=stream_id, head=head, end_stream=end_stream))
        if end_stream:
            self._end(stream)

    def _on_reset(self, flags: int, stream_id: int, payload: bytes) -> None:
        stream = self._outbox.streams.get(stream_id)
        if flags & _ACK:
            if stream is None or payload:
                raise RemoteProtocolError("confirmation of no reset, or with a payload")
            stream.received(Signal.CONFIRM)
            if stream.local:
                self._pacer.confirmed(self._time)
            self._outbox.close(stream)
            return
        code = decode_reset(payload)
        if stream is None:
            self._check_not_idle(stream_id)
            # It crossed our END_STREAM: the peer's slot waits for the confirmation all the same.
            self._flood.charge(self._time)
            self._reply(pack_reset_ack(stream_id))
            return
        if not stream.local:
            self._cancels.cancelled(self._time)
            if self._cancels.exceeded(self._time):
                raise RemoteProtocolError(f"{RATE_ABUSE}: too many streams opened and cancelled")
        stream.received(Signal.RESET)
        if stream.state is StreamState.RESET_CROSSED:
            self._reply(pack_reset_ack(stream_id))
        else:
            self._outbox.drop(stream)
            self._report(StreamReset(stream_id=stream_id, code=code))

    def _on_window_update(self, flags: int, stream_id: int, payload: bytes) -> None:
        del flags
        increment, window = decode_window_update(payload)
        outbox = self._outbox
        if increment < MIN_CREDIT_BYTES:
            self._flood.charge(self._time)
        if not stream_id:
            outbox.session_window.grant(increment, window)
            outbox.session_credited()
            return
        stream = outbox.streams.get(stream_id)
        if stream is None:
            self._check_not_idle(stream_id)
        else:
            stream.send_window.grant(increment, window)
            outbox.credited(stream)

    def _on_ping(self, flags: int, stream_id: int, payload: bytes) -> None:
        _check_session(stream_id)
        if len(payload) != PING_BYTES:
            raise RemoteProtocolError(f"PING payload is not {PING_BYTES} bytes")
        if not flags & _ACK:
            self._flood.charge(self._time)
            self._reply(pack_ping(payload, ack=True))
            return
        if self.ping is None or self.ping[0] != payload:
            raise RemoteProtocolError("answer to no ping")
        self.round_trip = max(self._time - self.ping[1], 0.0)
        self._round_trips = [*self._round_trips[1 - _ROUND_TRIPS :], self.round_trip]
        self._fastest = min(self._round_trips)
        self.ping = None
        self._report(PingAnswered(round_trip=self.round_trip))

    def _on_settings(self, flags: int, stream_id: int, payload: bytes) -> None:
        del flags
        _check_session(stream_id)
        if self.peer is not None:
            raise RemoteProtocolError("second SETTINGS")
        self.peer = peer = Peer.from_settings(decode_settings(payload))
        self._peer_stream_window = peer.stream_window_bytes
        self._outbox.session_window = SendWindow(peer.session_window_bytes)
        self._report(SettingsReceived(version=peer.version, max_streams=peer.max_streams))

    def _on_goaway(self, flags: int, stream_id: int, payload: bytes) -> None:
        del flags
        _check_session(stream_id)
        self._flood.charge(self._time)
        code, reconnect_window_ms, reason = decode_goaway(payload)
        self.peer_draining = True
        self._report(
            GoAwayReceived(code=code, reconnect_window_ms=reconnect_window_ms, reason=reason)
        )

    def _report(self, event: Event) -> None:
        self._outbox.events.append(event)

    def _reply(self, frame: bytes) -> None:
        outbox = self._outbox
        outbox.replies += 1
        if outbox.replies > self._limits.max_replies:
            raise RemoteProtocolError(f"{RATE_ABUSE}: replies are provoked faster than read")
        outbox.post(frame)

    def _end(self, stream: Stream) -> None:
        stream.received(Signal.END_STREAM)
        stream.remote_ended = True
        self._outbox.close(stream)

    def _check_not_idle(self, stream_id: int) -> None:
        if stream_id & 1 == self._local_parity:
            idle = stream_id >= self._outbox.next_id
        else:
            idle = stream_id > self._last_peer_id
        if not stream_id or idle:
            raise RemoteProtocolError(f"frame for stream {stream_id} that was never opened")


def _check_session(stream_id: int) -> None:
    if stream_id:
        raise RemoteProtocolError("frame of the session on a stream")
