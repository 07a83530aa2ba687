"""Whether a person waits for a call, as its caller may say."""

import re
from typing import Final

__all__ = ["is_interactive"]

_URGENCY: Final = re.compile(r"(?:^|[,\s])u=([0-7])(?:$|[;,\s])")
_BACKGROUND: Final = 5  # RFC 9218: 3 if nothing is said; browsers say 4 of what people do, too


def is_interactive(header: str | None) -> bool:
    """Read ``Priority`` (RFC 9218); what is malformed there is to be ignored."""
    found = None if header is None else _URGENCY.search(header)
    return found is None or int(found[1]) < _BACKGROUND
