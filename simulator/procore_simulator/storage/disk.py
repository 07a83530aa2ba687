"""Stored bytes: in files of a temporary folder, bounded, never whole in memory."""

import contextlib
import hashlib
import itertools
import random
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

__all__ = ["Blob", "Disk", "DiskFullError", "Piece", "PieceWriter", "made_blob"]

_CHUNK_BYTES = 65_536
_BLOCK = random.Random(20_260_101).randbytes(_CHUNK_BYTES)
"""What made-up content repeats; fixed, so that equal sizes have equal bytes."""


class DiskFullError(Exception):
    """The simulator keeps as many bytes as it was allowed to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One stored segment."""

    path: Path
    size: int
    sha256: str
    md5: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """A file's whole content: stored pieces in their order, or made-up bytes."""

    size: int
    etag: str
    """Without its quotes."""
    pieces: tuple[Piece, ...] = ()

    def read(self, start: int, length: int) -> Iterator[bytes]:
        """Read *length* bytes from *start* in small parts."""
        if not self.pieces:
            yield from _made_bytes(start, length)
            return
        for piece in self.pieces:
            if start >= piece.size:
                start -= piece.size
                continue
            wanted = min(length, piece.size - start)
            with piece.path.open("rb") as file:
                file.seek(start)
                left = wanted
                while left > 0 and (data := file.read(min(_CHUNK_BYTES, left))):
                    left -= len(data)
                    yield data
            start = 0
            length -= wanted
            if length <= 0:
                return


def _made_bytes(start: int, length: int) -> Iterator[bytes]:
    while length > 0:
        offset = start % _CHUNK_BYTES
        data = _BLOCK[offset : offset + length]
        yield data
        start += len(data)
        length -= len(data)


def made_blob(size: int) -> Blob:
    """Describe *size* bytes that nobody uploaded; equal sizes have equal bytes."""
    return Blob(size=size, etag=hashlib.md5(b"%d" % size, usedforsecurity=False).hexdigest())


class PieceWriter:
    """One segment as it arrives: hashed and written as it comes."""

    def __init__(self, disk: "Disk", path: Path, file: IO[bytes]) -> None:
        self.size = 0
        self._disk = disk
        self._path = path
        self._file = file
        self._sha256 = hashlib.sha256()
        self._md5 = hashlib.md5(usedforsecurity=False)

    def write(self, data: bytes | memoryview) -> None:
        """Store the next bytes.

        Raises:
            DiskFullError: If no more may be kept.
        """
        self._disk.reserve(len(data))
        self.size += len(data)
        self._sha256.update(data)
        self._md5.update(data)
        self._file.write(data)

    def finish(self) -> Piece:
        """Close the segment and return it."""
        self._file.close()
        return Piece(
            path=self._path,
            size=self.size,
            sha256=self._sha256.hexdigest(),
            md5=self._md5.hexdigest(),
        )

    def discard(self) -> None:
        """Give the bytes up."""
        self._disk.discard(self.finish())


class Disk:
    """The temporary folder of a simulator, and how much of it is in use."""

    def __init__(self, folder: Path, *, max_bytes: int) -> None:
        self.used_bytes = 0
        self._folder = folder
        self._max_bytes = max_bytes
        self._numbers = itertools.count(1)

    @classmethod
    @contextlib.contextmanager
    def open(cls, *, max_bytes: int) -> Iterator["Disk"]:
        """Make the folder, and remove it with everything in it at the end."""
        with tempfile.TemporaryDirectory(prefix="procore-simulator-") as folder:
            yield cls(Path(folder), max_bytes=max_bytes)

    def reserve(self, size: int) -> None:
        """Count bytes that are about to be written.

        Raises:
            DiskFullError: If they are too many.
        """
        if self.used_bytes + size > self._max_bytes:
            raise DiskFullError(f"The simulator keeps at most {self._max_bytes} bytes of files.")
        self.used_bytes += size

    def new_piece(self) -> PieceWriter:
        """Begin a segment; finish or discard it."""
        path = self._folder / f"{next(self._numbers)}.bin"
        return PieceWriter(self, path, path.open("wb"))

    def keep(self, data: bytes) -> Piece:
        """Store bytes that came whole."""
        writer = self.new_piece()
        try:
            writer.write(data)
        except DiskFullError:
            writer.discard()
            raise
        return writer.finish()

    def discard(self, piece: Piece) -> None:
        """Remove a segment."""
        if piece.path.exists():
            piece.path.unlink()
            self.used_bytes -= piece.size
