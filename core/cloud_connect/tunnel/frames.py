"""Frames: the unit of the tunnel, ``length u24, type u8, flags u8, stream id u32, payload``."""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Final, Self

from cloud_connect.errors import RemoteProtocolError
from cloud_connect.tunnel.limits import (
    HEADER_BYTES,
    MAX_DATA_BYTES,
    MAX_HEAD_BYTES,
    MAX_MESSAGE_BYTES,
    MAX_REASON_BYTES,
    MAX_SETTINGS,
    PING_BYTES,
)

__all__ = [
    "Flag",
    "Frame",
    "FrameType",
    "GoAwayCode",
    "ResetCode",
    "Setting",
    "decode_goaway",
    "decode_reset",
    "decode_settings",
    "decode_window_update",
    "encode_goaway",
    "encode_settings",
    "pack_header",
    "pack_ping",
    "pack_reset",
    "pack_reset_ack",
    "pack_window_update",
    "split",
]


class FrameType(IntEnum):
    """What a frame is; types that are not listed are skipped."""

    DATA = 0
    HEADERS = 1
    RST_STREAM = 3
    SETTINGS = 4
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8


class Flag(IntFlag):
    """Bits of the flags octet; bits without a meaning for the type are skipped."""

    NONE = 0
    END_STREAM = 1
    ACK = 2


class ResetCode(IntEnum):
    """Why a stream ended early; unlisted codes read as ``INTERNAL``."""

    NO_ERROR = 0  # the answer is complete, the rest of the request is not wanted
    CANCEL = 1
    INTERNAL = 2
    REFUSED = 3  # nothing of the stream was looked at
    FLOW_CONTROL = 4
    DEADLINE = 5
    SLOW = 6
    TRUNCATED = 7  # the source's body ended before its end

    @classmethod
    def _missing_(cls, value: object) -> "ResetCode":
        del value
        return cls.INTERNAL


class GoAwayCode(IntEnum):
    """Why a session drains; unlisted codes read as ``NO_ERROR``."""

    NO_ERROR = 0
    RESTART = 1  # the process will be back at the same address
    OVERLOAD = 2  # try another node
    UPGRADE = 3

    @classmethod
    def _missing_(cls, value: object) -> "GoAwayCode":
        del value
        return cls.NO_ERROR


class Setting(IntEnum):
    """Identifiers in a SETTINGS frame; those that are not listed are skipped."""

    VERSION_MAX = 1
    VERSION_MIN = 2
    MAX_STREAMS = 3
    STREAM_WINDOW = 4
    SESSION_WINDOW = 5


_HEADER: Final = struct.Struct(">IBI")  # u24 length and u8 type share the first u32
_SETTING: Final = struct.Struct(">HI")
_RESET: Final = struct.Struct(">I")
_WINDOW_UPDATE: Final = struct.Struct(">II")
_GOAWAY: Final = struct.Struct(">II")

# An unknown type may come from a later version: it is skipped, but it stays bounded.
_MAX_UNKNOWN_BYTES: Final = MAX_DATA_BYTES
_MAX_PAYLOAD_BYTES: Final = {
    int(FrameType.DATA): MAX_DATA_BYTES,
    int(FrameType.HEADERS): MAX_HEAD_BYTES,
    int(FrameType.RST_STREAM): _RESET.size,
    int(FrameType.SETTINGS): MAX_SETTINGS * _SETTING.size,
    int(FrameType.PING): PING_BYTES,
    int(FrameType.GOAWAY): _GOAWAY.size + MAX_REASON_BYTES,
    int(FrameType.WINDOW_UPDATE): _WINDOW_UPDATE.size,
}


def pack_header(kind: int, flags: int, stream_id: int, length: int) -> bytes:
    """Return the nine octets before a payload of *length* octets."""
    return _HEADER.pack(length << 8 | kind, flags, stream_id)


