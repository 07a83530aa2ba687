"""What one side of a session allows, and the sizes that the protocol fixes."""

from dataclasses import dataclass
from typing import Final

__all__ = [
    "HEADER_BYTES",
    "MAX_DATA_BYTES",
    "MAX_HEAD_BYTES",
    "MAX_MESSAGE_BYTES",
    "MAX_REASON_BYTES",
    "MAX_SETTINGS",
    "MAX_STREAM_ID",
    "MAX_WINDOW_BYTES",
    "MIN_CREDIT_BYTES",
    "MIN_WINDOW_BYTES",
    "PING_BYTES",
    "PROTOCOL_VERSION",
    "PROTOCOL_VERSION_MIN",
    "Limits",
]

KIB: Final = 1024
MIB: Final = 1024 * KIB

PROTOCOL_VERSION: Final = 1  # what this code speaks best (N)
PROTOCOL_VERSION_MIN: Final = 1  # the oldest it still speaks (N-1, once there is an N-1)

HEADER_BYTES: Final = 9  # length u24, type u8, flags u8, stream id u32
MAX_MESSAGE_BYTES: Final = 128 * KIB  # one WebSocket message, all of its frames together
MAX_DATA_BYTES: Final = 64 * KIB  # payload of one DATA frame: a small frame waits for no more
MAX_HEAD_BYTES: Final = 16 * KIB  # payload of one HEADERS frame
MAX_REASON_BYTES: Final = 1 * KIB  # text of a GOAWAY
MAX_SETTINGS: Final = 64  # entries of a SETTINGS frame
PING_BYTES: Final = 8
MAX_STREAM_ID: Final = 2**32 - 1
MIN_WINDOW_BYTES: Final = 64 * KIB  # smaller windows would cut bodies into crumbs
MAX_WINDOW_BYTES: Final = 2**31 - 1
MIN_CREDIT_BYTES: Final = 1 * KIB  # smaller returns cost more than they give


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one side grants its peer and tolerates from it.

    Attributes:
        max_streams: Streams that the peer may have open, those awaiting confirmation included.
        stream_window_bytes: Window that every stream starts with.
        max_stream_window_bytes: Up to here a fast reader's window grows.
        session_window_bytes: Window of all streams together at the start.
        max_session_window_bytes: Up to here it grows: most that a session can make us buffer.
        flood_burst: Worthless frames (pings, empty DATA, unknown types) tolerated at once.
        flood_per_second: Such frames forgiven a second.
        cancel_burst: Streams that the peer may cancel in ``cancel_period`` without a question.
        cancel_share: Over the burst, the share of its opens that the peer may cancel.
        cancel_period: Seconds over which cancels and opens are counted.
        max_replies: Replies that the peer may provoke before the link took the earlier ones.
    """

    max_streams: int = 1024
    stream_window_bytes: int = 256 * KIB
    max_stream_window_bytes: int = 4 * MIB
    session_window_bytes: int = 4 * MIB
    max_session_window_bytes: int = 8 * MIB
    flood_burst: int = 1000
    flood_per_second: float = 100.0
    cancel_burst: int = 100
    cancel_share: float = 0.5
    cancel_period: float = 10.0
    max_replies: int = 4096
