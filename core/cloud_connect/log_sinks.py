"""Where lines of the log go: a stream, and files of bounded size that one account can read."""

import contextlib
import os
import threading
from itertools import pairwise
from pathlib import Path
from typing import Final, TextIO

__all__ = ["FileSink", "StreamSink"]


class StreamSink:
    """A text stream; a reader who went away must not disturb a call."""

    def __init__(self, stream: TextIO) -> None:
        self._stream: Final = stream

    def write(self, line: str) -> None:
        """Write a line; it is dropped if that fails."""
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(line)
            self._stream.flush()


class FileSink:
    """A file and its predecessors, ``name.1`` the newest; a full disk drops lines.

    Each line is one append, so that none is lost or torn when the process dies.

    Args:
        path: Its folder must exist; the file is made with the first line.
        max_bytes: Before a line would exceed that, a new file begins.
        files: How many files are kept, the newest included.
    """

    def __init__(self, path: Path, *, max_bytes: int, files: int) -> None:
        self._path: Final = path
        self._max_bytes: Final = max_bytes
        self._files: Final = files
        self._lock: Final = threading.Lock()
        self._descriptor: int | None = None
        self._size = 0
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
        if self._size and self._size + size > self._max_bytes:
            self._rotate()
            self._open()
        return self._descriptor

    def _open(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
        self._descriptor = os.open(self._path, flags, 0o600)
        self._size = os.fstat(self._descriptor).st_size

    def _rotate(self) -> None:
        self._release()  # Windows renames no file that is open
        names = [self._path]
        names += [self._path.with_name(f"{self._path.name}.{n}") for n in range(1, self._files)]
        if len(names) == 1:
            self._path.unlink()
        for newer, older in reversed(list(pairwise(names))):
            if newer.exists():
                newer.replace(older)

    def _release(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)
