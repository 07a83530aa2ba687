"""The agent's log files: written while it runs, read by ``cloud-connect logs``."""

import json
import os
import sys
import time
from collections import deque
from collections.abc import Generator
from itertools import islice
from pathlib import Path

from cloud_connect.log import configure, render_console
from cloud_connect_agent.settings import LogSettings

__all__ = ["configure_logs", "follow_lines", "last_lines", "readable"]

_POLL_SECONDS = 0.2
_MAX_FILES = 100  # as many as LogSettings.files allows


def configure_logs(settings: LogSettings, *, file: Path | None = None, debug: bool = False) -> None:
    """Log to standard error, readable on a terminal, and to *file* if given."""
    configure(
        level="debug" if debug else settings.level,
        style="console" if sys.stderr.isatty() else "json",
        file=file,
        max_file_bytes=settings.max_file_bytes,
        files=settings.files,
    )


def last_lines(file: Path, count: int) -> list[str]:
    """Return the last *count* lines, oldest first, of the file and its predecessors."""
    lines: deque[str] = deque()
    predecessors = (file.with_name(f"{file.name}.{n}") for n in range(1, _MAX_FILES))
    for path in (file, *predecessors):
        if len(lines) >= count or not path.exists():
            break
        with path.open(encoding="utf-8", errors="replace") as opened:
            newest = deque(opened, maxlen=count - len(lines))
        lines.extendleft(reversed(newest))
    return [line.rstrip("\n") for line in islice(lines, count)]


def follow_lines(file: Path, *, poll: float = _POLL_SECONDS) -> Generator[str, None, None]:
    """Yield lines as they are written, across a change of file, without end."""
    opened = file.open(encoding="utf-8", errors="replace") if file.exists() else None
    try:
        if opened is not None:
            opened.seek(0, 2)
        rest = ""
        while True:
            if opened is None:
                if file.exists():
                    opened = file.open(encoding="utf-8", errors="replace")
            else:
                rest += opened.read()
                *lines, rest = rest.split("\n")
                yield from lines
                if not _same(file, opened.fileno()):
                    opened.close()
                    opened = None
                    continue
            time.sleep(poll)
    finally:
        if opened is not None:
            opened.close()


def readable(line: str, *, colors: bool) -> str:
    """Return a line of a log file as people read it; what is no event stays as it is."""
    try:
        event = json.loads(line)
    except ValueError:
        return line
    if not isinstance(event, dict) or "event" not in event:
        return line
    return render_console(event, colors=colors)


def _same(file: Path, descriptor: int) -> bool:
    try:
        here, open_one = file.stat(), os.fstat(descriptor)
    except OSError:
        return False
    return (here.st_dev, here.st_ino) == (open_one.st_dev, open_one.st_ino)
