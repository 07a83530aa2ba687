"""Windows: how much a peer may send before its bytes were consumed, and when to say so."""

from typing import Final

from cloud_connect.errors import FlowControlError, LocalProtocolError
from cloud_connect.tunnel.limits import MAX_WINDOW_BYTES, MIN_CREDIT_BYTES

__all__ = ["ReceiveWindow", "SendWindow"]

_RETURN_SHIFT: Final = 2  # credit goes back by the quarter of a window: few frames, no stall
_ALMOST_SHIFT: Final = 3  # seven eighths count as a whole: senders leave odd bytes
_GROWTH_ROUND_TRIPS: Final = 2  # a window read within so many round trips limits its reader


class SendWindow:
    """What the peer allows this side to send.

    Attributes:
        credit: Bytes that may be sent.
        size: The window's full size, as the peer announced it last.
    """

    __slots__ = ("credit", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        self.credit = size

    @property
    def outstanding(self) -> int:
        """Bytes that were sent and are not returned as credit."""
        return self.size - self.credit

    def take(self, size: int) -> None:
        """Spend credit."""
        if size > self.credit:
            raise LocalProtocolError(f"{size} bytes to send, {self.credit} bytes of credit")
        self.credit -= size

    def grant(self, increment: int, size: int) -> None:
        """Add credit that the peer announced, with the window's size.

        Raises:
            FlowControlError: If the window shrinks, is too large, or cannot hold the credit.
        """
        if not self.size <= size <= MAX_WINDOW_BYTES:
            raise FlowControlError(f"window of {self.size} bytes set to {size}")
        if not increment:
            raise FlowControlError("window update without credit")
        if increment > size - self.credit:
            raise FlowControlError(f"credit of {increment} bytes overflows a window of {size}")
        self.credit += increment
        self.size = size


class ReceiveWindow:
    """What this side allows the peer to send; it grows for a fast reader on a long way.

    Attributes:
        size: The window's full size.
        credit: Bytes that the peer may still send, as far as it was told.
        buffered: Bytes received and not consumed.
    """

    __slots__ = ("_maximum", "_pending", "_read", "_started", "buffered", "credit", "size")

    def __init__(self, size: int, maximum: int) -> None:
        self.size = size
        self.credit = size
        self.buffered = 0
        self._maximum = max(size, maximum)
        self._pending = 0  # consumed or grown, not told yet
        self._read = 0  # consumed since _started
        self._started: float | None = None

    def receive(self, size: int) -> None:
        """Account for bytes that came in.

        Raises:
            FlowControlError: If the peer had no credit for them.
        """
        if size > self.credit:
            raise FlowControlError(f"{size} bytes came in, the window allowed {self.credit}")
        self.credit -= size
        self.buffered += size

    def consume(
        self, size: int, *, now: float, round_trip: float | None, eager: bool = False
    ) -> bool:
        """Account for bytes that were read; return whether the peer should be told.

        The window doubles when a whole one was read within two round trips: then the window,
        and not the reader, sets the speed.
        """
        if size > self.buffered:
            raise LocalProtocolError(f"{size} bytes consumed, {self.buffered} bytes buffered")
        self.buffered -= size
        self._pending += size
        if self._started is None:
            self._started = now  # what is read at once says nothing about speed
        else:
            self._read += size
        if self._read >= self.size - (self.size >> _ALMOST_SHIFT):
            if round_trip is not None and now - self._started < _GROWTH_ROUND_TRIPS * round_trip:
                self.grow(2 * self.size)
            self._read = 0
            self._started = now
        return self.is_due(eager=eager)

    def grow(self, size: int) -> bool:
        """Enlarge the window to *size*, as far as its maximum allows; return whether it grew."""
        size = min(size, self._maximum)
        if size <= self.size:
            return False
        self._pending += size - self.size
        self.size = size
        return True

    @property
    def is_short(self) -> bool:
        """Whether the peer has little credit left, because bytes are not read."""
        return self.credit < self.size >> 1

    def is_due(self, *, eager: bool = False) -> bool:
        """Return whether enough credit came together, or the peer may be waiting for it."""
        return self._pending >= self.size >> _RETURN_SHIFT or (
            self._pending >= MIN_CREDIT_BYTES and (eager or self._pending >= self.credit)
        )

    def give_back(self) -> int:
        """Take the credit to announce."""
        increment = self._pending
        self._pending = 0
        self.credit += increment
        return increment
