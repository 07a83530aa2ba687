"""Links that deliver crumbs: bytes in dribs and drabs cost little more than the whole they make.

A network that cuts messages into single bytes, or a peer that sends them so, would wake both
ends once a byte. A link that does so is left alone for a moment after each, so that more comes
together.
"""

import asyncio
from typing import Final

from websockets.asyncio.connection import Connection

__all__ = ["PatientConnection"]

_CRUMB_BYTES: Final = 8  # fewer than any message that carries a frame
_CRUMBS: Final = 8  # more of them than whole networks split off
_PAUSE_SECONDS: Final = 0.001


class PatientConnection(Connection):
    """A WebSocket connection that waits for crumbs to gather; inherit it before the real one."""

    _crumbs = 0
    _pause: asyncio.TimerHandle | None = None

    def data_received(self, data: bytes) -> None:
        """Take bytes in; after a crumb too many, wait before more are read."""
        if len(data) >= _CRUMB_BYTES:
            if self._crumbs:
                self._crumbs -= 1
        else:
            self._crumbs += 1
            if self._crumbs >= _CRUMBS and self._pause is None:
                self._crumbs = _CRUMBS
                self.transport.pause_reading()
                self._pause = self.loop.call_later(_PAUSE_SECONDS, self._go_on)
        super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Take in that nothing comes any more."""
        if self._pause is not None:
            self._pause.cancel()
        super().connection_lost(exc)

    def _go_on(self) -> None:
        self._pause = None
        # Full queues pause reading, too, and go on by themselves.
        if not (self.recv_messages.paused or self.transport.is_closing()):
            self.transport.resume_reading()
