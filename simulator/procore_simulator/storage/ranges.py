"""Byte ranges of a download."""

import re

__all__ = ["UnsatisfiableError", "requested_range"]

_RANGE = re.compile(r"^bytes=(\d*)-(\d*)$")


class UnsatisfiableError(Exception):
    """A range begins behind the end."""


def requested_range(header: str | None, size: int) -> tuple[int, int] | None:
    """Return first byte and length, or ``None`` for the whole, as when several are asked for.

    Raises:
        UnsatisfiableError: If no byte of the range exists.
    """
    found = _RANGE.match((header or "").replace(" ", ""))
    if found is None:
        return None
    first, last = found.groups()
    if not first and not last:
        return None
    if not first:
        start = max(0, size - int(last))
        end = size - 1
        if int(last) == 0:
            raise UnsatisfiableError
    else:
        start = int(first)
        end = min(int(last), size - 1) if last else size - 1
        if last and int(last) < start:
            return None
    if start >= size:
        raise UnsatisfiableError
    return start, end - start + 1
