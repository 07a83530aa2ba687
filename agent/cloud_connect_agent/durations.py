"""Times as people read them at a glance."""

from datetime import datetime, timedelta
from typing import Final

__all__ = ["ago", "lasting", "time_of_day"]

_MINUTE: Final = 60
_HOUR: Final = 3600
_DAY: Final = 86400
_NOW: Final = 2  # seconds that are not worth a number


def lasting(seconds: float) -> str:
    """Say how long something lasts, in one unit or two; clocks that differ make it 0 s."""
    whole = max(0, int(seconds))
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min"
    if whole < _DAY:
        return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"
    return f"{whole // _DAY} d {whole % _DAY // _HOUR} h"


def ago(passed: timedelta) -> str:
    """Say how long ago something was."""
    seconds = passed.total_seconds()
    return "just now" if seconds < _NOW else f"{lasting(seconds)} ago"


def time_of_day(moment: datetime, *, seconds: bool = True) -> str:
    """Return the time of day on this PC's clock."""
    return moment.astimezone().strftime("%H:%M:%S" if seconds else "%H:%M")
