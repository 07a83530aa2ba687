"""Pure: when a connector was there, measured out for the strip that shows it."""

import bisect
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from cloud_connect_relay.storage.presence import Span
from cloud_connect_relay.uptime import DAY, HISTORY_DAYS, merged, uptime_of

__all__ = ["Day", "History", "Stretch", "history_of"]

_STILL: Final = 90.0  # seconds; a relay that noted itself so lately runs: it does so now and then
_INVISIBLE: Final = 40.0  # seconds; half of what is a unit of a day's strip
_MOST_SESSIONS: Final = 10
_WIDTH: Final = 1000.0  # of a day's strip, in its own units


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """A part of a day.

    Attributes:
        state: ``online``, ``offline``, or ``unknown`` while no relay ran that would have noticed,
            and before the connector was enrolled.
        x: Where it begins in the day's strip, from 0 to 1000, as *width*.
    """

    state: str
    began: float
    ended: float
    x: float
    width: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """Twenty-four hours.

    Attributes:
        share: Of the known time that the connector was there; ``None`` if too little is known.
        stretches: Without a gap, the oldest first.
    """

    share: float | None
    stretches: tuple[Stretch, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What is known of a connector's last days.

    Attributes:
        days: The newest first, which ends now.
        sessions: When it was connected, the newest first; an end of ``None`` is still to come.
    """

    days: tuple[Day, ...]
    sessions: tuple[tuple[float, float | None], ...]


def history_of(
    *,
    relays: Iterable[Span],
    connected: Iterable[Span],
    enrolled_at: float,
    is_connected: bool,
    now: float,
) -> History:
    """Return the history of the :data:`HISTORY_DAYS` days before *now*.

    Args:
        is_connected: Whether the newest session goes on; how long it was noted says less.
    """
    watched = [
        Span(max(began, enrolled_at), now if now - ended < _STILL else ended)
        for began, ended in relays
    ]
    sessions = sorted(connected, reverse=True)
    if sessions and is_connected:
        sessions[0] = Span(sessions[0].began, now)
    days = []
    for number in range(HISTORY_DAYS):
        until = now - number * DAY
        since = until - DAY
        there = [span for span in sessions if span.ended > since and span.began < until]
        share = uptime_of(relays=watched, connected=there, since=since, now=until).share
        days.append(Day(share=share, stretches=tuple(_stretches(watched, there, since, until))))
    return History(
        days=tuple(days),
        sessions=tuple(
            (began, None if is_connected and not place else ended)
            for place, (began, ended) in enumerate(sessions[:_MOST_SESSIONS])
        ),
    )


def _stretches(
    watched: Iterable[Span], sessions: Iterable[Span], since: float, until: float
) -> Iterator[Stretch]:
    """Yield the parts of the time from *since* to *until*, without a gap."""
    running = _joined(watched, since, until)
    there = _joined(sessions, since, until)
    scale = _WIDTH / (until - since)
    edges = sorted({since, until, *itertools.chain(*running), *itertools.chain(*there)})
    parts = (
        (_state(running, there, began), began, end) for began, end in itertools.pairwise(edges)
    )
    for state, group in itertools.groupby(parts, key=lambda part: part[0]):
        stretch = list(group)
        began, ended = stretch[0][1], stretch[-1][2]
        yield Stretch(
            state=state,
            began=began,
            ended=ended,
            x=round((began - since) * scale, 1),
            width=round((ended - began) * scale, 1),
        )


def _joined(spans: Iterable[Span], since: float, until: float) -> list[Span]:
    """Merge spans, and those between which no strip shows a gap: a page stays small."""
    wider = merged((Span(began, ended + _INVISIBLE) for began, ended in spans), since, until)
    return [
        Span(began, ended if ended == until else max(began, ended - _INVISIBLE))
        for began, ended in wider
    ]


def _state(running: Sequence[Span], there: Sequence[Span], moment: float) -> str:
    if _covers(there, moment):
        return "online"
    return "offline" if _covers(running, moment) else "unknown"


def _covers(spans: Sequence[Span], moment: float) -> bool:
    """Whether one of *spans*, in order, begins at or before *moment* and ends behind it."""
    place = bisect.bisect_right(spans, moment, key=lambda span: span.began) - 1
    return place >= 0 and moment < spans[place].ended
