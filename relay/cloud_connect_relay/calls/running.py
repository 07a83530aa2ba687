"""The calls that run at this moment, admitted as far as quotas allow."""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from secrets import token_bytes
from typing import TYPE_CHECKING, Final, NamedTuple

from cloud_connect.errors import CloudConnectError, ConnectorDrainingError, Outcome
from cloud_connect_relay.calls.quotas import Quotas
from cloud_connect_relay.calls.spec import CallSpec
from cloud_connect_relay.calls.times import CallTimes
from cloud_connect_relay.ids import ALPHABET
from cloud_connect_relay.storage.calls import CallRecord, CallState

if TYPE_CHECKING:
    from cloud_connect_relay.calls.turns import Turn

__all__ = ["RunningCall", "RunningCalls", "restarting"]

_PROGRESS_SECONDS: Final = 60.0  # without progress, after which a call that made some is given up
_RESTART_SECONDS: Final = 2.0  # in which another node, or this one, takes calls again
_ID_CHARS: Final = 16  # of 5 bits each
_CHARACTERS: Final = ALPHABET.encode() * 8  # one for each byte; 256 is a multiple of 32


def _call_id() -> str:
    # As ids.new_id, in one draw: it is on the path of every pass-through request.
    return "call_" + token_bytes(_ID_CHARS).translate(_CHARACTERS).decode()


_ENDS: Final = {
    Outcome.COMPLETED: CallState.COMPLETED,
    Outcome.NOT_EXECUTED: CallState.NOT_EXECUTED,
    Outcome.UNKNOWN: CallState.UNKNOWN,
}


class Whereabouts(NamedTuple):
    """The connector that has a call, and when it was sent there and answered."""

    connector_id: str | None
    connector_name: str
    dispatched_at: float | None
    sent: float | None
    answered: float | None


