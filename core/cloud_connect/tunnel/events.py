"""Events: what a multiplexer reports of its peer and of its own progress."""

from dataclasses import dataclass

from cloud_connect.tunnel.frames import GoAwayCode, ResetCode
from cloud_connect.tunnel.heads import RequestHead, ResponseHead, Trailers

__all__ = [
    "DataReceived",
    "Event",
    "GoAwayReceived",
    "PingAnswered",
    "RequestReceived",
    "ResponseReceived",
    "SettingsReceived",
    "StreamClosed",
    "StreamReset",
    "StreamWritable",
    "TrailersReceived",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsReceived:
    """The peer introduced itself: streams may be opened."""

    version: int
    max_streams: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestReceived:
    """The peer opened a stream."""

    stream_id: int
    head: RequestHead
    end_stream: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseReceived:
    """The peer answers a stream of ours."""

    stream_id: int
    head: ResponseHead
    end_stream: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TrailersReceived:
    """The peer's answer is complete."""

    stream_id: int
    trailers: Trailers


@dataclass(frozen=True, slots=True, kw_only=True)
class DataReceived:
    """A piece of a body came in; its bytes are to be consumed."""

    stream_id: int
    data: bytes
    end_stream: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamReset:
    """The peer ended a stream early; it waits for our confirmation."""

    stream_id: int
    code: ResetCode


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamWritable:
    """What a stream had queued went out far enough to queue more."""

    stream_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamClosed:
    """Nothing more happens on a stream; its slot is free."""

    stream_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PingAnswered:
    """The peer answered a ping."""

    round_trip: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GoAwayReceived:
    """The peer drains: it takes no more streams.

    Attributes:
        reconnect_window_ms: Over so many milliseconds the peer wants reconnects to spread.
    """

    code: GoAwayCode
    reconnect_window_ms: int
    reason: str


Event = (
    SettingsReceived
    | RequestReceived
    | ResponseReceived
    | TrailersReceived
    | DataReceived
    | StreamReset
    | StreamWritable
    | StreamClosed
    | PingAnswered
    | GoAwayReceived
)
