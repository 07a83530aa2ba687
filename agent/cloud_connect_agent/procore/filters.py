"""Pure: does a record meet the conditions of a query.

What a condition asks of a list (``assignees.name``) some element must meet; what it denies
(``ne``, ``notcontains``, ``notin``) none may. A blank value is equal to nothing.
"""

import re
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from functools import partial
from typing import Final

from cloud_connect.errors import InvalidRequestError
from cloud_connect.query import Condition, Group, Junction, Operator
from cloud_connect_agent.procore.rows import Path
from cloud_connect_agent.procore.values import (
    Calendar,
    FieldType,
    TypeOf,
    as_moment,
    as_number,
    compare,
    equals,
    is_blank,
    shown,
)

__all__ = ["Predicate", "fields_of", "operands", "predicate"]

Predicate = Callable[[Mapping[str, object]], bool]
_Test = Callable[[object], bool]

_MAX_PATTERN: Final = 256  # characters of a pattern
_MAX_DAYS: Final = 36_500  # of "in the last n days": a century
_DENIALS: Final = {
    Operator.NE: Operator.EQ,
    Operator.NOTCONTAINS: Operator.CONTAINS,
    Operator.NOTIN: Operator.IN,
    Operator.ISBLANK: Operator.ISNOTBLANK,
}
_BLANKS: Final = {Operator.EQ: Operator.ISBLANK, Operator.NE: Operator.ISNOTBLANK}
_ORDERS: Final[Mapping[Operator, Callable[[int], bool]]] = {
    Operator.LT: lambda order: order < 0,
    Operator.LE: lambda order: order <= 0,
    Operator.GT: lambda order: order > 0,
    Operator.GE: lambda order: order >= 0,
    Operator.ISBEFORE: lambda order: order < 0,
    Operator.ISAFTER: lambda order: order > 0,
}
_TEXTS: Final[Mapping[Operator, Callable[[str, str], bool]]] = {
    Operator.CONTAINS: lambda text, wanted: wanted in text,
    Operator.STARTSWITH: str.startswith,
    Operator.ENDSWITH: str.endswith,
}
_DAYS: Final[Mapping[Operator, Callable[[date, date, timedelta], bool]]] = {
    Operator.ISTODAY: lambda day, today, _: day == today,
    Operator.ISBEFORETODAY: lambda day, today, _: day < today,
    Operator.ISAFTERTODAY: lambda day, today, _: day > today,
    Operator.INLASTDAYS: lambda day, today, span: today - span <= day <= today,
    Operator.INNEXTDAYS: lambda day, today, span: today <= day <= today + span,
}
_DATE_OPERATORS: Final = frozenset(
    {*_DAYS, Operator.ISBEFORE, Operator.ISAFTER, Operator.ISBETWEEN}
)


def predicate(tree: Group | None, type_of: TypeOf, calendar: Calendar) -> Predicate:
    """Compile conditions into a function of a record.

    Raises:
        InvalidRequestError: If a condition's value does not fit its operator.
    """
    if tree is None:
        return lambda _row: True
    return _compile(tree, type_of, calendar)


def fields_of(tree: Condition | Group | None) -> set[str]:
    """The names of the fields that the conditions compare."""
    if tree is None:
        return set()
    if isinstance(tree, Condition):
        return {tree.field}
    return set().union(*(fields_of(part) for part in tree.conditions))


def operands(condition: Condition) -> list[object]:
    """The values that a condition compares with: of ``in`` a list or comma-separated text."""
    value = condition.arg2.value
    if condition.operator is Operator.ISBETWEEN:
        first, last = condition.arg2.date1, condition.arg2.date2
        if is_blank(first) and is_blank(last):
            return _split(value, "..." if isinstance(value, str) and "..." in value else ",")
        return [first, last]
    if condition.operator in {Operator.IN, Operator.NOTIN}:
        return _split(value, ",")
    if is_blank(value) and condition.operator in _DATE_OPERATORS:
        value = condition.arg2.date1
    return [value]


def _split(value: object, separator: str) -> list[object]:
    if isinstance(value, str):
        parts = (part.strip() for part in value.split(separator))
        return [part for part in parts if part]
    if isinstance(value, list):
        return value
    return [] if value is None else [value]


def _compile(tree: Condition | Group, type_of: TypeOf, calendar: Calendar) -> Predicate:
    if isinstance(tree, Group):
        parts = [_compile(part, type_of, calendar) for part in tree.conditions]
        if tree.group is Junction.AND:
            return lambda row: all(part(row) for part in parts)
        return lambda row: any(part(row) for part in parts)
    kind = type_of(tree.field)
    path = Path(tree.field)
    operator = tree.operator
    if operator in _BLANKS and is_blank(tree.arg2.value):
        operator = _BLANKS[operator]
    # What is denied is asked for, of every element, and the answer turned round.
    asked = _DENIALS.get(operator, operator)
    test = _test(tree, asked, kind, calendar)
    if asked is not Operator.ISNOTBLANK:
        test = _seen(tree, test, by_id=asked in {Operator.EQ, Operator.IN})
    if asked is operator:
        return lambda row: _some(path.of(row), test)
    return lambda row: not _some(path.of(row), test)


def _some(value: object, test: _Test) -> bool:
    if isinstance(value, list):
        return any(test(item) for item in value)
    return test(value)


