"""Appending to the audit log: one write per record, in the order in which things happened.

A record that was written survives the process; :meth:`AuditWriter.sync` makes it survive the
machine. So no call waits for the disk, and none that was answered is missing after a crash.
"""

import contextlib
import errno
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import structlog

from cloud_connect.audit import (
    GENESIS_SEQ,
    BrokenRecordError,
    ChainedRecord,
    canonical,
    chained,
    genesis,
)
from cloud_connect.file_lock import file_lock
from cloud_connect_agent.audit.folder import APPENDING, AuditFolder, append_whole
from cloud_connect_agent.durable import sync_dir

__all__ = ["AuditWriter", "Head"]

log = structlog.get_logger(__name__)

_SEGMENT_BYTES: Final = 8 * 1024 * 1024  # the next begins at the checkpoint after that


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a log."""

    seq: int
    hash: bytes


class AuditWriter:
    """The one that appends to a log; hold it with :meth:`open`.

    Attributes:
        log: The log's name.
        recovered: What was found wrong with its end at the start, in words.
    """

    def __init__(self, folder: AuditFolder, *, segment_bytes: int = _SEGMENT_BYTES) -> None:
        self.folder: Final = folder
        self.log: Final = folder.log_id() or ""
        self.recovered: str | None = None
        self._segment_bytes: Final = segment_bytes
        self._seq = GENESIS_SEQ
        self._hash = genesis(self.log)
        self._file: int | None = None
        self._size = 0
        self._find_head()

    @classmethod
    @contextmanager
    def open(
        cls,
        folder: AuditFolder,
        *,
        segment_bytes: int = _SEGMENT_BYTES,
        lock_timeout: float = 0.0,
    ) -> Iterator[Self]:
        """Hold the log against all other processes, from its end on.

        Raises:
            FileInUseError: If another process appends to it.
            OSError: If its files cannot be used.
        """
        folder.create()
        with file_lock(folder.lock_file, timeout=lock_timeout):
            writer = cls(folder, segment_bytes=segment_bytes)
            try:
                yield writer
            finally:
                writer.close()

    @property
    def head(self) -> Head:
        """The last record."""
        return Head(self._seq, self._hash)

    def append(self, fields: Mapping[str, object]) -> int:
        """Append a record and return its number.

        Args:
            fields: What it says, without its number.

        Raises:
            OSError: If the disk does not take it; then there is none.
        """
        seq = self._seq + 1
        record = chained(seq, canonical({**fields, "seq": seq}), self._hash)
        line = record.line() + b"\n"
        file = self._file if self._file is not None else self._begin_segment(seq)
        append_whole(file, line, size=self._size)
        self._size += len(line)
        self._seq, self._hash = seq, record.hash
        return seq

    def sync(self) -> None:
        """Make what was appended survive the machine; may run in a thread.

        Raises:
            OSError: If the disk does not take it, or somebody replaced the file.
        """
        file = self._file
        if file is None:
            return
        os.fsync(file)
        mine = os.fstat(file)
        if not mine.st_nlink:
            raise FileNotFoundError(errno.ENOENT, "its file was removed or replaced")

    @property
    def is_full(self) -> bool:
        """Whether the file is large enough; it ends at a checkpoint, by :meth:`close`."""
        return self._size >= self._segment_bytes

    def close(self) -> None:
        """Close the file; the next record opens one that begins with it."""
        file, self._file, self._size = self._file, None, 0
        if file is not None:
            os.close(file)

    def _begin_segment(self, first: int) -> int:
        path = self.folder.segment(first).path
        file = os.open(path, APPENDING | os.O_CREAT | os.O_EXCL, 0o600)
        sync_dir(self.folder.path)
        self._file, self._size = file, 0
        return file

    def _find_head(self) -> None:
        """Go on where the log ends; what a crash tore off its end is kept aside."""
        segments = self.folder.segments()
        signed = self.folder.newest_checkpoint()
        while segments:
            last = segments.pop()
            data = self._whole_lines(last.path)
            if not data:
                last.path.unlink()
                continue
            self._seq, self._hash = _end_of(data, first=last.first)
            self._file = os.open(last.path, APPENDING)
            self._size = len(data)
            break
        if signed is not None and signed.seq > self._seq:
            # Somebody cut it: going on behind what was signed keeps the gap in sight.
            self._note(f"records after {self._seq} are missing, up to {signed.seq}")
            self.close()
            self._seq, self._hash = signed.seq, signed.digest

    def _whole_lines(self, path: Path) -> bytes:
        with path.open("rb+") as file:
            data = file.read()
            whole = data.rfind(b"\n") + 1
            if whole == len(data):
                return data
            torn = path.with_name(f"torn-{path.name}")
            torn.write_bytes(data[whole:])
            torn.chmod(0o600)
            file.truncate(whole)
            os.fsync(file.fileno())
        self._note(f"{len(data) - whole} bytes of a record were torn off by a crash")
        return data[:whole]

    def _note(self, what: str) -> None:
        self.recovered = what
        log.error("audit_log_end", reason=what)


def _end_of(data: bytes, *, first: int) -> tuple[int, bytes]:
    """Return number and hash of the last record; one that was changed keeps its number."""
    lines = data.splitlines()
    for behind, line in enumerate(reversed(lines)):
        with contextlib.suppress(BrokenRecordError):
            record = ChainedRecord.of_line(line)
            return record.seq + behind, record.hash
    return first + len(lines) - 1, b"\0" * 32
