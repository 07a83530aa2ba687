"""Procore's two rate limits: a spike window and an hourly window, counted together."""

import math
from collections import deque
from dataclasses import dataclass, replace

from procore_simulator.settings import Behaviour, WindowKind

__all__ = ["RateLimiter", "RateVerdict"]

_UNLIMITED = 1_000_000
"""The allowance reported when a limit is switched off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RateVerdict:
    """What one request costs: the tighter window's facts for the headers."""

    allowed: bool
    limit: int
    remaining: int
    reset: int
    """Unix seconds on the simulator's clock when the reported window has room again."""
    wait_seconds: float

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Write the three headers every response carries."""
        return [
            (b"x-rate-limit-limit", str(self.limit).encode()),
            (b"x-rate-limit-remaining", str(self.remaining).encode()),
            (b"x-rate-limit-reset", str(self.reset).encode()),
        ]


class _Window:
    """Requests of one window; a refused request is not counted."""

    __slots__ = ("_times", "kind", "limit", "seconds")

    def __init__(self, limit: int, seconds: float, kind: WindowKind) -> None:
        self.limit = limit
        self.seconds = seconds
        self.kind = kind
        self._times: deque[float] = deque()

    def forget(self, now: float) -> None:
        """Drop what has left the window."""
        times = self._times
        if self.kind is WindowKind.FIXED:
            if times and times[0] + self.seconds <= now:
                times.clear()
            return
        edge = now - self.seconds
        while times and times[0] <= edge:
            times.popleft()

    def count(self, now: float) -> None:
        self._times.append(now)

    @property
    def remaining(self) -> int:
        return max(0, self.limit - len(self._times))

    def reset(self, now: float) -> float:
        """Return when the oldest counted request leaves (all of them, if fixed)."""
        return (self._times[0] if self._times else now) + self.seconds


class RateLimiter:
    """Windows for each (token principal, company)."""

    def __init__(self) -> None:
        self._windows: dict[tuple[str, int | None], tuple[_Window, ...]] = {}
        self.refused = 0
        self.served = 0

    def clear(self) -> None:
        """Forget every window, after a reset or a change of the limits."""
        self._windows.clear()

    def check(
        self, principal: str, company_id: int | None, *, now: float, behaviour: Behaviour
    ) -> RateVerdict:
        """Count one request, or refuse it when either window is full."""
        if not behaviour.spike_limit and not behaviour.hourly_limit:
            self.served += 1
            return RateVerdict(
                allowed=True,
                limit=_UNLIMITED,
                remaining=_UNLIMITED - 1,
                reset=int(now + behaviour.spike_seconds),
                wait_seconds=0.0,
            )
        windows = self._windows.get((principal, company_id))
        if windows is None:
            windows = self._open(behaviour)
            self._windows[principal, company_id] = windows
        for window in windows:
            window.forget(now)
        allowed = all(window.remaining > 0 for window in windows)
        if allowed:
            self.served += 1
            for window in windows:
                window.count(now)
        else:
            self.refused += 1
        # "The one nearest to exhaustion"; of two exhausted ones, the one that lasts longer.
        tight = min(windows, key=lambda window: (window.remaining, -window.reset(now)))
        reset = tight.reset(now)
        return RateVerdict(
            allowed=allowed,
            limit=tight.limit,
            remaining=tight.remaining,
            reset=math.ceil(reset),
            wait_seconds=max(0.0, reset - now),
        )

    def used_up(self, seconds: float, *, now: float, behaviour: Behaviour) -> RateVerdict:
        """Report an allowance that is used up for some seconds, as a fault says."""
        idle = self.idle_verdict(now=now, behaviour=behaviour)
        reset = math.ceil(now + seconds)
        return replace(idle, allowed=False, remaining=0, reset=reset, wait_seconds=seconds)

    def idle_verdict(self, *, now: float, behaviour: Behaviour) -> RateVerdict:
        """Report an untouched allowance, for answers that no principal owns."""
        limits = [limit for limit in (behaviour.spike_limit, behaviour.hourly_limit) if limit]
        limit = min(limits, default=_UNLIMITED)
        return RateVerdict(
            allowed=True,
            limit=limit,
            remaining=limit,
            reset=int(now + behaviour.spike_seconds),
            wait_seconds=0.0,
        )

    @staticmethod
    def _open(behaviour: Behaviour) -> tuple[_Window, ...]:
        windows = []
        if behaviour.spike_limit:
            windows.append(
                _Window(behaviour.spike_limit, behaviour.spike_seconds, behaviour.window)
            )
        if behaviour.hourly_limit:
            windows.append(
                _Window(behaviour.hourly_limit, behaviour.hourly_seconds, behaviour.window)
            )
        return tuple(windows)
