"""What the last hour's calls through each connector were like, and what is not known of it."""

import time
from array import array
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final

from cloud_connect_relay.times import iso_time

__all__ = ["CallStatistics", "ConnectorCalls", "LastError"]

_MINUTES: Final = 60  # of the window
_SAMPLES: Final = 256  # of the newest latencies, per connector
_ENOUGH: Final = 60.0  # seconds that must have been watched before a rate says anything
_MAX_CONNECTORS: Final = 20_000  # some 6 KB each; beyond, the one that was quiet longest goes


@dataclass(frozen=True, slots=True, kw_only=True)
class LastError:
    """The last call that failed."""

    at: float
    call_id: str
    status: int | None
    code: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectorCalls:
    """What is known of one connector's calls; ``None`` is "nobody knows", never zero.

    Attributes:
        window_seconds: How far back counts go: an hour, or since this relay began.
    """

    window_seconds: float
    calls: int
    calls_per_minute: float | None
    error_rate: float | None
    latency_p50_ms: float | None
    latency_p95_ms: float | None
    last_error: LastError | None

    def document(self) -> dict[str, Any]:
        """Return the same as JSON, but for the window."""
        last = self.last_error
        return {
            "calls": self.calls,
            "calls_per_minute": self.calls_per_minute,
            "error_rate": self.error_rate,
            "latency_p50_ms": self.latency_p50_ms,
            "latency_p95_ms": self.latency_p95_ms,
            "last_error": None if last is None else {**asdict(last), "at": iso_time(last.at)},
        }


class _Tally:
    """Counts of one connector, minute by minute, and its newest latencies."""

    __slots__ = ("calls", "errors", "last_error", "minutes", "place", "seconds", "times")

    def __init__(self) -> None:
        self.minutes = array("q", [-1] * _MINUTES)
        self.calls = array("L", [0] * _MINUTES)
        self.errors = array("L", [0] * _MINUTES)
        self.times = array("d")
        self.seconds = array("d")
        self.place = 0
        self.last_error: LastError | None = None

    def note(self, now: float, seconds: float, *, failed: bool) -> None:
        minute = int(now // 60)
        slot = minute % _MINUTES
        if self.minutes[slot] != minute:
            self.minutes[slot], self.calls[slot], self.errors[slot] = minute, 0, 0
        self.calls[slot] += 1
        self.errors[slot] += failed
        if len(self.times) < _SAMPLES:
            self.times.append(now)
            self.seconds.append(seconds)
        else:
            self.times[self.place], self.seconds[self.place] = now, seconds
        self.place = (self.place + 1) % _SAMPLES

    def counts(self, now: float) -> tuple[int, int]:
        oldest = int(now // 60) - _MINUTES
        kept = [slot for slot in range(_MINUTES) if self.minutes[slot] > oldest]
        return sum(self.calls[slot] for slot in kept), sum(self.errors[slot] for slot in kept)

    def latencies(self, now: float) -> list[float]:
        oldest = now - 60.0 * _MINUTES
        return sorted(
            seconds for at, seconds in zip(self.times, self.seconds, strict=True) if at >= oldest
        )


class CallStatistics:
    """Counts calls as they end, in memory: a relay that restarts begins anew, and says so."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock: Final = clock
        self._began: Final = clock()
        self._tallies: Final[dict[str, _Tally]] = {}

    def note(self, connector_id: str, seconds: float, *, error: LastError | None = None) -> None:
        """Count a call that has ended; *error* says that and how it failed."""
        tally = self._tallies.pop(connector_id, None)
        if tally is None:
            if len(self._tallies) >= _MAX_CONNECTORS:
                del self._tallies[next(iter(self._tallies))]
            tally = _Tally()
        self._tallies[connector_id] = tally  # the quiet ones stand first
        tally.note(self._clock(), seconds, failed=error is not None)
        if error is not None:
            tally.last_error = error

    def of(self, connector_id: str) -> ConnectorCalls:
        """Return what is known of a connector's calls."""
        now = self._clock()
        window = min(now - self._began, 60.0 * _MINUTES)
        tally = self._tallies.get(connector_id)
        calls, errors = (0, 0) if tally is None else tally.counts(now)
        latencies = [] if tally is None else tally.latencies(now)
        return ConnectorCalls(
            window_seconds=round(window, 1),
            calls=calls,
            calls_per_minute=round(calls * 60 / window, 3) if window >= _ENOUGH else None,
            error_rate=round(errors / calls, 4) if calls else None,
            latency_p50_ms=_quantile(latencies, 0.5),
            latency_p95_ms=_quantile(latencies, 0.95),
            last_error=None if tally is None else tally.last_error,
        )


def _quantile(ascending: list[float], share: float) -> float | None:
    if not ascending:
        return None
    place = min(len(ascending) - 1, int(share * len(ascending)))
    return round(ascending[place] * 1000, 1)
