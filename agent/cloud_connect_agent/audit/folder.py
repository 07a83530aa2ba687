"""The files of the audit log: records in segments, checkpoints, and what the relay said.

Plain lines of JSON: an auditor needs nothing of ours to read them.
"""

import contextlib
import errno
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import orjson
from pydantic import ValidationError

from cloud_connect.audit import AuditExchange, Checkpoint
from cloud_connect_agent.durable import make_private_dir, sync_dir, write_durably

__all__ = ["APPENDING", "AuditFolder", "Segment", "append_whole"]

_SEGMENT: Final = re.compile(r"(\d{12})\.ndjson", re.ASCII)
_LOG_ID: Final = re.compile(r"aud_[0-9a-f]{32}", re.ASCII)
# Windows would write two bytes for the end of a line.
APPENDING: Final = os.O_WRONLY | os.O_APPEND | getattr(os, "O_BINARY", 0)
_TAIL_BYTES: Final = 16 * 1024  # of checkpoints: some of them, unless they are damaged
_MAX_EXCHANGE: Final = 16 * 1024  # bytes of two checkpoints, with room


class Segment:
    """One file of records; its name is the number of the first."""

    def __init__(self, path: Path) -> None:
        self.path: Final = path
        self.first: Final = int(path.name[:12])

    def size(self) -> int:
        """Return its bytes."""
        return self.path.stat().st_size

    def lines(self) -> Iterator[bytes]:
        """Yield its records as they stand there; half a one at the end is none (yet)."""
        with self.path.open("rb") as file:
            for line in file:
                if line.endswith(b"\n"):
                    yield line[:-1]


class AuditFolder:
    """One folder with an audit log, its own or a copy."""

    def __init__(self, path: Path) -> None:
        self.path: Final = path

    @property
    def lock_file(self) -> Path:
        """Held by who appends."""
        return self.path / "audit.lock"

    @property
    def checkpoint_file(self) -> Path:
        """The checkpoints of this log, a line each."""
        return self.path / "checkpoints"

    def create(self) -> None:
        """Make the folder, for the running account only, and name the log.

        Raises:
            OSError: If that cannot be.
        """
        make_private_dir(self.path)
        if self.log_id() is None:
            write_durably(self._id_file, b"aud_%s\n" % os.urandom(16).hex().encode())

    def log_id(self) -> str | None:
        """Return the log's name; ``None`` if it has none."""
        with contextlib.suppress(FileNotFoundError, UnicodeDecodeError):
            found = self._id_file.read_bytes()[:64].decode("ascii").strip()
            return found if _LOG_ID.fullmatch(found) else None
        return None

    def segments(self) -> list[Segment]:
        """Return the files of records, the oldest first."""
        if not self.path.is_dir():
            return []
        found = [one for one in self.path.iterdir() if _SEGMENT.fullmatch(one.name)]
        return [Segment(path) for path in sorted(found)]

    def segment(self, first: int) -> Segment:
        """Return the segment that begins at record *first*; it need not be there."""
        return Segment(self.path / f"{first:012d}.ndjson")

    def lines(self) -> Iterator[bytes]:
        """Yield all records, the oldest first."""
        for segment in self.segments():
            yield from segment.lines()

    def checkpoints(self) -> list[Checkpoint]:
        """Return the checkpoints of this log that can be read, the oldest first."""
        return list(self.each_checkpoint())

    def each_checkpoint(self) -> Iterator[Checkpoint]:
        """Yield them one by one: a year of them is more than one wants to hold."""
        with contextlib.suppress(FileNotFoundError), self.checkpoint_file.open("rb") as file:
            for line in file:
                found = _checkpoint_of(line)
                if found is not None:
                    yield found

    def newest_checkpoint(self) -> Checkpoint | None:
        """Return the last of them, from the end of the file; ``None`` if there is none."""
        with contextlib.suppress(FileNotFoundError), self.checkpoint_file.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            for line in reversed(file.read().splitlines()):
                found = _checkpoint_of(line)
                if found is not None:
                    return found
        return next(reversed(self.checkpoints()), None)

    def add_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Append a checkpoint, durably.

        Raises:
            OSError: If the disk does not take it.
        """
        fresh = not self.checkpoint_file.exists()
        line = checkpoint.model_dump_json().encode() + b"\n"
        descriptor = os.open(self.checkpoint_file, APPENDING | os.O_CREAT, 0o600)
        try:
            size = os.fstat(descriptor).st_size
            if _is_torn(self.checkpoint_file):
                line = b"\n" + line  # a crash left half of one, which must not spoil this one
            append_whole(descriptor, line, size=size)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if fresh:
            sync_dir(self.path)

    def keep_checkpoints(self, kept: Iterable[Checkpoint]) -> None:
        """Replace the checkpoints by those that are still needed.

        Raises:
            OSError: If the disk does not take them.
        """
        lines = b"".join(one.model_dump_json().encode() + b"\n" for one in kept)
        write_durably(self.checkpoint_file, lines)

    def relay(self) -> AuditExchange:
        """Return what the relay said last: its own checkpoint, and which of ours it holds."""
        try:
            data = self._relay_file.read_bytes()[:_MAX_EXCHANGE]
            return AuditExchange.model_validate(orjson.loads(data))
        except (OSError, ValueError):
            return AuditExchange()

    def keep_relay(self, said: AuditExchange) -> None:
        """Keep what the relay said.

        Raises:
            OSError: If the disk does not take it.
        """
        write_durably(self._relay_file, said.model_dump_json().encode())

    @property
    def _id_file(self) -> Path:
        return self.path / "log"

    @property
    def _relay_file(self) -> Path:
        return self.path / "relay"


def _checkpoint_of(line: bytes) -> Checkpoint | None:
    try:
        return Checkpoint.model_validate_json(line)
    except ValidationError:
        return None


def append_whole(file: int, line: bytes, *, size: int) -> None:
    """Append *line* to a file of *size* bytes, or nothing: half a line would hide the next one.

    Raises:
        OSError: If the disk does not take it.
    """
    try:
        _write_whole(file, line)
    except OSError:
        with contextlib.suppress(OSError):
            os.ftruncate(file, size)
        raise


def _write_whole(file: int, line: bytes) -> None:
    if os.write(file, line) != len(line):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _is_torn(path: Path) -> bool:
    """Whether the file's last line has no end."""
    with path.open("rb") as file:
        if file.seek(0, os.SEEK_END) == 0:
            return False
        file.seek(-1, os.SEEK_END)
        return file.read() != b"\n"
