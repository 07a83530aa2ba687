"""Reading the audit log: verified, listed, exported; beside a running agent or without one."""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from cloud_connect.audit import (
    ACCEPTED,
    BrokenRecordError,
    ChainedRecord,
    ChainVerifier,
    Checkpoint,
    Verdict,
    accepted_in,
    record_time,
)
from cloud_connect_agent.audit.folder import AuditFolder

__all__ = ["accepted_places", "hash_at", "newest_records", "records", "verify"]

_ACCEPTED: Final = ACCEPTED.encode()


def verify(
    folder: AuditFolder,
    *,
    held: Sequence[tuple[Checkpoint, str]] = (),
    key: bytes | None = None,
) -> Verdict:
    """Return whether the log is what was written.

    Args:
        held: Checkpoints that others hold, each with who does, in words.
        key: The public key of this PC, which signed the newest checkpoint, unless who holds one
            knows another.
    """
    own = folder.checkpoints()
    known = {key, *(one.key for one, _ in held)}
    verifier = ChainVerifier(
        folder.log_id() or "missing", [*((one, "this PC") for one in own), *held]
    )
    if key is not None and own and own[-1].key not in known:
        verifier.blame(1, "The newest checkpoint is not signed with the key of this PC.")
    for segment in folder.segments():
        for number, line in enumerate(segment.lines()):
            if verifier.take_line(line) is None:
                verifier.broken(segment.first + number)
            if verifier.faulty:
                return verifier.finish()
    return verifier.finish()


def records(
    folder: AuditFolder, *, since: float | None = None, until: float | None = None
) -> Iterator[ChainedRecord]:
    """Yield the records of a time, the oldest first; what is none any more is left out.

    Args:
        since: UNIX seconds; as `until`, it bounds when records were made.
    """
    return _made_within(folder.lines(), since, until)


def newest_records(
    folder: AuditFolder, *, since: float | None = None, until: float | None = None
) -> Iterator[ChainedRecord]:
    """Yield what :func:`records` does, the newest first: who wants few reads few files."""
    lines = (
        line for segment in reversed(folder.segments()) for line in reversed(list(segment.lines()))
    )
    return _made_within(lines, since, until)


def accepted_places(folder: AuditFolder) -> set[tuple[str, int, str]]:
    """Return log, record and hash of each checkpoint that people accepted as one that is lost."""
    found: set[tuple[str, int, str]] = set()
    for line in folder.lines():
        if _ACCEPTED not in line:
            continue
        with contextlib.suppress(BrokenRecordError):
            accepted = accepted_in(ChainedRecord.of_line(line).fields())
            if accepted is not None:
                found |= accepted.checkpoints
    return found


def _made_within(
    lines: Iterable[bytes], since: float | None, until: float | None
) -> Iterator[ChainedRecord]:
    first = None if since is None else record_time(since)
    last = None if until is None else record_time(until)
    for line in lines:
        with contextlib.suppress(BrokenRecordError):
            record = ChainedRecord.of_line(line)
            at = str(record.fields().get("time", ""))
            if (first is None or at >= first) and (last is None or at < last):
                yield record


def hash_at(folder: AuditFolder, seq: int) -> bytes | None:
    """Return the hash of one record; ``None`` if it is not there."""
    segments = [one for one in folder.segments() if one.first <= seq]
    if segments:
        for line in segments[-1].lines():
            with contextlib.suppress(BrokenRecordError):
                record = ChainedRecord.of_line(line)
                if record.seq == seq:
                    return record.hash
    for checkpoint in folder.checkpoints():  # its records may have been deleted for their age
        if checkpoint.seq == seq and (not segments):
            return checkpoint.digest
    return None
