"""Where lines of the log go: a stream, and files of bounded size that one account can read."""

import contextlib
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final, TextIO

__all__ = ["FileSink", "Keep", "StreamSink", "is_journal"]

# sd-daemon(3), SD_ERR and its like
_PRIORITIES: Final = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
_MOST_FILES: Final = 100  # that were ever kept: numbers above are nobody's


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """How much of a log is kept.

    Attributes:
        max_file_bytes: Before a line would exceed that, a new file begins.
        max_file_seconds: A new file begins with each such period of the clock; ``None`` for
            size alone.
        files: How many files are kept, the newest included.
        max_total_bytes: Of all files together; the oldest go first.
        seconds: Files that were written last before that go.
    """

    max_file_bytes: int = 5 * 1024 * 1024
    max_file_seconds: float | None = None
    files: int = 4
    max_total_bytes: int | None = None
    seconds: float | None = None


class StreamSink:
    """A text stream; a reader who went away must not disturb a call.

    Args:
        prioritised: Whether each line begins with its level as the journal of systemd takes it,
            so that ``journalctl -p warning`` finds it.
    """

    def __init__(self, stream: TextIO, *, prioritised: bool = False) -> None:
        self._stream: Final = stream
        self._prioritised: Final = prioritised

    def write(self, line: str, *, level: str = "info") -> None:
        """Write a line; it is dropped if that fails."""
        if self._prioritised:
            line = f"<{_PRIORITIES.get(level, 6)}>{line}"
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(line)
            self._stream.flush()


def is_journal(stream: TextIO, told: str | None) -> bool:
    """Whether *stream* is the journal's, as ``$JOURNAL_STREAM`` says: device and inode."""
    try:
        facts = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return told == f"{facts.st_dev}:{facts.st_ino}"


class FileSink:
    """A file and its predecessors, ``name.1`` the newest; a full disk drops lines.

    Each line is one append, so that none is lost or torn when the process dies.

    Args:
        path: Its folder must exist; the file is made with the first line.
        clock: UNIX seconds.
    """

    def __init__(self, path: Path, keep: Keep, *, clock: Callable[[], float] = time.time) -> None:
        self._path: Final = path
        self._keep: Final = keep
        self._clock: Final = clock
        self._lock: Final = threading.Lock()
        self._descriptor: int | None = None
        self._size = 0
        self._period = 0
        self._closed = False

    def write(self, line: bytes) -> None:
        """Append a line; it is dropped if that fails."""
        with self._lock, contextlib.suppress(OSError):
            descriptor = self._ready_for(len(line))
            if descriptor is not None:
                self._size += os.write(descriptor, line)

    def close(self) -> None:
        """Close the file; later lines are dropped."""
        with self._lock:
            self._closed = True
            self._release()

    def _ready_for(self, size: int) -> int | None:
        if self._closed:
            return None
        if self._descriptor is None:
            self._open()
            self._forget()  # what grew too old while nothing was logged
        if self._size and (self._size + size > self._keep.max_file_bytes or self._is_over()):
            self._rotate()
            self._open()
            self._forget()
        return self._descriptor

    def _is_over(self) -> bool:
        """Whether the file's period is; a clock that was set back begins no new one."""
        return self._period_of(self._clock()) > self._period

    def _period_of(self, at: float) -> int:
        seconds = self._keep.max_file_seconds
        return 0 if seconds is None else int(at // seconds)

    def _open(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
        self._descriptor = os.open(self._path, flags, 0o600)
        facts = os.fstat(self._descriptor)
        self._size = facts.st_size
        self._period = self._period_of(facts.st_mtime if facts.st_size else self._clock())

    def _names(self) -> list[Path]:
        """Return the files that may be kept, the newest first."""
        older = (self._path.with_name(f"{self._path.name}.{n}") for n in range(1, self._keep.files))
        return [self._path, *older]

    def _rotate(self) -> None:
        self._release()  # Windows renames no file that is open
        names = self._names()
        if len(names) == 1:
            self._path.unlink()
        for newer, older in reversed(list(pairwise(names))):
            if newer.exists():
                newer.replace(older)

    def _forget(self) -> None:
        """Delete what is too old or too much, and files that fewer are kept of than before."""
        oldest = None if self._keep.seconds is None else self._clock() - self._keep.seconds
        total = self._keep.max_file_bytes  # for the newest may grow so far
        names = self._names()
        for number in range(1, _MOST_FILES):
            file = self._path.with_name(f"{self._path.name}.{number}")
            with contextlib.suppress(OSError):
                facts = file.stat()
                total += facts.st_size
                most = self._keep.max_total_bytes
                too_old = oldest is not None and facts.st_mtime < oldest
                if number >= len(names) or too_old or (most is not None and total > most):
                    file.unlink()

    def _release(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)
