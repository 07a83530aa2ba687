"""The agent's log files: written while it runs, read by ``cloud-connect logs``."""

import json
import os
import sys
import time
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Final, Self

from cloud_connect.log import configure, render_console
from cloud_connect.log_sinks import Keep
from cloud_connect_agent.settings import LogSettings

__all__ = [
    "Mark",
    "Wanted",
    "configure_logs",
    "event_of",
    "follow_lines",
    "last_lines",
    "lines_after",
    "readable",
]

_POLL_SECONDS: Final = 0.2
_MOST_MISSING: Final = 2  # names in a row: the newest one's, and one that moves
_MAX_FILES: Final = 100  # as many as LogSettings.files allows
_LEVELS: Final = ("debug", "info", "warning", "error", "critical")


def configure_logs(
    settings: LogSettings,
    *,
    file: Path | None = None,
    debug: bool = False,
    journal: str | None = None,
) -> None:
    """Log to standard error, readable on a terminal, and to *file* if given.

    Args:
        journal: ``$JOURNAL_STREAM`` of systemd.
    """
    configure(
        level="debug" if debug else settings.level,
        style="console" if sys.stderr.isatty() else "json",
        file=file,
        keep=Keep(
            max_file_bytes=settings.max_file_bytes,
            max_file_seconds=settings.max_file_hours * 3600,
            files=settings.files,
            max_total_bytes=settings.max_total_bytes,
            seconds=settings.keep_days * 86400,
        ),
        journal=journal,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which lines somebody wants to see; without a wish, each of them.

    Attributes:
        since: UNIX seconds.
        level: The least one.
        call_id: Only what was logged for that call.
    """

    since: float | None = None
    level: str | None = None
    call_id: str | None = None

    def __call__(self, line: str) -> bool:
        """Whether a line is wanted; what is no event only is where everything is."""
        if self.since is None and self.level is None and self.call_id is None:
            return True
        if self.call_id is not None and self.call_id not in line:
            return False  # without reading it as JSON, which takes its time
        event = event_of(line)
        if event is None:
            return False
        if self.since is not None and str(event.get("time", "")) < _moment(self.since):
            return False
        if self.call_id is not None and event.get("call_id") != self.call_id:
            return False
        return self.level is None or _rank(event.get("level")) >= _rank(self.level)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A place in the log: up to there it was read, from there it is followed."""

    identity: tuple[int, int] | None = None
    size: int = 0

    @classmethod
    def end_of(cls, file: Path) -> Self:
        """Return the end that the log has at this moment."""
        try:
            facts = file.stat()
        except OSError:
            return cls()
        return cls(identity=(facts.st_dev, facts.st_ino), size=facts.st_size)


def last_lines(
    file: Path, count: int, *, wanted: Wanted | None = None, until: Mark | None = None
) -> list[str]:
    """Return the last *count* lines that are wanted, oldest first, of all files."""
    wanted = wanted or Wanted()
    lines: deque[str] = deque()
    begun = until is None
    for path in _files(file):
        left = count - len(lines)
        if left <= 0 or (wanted.since is not None and _written_before(path, wanted.since)):
            break
        is_marked = until is not None and _identity(path) == until.identity
        begun = begun or is_marked
        if begun:
            found = _lines_of(path, until.size if until is not None and is_marked else None)
            lines.extendleft(reversed(deque(filter(wanted, found), maxlen=left)))
    return list(lines)


def follow_lines(
    file: Path, *, after: Mark | None = None, poll: float = _POLL_SECONDS
) -> Generator[str, None, None]:
    """Yield lines as they are written, without end, whatever becomes of the file meanwhile.

    Files that took another's place, also while nobody looked, and one that a restart or a person
    cut are read from where the last line ended. No file stays open between two looks: Windows
    would not let the agent begin a new one.
    """
    mark = after or Mark.end_of(file)
    while True:
        lines, mark = lines_after(file, mark)
        yield from lines
        if not lines:
            time.sleep(poll)


def readable(line: str, *, colors: bool) -> str:
    """Return a line of a log file as people read it; what is no event stays as it is."""
    event = event_of(line)
    return line if event is None else render_console(event, colors=colors)


def event_of(line: str) -> dict[str, Any] | None:
    """Return the event that a line holds, if it holds one."""
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and "event" in event else None


def lines_after(file: Path, mark: Mark) -> tuple[list[str], Mark]:
    """Return the whole lines after *mark*, oldest first, and the place where they end."""
    lines: list[str] = []
    with ExitStack() as stack:
        younger: dict[tuple[int, int], BinaryIO] = {}  # begun after the one that was read
        for path in _files(file):
            try:
                opened = stack.enter_context(path.open("rb"))
            except OSError:
                continue
            facts = os.fstat(opened.fileno())
            identity = (facts.st_dev, facts.st_ino)
            if identity == mark.identity:
                opened.seek(mark.size if mark.size <= facts.st_size else 0)
                found, mark = _whole_lines(opened, identity)
                lines += found
                break
            # Names move down meanwhile, so that the same file may be met twice.
            younger.setdefault(identity, opened)
            if mark.identity is None:
                break
        else:
            # What was read is gone, and so may be others: better nothing twice than a log from
            # its beginning.
            younger = dict(islice(younger.items(), 1))
        for identity, newer in reversed(younger.items()):
            found, mark = _whole_lines(newer, identity)
            lines += found
    return lines, mark


def _whole_lines(opened: BinaryIO, identity: tuple[int, int]) -> tuple[list[str], Mark]:
    """Return the lines from here on that have an end, and the place behind them."""
    start = opened.tell()
    whole, end, _ = opened.read().rpartition(b"\n")
    lines = [_text(line) for line in whole.split(b"\n")] if end else []
    return lines, Mark(identity=identity, size=start + len(whole) + len(end))


def _files(file: Path) -> Iterator[Path]:
    """Yield the log's files that there are, the newest first.

    While a new one is begun each moves up by a number, so that one name may be free.
    """
    missing = 0
    for path in (file, *(file.with_name(f"{file.name}.{n}") for n in range(1, _MAX_FILES))):
        if path.exists():
            missing = 0
            yield path
        else:
            missing += 1
            if missing > _MOST_MISSING:
                return


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        facts = path.stat()
    except OSError:
        return None
    return (facts.st_dev, facts.st_ino)


def _lines_of(path: Path, size: int | None = None) -> Iterator[str]:
    """Yield the lines of a file, of one that is gone none."""
    try:
        opened = path.open("rb")
    except FileNotFoundError:
        return
    with opened:
        for line in opened:
            if size is not None and (size := size - len(line)) < 0:
                return
            yield _text(line)


def _text(line: bytes) -> str:
    return line.decode("utf-8", "replace").rstrip("\n")


def _written_before(path: Path, moment: float) -> bool:
    try:
        return path.stat().st_mtime < moment
    except OSError:
        return True


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")[:-6] + "Z"


def _rank(level: object) -> int:
    """Return how grave a level is; one that nobody knows is shown."""
    return _LEVELS.index(level) if level in _LEVELS else len(_LEVELS)
