"""Points in time as people write them: a date, or how long ago."""

import re
from datetime import UTC, datetime
from typing import Final

__all__ = ["parse_moment"]

_AGO: Final = re.compile(r"(\d{1,6})([smhd])", re.ASCII)
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_LONGEST: Final = 40  # characters: no date has more


def parse_moment(text: str, *, now: float) -> float:
    """Return the UNIX seconds of ``24h`` (ago), ``2026-11-24`` or ``2026-11-24T09:30:00Z``.

    Raises:
        ValueError: If it is none of these.
    """
    ago = _AGO.fullmatch(text)
    if ago:
        return now - int(ago[1]) * _SECONDS[ago[2]]
    try:
        moment = datetime.fromisoformat(text[:_LONGEST])
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError) as exc:
        raise ValueError(
            "write 24h for that long ago, 2026-11-24, or 2026-11-24T09:30:00Z"
        ) from exc