def split(message: bytes) -> Iterator[tuple[int, int, int, int, int]]:
    """Cut a message into frames: type, flags, stream id, start and end of the payload.

    Raises:
        RemoteProtocolError: If the message does not consist of whole frames within the limits.
    """
    size = len(message)
    if size > MAX_MESSAGE_BYTES:
        raise RemoteProtocolError(f"message of {size} bytes is over {MAX_MESSAGE_BYTES}")
    if not size:
        raise RemoteProtocolError("message without a frame")
    end = 0
    while end < size:
        start = end + HEADER_BYTES
        if start > size:
            raise RemoteProtocolError("message ends within a frame header")
        word, flags, stream_id = _HEADER.unpack_from(message, end)
        length = word >> 8
        kind = word & 0xFF
        end = start + length
        if end > size:
            raise RemoteProtocolError("message ends within a frame")
        if length > _MAX_PAYLOAD_BYTES.get(kind, _MAX_UNKNOWN_BYTES):
            raise RemoteProtocolError(f"frame of type {kind} with {length} bytes is too long")
        yield kind, flags, stream_id, start, end


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One frame as a value, for tools and tests; the multiplexer works on bytes."""

    kind: int
    flags: int = 0
    stream_id: int = 0
    payload: bytes = b""

    def encode(self) -> bytes:
        """Return the frame's bytes."""
        return pack_header(self.kind, self.flags, self.stream_id, len(self.payload)) + self.payload

    @classmethod
    def decode(cls, message: bytes) -> tuple[Self, ...]:
        """Return the frames of a message.

        Raises:
            RemoteProtocolError: If it does not consist of whole frames within the limits.
        """
        return tuple(
            cls(kind=kind, flags=flags, stream_id=stream_id, payload=message[start:end])
            for kind, flags, stream_id, start, end in split(message)
        )


def encode_settings(values: Mapping[Setting, int]) -> bytes:
    """Return a SETTINGS frame."""
    payload = b"".join(_SETTING.pack(setting, value) for setting, value in values.items())
    return pack_header(FrameType.SETTINGS, 0, 0, len(payload)) + payload


def decode_settings(payload: bytes) -> dict[int, int]:
    """Return the settings of a payload, unknown ones included."""
    if len(payload) % _SETTING.size:
        raise RemoteProtocolError("SETTINGS payload is no multiple of 6 bytes")
    entries = list(_SETTING.iter_unpack(payload))
    settings: dict[int, int] = dict(entries)
    if len(settings) < len(entries):
        raise RemoteProtocolError("SETTINGS names a setting twice")
    return settings


def pack_reset(stream_id: int, code: int) -> bytes:
    """Return an RST_STREAM frame."""
    return pack_header(FrameType.RST_STREAM, 0, stream_id, _RESET.size) + _RESET.pack(code)


def pack_reset_ack(stream_id: int) -> bytes:
    """Return the confirmation of an RST_STREAM."""
    return pack_header(FrameType.RST_STREAM, Flag.ACK, stream_id, 0)


def decode_reset(payload: bytes) -> ResetCode:
    """Return the code of an RST_STREAM that is no confirmation."""
    if len(payload) != _RESET.size:
        raise RemoteProtocolError("RST_STREAM payload is not 4 bytes")
    return ResetCode(_RESET.unpack(payload)[0])


def pack_window_update(stream_id: int, increment: int, window: int) -> bytes:
    """Return a WINDOW_UPDATE frame: credit returned, and the window's full size."""
    return pack_header(
        FrameType.WINDOW_UPDATE, 0, stream_id, _WINDOW_UPDATE.size
    ) + _WINDOW_UPDATE.pack(increment, window)


def pack_ping(payload: bytes, *, ack: bool) -> bytes:
    """Return a PING frame, or the answer to one."""
    return pack_header(FrameType.PING, Flag.ACK if ack else 0, 0, len(payload)) + payload


def decode_window_update(payload: bytes) -> tuple[int, int]:
    """Return increment and window of a WINDOW_UPDATE."""
    if len(payload) != _WINDOW_UPDATE.size:
        raise RemoteProtocolError("WINDOW_UPDATE payload is not 8 bytes")
    increment, window = _WINDOW_UPDATE.unpack(payload)
    return increment, window


def encode_goaway(code: GoAwayCode, reconnect_window_ms: int, reason: str) -> bytes:
    """Return a GOAWAY frame; the reason is cut at its limit."""
    text = reason.encode(errors="replace")[:MAX_REASON_BYTES]
    payload = _GOAWAY.pack(code, reconnect_window_ms) + text
    return pack_header(FrameType.GOAWAY, 0, 0, len(payload)) + payload


def decode_goaway(payload: bytes) -> tuple[GoAwayCode, int, str]:
    """Return code, reconnect window in milliseconds and reason of a GOAWAY."""
    if len(payload) < _GOAWAY.size:
        raise RemoteProtocolError("GOAWAY payload is shorter than 8 bytes")
    code, reconnect_window_ms = _GOAWAY.unpack_from(payload)
    reason = payload[_GOAWAY.size :].decode(errors="replace")
    return GoAwayCode(code), reconnect_window_ms, reason
