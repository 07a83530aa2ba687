"""Pure: when a connector was there, measured out for the strip that shows it."""

import bisect
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from cloud_connect_relay.storage.presence import Span
from cloud_connect_relay.uptime import DAY, HISTORY_DAYS, merged, uptime_of

__all__ = ["History", "Stretch", "history_of"]

_STILL: Final = 90.0  # seconds; who was seen so lately is there, since notes are made now and then
_INVISIBLE: Final = 40.0  # seconds; half of what is a unit of a day's strip
_MOST_SESSIONS: Final = 10
_WIDTH: Final = 1000.0  # of a day's strip, in its own units


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """A part of a day.

    Attributes:
        state: ``online``, ``offline``, or ``unknown`` while no relay ran that would have noticed.
        x: Where it begins in the day's strip, from 0 to 1000, as *width*.
    """

    state: str
    began: float
    ended: float
    x: float
    width: float


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What is known of a connector's last days.

    Attributes:
        days: Each with its beginning, the share of the known time that it was there (``None`` if
            nothing is known), and its stretches; the newest day first.
        sessions: When it was connected, the newest first; an end of ``None`` is still to come.
    """

    days: tuple[tuple[float, float | None, tuple[Stretch, ...]], ...]
    sessions: tuple[tuple[float, float | None], ...]


def history_of(*, relays: Iterable[Span], connected: Iterable[Span], now: float) -> History:
    """Return the history of the seven days before *now*."""
    watched = [_still(span, now) for span in relays]
    sessions = [_still(span, now) for span in connected]
    days = []
    for number in range(HISTORY_DAYS):
        end = now - number * DAY
        since = end - DAY
        there = [span for span in sessions if span.ended > since and span.began < end]
        share = uptime_of(relays=watched, connected=there, since=since, now=end).share
        days.append((since, share, tuple(_stretches(watched, there, since, end))))
    newest = sorted(sessions, reverse=True)[:_MOST_SESSIONS]
    return History(
        days=tuple(days),
        sessions=tuple((one.began, None if one.ended >= now else one.ended) for one in newest),
    )


def _still(span: Span, now: float) -> Span:
    return Span(span.began, now) if now - span.ended < _STILL else span


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