class RunningCall:
    """One call from its admission to its end; what is recorded of it at any moment.

    Attributes:
        abandoned: Its caller hung up before it had an effect.
        connector_name: Of the connector that has it, for people.
        deadline: When its caller stops waiting, on the event loop's clock.
        times: Where its time went.
        started: The source may have been reached: from here on a write is never repeated.
        owner: The run of this node that its record belongs to.
        again: It may have been carried out before, and may be only as an upsert.
        upsert: Its agent finds the record again that an earlier attempt made.
        already_absent: Its agent found deleted what it had deleted itself.
        refusal: Why it shall not wait for a connector any longer.
        claimed: Its record was sent to the store, which may have taken it.
        stored: Its record is in the store already.
        audited: The audit log has it.
        resumed: An earlier attempt of it was recorded, whose outcome was not known.
        recorded: Its end is in the store, so its idempotency key is free for a repeat.
        changed: Something about it is not in the store yet.
        timeouts: What ends it; put off while a long body makes progress.
        turns: The places that it holds at its connector and at this node.
    """

    __slots__ = (
        "abandoned",
        "again",
        "already_absent",
        "audited",
        "changed",
        "claimed",
        "code",
        "connector_id",
        "connector_name",
        "deadline",
        "detail",
        "dispatched_at",
        "final",
        "finished_at",
        "id",
        "outcome",
        "owner",
        "received_bytes",
        "recorded",
        "refusal",
        "resumed",
        "rows",
        "sent_bytes",
        "spec",
        "started",
        "started_at",
        "state",
        "status",
        "stored",
        "timeouts",
        "times",
        "turns",
        "upsert",
    )

    def __init__(self, spec: CallSpec, *, deadline: float, now: float) -> None:
        self.id = _call_id()
        self.spec: Final = spec
        self.deadline = deadline
        self.times: Final = CallTimes(deadline - spec.timeout)
        self.started_at = now
        self.state = CallState.ACCEPTED
        self.connector_id: str | None = None
        self.connector_name = ""
        self.dispatched_at: float | None = None
        self.finished_at: float | None = None
        self.outcome: Outcome | None = None
        self.final = False
        self.status: int | None = None
        self.code: str | None = None
        self.detail: str | None = None
        self.rows: int | None = None
        self.received_bytes = 0
        self.sent_bytes = len(spec.body or b"")
        self.started = False
        self.abandoned = False
        self.owner: str | None = None
        self.upsert = False
        self.again = False
        self.already_absent = False
        self.audited = False
        self.resumed = False
        self.refusal: CloudConnectError | None = None
        self.claimed = False
        self.stored = False
        self.changed = True
        self.timeouts: Final[list[asyncio.Timeout]] = []
        self.turns: Final[list[Turn]] = []
        self.recorded: Final = asyncio.Event()

    @property
    def ended(self) -> bool:
        """Whether its outcome is told, even if that is that nobody knows."""
        return self.outcome is not None

    def resumes(self, record: CallRecord) -> None:
        """Be the upsert of *record* again, whose outcome nobody knows."""
        self.id = record.id
        self.started_at = record.started_at
        self.connector_id = record.connector_id
        self.dispatched_at = record.dispatched_at
        self.state = CallState.DISPATCHED
        self.stored = self.started = self.upsert = self.again = self.resumed = True

    def dispatched(self, connector_id: str, *, name: str, now: float) -> None:
        """Note that it goes to the agent of *connector_id*."""
        self.connector_id = connector_id
        self.connector_name = name
        self.times.sent = asyncio.get_running_loop().time()
        self.times.answered = None
        self.dispatched_at = now
        self.state = CallState.DISPATCHED
        self.changed = True

    @property
    def whereabouts(self) -> "Whereabouts":
        """Who has it, or had it last."""
        times = self.times
        return Whereabouts(
            self.connector_id, self.connector_name, self.dispatched_at, times.sent, times.answered
        )

    def put_back(self, before: "Whereabouts") -> None:
        """Forget an attempt that did nothing: who had the call before it may still tell of it."""
        if before.dispatched_at is None:
            return
        self.connector_id, self.connector_name, self.dispatched_at, *spent = before
        self.times.sent, self.times.answered = spent
        self.changed = True

    def answered(self, hops: Mapping[str, float]) -> None:
        """Note that the head of an answer came, and what it says of the agent's time."""
        self.times.answered = asyncio.get_running_loop().time()
        self.times.told(hops)
        self.streams()

    def streams(self) -> None:
        """Note that it goes on at the pace of its caller: after a while, others take its turn."""
        now = asyncio.get_running_loop().time()
        for turn in self.turns:
            turn.streaming_since = now

    def give_turns_back(self) -> None:
        """Let others go in its place."""
        while self.turns:
            self.turns.pop().give_back()

    def progressed(self, size: int = 0) -> None:
        """Put its end off: a piece of a long request body went through, or of an answer came.

        Args:
            size: Bytes of the request's.
        """
        self.sent_bytes += size
        earliest = asyncio.get_running_loop().time() + _PROGRESS_SECONDS
        for timeout in self.timeouts:
            when = timeout.when()
            if when is not None and when < earliest and not timeout.expired():
                timeout.reschedule(earliest)

    def completed(self, *, status: int, now: float, outcome: Outcome | None = None) -> None:
        """Note that the source answered; *outcome* is what its agent made of the answer."""
        self.status = status
        self._end(outcome or Outcome.COMPLETED, now=now)

    def failed(self, error: CloudConnectError, *, now: float) -> None:
        """Note why it failed, and what is certain about its effect."""
        self.status = error.status
        self.code = error.code.value
        self.detail = error.message
        outcome = error.outcome
        if outcome is Outcome.UNKNOWN and not self.spec.writes:
            outcome = Outcome.NOT_EXECUTED  # a read has no effect that could be in doubt
        self._end(outcome, now=now)

    def cancelled(self, *, now: float) -> None:
        """Note that its caller hung up before it had an effect."""
        self.abandoned = True
        self.detail = "The caller hung up."
        self._end(Outcome.NOT_EXECUTED, now=now)

    def _end(self, outcome: Outcome, *, now: float) -> None:
        self.outcome = outcome
        self.state = _ENDS[outcome]
        self.final = outcome is not Outcome.UNKNOWN
        self.finished_at = now
        self.times.ended = asyncio.get_running_loop().time()
        self.changed = True

    def blame(self, error: CloudConnectError) -> None:
        """Note on *error* which call failed with it, where, and how its time went."""
        error.call_id = self.id
        error.connector_id = self.connector_id
        error.hops = self.times.milliseconds()

    def measured(self, *, rows: int | None, received_bytes: int, hops: Mapping[str, float]) -> None:
        """Note how much of its answer came, and what the agent tells of the time it took."""
        self.times.told(hops)
        if (rows, received_bytes) != (self.rows, self.received_bytes):
            self.rows, self.received_bytes = rows, received_bytes
            self.changed = True

    def record(self) -> CallRecord:
        """Return what the store keeps of it."""
        spec = self.spec
        return CallRecord(
            id=self.id,
            subscription_id=spec.subscription_id,
            key_id=spec.key_id,
            datasource_id=spec.target.datasource_id,
            connector_id=self.connector_id,
            operation=spec.operation.value,
            resource=spec.resource,
            idempotency_key=spec.idempotency_key,
            fingerprint=spec.fingerprint,
            state=self.state,
            outcome=self.outcome,
            final=self.final,
            status=self.status,
            code=self.code,
            detail=self.detail,
            started_at=self.started_at,
            dispatched_at=self.dispatched_at,
            finished_at=self.finished_at,
            rows=self.rows,
            bytes=self.received_bytes,
            hops=self.times.milliseconds(),
            owner=self.owner,
            upsert=self.upsert,
            already_absent=self.already_absent,
        )


