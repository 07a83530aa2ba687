"""What each party of a run says happened: callers, the simulator, the relay, the agents."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

__all__ = ["Attempt", "Delivery", "Execution", "History", "JournalLine", "Record", "effect_of"]


def effect_of(method: str, path: str, marker: str | None) -> str:
    """Name what a write does at Procore: its marker, or the record that it deletes."""
    return marker if marker is not None else f"{method} {'/'.join(path.split('/')[-2:])}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One request of a caller and what came of it, as the caller saw it.

    Attributes:
        effect: What it would do at Procore: the same for each repeat, different for others.
        sent_at: Wall clock, seconds.
        status: ``None`` if no answer came.
        outcome: What the answer said; ``completed`` for an answer without a problem.
    """

    effect: str
    method: str
    sent_at: float
    ended_at: float
    key: str | None = None
    status: int | None = None
    outcome: str | None = None
    code: str | None = None
    call_id: str | None = None
    replayed: bool = False
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """A write that Procore carried out."""

    effect: str
    method: str
    at: float
    record_id: str

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> Self:
        """Read an entry of the simulator's ledger."""
        return cls(
            effect=effect_of(entry["method"], entry["path"], entry["marker"]),
            method=entry["method"],
            at=entry["at"],
            record_id=str(entry["record_id"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What a relay keeps about a call."""

    call_id: str
    state: str
    outcome: str | None = None
    final: bool = False
    key: str | None = None
    status: int | None = None
    operation: str = ""

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Self:
        """Read a row of the relay's table of calls."""
        return cls(
            call_id=row["id"],
            state=row["state"],
            outcome=row["outcome"],
            final=bool(row["final"]),
            key=row["idempotency_key"],
            status=row["status"],
            operation=row["operation"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalLine:
    """What an agent keeps about a call."""

    call_id: str
    state: str
    outcome: str | None = None

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Self:
        """Read a row of an agent's journal."""
        return cls(call_id=row["call_id"], state=row["state"], outcome=row["outcome"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A body on its way from Procore to a caller.

    Attributes:
        whole: Whether the caller was told that it got all of it.
    """

    name: str
    sent_sha256: str
    got_sha256: str
    whole: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Everything that is known about a run."""

    attempts: tuple[Attempt, ...] = ()
    executions: tuple[Execution, ...] = ()
    records: tuple[Record, ...] = ()
    journal: tuple[JournalLine, ...] = ()
    deliveries: tuple[Delivery, ...] = ()
