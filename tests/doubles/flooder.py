"""A stranger or an agent that sends as fast as a socket takes it, from a thread of its own."""

import contextlib
import socket
import time
from dataclasses import dataclass
from typing import Final

from cloud_connect.handshake import AgentHandshake
from doubles.raw_frames import TEXT, ws_frame

__all__ = ["Flood", "flood"]

_UPGRADE: Final = (
    b"GET /tunnel HTTP/1.1\r\nHost: relay\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    b"Sec-WebSocket-Protocol: cloud-connect.v1\r\n\r\n"
)
_PATIENCE: Final = 10.0  # seconds; a relay that takes longer has not throttled it


@dataclass(frozen=True, kw_only=True)
class Flood:
    """What a flood came to.

    Attributes:
        seconds: Until the relay had closed the socket, or *limit* was sent.
        sent: Bytes that the socket took.
        closed: Whether the relay closed it.
    """

    seconds: float
    sent: int
    closed: bool


def flood(
    port: int, piece: bytes, *, first: bytes = b"", limit: int, agent: AgentHandshake | None = None
) -> Flood:
    """Connect, authenticate if *agent* can, and send *piece* again and again.

    Args:
        first: Sent once, before.
        limit: Bytes to send at most.
    """
    with socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE) as peer:
        peer.sendall(_UPGRADE)
        received = bytearray()
        while b"\r\n\r\n" not in received:
            received += _more(peer)
        del received[: received.index(b"\r\n\r\n") + 4]
        if agent is not None:
            hello = agent.receive_challenge(_message(peer, received))
            peer.sendall(ws_frame(TEXT, hello.encode(), mask=True))
            agent.receive_welcome(_message(peer, received))
            peer.sendall(ws_frame(TEXT, agent.confirm().encode(), mask=True))
            _message(peer, received)  # SETTINGS: it is in
        return _send(peer, first, piece, limit)


def _send(peer: socket.socket, first: bytes, piece: bytes, limit: int) -> Flood:
    began, sent, closed = time.monotonic(), 0, False
    block = piece * max(1, 16_384 // len(piece))
    try:
        peer.sendall(first)
        while sent < limit and not closed:
            peer.sendall(block)
            sent += len(block)
            closed = _is_closed(peer)
        peer.settimeout(max(0.1, _PATIENCE - (time.monotonic() - began)))
        while not closed:
            closed = not peer.recv(65_536)
    except TimeoutError:
        pass
    except OSError:
        closed = True
    return Flood(seconds=time.monotonic() - began, sent=sent, closed=closed)


def _is_closed(peer: socket.socket) -> bool:
    peer.setblocking(False)
    try:
        with contextlib.suppress(BlockingIOError):
            while piece := peer.recv(65_536):
                del piece
            return True
        return False
    finally:
        peer.settimeout(_PATIENCE)


def _more(peer: socket.socket) -> bytes:
    piece = peer.recv(65_536)
    if not piece:
        raise ConnectionError("the relay hung up")
    return piece


def _message(peer: socket.socket, received: bytearray) -> str:
    """Read a short message of the relay's."""
    while True:
        if len(received) >= 4:
            size, start = received[1], 2
            if size == 126:
                size, start = int.from_bytes(received[2:4]), 4
            if len(received) >= start + size:
                message = bytes(received[start : start + size])
                del received[: start + size]
                return message.decode("latin-1")
        received += _more(peer)
