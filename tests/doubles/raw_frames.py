"""WebSocket frames by hand, as no library would send them (RFC 6455, 5.2)."""

import struct
from typing import Final

__all__ = ["BINARY", "CLOSE", "CONT", "PING", "PONG", "TEXT", "ws_frame"]

CONT: Final = 0
TEXT: Final = 1
BINARY: Final = 2
CLOSE: Final = 8
PING: Final = 9
PONG: Final = 10

_KEY: Final = b"\x11\x22\x33\x44"


def ws_frame(
    opcode: int,
    payload: bytes = b"",
    *,
    mask: bool,
    fin: bool = True,
    reserved: int = 0,
    length: int | None = None,
) -> bytes:
    """Return a frame.

    Args:
        mask: As clients must and servers must not.
        reserved: Its three reserved bits.
        length: What it declares; its payload's unless it lies.
    """
    declared = len(payload) if length is None else length
    first = fin << 7 | reserved << 4 | opcode
    masked = mask << 7
    if declared < 126:
        head = bytes((first, masked | declared))
    elif declared < 2**16:
        head = bytes((first, masked | 126)) + struct.pack("!H", declared)
    else:
        head = bytes((first, masked | 127)) + struct.pack("!Q", declared)
    if not mask:
        return head + payload
    repeated = _KEY * (len(payload) // 4 + 1)
    hidden = bytes(a ^ b for a, b in zip(payload, repeated, strict=False))
    return head + _KEY + hidden