def _seen(condition: Condition, test: _Test, *, by_id: bool) -> _Test:
    """Test what people see of an entry of a list of values, or its id."""

    def seen(value: object) -> bool:
        if not isinstance(value, dict) or not value:
            return test(value)
        label = shown(value)
        if isinstance(label, dict):  # nothing of it is equal to anything, and all of it is not
            raise InvalidRequestError(_complaint(condition, "needs a part of the field, as in a.b"))
        return test(label) or (by_id and "id" in value and test(value["id"]))

    return seen


def _test(
    condition: Condition, operator: Operator, kind: FieldType | None, calendar: Calendar
) -> _Test:
    if operator is Operator.ISNOTBLANK:
        return lambda value: not is_blank(value)
    if operator in _DAYS:
        return _in_days(condition, operator, calendar)
    values = operands(condition)
    if operator in {Operator.EQ, Operator.IN} and kind is not None and kind.is_moment:
        # No day is equal to what is none, and every day is not: a change would reach too far.
        _check(condition, [value for value in values if not is_blank(value)], kind)
    if operator is Operator.EQ:
        return _equal(values[0], kind, calendar)
    if operator is Operator.IN:
        wanted = [_equal(value, kind, calendar) for value in values]
        return lambda value: any(test(value) for test in wanted)
    if not values or any(is_blank(value) for value in values):
        raise InvalidRequestError(_complaint(condition, "needs a value"))
    if operator is Operator.ISBETWEEN:
        return _between(condition, values, kind, calendar)
    if operator in _ORDERS:
        if operator in _DATE_OPERATORS and not (kind is not None and kind.is_moment):
            kind = FieldType.DATETIME
        _check(condition, values, kind)
        return partial(_ordered, operand=values[0], kind=kind, calendar=calendar, by=operator)
    return _texts(condition, operator, values[0])


def _texts(condition: Condition, operator: Operator, operand: object) -> _Test:
    if isinstance(operand, (dict, list)):
        raise InvalidRequestError(_complaint(condition, "needs one value"))
    text = _text(operand)
    if operator is Operator.MATCHES:
        return _matching(condition, text)
    found = _TEXTS[operator]
    return lambda value: not is_blank(value) and found(_text(value), text)


def _equal(operand: object, kind: FieldType | None, calendar: Calendar) -> _Test:
    if is_blank(operand):
        return is_blank
    return lambda value: not is_blank(value) and equals(value, operand, kind, calendar)


def _ordered(
    value: object, *, operand: object, kind: FieldType | None, calendar: Calendar, by: Operator
) -> bool:
    if is_blank(value):
        return False
    order = compare(value, operand, kind, calendar)
    return order is not None and _ORDERS[by](order)


def _in_days(condition: Condition, operator: Operator, calendar: Calendar) -> _Test:
    span = timedelta()
    if operator in {Operator.INLASTDAYS, Operator.INNEXTDAYS}:
        days = as_number(condition.arg2.value)
        if days is None or not 0 <= days <= _MAX_DAYS:
            raise InvalidRequestError(_complaint(condition, "needs a number of days"))
        span = timedelta(days=int(days))
    compared = _DAYS[operator]

    def test(value: object) -> bool:
        moment = as_moment(value)
        return moment is not None and compared(calendar.day(moment), calendar.today, span)

    return test


def _between(
    condition: Condition, values: list[object], kind: FieldType | None, calendar: Calendar
) -> _Test:
    if len(values) != 2:
        raise InvalidRequestError(_complaint(condition, "needs two values"))
    first, last = values
    if kind is None or not (kind.is_moment or kind.is_numeric):
        kind = FieldType.DATETIME if as_moment(first) is not None else FieldType.NUMBER
    _check(condition, values, kind)

    def test(value: object) -> bool:
        if is_blank(value):
            return False
        low, high = (compare(value, end, kind, calendar) for end in (first, last))
        return low is not None and high is not None and low >= 0 >= high

    return test


def _matching(condition: Condition, text: str) -> _Test:
    if len(text) > _MAX_PATTERN:
        raise InvalidRequestError(
            _complaint(condition, f"takes patterns of at most {_MAX_PATTERN} characters")
        )
    pattern = _translate(text)
    return lambda value: not is_blank(value) and pattern.fullmatch(_text(value)) is not None


def _translate(pattern: str) -> re.Pattern[str]:
    """Make a wildcard pattern (``*`` any text, ``?`` one character) an expression.

    Each part between stars is matched at its first place and never tried again (an atomic
    group), so the time is bounded by text times pattern, whatever they are.
    """
    first, *rest = [
        "".join("." if c == "?" else re.escape(c) for c in part) for part in pattern.split("*")
    ]
    if not rest:
        return re.compile(first, re.DOTALL)
    middle = "".join(f"(?>.*?{part})" for part in rest[:-1] if part)
    return re.compile(f"{first}{middle}.*{rest[-1]}", re.DOTALL)


def _check(condition: Condition, values: list[object], kind: FieldType | None) -> None:
    if kind is not None and kind.is_moment and any(as_moment(v) is None for v in values):
        raise InvalidRequestError(_complaint(condition, "needs a date such as 2026-01-31"))
    if kind is not None and kind.is_numeric and any(as_number(v) is None for v in values):
        raise InvalidRequestError(_complaint(condition, "needs a number"))


def _complaint(condition: Condition, what: str) -> str:
    return f"The condition “{condition.operator}” on “{condition.field}” {what}."


def _text(value: object) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value).casefold()
