"""Pure: what conditions imply, so that Procore reads less; never more than they say."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from cloud_connect.query import Condition, Group, Junction, Operator
from cloud_connect_agent.procore.filters import operands
from cloud_connect_agent.procore.values import (
    Calendar,
    FieldType,
    as_key,
    as_moment,
    as_number,
    is_blank,
)

__all__ = ["Days", "compares_with_nothing", "implied_days", "implied_values"]


@dataclass(frozen=True, slots=True)
class Days:
    """A stretch of days, both ends included; ``None`` is open."""

    first: date | None = None
    last: date | None = None

    def __and__(self, other: "Days") -> "Days":
        firsts = [day for day in (self.first, other.first) if day is not None]
        lasts = [day for day in (self.last, other.last) if day is not None]
        return Days(max(firsts, default=None), min(lasts, default=None))

    def __or__(self, other: "Days") -> "Days":
        first = None if self.first is None or other.first is None else min(self.first, other.first)
        last = None if self.last is None or other.last is None else max(self.last, other.last)
        return Days(first, last)


def implied_values(
    tree: Condition | Group | None,
    field: str,
    *,
    kind: FieldType | None = None,
    several: bool = False,
) -> tuple[object, ...] | None:
    """The only values that *field* of a matching record can have; ``None`` if any.

    Numbers come as ``int`` where they are whole, whatever they arrived as; keys as the text
    that they are.

    Args:
        several: The field is a list: at least one of its values is among those returned.
    """
    if tree is None:
        return None
    if isinstance(tree, Condition):
        if tree.field != field or tree.operator not in {Operator.EQ, Operator.IN}:
            return None
        plain = _text if kind is FieldType.KEY else _plain
        return tuple(dict.fromkeys(plain(value) for value in operands(tree)))
    parts = [implied_values(part, field, kind=kind, several=several) for part in tree.conditions]
    known = [part for part in parts if part is not None]
    if tree.group is Junction.OR:
        if len(known) < len(parts):
            return None
        return tuple(dict.fromkeys(value for part in known for value in part))
    if not known:
        return None
    if several:  # one value may meet one condition, another the next
        return min(known, key=len)
    first, *others = known
    return tuple(value for value in first if all(value in other for other in others))


def implied_days(
    tree: Condition | Group | None, field: str, calendar: Calendar, *, several: bool = False
) -> Days:
    """The only days that *field* of a matching record can lie on.

    Args:
        several: The field is a list: at least one of its days is among those returned.
    """
    if tree is None:
        return Days()
    if isinstance(tree, Condition):
        return _days(tree, calendar) if tree.field == field else Days()
    joined: Days | None = None
    for part in tree.conditions:
        days = implied_days(part, field, calendar, several=several)
        if joined is None or (several and tree.group is Junction.AND and joined == Days()):
            joined = days
        elif several and tree.group is Junction.AND:
            continue
        else:
            joined = joined & days if tree.group is Junction.AND else joined | days
    return joined or Days()


def compares_with_nothing(tree: Condition | Group) -> str | None:
    """The field of a condition that has no value to compare with, if there is one.

    A form's empty field ends up like that. For what is read it means "is blank"; it must
    not choose what is changed.
    """
    if isinstance(tree, Group):
        found = (compares_with_nothing(part) for part in tree.conditions)
        return next((field for field in found if field), None)
    if tree.operator in _VALUELESS:
        return None
    values = operands(tree)
    return tree.field if not values or any(is_blank(value) for value in values) else None


_VALUELESS: Final = frozenset(
    {
        Operator.ISBLANK,
        Operator.ISNOTBLANK,
        Operator.ISTODAY,
        Operator.ISBEFORETODAY,
        Operator.ISAFTERTODAY,
    }
)


def _text(value: object) -> object:
    return None if is_blank(value) else as_key(value)


def _plain(value: object) -> object:
    number = as_number(value)
    if number is not None and number == number.to_integral_value():
        return int(number)
    return None if is_blank(value) else str(value).casefold()


_Span = Callable[[date, int], Days]
_RELATIVE: Final[Mapping[Operator, _Span]] = {
    Operator.ISTODAY: lambda today, _: Days(today, today),
    Operator.ISBEFORETODAY: lambda today, _: Days(None, today),
    Operator.ISAFTERTODAY: lambda today, _: Days(today, None),
    Operator.INLASTDAYS: lambda today, days: Days(today - timedelta(days=days), today),
    Operator.INNEXTDAYS: lambda today, days: Days(today, today + timedelta(days=days)),
}
_UNTIL: Final = frozenset({Operator.LT, Operator.LE, Operator.ISBEFORE})
_FROM: Final = frozenset({Operator.GT, Operator.GE, Operator.ISAFTER})


def _day_of(moment: date) -> date:
    return moment.date() if isinstance(moment, datetime) else moment


def _days(condition: Condition, calendar: Calendar) -> Days:
    operator = condition.operator
    if operator in _RELATIVE:
        return _RELATIVE[operator](calendar.today, int(as_number(condition.arg2.value) or 0))
    if operator not in _UNTIL | _FROM | {Operator.EQ, Operator.IN, Operator.ISBETWEEN}:
        return Days()
    moments = [as_moment(value) for value in operands(condition)]
    if not moments or None in moments:
        return Days()
    # A point in time counts as its day here against times, as its day as written against days.
    days = [day for moment in moments if moment for day in (calendar.day(moment), _day_of(moment))]
    if operator in _UNTIL:
        return Days(None, max(days))
    if operator in _FROM:
        return Days(min(days), None)
    return Days(min(days), max(days))
