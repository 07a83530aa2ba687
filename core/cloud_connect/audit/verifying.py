"""Is an audit log what was written? The first record that is not has a number.

An administrator may accept that a log does not go on from a checkpoint, as after a restored
backup. A record of the log says so; the checkpoint is no fault then, and is shown instead.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from cloud_connect.audit.chain import GENESIS_SEQ, BrokenRecordError, ChainedRecord, genesis
from cloud_connect.audit.checkpoints import Checkpoint

__all__ = ["ACCEPTED", "CUT", "Accepted", "ChainVerifier", "Fault", "Verdict", "accepted_in"]

ACCEPTED: Final = "audit.accepted"  # the record that says which checkpoints need not fit
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
class Accepted:
    """What an administrator accepted.

    Attributes:
        record: The number of the record that says so.
        checkpoints: Name, last record and its hash, of each checkpoint that need not fit.
    """

    record: int
    time: str
    actor: str
    reason: str
    checkpoints: frozenset[tuple[str, int, str]]

    def document(self) -> dict[str, object]:
        """Return it as the command line prints it."""
        return {
            "record": self.record,
            "time": self.time,
            "actor": self.actor,
            "reason": self.reason,
            "checkpoints": [
                {"log": log, "seq": seq, "hash": digest}
                for log, seq, digest in sorted(self.checkpoints)
            ],
        }


def accepted_in(fields: Mapping[str, object]) -> Accepted | None:
    """Return what a record accepts; ``None`` if it is of another kind."""
    detail = fields.get("detail")
    if fields.get("action") != ACCEPTED or not isinstance(detail, dict):
        return None
    seq, listed = fields.get("seq"), detail.get("checkpoints")
    places = listed if isinstance(listed, list) else []
    return Accepted(
        record=seq if isinstance(seq, int) else 0,
        time=str(fields.get("time", "")),
        actor=str(fields.get("actor", "")),
        reason=str(detail.get("reason", "")),
        checkpoints=frozenset(
            (str(one.get("log")), one["seq"], str(one.get("hash")))
            for one in places
            if isinstance(one, dict) and isinstance(one.get("seq"), int)
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What was found.

    Attributes:
        first: The number of the first record; ``None`` without records.
        signed: The last record that a genuine checkpoint covers; 0 if none does.
        accepted: What the log says that people accepted.
    """

    records: int
    first: int | None
    last: int | None
    signed: int
    fault: Fault | None
    accepted: tuple[Accepted, ...] = ()

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
            "accepted": [one.document() for one in self.accepted],
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
        self._accepted: Final[list[Accepted]] = []
        # A later record may accept these, so that they are judged at the end.
        self._disputed: Final[list[tuple[Checkpoint, Fault]]] = []
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
            accepted = accepted_in(fields)
            if accepted is not None:
                self._accepted.append(accepted)
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
        self._judge()
        return Verdict(
            records=self._records,
            first=self._first,
            last=self._last if self._records else None,
            signed=self._signed,
            fault=self._fault,
            accepted=tuple(self._accepted),
        )

    def _judge(self) -> None:
        """Blame what does not fit and nobody accepted, if it comes first."""
        accepted = {place for one in self._accepted for place in one.checkpoints}
        for checkpoint, fault in self._disputed:
            known = (checkpoint.log, checkpoint.seq, checkpoint.hash) in accepted
            if not known and (self._fault is None or fault.seq < self._fault.seq):
                self._fault = fault

    def _dispute(self, checkpoint: Checkpoint, seq: int, reason: str) -> None:
        self._disputed.append((checkpoint, Fault(seq=seq, reason=reason)))

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
                self._dispute(
                    checkpoint,
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
                    self._dispute(
                        checkpoint,
                        self._last + 1,
                        f"The log ends at record {self._last}; {holder} holds a signed checkpoint "
                        f"of record {seq}.",
                    )

    def _trusts(self, checkpoint: Checkpoint) -> bool:
        return checkpoint.log == self._log and checkpoint.is_genuine()
