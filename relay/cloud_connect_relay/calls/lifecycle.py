"""The stations of every call: admitted, ended one way or another, recorded, counted."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from cloud_connect.errors import Outcome
from cloud_connect_relay.call_statistics import LastError

if TYPE_CHECKING:
    from cloud_connect.errors import CloudConnectError
    from cloud_connect_relay.calls.answer import Answer
    from cloud_connect_relay.calls.ledger import Ledger
    from cloud_connect_relay.calls.running import RunningCall, RunningCalls
    from cloud_connect_relay.calls.spec import CallSpec
    from cloud_connect_relay.events.calls import CallEvents
    from cloud_connect_relay.metrics import Metrics

__all__ = ["Lifecycle"]


class Lifecycle:
    """Lets calls in and out, and sees to it that each leaves a record and a count."""

    def __init__(
        self,
        running: "RunningCalls",
        ledger: "Ledger",
        metrics: "Metrics",
        events: "CallEvents",
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._running: Final = running
        self._ledger: Final = ledger
        self._metrics: Final = metrics
        self._events: Final = events
        self._hub: Final = events.hub
        self._clock: Final = clock

    def admit(self, spec: "CallSpec") -> "RunningCall":
        """Let a call in.

        Raises:
            OverQuotaError: If a quota of its subscription or key is used up.
        """
        call = self._running.admit(spec)
        if self._hub.watched and spec.idempotency_key is None:
            self._events.began(spec.subscription_id, call)
        return call

    def bound(self, call: "RunningCall") -> None:
        """Note that *call* has its idempotency key, so that it is no repeat of another."""
        if self._hub.watched:
            self._events.began(call.spec.subscription_id, call)

    def completed(self, call: "RunningCall", answer: "Answer") -> None:
        """Note that *call* has been answered."""
        _measure(call, answer)
        call.already_absent = answer.already_absent
        call.completed(status=answer.status, now=self._clock(), outcome=answer.outcome)

    def failed(
        self, call: "RunningCall", error: "CloudConnectError", answer: "Answer | None" = None
    ) -> None:
        """Note why *call* failed, also when part of its answer went out."""
        if answer is not None:
            _measure(call, answer)
        call.failed(error, now=self._clock())

    def cancelled(self, call: "RunningCall") -> None:
        """Note that the caller hung up before *call* had an effect."""
        call.cancelled(now=self._clock())

    def measured(self, call: "RunningCall", answer: "Answer") -> None:
        """Note how much of *answer* went out, after the call's end was told."""
        _measure(call, answer)

    def recorded(self, call: "RunningCall") -> None:
        """Note that the end of *call* is in the store."""
        self._running.free_key(call)

    def leave(self, call: "RunningCall") -> None:
        """Let *call* out: its record is written soon, whoever waits for it."""
        self._running.release(call)
        self._ledger.note(call)
        hops = call.times.milliseconds()
        elapsed = hops["relay"] / 1000  # by a clock that nobody sets
        self._metrics.call_finished(
            call.spec.operation,
            "none" if call.outcome is None else call.outcome,
            elapsed,
            bytes_in=call.sent_bytes,
            bytes_out=call.received_bytes,
        )
        error = self._error_of(call)
        self._metrics.figures.note(
            call.spec.subscription_id,
            hops,
            failed=error is not None,
            unknown=call.outcome is Outcome.UNKNOWN,
        )
        if call.connector_id is not None:
            self._metrics.statistics.note(call.connector_id, elapsed, error=error)
        if self._hub.watched:
            self._events.ended(call.spec.subscription_id, call)

    def _error_of(self, call: "RunningCall") -> LastError | None:
        """Return how the call failed, unless it was its caller's fault or wish."""
        failed = call.status is not None and (call.status >= 500 or call.status == 429)
        if not failed:
            return None
        return LastError(
            at=call.finished_at or self._clock(),
            call_id=call.id,
            status=call.status,
            code=call.code,
        )


def _measure(call: "RunningCall", answer: "Answer") -> None:
    call.measured(rows=answer.rows, received_bytes=answer.received_bytes, hops=answer.hops)
