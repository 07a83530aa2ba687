"""The multiplexer: bytes in, events out, bytes out; it neither waits nor reads a clock."""

from collections.abc import Iterator
from enum import Enum
from typing import Final

from cloud_connect.errors import (
    LocalProtocolError,
    QuotaExceededError,
    RemoteProtocolError,
    TunnelClosedError,
)
from cloud_connect.tunnel.events import Event
from cloud_connect.tunnel.frames import (
    Flag,
    FrameType,
    GoAwayCode,
    ResetCode,
    Setting,
    encode_goaway,
    encode_settings,
    pack_header,
    pack_ping,
    pack_reset_ack,
)
from cloud_connect.tunnel.heads import RequestHead, ResponseHead, Trailers, encode_head
from cloud_connect.tunnel.inbox import Inbox
from cloud_connect.tunnel.limits import (
    MAX_STREAM_ID,
    PING_BYTES,
    PROTOCOL_VERSION,
    PROTOCOL_VERSION_MIN,
    Limits,
)
from cloud_connect.tunnel.outbox import Outbox
from cloud_connect.tunnel.pacing import CancelPacer
from cloud_connect.tunnel.stream import Signal, Stream, StreamState
from cloud_connect.tunnel.window import ReceiveWindow, SendWindow

__all__ = ["Multiplexer", "Role"]

_RETRY_AFTER: Final = 1.0  # seconds; one of its calls ends sooner, as a rule


class Role(Enum):
    """Which end of the tunnel this is; the value is the first id of its streams."""

    RELAY = 1
    AGENT = 2