def restarting() -> ConnectorDrainingError:
    """Return the refusal of a node that takes no more calls."""
    return ConnectorDrainingError(
        "The relay is restarting and takes no new calls; repeat the request in a moment.",
        retry_after=_RESTART_SECONDS,
    )


class RunningCalls:
    """The table of running calls; it admits new ones as far as quotas allow."""

    def __init__(self, quotas: Quotas, *, clock: Callable[[], float] = time.time) -> None:
        self._quotas: Final = quotas
        self._clock: Final = clock
        self._calls: Final[dict[str, RunningCall]] = {}
        self._closed = False
        self._quiet: Final = asyncio.Event()
        self._quiet.set()
        self._keyed: Final[dict[tuple[str, str], RunningCall]] = {}

    def __len__(self) -> int:
        return len(self._calls)

    def get(self, call_id: str) -> RunningCall | None:
        """Return the call of that id, if it runs here."""
        return self._calls.get(call_id)

    def admit(self, spec: CallSpec) -> RunningCall:
        """Let a call in; its idempotency key, if it has one, must not be held by another.

        Raises:
            OverQuotaError: If a quota of its subscription or key is used up.
            ConnectorDrainingError: If this node takes no more calls.
        """
        if self._closed:
            raise restarting()
        self._quotas.admit(spec.subscription_id, spec.key_id)
        deadline = asyncio.get_running_loop().time() + spec.timeout
        call = RunningCall(spec, deadline=deadline, now=self._clock())
        self._calls[call.id] = call
        self._quiet.clear()
        if spec.idempotency_key is not None:
            self._keyed[spec.subscription_id, spec.idempotency_key] = call
        return call

    def resume(self, call: RunningCall, record: CallRecord) -> None:
        """Let an admitted call go on with the one of *record*, under its id."""
        del self._calls[call.id]
        call.resumes(record)
        self._calls[call.id] = call

    def release(self, call: RunningCall) -> None:
        """Let a call out; repeating it does no harm."""
        if self._calls.pop(call.id, None) is None:
            return
        if not self._calls:
            self._quiet.set()
        self.free_key(call)
        call.give_turns_back()
        spec = call.spec
        self._quotas.release(
            spec.subscription_id,
            spec.key_id,
            size=call.sent_bytes + call.received_bytes,
            abandoned=call.abandoned,
        )

    def close(self) -> None:
        """Let no more calls in, and those that wait for a connector no longer wait."""
        self._closed = True
        now = asyncio.get_running_loop().time()
        for call in self._calls.values():
            if not call.started:
                call.refusal = restarting()
                for timeout in call.timeouts:
                    if not timeout.expired():
                        timeout.reschedule(now)

    async def quiet(self) -> None:
        """Wait until none runs."""
        await self._quiet.wait()

    def free_key(self, call: RunningCall) -> None:
        """Let go of the call's idempotency key: from here on its record tells a repeat."""
        key = (call.spec.subscription_id, call.spec.idempotency_key or "")
        if self._keyed.get(key) is call:
            del self._keyed[key]
        call.recorded.set()

    def find(self, subscription_id: str, call_id: str) -> RunningCall | None:
        """Return the subscription's running call with *call_id*."""
        call = self._calls.get(call_id)
        return call if call and call.spec.subscription_id == subscription_id else None

    def __contains__(self, call_id: object) -> bool:
        return call_id in self._calls

    def with_key(self, subscription_id: str, key: str) -> RunningCall | None:
        """Return the subscription's running call that holds the idempotency key."""
        return self._keyed.get((subscription_id, key))

    def of(self, subscription_id: str) -> Iterator[RunningCall]:
        """Yield the subscription's running calls, the newest first."""
        for call in reversed(self._calls.values()):
            if call.spec.subscription_id == subscription_id:
                yield call
