"""The small charts of the overview, measured out for the template that draws them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cloud_connect_relay.call_figures import HOPS, Minute
from cloud_connect_relay.console.formats import count, milliseconds, share

__all__ = ["Bar", "BudgetLeft", "Chart", "budgets_of", "charts_of"]

_HEIGHT: Final = 100.0  # of a chart, in its own units; a minute is ten wide
_HOP_TEXTS: Final = {
    "relay": "Relay",
    "tunnel": "Tunnel",
    "pc": "Connector's PC",
    "limit": "Procore's rate limit",
    "procore": "Procore",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One minute of a chart.

    Attributes:
        x: Where it begins, in the chart's units.
        text: What a pointer on it is told.
        parts: Of which it is made from the ground up: the colour's name, the upper edge and the
            height.
        known: Whether this relay ran then.
    """

    x: int
    text: str
    parts: tuple[tuple[str, float, float], ...]
    known: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """What one measure was like in the last hour.

    Attributes:
        now: Its value over the hour, for people.
        most: Its highest value, which the chart's upper edge stands for.
        summary: All of it in a sentence, for who does not see it.
        legend: What the colours stand for, by their names; empty if there is only one.
    """

    title: str
    now: str
    most: str
    summary: str
    bars: tuple[Bar, ...]
    legend: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetLeft:
    """How many of its requests to Procore an account may still make.

    Attributes:
        share: What is left of the limit, from 0 to 1.
    """

    name: str
    where: str
    remaining: int
    limit: int
    share: float


def charts_of(minutes: Sequence[Minute | None]) -> list[Chart]:
    """Return the charts of the last *minutes*, the newest of which is under way."""
    known = [minute for minute in minutes if minute is not None]
    calls = sum(minute.calls for minute in known)
    failed = sum(minute.failed for minute in known)
    unknown = sum(minute.unknown for minute in known)
    spent = sum(sum(minute.hops.values()) for minute in known)
    rate = f"{calls / len(known):.1f}" if known else "\N{EN DASH}"
    return [
        _chart(
            "Calls per minute",
            minutes,
            lambda minute: {"calls": minute.calls},
            now=rate,
            write=lambda value: count(round(value)),
        ),
        _chart(
            "Failed calls",
            minutes,
            lambda minute: {"failed": minute.failed, "unknown": minute.unknown},
            now=share(failed / calls if calls else None),
            write=lambda value: count(round(value)),
            legend=(
                ("failed", f"Failed: {count(failed)}"),
                ("unknown", f"Outcome unknown: {count(unknown)}"),
            ),
        ),
        _chart(
            "Time of a call, by hop",
            minutes,
            lambda minute: {
                name: spent / max(1, minute.calls) for name, spent in minute.hops.items()
            },
            now=milliseconds(spent / calls if calls else None),
            write=milliseconds,
            legend=tuple((name, _HOP_TEXTS[name]) for name in HOPS),
        ),
    ]


def _chart(
    title: str,
    minutes: Sequence[Minute | None],
    parts: Callable[[Minute], Mapping[str, float]],
    *,
    now: str,
    write: Callable[[float], str],
    legend: tuple[tuple[str, str], ...] = (),
) -> Chart:
    measured = [None if minute is None else parts(minute) for minute in minutes]
    most = max((sum(values.values()) for values in measured if values is not None), default=0.0)
    bars = []
    for place, values in enumerate(measured):
        ago = len(measured) - 1 - place
        when = "this minute" if ago == 0 else f"{ago} min ago"
        told = (
            "not known: this relay did not run" if values is None else write(sum(values.values()))
        )
        bars.append(
            Bar(
                x=place * 10,
                text=f"{when}: {told}",
                parts=_stacked(values or {}, most),
                known=values is not None,
            )
        )
    missing = sum(not bar.known for bar in bars)
    summary = f"{title} of the last hour: {now} over the hour, {write(most)} at most in a minute"
    if missing:
        summary += f", nothing known of {count(missing)} of its minutes"
    return Chart(
        title=title,
        now=now,
        most=write(most),
        summary=f"{summary}.",
        bars=tuple(bars),
        legend=legend,
    )


def _stacked(values: Mapping[str, float], most: float) -> tuple[tuple[str, float, float], ...]:
    found, ground = [], _HEIGHT
    for name, value in values.items():
        if value <= 0:
            continue
        height = value / most * _HEIGHT
        ground -= height
        found.append((name, round(ground, 1), round(height, 1)))
    return tuple(found)


def budgets_of(connectors: Sequence[dict[str, Any]]) -> list[BudgetLeft]:
    """Return what is left of each account's requests, the scarcest first."""
    found = [
        BudgetLeft(
            name=f"{connector['name']}, company {left['company_id']}",
            where=f"/connectors/{connector['id']}",
            remaining=left["remaining"],
            limit=left["limit"],
            share=max(0.0, min(1.0, left["remaining"] / left["limit"])) if left["limit"] else 0.0,
        )
        for connector in connectors
        if connector["status"] == "online"
        for grant in connector["procore"]
        for left in grant.get("budget", ())
    ]
    return sorted(found, key=lambda one: one.share)
