"""What each subscription's calls of the last hour were like, minute by minute, for charts."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

__all__ = ["HOPS", "MINUTES", "CallFigures", "Minute"]

MINUTES: Final = 60  # that are kept
_MAX_SUBSCRIPTIONS: Final = 2_000  # some 20 KB each; beyond, the one that was quiet longest goes

# What a call's times are summed up to, in the order in which a call meets them.
HOPS: Final[Mapping[str, tuple[str, ...]]] = {
    "relay": ("queue", "record"),
    "tunnel": ("tunnel",),
    "pc": (),  # what of the agent's time is none of the following
    "limit": ("limit", "retry"),
    "procore": ("signin", "connect", "procore", "body"),
}
# What an agent tells as part of its time, and has no part in.
_ELSEWHERE: Final = (*HOPS["limit"], *HOPS["procore"])


@dataclass(slots=True)
class Minute:
    """The calls that ended within one minute.

    Attributes:
        number: Minutes since the clock's zero.
        failed: Answered with 429 or a status from 500 on, for which no caller is to blame.
        unknown: Of which nobody knows whether they had an effect.
        hops: Milliseconds that they took in all, by the names of :data:`HOPS`.
    """

    number: int
    calls: int = 0
    failed: int = 0
    unknown: int = 0
    hops: dict[str, float] = field(default_factory=lambda: dict.fromkeys(HOPS, 0.0))


class CallFigures:
    """Counts calls as they end, in memory: a relay that restarts begins anew, and says so."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock: Final = clock
        self._began: Final = int(clock() // 60)
        self._kept: Final[dict[str, list[Minute | None]]] = {}

    def note(
        self, subscription_id: str, hops: Mapping[str, float], *, failed: bool, unknown: bool
    ) -> None:
        """Count a call that has ended.

        Args:
            hops: Milliseconds by the names of ``Server-Timing``.
        """
        slots = self._kept.pop(subscription_id, None)
        if slots is None:
            if len(self._kept) >= _MAX_SUBSCRIPTIONS:
                del self._kept[next(iter(self._kept))]
            slots = [None] * MINUTES
        self._kept[subscription_id] = slots  # the quiet ones stand first
        number = int(self._clock() // 60)
        minute = slots[number % MINUTES]
        if minute is None or minute.number != number:
            minute = slots[number % MINUTES] = Minute(number)
        minute.calls += 1
        minute.failed += failed
        minute.unknown += unknown
        sums = minute.hops
        for name, parts in HOPS.items():
            sums[name] += sum(hops.get(part, 0.0) for part in parts)
        elsewhere = sum(hops.get(part, 0.0) for part in _ELSEWHERE)
        sums["pc"] += max(0.0, hops.get("agent", 0.0) - elsewhere)

    def of(self, subscription_id: str) -> list[Minute | None]:
        """Return the last minutes, the oldest first; ``None`` where this relay did not run."""
        now = int(self._clock() // 60)
        slots = self._kept.get(subscription_id, [None] * MINUTES)
        found: list[Minute | None] = []
        for number in range(now - MINUTES + 1, now + 1):
            minute = slots[number % MINUTES]
            if minute is not None and minute.number == number:
                found.append(minute)
            else:
                found.append(Minute(number) if number >= self._began else None)
        return found
