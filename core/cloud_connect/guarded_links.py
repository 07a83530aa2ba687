"""Links that do not suffer a peer who floods them, or who does not leave when it is told to.

The library answers pings and joins fragments however many come. Neither end of a tunnel sends
any: its pings are frames of its own, its messages come whole. What a proxy in between makes of
them now and then is forgiven.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final

from websockets.asyncio.connection import Connection
from websockets.client import ClientProtocol
from websockets.exceptions import ProtocolError
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol
from websockets.server import ServerProtocol

from cloud_connect.errors import RemoteProtocolError
from cloud_connect.tunnel import Limits
from cloud_connect.tunnel.abuse import FloodGuard

__all__ = ["GuardedClientProtocol", "GuardedServerProtocol", "PunctualConnection"]

_CONTROL: Final = frozenset({Opcode.PING, Opcode.PONG})
_MIN_FRAGMENT_BYTES: Final = 1024  # smaller ones are no proxy's work


class _Guarded(Protocol):
    """A protocol that counts frames without use; the tunnel's own limits say how many may come."""

    clock: Callable[[], float] = staticmethod(time.monotonic)

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        limits = Limits()
        self._flood: Final = FloodGuard(limits.flood_burst, limits.flood_per_second)

    def recv_frame(self, frame: Frame) -> None:
        """Take a frame in.

        Raises:
            ProtocolError: If too many came that carry nothing; the link is closed with 1002.
        """
        crumb = not frame.fin and len(frame.data) < _MIN_FRAGMENT_BYTES
        empty = frame.opcode is Opcode.CONT and not frame.data
        if crumb or empty or frame.opcode in _CONTROL:
            try:
                self._flood.charge(self.clock())
            except RemoteProtocolError as exc:
                raise ProtocolError(exc.message) from exc
        super().recv_frame(frame)


class GuardedServerProtocol(_Guarded, ServerProtocol):
    """The relay's end."""

    @classmethod
    def of(cls, protocol: ServerProtocol) -> "GuardedServerProtocol":
        """Return a guarded protocol like *protocol*, which has not begun."""
        return cls(
            subprotocols=protocol.available_subprotocols,
            max_size=protocol.max_message_size,
            logger=protocol.logger,
        )


class GuardedClientProtocol(_Guarded, ClientProtocol):
    """The agent's end."""


class PunctualConnection(Connection):
    """A connection that is gone soon after its farewell; inherit it before the real one.

    The library waits for the peer to hang up, as long as somebody else does not.
    """

    _last_call: asyncio.TimerHandle | None = None

    def data_received(self, data: bytes) -> None:
        """Take bytes in; if they end the WebSocket, its transport ends soon, too."""
        super().data_received(data)
        if self._last_call is None and self.protocol.close_expected():
            within = self.close_timeout or 0.0
            self._last_call = self.loop.call_later(within, self.transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """Take in that nothing comes any more."""
        if self._last_call is not None:
            self._last_call.cancel()
        super().connection_lost(exc)
