"""What the window shows of one moment; pure, from what the agent says of itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cloud_connect.calls import ReportedGrant
from cloud_connect_agent.durations import ago, lasting
from cloud_connect_agent.monitor.accounts import AccountLine

__all__ = ["AgentStatus", "CallError", "Identity", "Reading", "Tone"]


class Tone(StrEnum):
    """How a status is coloured; the word beside it says the same."""

    GOOD = "green"
    WAITING = "yellow"
    BAD = "red"


class _Said(BaseModel):
    """A part of the agent's status; what another version adds or lacks harms nothing."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class _Proxy(_Said):
    url: str = ""
    source: str = ""


class _Policy(_Said):
    kind: str = Field(default="", alias="class")
    rules: int = 0
    waiting: int = 0
    problem: str | None = None


class _Journal(_Said):
    results_to_tell: int | None = None


class CallError(_Said):
    """A call that failed lately."""

    at: datetime
    operation: str = ""
    resource: str | None = None
    code: str | None = None
    status: int | None = None
    call_id: str = ""


class _Calls(_Said):
    last_minute: int = 0
    failed_last_minute: int = 0
    last_errors: tuple[CallError, ...] = ()


class AgentStatus(_Said):
    """What ``status`` answers, as far as the window shows it."""

    state: str
    since: datetime | None = None
    error: str | None = None
    last_round_trip_ms: float | None = None
    last_round_trip_at: datetime | None = None
    relay: str | None = None
    proxy: _Proxy | None = None
    connector_id: str | None = None
    name: str = ""
    version: str = ""
    in_flight: int = 0
    paused: bool = False
    pause_seconds_left: float | None = None
    draining: bool = False
    problems: tuple[str, ...] = ()
    journal: _Journal = _Journal()
    procore: tuple[ReportedGrant, ...] = ()
    policy: _Policy = _Policy.model_validate({})
    calls: _Calls | None = None

    @classmethod
    def of(cls, document: object) -> Self | None:
        """Return what *document* says; ``None`` if it is no status."""
        try:
            return cls.model_validate(document)
        except ValidationError:
            return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What is known of this PC while no agent answers: its settings say so."""

    machine: str
    name: str
    connector_id: str
    relay: str


_NOTHING: Final = "-"
_WORDS: Final[Mapping[str, tuple[str, Tone]]] = {
    "connected": ("CONNECTED", Tone.GOOD),
    "connecting": ("CONNECTING", Tone.WAITING),
    "offline": ("OFFLINE", Tone.BAD),
    "stopped": ("STOPPED", Tone.BAD),
    "revoked": ("REVOKED", Tone.BAD),
    "intercepted": ("INTERCEPTED", Tone.BAD),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One moment, in words.

    Attributes:
        word: The status, in capitals.
        detail: What stands beside it.
        notes: Sentences that a person should read, the most urgent first.
        facts: Names and values, in the order of reading.
        errors: Calls that failed, the latest first; ``None`` if the agent does not tell.
        can_pause: Whether a pause can be asked for.
        can_resume: Whether a pause can be ended.
    """

    word: str
    tone: Tone
    detail: str
    notes: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    accounts: tuple[AccountLine, ...] | None
    errors: tuple[CallError, ...] | None
    version: str
    can_pause: bool
    can_resume: bool

    @classmethod
    def of_status(cls, status: AgentStatus, identity: Identity, *, now: datetime) -> Self:
        """Read what the agent says of itself."""
        word, tone = _WORDS.get(status.state, (status.state.upper() or "UNKNOWN", Tone.WAITING))
        detail = (
            "" if status.since is None else f"for {lasting((now - status.since).total_seconds())}"
        )
        if status.paused:
            detail = _pause_in_words(status)
            if tone is Tone.GOOD:
                word, tone = "PAUSED", Tone.WAITING
            else:
                word = f"{word}, PAUSED"
        if status.draining:
            word, tone = "STOPPING", Tone.WAITING
            detail = "finishes the calls that run"
        reasons = (status.error, status.policy.problem, *status.problems)
        notes = tuple(dict.fromkeys(reason for reason in reasons if reason))
        return cls(
            word=word,
            tone=tone,
            detail=detail,
            notes=notes,
            facts=_facts(status, identity, now=now),
            accounts=tuple(AccountLine.of(one, now=now) for one in status.procore),
            errors=None if status.calls is None else status.calls.last_errors,
            version=status.version,
            can_pause=not status.paused,
            can_resume=status.paused,
        )

    @classmethod
    def of_silence(cls, identity: Identity, *, answering: bool, why: str) -> Self:
        """Say that nobody answers.

        Args:
            answering: Whether an agent is there at all, but says nothing.
            why: A sentence.
        """
        return cls(
            word="NOT ANSWERING" if answering else "STOPPED",
            tone=Tone.BAD,
            detail="waiting for the agent",
            notes=(why,),
            facts=(
                ("Machine", identity.machine),
                ("Round trip", _NOTHING),
                ("Name", identity.name),
                ("Calls", _NOTHING),
                ("Connector", identity.connector_id),
                ("Running", _NOTHING),
                ("Relay", identity.relay),
                ("Policy", _NOTHING),
            ),
            accounts=None,
            errors=None,
            version="",
            can_pause=False,
            can_resume=False,
        )


def _facts(
    status: AgentStatus, identity: Identity, *, now: datetime
) -> tuple[tuple[str, str], ...]:
    """Return the facts, left and right column by turns."""
    calls = status.calls
    per_minute = _NOTHING if calls is None else f"{calls.last_minute} a minute"
    if calls is not None and calls.failed_last_minute:
        per_minute += f", {calls.failed_last_minute} failed"
    trip = _NOTHING
    if status.last_round_trip_ms is not None:
        trip = f"{status.last_round_trip_ms:.1f} ms"
        if status.last_round_trip_at is not None:
            trip += f", {ago(now - status.last_round_trip_at)}"
    policy = status.policy
    allowed = policy.kind or _NOTHING
    if policy.waiting:
        allowed += f", {policy.waiting} to approve"
    facts = [
        ("Machine", identity.machine),
        ("Round trip", trip),
        ("Name", status.name or identity.name),
        ("Calls", per_minute),
        ("Connector", status.connector_id or identity.connector_id),
        ("Running", "1 call" if status.in_flight == 1 else f"{status.in_flight} calls"),
        ("Relay", status.relay or identity.relay),
        ("Policy", allowed),
    ]
    untold = status.journal.results_to_tell
    if status.proxy or untold:
        facts += [
            ("Proxy", f"{status.proxy.url} ({status.proxy.source})" if status.proxy else "none"),
            ("Untold", f"{untold} results" if untold else "nothing"),
        ]
    return tuple(facts)


def _pause_in_words(status: AgentStatus) -> str:
    if status.pause_seconds_left is None:
        return "until somebody resumes"
    return f"for another {lasting(status.pause_seconds_left)}"
