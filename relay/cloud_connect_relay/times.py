"""Times and durations as people and JSON write them."""

import re
from datetime import UTC, datetime
from typing import Final

__all__ = ["iso_time", "parse_duration"]

_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "": 1}
_DURATION: Final = re.compile(r"(\d{1,9})\s*([smhd]?)", re.ASCII)


def iso_time(seconds: float | None) -> str | None:
    """Return UNIX seconds as ISO 8601 in UTC: ``2026-11-24T09:30:00.000Z``."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def parse_duration(text: str) -> int:
    """Return the seconds of ``90``, ``90s``, ``15m``, ``1h`` or ``30d``.

    Raises:
        ValueError: If it is none of these, or zero.
    """
    match = _DURATION.fullmatch(text.strip().lower())
    seconds = int(match[1]) * _SECONDS[match[2]] if match else 0
    if not seconds:
        raise ValueError("write a duration such as 90s, 15m, 1h or 30d")
    return seconds