class Multiplexer:
    """Many streams over one link, as one of its two ends sees them.

    It is quick to misuse on purpose only: whatever the peer sends gives events or
    :class:`RemoteProtocolError`; a fault of ours is a :class:`LocalProtocolError`.
    """

    def __init__(self, role: Role, limits: Limits | None = None) -> None:
        self.limits: Final = limits or Limits()
        self._outbox = Outbox(role.value)
        self._pacer = CancelPacer()
        self._inbox = Inbox(self._outbox, self._pacer, self.limits, role.value & 1)
        self._pings = 0
        self._broken: RemoteProtocolError | None = None
        self._outbox.post(
            encode_settings(
                {
                    Setting.VERSION_MAX: PROTOCOL_VERSION,
                    Setting.VERSION_MIN: PROTOCOL_VERSION_MIN,
                    Setting.MAX_STREAMS: self.limits.max_streams,
                    Setting.STREAM_WINDOW: self.limits.stream_window_bytes,
                    Setting.SESSION_WINDOW: self.limits.session_window_bytes,
                }
            )
        )

    # What comes in.

    def receive_frame(self, message: bytes, *, now: float) -> list[Event]:
        """Take in one message, which holds one or more frames, and return what it means.

        Raises:
            RemoteProtocolError: If it breaks the protocol; the session is over then.
        """
        if self._broken is not None:
            raise self._broken
        try:
            events = self._inbox.receive(message, now)
        except RemoteProtocolError as exc:
            self._broken = exc
            raise
        if self._pacer.withheld:
            self._cancel_withheld(now)
        return events

    def consume(self, stream_id: int, size: int, *, now: float) -> None:
        """Say that *size* received bytes of a stream were read or dropped: credit goes back."""
        self._inbox.consume(self._outbox.streams.get(stream_id), size, now)

    # What goes out.

    @property
    def has_messages(self) -> bool:
        """Whether :meth:`messages_to_send` may have something."""
        return bool(self._outbox)

    def messages_to_send(self) -> Iterator[bytes]:
        """Build messages of what is ready, each when it is asked for, until nothing is left."""
        while (message := self._outbox.next_message()) is not None:
            yield message

    def take_events(self) -> list[Event]:
        """Return what sending brought about: streams that are writable again, or closed."""
        return self._outbox.take_events()

    # Streams.

    @property
    def has_room(self) -> bool:
        """Whether the peer allows one more stream, as far as is known."""
        peer = self._inbox.peer
        return peer is None or self._outbox.local_open < peer.max_streams

    def open_stream(self, head: RequestHead, *, now: float, end_stream: bool = False) -> int:
        """Open a stream and return its id.

        Raises:
            TunnelClosedError: If one of the sides drains, or the ids are used up.
            QuotaExceededError: If the peer allows no more streams at the moment.
        """
        outbox, inbox = self._outbox, self._inbox
        if inbox.peer is None:
            raise LocalProtocolError("stream opened before the peer's SETTINGS")
        if inbox.draining or inbox.peer_draining or outbox.next_id > MAX_STREAM_ID:
            raise TunnelClosedError("the session drains: it takes no new calls")
        if outbox.local_open >= inbox.peer.max_streams:
            raise QuotaExceededError(
                f"the connector has {inbox.peer.max_streams} calls running, the most it takes",
                retry_after=_RETRY_AFTER,
            )
        payload = encode_head(head)
        stream = Stream(
            outbox.next_id,
            local=True,
            send_window=SendWindow(inbox.peer.stream_window_bytes),
            receive_window=ReceiveWindow(
                self.limits.stream_window_bytes, self.limits.max_stream_window_bytes
            ),
        )
        outbox.next_id += 2
        outbox.local_open += 1
        outbox.streams[stream.id] = stream
        self._pacer.opened(now)
        self._post_head(stream, payload, end_stream=end_stream)
        return stream.id

    def send_head(self, stream_id: int, head: ResponseHead, *, end_stream: bool = False) -> None:
        """Answer a stream of the peer's."""
        stream = self._writable(stream_id)
        if stream.local or stream.heads_sent:
            raise LocalProtocolError("second head on a stream")
        self._post_head(stream, encode_head(head), end_stream=end_stream)

    def send_data(
        self, stream_id: int, data: bytes | memoryview, *, end_stream: bool = False
    ) -> bool:
        """Queue a piece of body; return whether to go on without waiting for room.

        *data* is kept, not copied, until it was sent: it must not change.
        """
        stream = self._writable(stream_id)
        if not stream.heads_sent:
            raise LocalProtocolError("DATA before the response head")
        if end_stream:
            stream.ended = True
        if len(data):
            return self._outbox.queue(stream, data)
        if end_stream:
            self._outbox.enter(stream)
        return True

    def send_trailers(self, stream_id: int, trailers: Trailers) -> None:
        """End an answer, behind its body, with trailers."""
        stream = self._writable(stream_id)
        if stream.local or not stream.heads_sent:
            raise LocalProtocolError("trailers without a response head before them")
        stream.trailers = encode_head(trailers)
        stream.ended = True
        self._outbox.enter(stream)

    def reset_stream(self, stream_id: int, code: ResetCode, *, now: float) -> None:
        """End a stream early; without effect if it is closed or reset already.

        Many cancels at once go out little by little, so that the peer does not take them for
        abuse; their streams keep their slots until then.
        """
        stream = self._outbox.streams.get(stream_id)
        if stream is None or stream.is_reset or stream.withheld:
            return
        if not stream.local or self._may_cancel(now):
            self._outbox.reset(stream, code)
        else:
            stream.withheld = True
            self._outbox.drop(stream)
            self._pacer.withheld[stream_id] = code

    def stop_receiving(self, stream_id: int) -> None:
        """Reset a stream with ``NO_ERROR`` once its answer went out, if the peer still sends."""
        stream = self._outbox.streams.get(stream_id)
        if stream is None or stream.is_reset:
            return
        if stream.local:
            raise LocalProtocolError("a stream of ours is reset with a code, or read to its end")
        if stream.state is StreamState.HALF_CLOSED_LOCAL:
            self._outbox.reset(stream, ResetCode.NO_ERROR)
        elif stream.ended:
            stream.farewell = ResetCode.NO_ERROR
        else:
            raise LocalProtocolError("stream left without END_STREAM")

    def confirm_reset(self, stream_id: int) -> None:
        """Confirm the peer's reset: whatever ran for the stream has ended."""
        stream = self._outbox.streams.get(stream_id)
        if stream is None:
            raise LocalProtocolError("no reset to confirm")
        stream.sent(Signal.CONFIRM)
        self._outbox.post(pack_reset_ack(stream_id))
        self._outbox.close(stream)

    def unsent_requests(self) -> frozenset[int]:
        """Return the streams of this side whose request no message took yet."""
        streams = self._outbox.streams
        unsent = self._outbox.unsent_heads()
        return frozenset(i for i in unsent if i in streams and streams[i].local)

    # The session.

    @property
    def is_ready(self) -> bool:
        """Whether the peer's SETTINGS came."""
        return self._inbox.peer is not None

    @property
    def draining(self) -> bool:
        """Whether this side takes no more streams."""
        return self._inbox.draining

    @property
    def peer_draining(self) -> bool:
        """Whether the peer takes no more streams."""
        return self._inbox.peer_draining

    @property
    def round_trip(self) -> float | None:
        """Seconds that the last ping took."""
        return self._inbox.round_trip

    def is_open(self, stream_id: int) -> bool:
        """Whether a stream's slot is taken."""
        return stream_id in self._outbox.streams

    @property
    def open_streams(self) -> int:
        """Streams whose slot is taken, those of both sides."""
        return len(self._outbox.streams)

    def ping(self, *, now: float) -> bool:
        """Send a ping; return ``False`` if one is under way, whose answer serves as well.

        The answer is a :class:`PingAnswered`.
        """
        if self._inbox.ping is not None:
            return False
        self._cancel_withheld(now)
        self._pings += 1
        payload = self._pings.to_bytes(PING_BYTES, "big")
        self._inbox.ping = (payload, now)
        self._outbox.post(pack_ping(payload, ack=False))
        return True

    def go_away(
        self,
        *,
        code: GoAwayCode = GoAwayCode.NO_ERROR,
        reconnect_window_ms: int = 0,
        reason: str = "",
    ) -> None:
        """Tell the peer that this side drains: streams it opens from here on are refused."""
        self._inbox.draining = True
        self._outbox.post(encode_goaway(code, reconnect_window_ms, reason))

    def _may_cancel(self, now: float) -> bool:
        if not self._pacer.may_cancel(now):
            return False
        self._pacer.cancelled()
        return True

    def _cancel_withheld(self, now: float) -> None:
        withheld = self._pacer.withheld
        while withheld:
            stream_id, code = next(iter(withheld.items()))
            stream = self._outbox.streams.get(stream_id)
            if stream is not None and not stream.is_reset:  # else it ended by itself meanwhile
                if not self._may_cancel(now):
                    return
                self._outbox.reset(stream, code)
            del withheld[stream_id]

    def _writable(self, stream_id: int) -> Stream:
        stream = self._outbox.streams.get(stream_id)
        if stream is None or stream.is_reset or stream.ended or stream.withheld:
            raise LocalProtocolError("sent on a stream that is closed, reset or ended")
        return stream

    def _post_head(self, stream: Stream, payload: bytes, *, end_stream: bool) -> None:
        stream.sent(Signal.HEAD)
        stream.heads_sent += 1
        flags = Flag.END_STREAM if end_stream else Flag.NONE
        header = pack_header(FrameType.HEADERS, flags, stream.id, len(payload))
        self._outbox.post(header + payload)
        if end_stream:
            stream.ended = True
            stream.sent(Signal.END_STREAM)
            self._outbox.close(stream)
