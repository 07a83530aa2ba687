"""Pure: which share of the time a connector was connected, as far as anybody knows."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from cloud_connect_relay.storage.presence import Span

__all__ = ["DAY", "HISTORY_DAYS", "Uptime", "merged", "uptime_of"]

DAY: Final = 86_400.0
HISTORY_DAYS: Final = 7  # for which it is kept who was there
_ENOUGH: Final = 60.0  # seconds that must be known before a share of them says anything


@dataclass(frozen=True, slots=True, kw_only=True)
class Uptime:
    """One connector's day.

    Attributes:
        share: From 0 to 1, of the seconds that are known; ``None`` if they are too few.
        known_seconds: For how long a relay ran that would have noticed the connector.
    """

    share: float | None
    known_seconds: float


def uptime_of(
    *, relays: Iterable[Span], connected: Iterable[Span], since: float, now: float
) -> Uptime:
    """Count the time from *since* to *now*.

    Time without a relay counts neither way: nobody knows whether the agent would have been
    there.
    """
    known = merged(relays, since, now)
    seconds = sum(span.ended - span.began for span in known)
    if seconds < _ENOUGH:
        return Uptime(share=None, known_seconds=round(seconds, 1))
    up = sum(
        max(0.0, min(one.ended, span.ended) - max(one.began, span.began))
        for one in merged(connected, since, now)
        for span in known
    )
    return Uptime(share=round(min(1.0, up / seconds), 4), known_seconds=round(seconds, 1))


def merged(spans: Iterable[Span], since: float, now: float) -> list[Span]:
    """Cut spans to the time in question and join those that overlap."""
    joined: list[Span] = []
    for began, ended in sorted(spans):
        began, ended = max(began, since), min(ended, now)  # noqa: PLW2901 - cut to what counts
        if began >= ended:
            continue
        if joined and began <= joined[-1].ended:
            joined[-1] = Span(joined[-1].began, max(joined[-1].ended, ended))
        else:
            joined.append(Span(began, ended))
    return joined
