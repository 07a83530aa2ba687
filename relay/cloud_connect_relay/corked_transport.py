"""A transport that joins the small writes of an answer, which its server makes one by one."""

import asyncio
from typing import Any, Final

__all__ = ["UNREAD_SECONDS", "CorkedTransport"]

UNREAD_SECONDS: Final = 300.0  # that the far end may take nothing of what is on its way to it
_MAX_HELD_BYTES: Final = 16 * 1024  # beyond, a write is worth a packet of its own


class CorkedTransport(asyncio.Transport):
    """Holds small writes until :meth:`flush`, or until the event loop's next turn.

    A status line, headers and a short body are one packet then, and one system call. Flow
    control is the real transport's: what is held is less than one of its buffers.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._transport: Final = transport
        self._loop: Final = loop
        self._held: list[bytes | bytearray | memoryview] = []
        self._held_bytes = 0
        self._ending: asyncio.TimerHandle | None = None

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Write *data*, soon if it is little."""
        if not data:
            return
        self._held.append(data)
        self._held_bytes += len(data)
        if self._held_bytes >= _MAX_HELD_BYTES:
            self.flush()
        elif len(self._held) == 1:
            self._loop.call_soon(self.flush)

    def flush(self) -> None:
        """Write what is held."""
        held = self._held
        if held:
            self._held = []
            self._held_bytes = 0
            if len(held) == 1:
                self._transport.write(held[0])
            else:
                self._transport.writelines(held)

    def close(self) -> None:
        """Close, behind what is held, and abort once the far end takes none of it for minutes.

        A transport by itself waits for as long as the far end lives.
        """
        self.flush()
        if not self._transport.is_closing():
            self._transport.close()
            self._await_end()

    def abort(self) -> None:
        """Close at once."""
        self._held.clear()
        self._transport.abort()

    def lost(self) -> None:
        """Take in that the connection has ended."""
        if self._ending is not None:
            self._ending.cancel()
            self._ending = None

    def _await_end(self) -> None:
        unsent = self._transport.get_write_buffer_size()
        if unsent and self._ending is None:
            self._ending = self._loop.call_later(UNREAD_SECONDS, self._look, unsent)

    def _look(self, unsent: int) -> None:
        self._ending = None
        if self._transport.get_write_buffer_size() < unsent:
            self._await_end()
        else:
            self._transport.abort()

    def is_closing(self) -> bool:
        """Whether it is closed, or about to be."""
        return self._transport.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return what the real transport knows."""
        return self._transport.get_extra_info(name, default)

    def pause_reading(self) -> None:
        """Read no more until :meth:`resume_reading`."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read on."""
        self._transport.resume_reading()
