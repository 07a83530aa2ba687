"""Is an audit log what was written? The first record that is not has a number."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from cloud_connect.audit.chain import GENESIS_SEQ, BrokenRecordError, ChainedRecord, genesis
from cloud_connect.audit.checkpoints import Checkpoint

__all__ = ["CUT", "ChainVerifier", "Fault", "Verdict"]

CUT: Final = "audit.cut"  # the record that says which ones were deleted for their age


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """The first thing that is wrong.

    Attributes:
        seq: The first record that is missing, changed, or not what was signed.
        reason: A sentence.
    """

    seq: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What was found.

    Attributes:
        first: The number of the first record; ``None`` without records.
        signed: The last record that a genuine checkpoint covers; 0 if none does.
    """

    records: int
    first: int | None
    last: int | None
    signed: int
    fault: Fault | None

    def document(self) -> dict[str, object]:
        """Return it as the command line prints it."""
        return {
            "ok": self.fault is None,
            "records": self.records,
            "first_seq": self.first,
            "last_seq": self.last,
            "signed_seq": self.signed,
            "first_bad_seq": None if self.fault is None else self.fault.seq,
            "reason": None if self.fault is None else self.fault.reason,
        }


class ChainVerifier:
    """Reads a log from its beginning and stops at the first fault.

    Args:
        checkpoints: Of the log, each with who holds it, in words: ``this PC``, ``the relay``.
    """

    def __init__(self, log: str, checkpoints: Iterable[tuple[Checkpoint, str]] = ()) -> None:
        self._log: Final = log
        self._checkpoints: Final[dict[int, list[tuple[Checkpoint, str]]]] = {}
        self._fault: Fault | None = None
        self._records = 0
        self._first: int | None = None
        self._last = GENESIS_SEQ
        self._hash = genesis(log)
        self._signed = GENESIS_SEQ
        self._cut = GENESIS_SEQ
        for checkpoint, holder in checkpoints:
            self._checkpoints.setdefault(checkpoint.seq, []).append((checkpoint, holder))

    @property
    def faulty(self) -> bool:
        """Whether a fault was found already."""
        return self._fault is not None

    def blame(self, seq: int, reason: str) -> None:
        """Note a fault, unless there is one already."""
        if self._fault is None:
            self._fault = Fault(seq=seq, reason=reason)

    def take_line(self, line: bytes) -> ChainedRecord | None:
        """Take the next record as it stands in a file; ``None`` if it is none."""
        try:
            record = ChainedRecord.of_line(line)
        except BrokenRecordError:
            self.broken()
            return None
        self.take(record, record.fields())
        return record

    def broken(self, seq: int | None = None) -> None:
        """Note that the next record is not one that was written.

        Args:
            seq: Its number, if that is known from elsewhere.
        """
        seq = self._last + 1 if seq is None else seq
        self.blame(seq, f"Record {seq} was changed: it is not in the form of a record.")

    def take(self, record: ChainedRecord, fields: Mapping[str, object]) -> None:
        """Take the next record.

        Args:
            fields: What it says.
        """
        if self.faulty:
            return
        if self._first is None:
            self._begin(record)
        expected = self._last + 1
        if record.seq != expected:
            self.blame(expected, f"Record {expected} is missing; {record.seq} stands there.")
        elif not record.is_sound():
            self.blame(expected, f"Record {expected} was changed: its hash is of something else.")
        elif record.prev != self._hash:
            self.blame(expected, f"Record {expected} does not follow the one before it.")
        else:
            self._records += 1
            self._last, self._hash = record.seq, record.hash
            self._note_cut(fields)
            self._compare()

    def finish(self) -> Verdict:
        """Return what was found."""
        if self._first is not None and self._first - 1 > self._cut:
            self.blame(
                self._cut + 1,
                f"Records {self._cut + 1} to {self._first - 1} are missing, and no record says "
                "that they were deleted for their age.",
            )
        self._look_beyond()
        return Verdict(
            records=self._records,
            first=self._first,
            last=self._last if self._records else None,
            signed=self._signed,
            fault=self._fault,
        )

    def _begin(self, record: ChainedRecord) -> None:
        """Begin a log whose old records were deleted: behind a checkpoint that was signed."""
        self._first = record.seq
        if record.seq <= 1:
            return
        for checkpoint, _ in self._checkpoints.get(record.seq - 1, ()):
            if self._trusts(checkpoint) and checkpoint.digest == record.prev:
                self._last = self._signed = checkpoint.seq
                self._hash = record.prev
                return
        self.blame(1, f"The log begins at record {record.seq}, behind no signed checkpoint.")

    def _note_cut(self, fields: Mapping[str, object]) -> None:
        detail = fields.get("detail")
        if fields.get("action") == CUT and isinstance(detail, dict):
            up_to = detail.get("up_to")
            if isinstance(up_to, int):
                self._cut = max(self._cut, up_to)

    def _compare(self) -> None:
        for checkpoint, holder in self._checkpoints.get(self._last, ()):
            if not self._trusts(checkpoint):
                self.blame(
                    self._last, f"The checkpoint at record {self._last} ({holder}) is forged."
                )
            elif checkpoint.digest != self._hash:
                self.blame(
                    self._signed + 1,
                    f"Records {self._signed + 1} to {self._last} are not those that were signed "
                    f"({holder}).",
                )
            else:
                self._signed = self._last

    def _look_beyond(self) -> None:
        """Blame what ends before a checkpoint does."""
        for seq in sorted(self._checkpoints):
            for checkpoint, holder in self._checkpoints[seq]:
                if seq > self._last and self._trusts(checkpoint):
                    self.blame(
                        self._last + 1,
                        f"The log ends at record {self._last}; {holder} holds a signed checkpoint "
                        f"of record {seq}.",
                    )

    def _trusts(self, checkpoint: Checkpoint) -> bool:
        return checkpoint.log == self._log and checkpoint.is_genuine()
