"""Pure: the filters and the order that Procore itself can apply, as query parameters.

The agent applies every condition again, so that a filter which Procore ignores costs time
and never widens an answer; what is sent here must therefore never be narrower than the
conditions.
"""

from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from itertools import islice
from typing import Final

from cloud_connect.calls import MAX_ID
from cloud_connect.errors import InvalidRequestError
from cloud_connect.query import Group
from cloud_connect_agent.procore.catalog import (
    FilterKind,
    Resource,
    ServerFilter,
    SortStyle,
)
from cloud_connect_agent.procore.implied import Days, implied_days, implied_values
from cloud_connect_agent.procore.rows import Path, Row
from cloud_connect_agent.procore.selection import Selection
from cloud_connect_agent.procore.values import Calendar, FieldType

__all__ = ["ignored_filters", "server_query", "server_sort"]

_PUSHED_VALUES: Final = 50  # values in a query string; more would make it too long
_FIRST_DAY: Final = date(2000, 1, 1)  # before the first daily log that Procore can hold
_YEAR: Final = timedelta(days=366)
_DAY: Final = timedelta(days=1)
_OPEN_FROM: Final = date(1970, 1, 1)
_OPEN_UNTIL: Final = date(2199, 12, 31)
_SAMPLED: Final = 20  # records that tell whether a filter had an effect


def server_query(
    resource: Resource, condition: Group | None, calendar: Calendar
) -> tuple[tuple[str, str], ...]:
    """The filters that Procore can apply itself, as query parameters.

    Raises:
        InvalidRequestError: If Procore answers for one day only and none is chosen.
    """
    pairs: list[tuple[str, str]] = []
    for spec in resource.list_.filters if resource.list_ else ():
        if spec.kind in {FilterKind.ONE, FilterKind.MANY}:
            pairs += _values(spec, resource, condition)
            continue
        several = resource.holds_several(spec.field)
        days = implied_days(condition, spec.field, calendar, several=several)
        if spec.kind is FilterKind.DAYS:
            pairs += _days(spec, days, calendar)
        elif spec.kind is FilterKind.DAY:
            pairs += _day(spec, days)
        else:
            pairs += _range(spec, days)
    return tuple(pairs)


def server_sort(selection: Selection, *, backwards: bool = False) -> tuple[tuple[str, str], ...]:
    """The order that Procore is asked for, so that a limit need not read everything.

    Args:
        backwards: The same order from its other end.
    """
    endpoint = selection.resource.list_
    if endpoint is None or selection.limit is None or len(selection.order) != 1:
        return ()
    (order,) = selection.order
    name = selection.resource.served_sorts.get(order.field)
    if name is None:
        return ()
    descending = order.descending is not backwards
    if endpoint.sort_style is SortStyle.ATTRIBUTE:
        direction = "desc" if descending else "asc"
        return (("sort[attribute]", name), ("sort[direction]", direction))
    return (("sort", f"-{name}" if descending else name),)


def ignored_filters(
    resource: Resource, condition: Group | None, rows: Iterable[Row]
) -> Iterator[str]:
    """The parameters that were sent and that *rows* show to have had no effect."""
    sampled = list(islice(rows, _SAMPLED))
    for spec in resource.list_.filters if resource.list_ else ():
        telling = spec.kind in {FilterKind.ONE, FilterKind.MANY} and not (spec.map or spec.default)
        if not telling or resource.holds_several(spec.field):
            continue
        sent = {value.casefold() for _, value in _values(spec, resource, condition)}
        path = Path(spec.field)
        found = {str(value).casefold() for row in sampled if (value := path.of(row)) is not None}
        if sent and not found <= sent:
            yield spec.parameters[0]


def _values(
    spec: ServerFilter, resource: Resource, condition: Group | None
) -> list[tuple[str, str]]:
    kind = resource.type_of(spec.field)
    several = resource.holds_several(spec.field)
    wanted = implied_values(condition, spec.field, kind=kind, several=several)
    fallback = [] if spec.default is None else [(spec.parameters[0], spec.default)]
    if not wanted or len(wanted) > _PUSHED_VALUES:
        return fallback
    if spec.kind is FilterKind.ONE and len(wanted) > 1:
        return fallback
    names = [_procore_name(spec, kind, value) for value in wanted]
    known = [name for name in names if name is not None]
    return [(spec.parameters[0], name) for name in known] if len(known) == len(names) else fallback


def _procore_name(spec: ServerFilter, kind: FieldType | None, value: object) -> str | None:
    text = str(value).casefold()
    if spec.map:
        return spec.map.get(text)
    if spec.values:
        return next((name for name in spec.values if name.casefold() == text), None)
    if kind is FieldType.KEY:
        return value if isinstance(value, str) else None
    return text if isinstance(value, int) and 0 < value <= MAX_ID else None


def _range(spec: ServerFilter, days: Days) -> Iterable[tuple[str, str]]:
    ends = [day for day in (days.first, days.last) if day is not None]
    if not ends or not all(_OPEN_FROM < day < _OPEN_UNTIL for day in ends):
        return []  # beyond those the open end would be narrower than what is asked for
    # A day more at both ends: Procore counts in UTC, people where they are.
    first = days.first - _DAY if days.first else _OPEN_FROM
    last = max(first, days.last + _DAY if days.last else _OPEN_UNTIL)
    if spec.kind is FilterKind.SINCE:
        return [] if days.first is None else [(spec.parameters[0], f"{first}T00:00:00Z")]
    if spec.kind is FilterKind.DATES:
        return [(spec.parameters[0], f"{first}...{last}")]
    return [(spec.parameters[0], f"{first}T00:00:00Z...{last}T23:59:59Z")]


def _day(spec: ServerFilter, days: Days) -> Iterable[tuple[str, str]]:
    if days.first is None or days.first != days.last:
        raise InvalidRequestError(
            f"Say for which day: a condition that “{spec.field}” equals one date is missing."
        )
    return [(spec.parameters[0], str(days.first))]


def _days(spec: ServerFilter, days: Days, calendar: Calendar) -> Iterable[tuple[str, str]]:
    first = days.first or min(_FIRST_DAY, days.last or _FIRST_DAY)
    last = days.last or max(calendar.today, first) + _YEAR
    start, end = spec.parameters
    return [(start, str(first)), (end, str(max(first, last)))]
