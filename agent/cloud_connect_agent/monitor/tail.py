"""What a log file got since the last look, across its rotation."""

import os
from io import BufferedReader
from pathlib import Path
from typing import Final, Self

__all__ = ["LogTail"]

_FIRST_BYTES: Final = 64 * 1024  # of what is there already: enough for a window
_MAX_BYTES: Final = 256 * 1024  # of one look; a terminal has no use for more
_MAX_LINE_BYTES: Final = 64 * 1024


class LogTail:
    """Reads on from where the last look ended; open it as a context manager."""

    def __init__(self, file: Path) -> None:
        self._file: Final = file
        self._opened: BufferedReader | None = None
        self._rest = b""
        self._begun = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def read(self) -> list[str]:
        """Return the whole lines that are new, oldest first.

        The first look begins a little before the end of the file. A file that is missing or may
        not be read has no lines.
        """
        lines: list[str] = []
        if self._opened is None and not self._open():
            return lines
        lines += self._read_on()
        if self._opened is not None and self._rotated(self._opened):
            self._close()
            if self._open():
                lines += self._read_on()
        return lines

    def _open(self) -> bool:
        try:
            opened = self._file.open("rb")
        except OSError:
            return False
        if not self._begun:
            size = os.fstat(opened.fileno()).st_size
            if size > _FIRST_BYTES:
                opened.seek(size - _FIRST_BYTES)
                opened.readline()  # the rest of a line
        self._begun = True
        self._opened = opened
        return True

    def _read_on(self) -> list[str]:
        if self._opened is None:
            return []
        self._rest += self._opened.read(_MAX_BYTES)
        *whole, self._rest = self._rest.split(b"\n")
        self._rest = self._rest[:_MAX_LINE_BYTES]
        return [line.decode("utf-8", errors="replace") for line in whole if line]

    def _rotated(self, opened: BufferedReader) -> bool:
        """Whether another file stands at the name, or this one was cut."""
        here = os.fstat(opened.fileno())
        try:
            named = self._file.stat()
        except OSError:
            return False  # between two files; what is open may still grow
        return (named.st_dev, named.st_ino) != (here.st_dev, here.st_ino) or (
            here.st_size < opened.tell()
        )

    def _close(self) -> None:
        if self._opened is not None:
            self._opened.close()
        self._opened, self._rest = None, b""
