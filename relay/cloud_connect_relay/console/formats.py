"""How times, durations, sizes and counts are written for people."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

__all__ = ["Formats", "count", "duration", "milliseconds", "share", "size"]

_STEPS: Final = ((86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))
_JUST_NOW: Final = 5  # seconds
_UNITS: Final = ("bytes", "KiB", "MiB", "GiB", "TiB")
_NOTHING: Final = "\N{EN DASH}"


class Formats:
    """What of it depends on the time; times are UNIX seconds, or ISO 8601 as the API writes them.

    Args:
        clock: UNIX time.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock: Final = clock

    def ago(self, at: float | str | None) -> str:
        """Return ``3 minutes ago``, ``in 2 days``, ``just now``."""
        moment = _moment(at)
        if moment is None:
            return "never"
        seconds = self._clock() - moment
        if abs(seconds) < _JUST_NOW:
            return "just now"
        for length, name in _STEPS:
            if (amount := int(abs(seconds) // length)) >= 1:
                many = f"{amount} {name}{'' if amount == 1 else 's'}"
                return f"{many} ago" if seconds > 0 else f"in {many}"
        return "just now"

    @staticmethod
    def absolute(at: float | str | None) -> str:
        """Return ``2026-11-24 09:30:05 UTC``."""
        moment = _moment(at)
        if moment is None:
            return _NOTHING
        return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")

    @staticmethod
    def iso(at: float | str | None) -> str:
        """Return what a ``datetime`` attribute takes."""
        moment = _moment(at)
        if moment is None:
            return ""
        return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")


def _moment(at: float | str | None) -> float | None:
    return datetime.fromisoformat(at).timestamp() if isinstance(at, str) else at


def duration(seconds: float | None) -> str:
    """Return ``2 d 3 h``, ``4 min 5 s``, ``8.2 s`` or ``120 ms``."""
    if seconds is None:
        return _NOTHING
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def milliseconds(value: float | None) -> str:
    """Return ``38 ms`` or ``1.4 s``."""
    return _NOTHING if value is None else duration(value / 1000)


def size(value: float | None) -> str:
    """Return ``512 bytes`` or ``1.5 MiB``."""
    if value is None:
        return _NOTHING
    amount, unit = float(value), 0
    while amount >= 1024 and unit < len(_UNITS) - 1:
        amount, unit = amount / 1024, unit + 1
    written = f"{amount:.1f}".removesuffix(".0") if unit else f"{amount:.0f}"
    return f"{written} {_UNITS[unit]}"


def count(value: int | None) -> str:
    """Return ``12,345``."""
    return _NOTHING if value is None else f"{value:,}"


def share(value: float | None) -> str:
    """Return a part of one as ``3.2 %``."""
    return _NOTHING if value is None else f"{value * 100:.1f}".removesuffix(".0") + " %"
