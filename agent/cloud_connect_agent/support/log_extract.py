"""The last days of the log, as much of it as a bundle takes."""

import time
from collections import deque
from pathlib import Path
from typing import Final

from cloud_connect_agent.logs import Wanted, last_lines
from cloud_connect_agent.support.scrubbing import Scrubber

__all__ = ["log_extract"]

MAX_BYTES: Final = 8 * 1024 * 1024
_MOST_LINES: Final = 200_000


def log_extract(
    file: Path, scrubber: Scrubber, *, days: float, max_bytes: int = MAX_BYTES
) -> tuple[bytes, bool]:
    """Return the scrubbed lines of the last *days*, and whether older ones were left out."""
    wanted = Wanted(since=time.time() - days * 86400)
    lines = last_lines(file, _MOST_LINES, wanted=wanted)
    kept: deque[bytes] = deque()
    size = 0
    for line in reversed(lines):
        data = f"{scrubber.line(line)}\n".encode("utf-8", "replace")
        size += len(data)
        if size > max_bytes:
            return b"".join(kept), True
        kept.appendleft(data)
    return b"".join(kept), len(lines) >= _MOST_LINES
