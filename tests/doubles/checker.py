"""Judges a run by what callers, relay, agent and Procore each say of it (invariants I1 to I5)."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, TypeVar

from doubles.history import Attempt, Execution, History, Record

__all__ = ["Violation", "check"]

TERMINAL: Final = frozenset({"completed", "not_executed", "unknown"})
Said = TypeVar("Said", Attempt, Execution)
CLOCK_SLACK: Final = 0.005  # seconds between two readings of one machine's clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """One broken promise."""

    invariant: str
    what: str
    because: str


def check(history: History, *, upserts: Collection[str] = ()) -> list[Violation]:
    """Return every broken promise of a run that has come to rest.

    Args:
        upserts: Effects that may be sent again, since they make one record however often.
    """
    return [
        *_executed_once(history, frozenset(upserts)),
        *_told_true(history, frozenset(upserts)),
        *_not_executed(history),
        *_recorded_true(history),
        *_terminal(history),
        *_delivered(history),
    ]


def _executed_once(history: History, upserts: frozenset[str]) -> Iterator[Violation]:
    """I1: a key executes at most once; an upsert makes at most one record."""
    asked = {attempt.effect for attempt in history.attempts}
    for effect, found in _by_effect(history.executions).items():
        if effect not in asked:
            yield Violation(
                invariant="I1",
                what=effect,
                because=f"executed {len(found)} times, asked for by nobody",
            )
        records = {execution.record_id for execution in found}
        if effect in upserts:
            if len(records) > 1:
                yield Violation(invariant="I1", what=effect, because=f"{len(records)} records")
        elif len(found) > 1:
            yield Violation(invariant="I1", what=effect, because=f"executed {len(found)} times")


def _told_true(history: History, upserts: frozenset[str]) -> Iterator[Violation]:
    """I2: who is told ``completed`` finds it executed exactly once."""
    executed = _by_effect(history.executions)
    for attempt in history.attempts:
        if attempt.outcome != "completed" or attempt.status is None or attempt.method == "GET":
            continue
        count = len(executed[attempt.effect])
        if attempt.status >= 400:  # Procore's own refusal: it carried nothing out
            others = any(
                other.effect == attempt.effect
                and other is not attempt
                and other.outcome != "not_executed"
                for other in history.attempts
            )
            if count and not others:
                yield Violation(
                    invariant="I2",
                    what=attempt.effect,
                    because=f"told {attempt.status}, executed {count} times",
                )
        elif count != 1 and not (count > 1 and attempt.effect in upserts):
            yield Violation(
                invariant="I2",
                what=attempt.effect,
                because=f"told completed, executed {count} times",
            )


def _not_executed(history: History) -> Iterator[Violation]:
    """I3: ``not_executed`` means that this call had no effect, then and later."""
    attempts = _by_effect(history.attempts)
    for effect, found in _by_effect(history.executions).items():
        for execution in found:
            told = attempts[effect]
            if told and not any(_explains(attempt, execution) for attempt in told):
                yield Violation(invariant="I3", what=effect, because="executed, told not_executed")
    journal = {line.call_id: line for line in history.journal}
    for record in history.records:
        line = journal.get(record.call_id)
        if record.outcome != "not_executed" or line is None:
            continue
        if line.outcome in {"completed", "unknown"} or line.state == "intent":
            yield Violation(
                invariant="I3",
                what=record.call_id,
                because=f"the relay says not_executed, the journal {line.outcome or line.state}",
            )
    records = {record.call_id: record for record in history.records}
    for attempt in history.attempts:
        if attempt.code == "idempotency_conflict":
            continue  # it names the first call, which runs; the repeat is what had no effect
        known = records.get(attempt.call_id or "")
        if attempt.outcome == "not_executed" and known and known.outcome == "completed":
            yield Violation(
                invariant="I3",
                what=attempt.effect,
                because="told not_executed, the relay's record says completed",
            )


def _recorded_true(history: History) -> Iterator[Violation]:
    """I2, I3: who looks a write up later is told no more lies than its caller."""
    effects = _effects(history)
    kept = defaultdict[str, list[Record]](list)
    for record in history.records:
        if record.call_id in effects:
            kept[effects[record.call_id]].append(record)
    executed = _by_effect(history.executions)
    for effect, records in kept.items():
        count = len(executed[effect])
        carried_out = any(
            record.outcome == "completed" and (record.status or 200) < 400 for record in records
        )
        if carried_out and not count:
            yield Violation(
                invariant="I2", what=effect, because="recorded as completed, executed by nobody"
            )
        if count and all(record.outcome == "not_executed" for record in records):
            yield Violation(
                invariant="I3", what=effect, because="executed, recorded as not_executed"
            )


def _effects(history: History) -> dict[str, str]:
    """Return what each recorded write would do, by its call id.

    Its key tells, where it was used for one effect only; an answer may have been lost, or name
    the call that had its key before. Else the answer tells.
    """
    by_key = defaultdict[str, set[str]](set)
    by_call: dict[str, str] = {}
    for attempt in history.attempts:
        if attempt.method == "GET":
            continue
        if attempt.key is not None:
            by_key[attempt.key].add(attempt.effect)
        if attempt.call_id is not None and attempt.outcome != "not_executed":
            by_call[attempt.call_id] = attempt.effect
    found: dict[str, str] = {}
    for record in history.records:
        named = by_key[record.key] if record.key is not None else set()
        if len(named) == 1:
            (found[record.call_id],) = named
        elif record.call_id in by_call:
            found[record.call_id] = by_call[record.call_id]
    return found


def _explains(attempt: Attempt, execution: Execution) -> bool:
    return attempt.outcome != "not_executed" and attempt.sent_at <= execution.at + CLOCK_SLACK


def _terminal(history: History) -> Iterator[Violation]:
    """I4: every accepted call comes to an end, and to the one that the journal knows."""
    journal = {line.call_id: line for line in history.journal}
    for record in history.records:
        line = journal.get(record.call_id)
        if record.state not in TERMINAL:
            yield Violation(invariant="I4", what=record.call_id, because=f"still {record.state}")
        elif (
            record.outcome == "unknown"
            and line is not None
            and line.state == "done"
            and line.outcome in {"completed", "not_executed"}
        ):
            yield Violation(
                invariant="I4",
                what=record.call_id,
                because=f"unknown, though the journal says {line.outcome}",
            )
    known = {record.call_id for record in history.records}
    for attempt in history.attempts:
        # A read is recorded after its answer: no caller waits for the disk, so a relay that is
        # killed may have answered one of which it keeps nothing.
        if attempt.method == "GET":
            continue
        if attempt.outcome in {"completed", "unknown"} and attempt.call_id not in known:
            yield Violation(
                invariant="I4",
                what=attempt.effect,
                because=f"told {attempt.outcome}, the relay has no record of {attempt.call_id}",
            )
        if attempt.status is not None and attempt.outcome is None:
            yield Violation(
                invariant="I4",
                what=attempt.effect,
                because=f"answered {attempt.status} without an outcome",
            )


def _delivered(history: History) -> Iterator[Violation]:
    """I5: a body arrives as Procore sent it, or its receiver is told that it did not."""
    for delivery in history.deliveries:
        if delivery.whole and delivery.sent_sha256 != delivery.got_sha256:
            yield Violation(
                invariant="I5", what=delivery.name, because="other bytes, and nobody was told"
            )


def _by_effect(found: Iterable[Said]) -> defaultdict[str, list[Said]]:
    sorted_out: defaultdict[str, list[Said]] = defaultdict(list)
    for one in found:
        sorted_out[one.effect].append(one)
    return sorted_out
