"""The simulator's own clock, which tests can move."""

import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from email.utils import formatdate

__all__ = ["SimulatorClock", "iso_time"]


def iso_time(seconds: float) -> str:
    """Write *seconds* since the epoch the way Procore writes timestamps."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class SimulatorClock:
    """Wall time plus an offset; every expiry, window and timestamp reads it."""

    def __init__(
        self, *, start: float | None = None, wall: Callable[[], float] = time.time
    ) -> None:
        self._wall = wall
        self._offset = 0.0 if start is None else start - wall()
        self._date_second = -1
        self._date = b""

    def now(self) -> float:
        """Return the simulated seconds since the epoch."""
        return self._wall() + self._offset

    def advance(self, seconds: float) -> None:
        """Move the clock; a negative number moves it back."""
        self._offset += seconds

    def today(self) -> date:
        """Return the current day in UTC."""
        return datetime.fromtimestamp(self.now(), UTC).date()

    def timestamp(self) -> str:
        """Return the current moment as Procore writes it."""
        return iso_time(self.now())

    def http_date(self) -> bytes:
        """Return the value of a ``Date`` header, made once a second."""
        second = int(self.now())
        if second != self._date_second:
            self._date_second = second
            self._date = formatdate(second, usegmt=True).encode()
        return self._date
