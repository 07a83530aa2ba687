"""Stops asking for a while where Procore keeps refusing the app as a whole.

Endless 401 and 403 answers make Procore show the customer's app as unhealthy, and no call
behind them can succeed. A 403 of one tool or project says nothing about the others.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from cloud_connect.errors import Outcome, SourceRejectedError
from cloud_connect_agent.procore.scheduler import Grant

__all__ = ["Circuits", "OpenCircuit", "is_disconnected"]

log = structlog.get_logger(__name__)

_REFUSALS: Final = 8  # in a row, before the circuit opens
_FIRST_PAUSE: Final = 1.0  # seconds; doubles with every refused probe
_MAX_PAUSE: Final = 300.0  # seconds; twelve refusals an hour harm no app's health
_MAX_GRANTS: Final = 1024
_NOT_CONNECTED: Final = re.compile(r"\bnot (connected|installed)\b.*\bcompany\b", re.IGNORECASE)
_ANSWERS_ANYWAY: Final = (b"/rest/v1.0/me", b"/rest/v1.0/companies")  # though not connected
_BLIND_REFUSAL: Final = "Procore answered 401: it does not accept the app's token."


def is_disconnected(refusal: SourceRejectedError) -> bool:
    """Whether Procore refused the app as a whole, in a company that it is not connected to."""
    return refusal.status == 403 and _NOT_CONNECTED.search(refusal.message) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenCircuit:
    """A grant that is not asked at the moment.

    Attributes:
        status: What Procore answered: 401, or 403 if the app is not connected.
        reason: Procore's words as a sentence.
        retry_in: Seconds until the next request goes out.
    """

    grant: Grant
    status: int
    reason: str
    retry_in: float


@dataclass(slots=True)
class _Circuit:
    refusals: int = 0
    pause: float = _FIRST_PAUSE
    status: int = 0
    reason: str = _BLIND_REFUSAL
    body: object = None
    next_at: float = 0.0
    probing: bool = False

    @property
    def open(self) -> bool:
        return self.refusals >= _REFUSALS


class Circuits:
    """One circuit per grant: closed, or open with a probe now and then.

    Args:
        clock: Monotonic seconds.
        spread: Random numbers from 0 to 1.
    """

    def __init__(self, *, clock: Callable[[], float], spread: Callable[[], float]) -> None:
        self._clock: Final = clock
        self._spread: Final = spread
        self._circuits: Final[dict[Grant, _Circuit]] = {}

    def reset(self) -> None:
        """Close all: somebody changed credentials or settings."""
        self._circuits.clear()

    def check(self, grant: Grant) -> None:
        """Let a request pass, or refuse it as Procore would.

        Raises:
            SourceRejectedError: With what Procore answered last; nothing was sent.
        """
        circuit = self._circuits.get(grant)
        if circuit is None or not circuit.open:
            return
        now = self._clock()
        if now >= circuit.next_at:  # this one asks; the others wait for what it hears
            circuit.probing = True
            circuit.next_at = now + circuit.pause
            return
        wait = circuit.next_at - now
        refused = SourceRejectedError(
            f"{circuit.reason} It said so {circuit.refusals} times in a row, so it was not asked "
            f"again; the next request goes out in {wait:.0f} s, or with a connection test.",
            status=circuit.status,
            body=circuit.body,
        )
        refused.outcome = Outcome.NOT_EXECUTED
        refused.retry_after = wait
        raise refused

    def answered(self, grant: Grant, target: bytes, status: int) -> None:
        """Learn from an answer's status, after the token was renewed if need be."""
        circuit = self._circuits.get(grant)
        if status == 401:
            self._refused(grant, status)
        elif circuit is not None and status not in {403, 408, 429} and status < 500:
            always = target.partition(b"?")[0] in _ANSWERS_ANYWAY
            if not (always and circuit.status == 403):
                self._close(grant)

    def explained(self, grant: Grant, error: SourceRejectedError) -> None:
        """Learn from the words of a refusal."""
        if error.status == 403:
            if _NOT_CONNECTED.search(error.message):
                self._refused(grant, 403)
            elif grant in self._circuits:
                self._close(grant)  # the app is known there, whatever it may not do
        if (circuit := self._circuits.get(grant)) and circuit.status == error.status:
            circuit.reason, circuit.body = error.message, error.body

    def open_ones(self) -> list[OpenCircuit]:
        """Return the grants that are not asked at the moment."""
        now = self._clock()
        return [
            OpenCircuit(
                grant=grant,
                status=circuit.status,
                reason=circuit.reason,
                retry_in=max(0.0, circuit.next_at - now),
            )
            for grant, circuit in self._circuits.items()
            if circuit.open
        ]

    def _refused(self, grant: Grant, status: int) -> None:
        circuit = self._circuits.get(grant)
        if circuit is None or circuit.status != status:
            if len(self._circuits) >= _MAX_GRANTS:
                self._circuits.clear()
            circuit = self._circuits[grant] = _Circuit(status=status)
        circuit.refusals += 1
        if circuit.refusals == _REFUSALS:
            log.warning("circuit_opened", status=status, **_facts(grant))
        elif circuit.probing:
            circuit.probing = False
            circuit.pause = min(2 * circuit.pause, _MAX_PAUSE)
        else:
            return  # it went out before the circuit opened
        circuit.next_at = self._clock() + circuit.pause * (1.0 + 0.2 * self._spread())

    def _close(self, grant: Grant) -> None:
        if self._circuits.pop(grant).open:
            log.info("circuit_closed", **_facts(grant))


def _facts(grant: Grant) -> dict[str, object]:
    return {"environment": grant.environment.flag, "company_id": grant.company_id}
