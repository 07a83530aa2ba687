"""How many commits the journal has had, beside it: what a cut log forgets without a word.

SQLite ends its write-ahead log where a frame does not add up, as after a loss of power; a log
that lost its end to a fault of the disk looks the same. The mark is written after each commit,
without a flush: so it is never ahead of what was durable, and it survives the process.
"""

import os
import struct
import zlib
from pathlib import Path
from typing import Final, Self

__all__ = ["Mark"]

_NUMBER: Final = struct.Struct("<Q")
_SLOT: Final = struct.Struct("<QI")
_SLOTS: Final = 2  # written in turn: one of them is whole whatever happens


class Mark:
    """The file with the number, open for writing."""

    def __init__(self, path: Path) -> None:
        self._file: Final = path.open("r+b", buffering=0)

    @classmethod
    def create(cls, path: Path) -> Self:
        """Make the file durably; there may be none yet."""
        with path.open("xb") as file:
            path.chmod(0o600)
            file.write(b"\0" * _SLOT.size * _SLOTS)
            file.flush()
            os.fsync(file.fileno())
        return cls(path)

    def read(self) -> int:
        """Return the highest number that was noted."""
        self._file.seek(0)
        data = self._file.read(_SLOT.size * _SLOTS)
        numbers = [0]
        for offset in range(0, len(data) - _SLOT.size + 1, _SLOT.size):
            number, checksum = _SLOT.unpack_from(data, offset)
            if zlib.crc32(_NUMBER.pack(number)) == checksum:
                numbers.append(number)
        return max(numbers)

    def note(self, number: int) -> None:
        """Note that *number* commits are durable."""
        self._file.seek(number % _SLOTS * _SLOT.size)
        self._file.write(_SLOT.pack(number, zlib.crc32(_NUMBER.pack(number))))

    def close(self) -> None:
        """Close the file."""
        self._file.close()
