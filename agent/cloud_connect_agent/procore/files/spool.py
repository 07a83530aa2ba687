"""A file that has to be known as a whole before it is sent: on disk, hashed as it comes."""

import asyncio
import hashlib
import tempfile
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Final

from cloud_connect.errors import BodyTooLargeError, InvalidRequestError
from cloud_connect_agent.durable import make_private_dir

__all__ = ["Segment", "Spool", "SpooledFile", "wrong_length"]

# Procore takes more than 5 MiB and at most 100 MiB a piece, 10,000 pieces of one file.
_SEGMENT_BYTES: Final = 16 * 1024 * 1024
_BLOCK: Final = 1024 * 1024  # bytes that are written, or read, at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A piece of a file as it is declared before it is sent; hashes in hex."""

    offset: int
    size: int
    sha256: str
    md5: str


class Spool:
    """The folder of files that wait for their upload, and how much of the disk they take.

    Attributes:
        used: Bytes that they take.

    Args:
        max_bytes: Of all files together.
    """

    def __init__(self, folder: Path, *, max_bytes: Callable[[], int]) -> None:
        self._folder: Final = folder
        self._max_bytes: Final = max_bytes
        self.used = 0

    @asynccontextmanager
    async def keep(
        self, body: AsyncIterator[bytes], *, size: int | None = None, advice: str
    ) -> AsyncIterator["SpooledFile"]:
        """Take a body in; its file has no name anybody could open, and goes with the block.

        Args:
            size: What it is said to have, to refuse it before its bytes come.
            advice: What helps whoever sends one for which there is no room, as a sentence.

        Raises:
            BodyTooLargeError: If it is over the limit, or the disk is full.
            InvalidRequestError: If it is not as long as it was said to be.
        """
        self._check_room(size or 0, advice)
        # Not in a thread: one that is not waited for would leave a file open.
        make_private_dir(self._folder)
        file = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115 - closed below
        spooled = SpooledFile(file)
        try:
            try:
                await spooled.fill(body, partial(self._take_room, advice=advice))
            except OSError as exc:
                raise BodyTooLargeError(
                    f"The connector's disk did not take the file: {exc.strerror}. {advice}"
                ) from exc
            if size not in {None, spooled.size}:
                raise wrong_length()
            yield spooled
        finally:
            self.used -= spooled.claimed
            await asyncio.to_thread(spooled.close)

    def _take_room(self, size: int, *, advice: str) -> None:
        self._check_room(size, advice)
        self.used += size

    def _check_room(self, size: int, advice: str) -> None:
        most = self._max_bytes()
        if self.used + size > most:
            raise BodyTooLargeError(
                f"The connector keeps {most} bytes of files on disk at most (max_spool_bytes), and "
                f"this one goes beyond. {advice}"
            )


def wrong_length() -> InvalidRequestError:
    """Return the refusal of a file that ends early or late."""
    return InvalidRequestError("The file is not as long as its Content-Length says.")


class SpooledFile:
    """A file on disk that is read once or more.

    Attributes:
        size: Its bytes.
        claimed: Those for which room was taken.
        sha256: Of all of it, in hex.
        segments: Its pieces, in order.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file: Final = file
        # Who is cancelled leaves a thread behind: closed below it, its bytes could go anywhere.
        self._lock: Final = threading.Lock()
        self._whole: Final = hashlib.sha256()
        self._piece = (hashlib.sha256(), hashlib.md5(usedforsecurity=False))
        self._piece_size = 0
        self.size = 0
        self.claimed = 0
        self.sha256 = ""
        self.segments: list[Segment] = []

    async def fill(self, body: AsyncIterator[bytes], take_room: Callable[[int], None]) -> None:
        """Write a body down.

        Args:
            take_room: Called with the size of each piece; raises if there is no room for it.

        Raises:
            BodyTooLargeError: If there is no room.
            OSError: If the disk does not take it.
        """
        block = bytearray()
        async for chunk in body:
            take_room(len(chunk))
            self.claimed += len(chunk)
            block += chunk
            if len(block) >= _BLOCK:
                await asyncio.to_thread(self._take, bytes(block))
                block.clear()
        if block:
            await asyncio.to_thread(self._take, bytes(block))
        if self._piece_size or not self.segments:
            self._end_piece()
        self.sha256 = self._whole.hexdigest()

    async def read(self, offset: int, size: int) -> AsyncIterator[bytes]:
        """Yield a part of it; one reader at a time."""
        end = offset + size
        while offset < end:
            block = await asyncio.to_thread(self._read, offset, min(_BLOCK, end - offset))
            offset += len(block)
            yield block

    def close(self) -> None:
        """Let go of the bytes, once whoever writes or reads them is done."""
        with self._lock:
            self._file.close()

    def _take(self, data: bytes) -> None:
        with self._lock:
            left = memoryview(data)
            while left:
                left = left[self._file.write(left) :]
        self._whole.update(data)
        self.size += len(data)
        rest = memoryview(data)
        while rest:
            part = rest[: _SEGMENT_BYTES - self._piece_size]
            for digest in self._piece:
                digest.update(part)
            self._piece_size += len(part)
            if self._piece_size == _SEGMENT_BYTES:
                self._end_piece()
            rest = rest[len(part) :]

    def _end_piece(self) -> None:
        sha256, md5 = self._piece
        self.segments.append(
            Segment(
                offset=len(self.segments) * _SEGMENT_BYTES,
                size=self._piece_size,
                sha256=sha256.hexdigest(),
                md5=md5.hexdigest(),
            )
        )
        self._piece = (hashlib.sha256(), hashlib.md5(usedforsecurity=False))
        self._piece_size = 0

    def _read(self, offset: int, size: int) -> bytes:
        with self._lock:
            self._file.seek(offset)
            data = self._file.read(size)
        if not data:
            raise EOFError("the spooled file is shorter than it was")
        return data
