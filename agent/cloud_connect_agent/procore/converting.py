"""Pure: values as Procore takes them; a form sends everything as text.

What Procore would store as null without a word, such as a date that it cannot read, is refused
wherever in a record it stands.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Final

from cloud_connect.errors import InvalidRequestError
from cloud_connect_agent.procore.values import FieldType, TypeOf, as_boolean, as_moment, as_number

__all__ = ["converted"]

_MAX_DEPTH: Final = 12  # levels of a record; Procore's have three or four


def converted(name: str, value: object, type_of: TypeOf, *, depth: int = 0) -> object:
    """Write a value, and whatever it holds, as Procore takes its type.

    Args:
        name: Of the field, with dots where it nests.

    Raises:
        InvalidRequestError: If the value is impossible; the field is named.
    """
    if value is None or value == "":
        return value
    kind = type_of(name)
    if kind in _CONVERSIONS:
        return _CONVERSIONS[kind](name, value)
    if depth > _MAX_DEPTH:
        raise InvalidRequestError(f"“{name}” is nested too deeply.")
    if isinstance(value, dict):
        return {
            key: converted(f"{name}.{key}", inner, type_of, depth=depth + 1)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [
            converted(name, item, type_of, depth=depth + 1)
            if isinstance(item, (dict, list))
            else item
            for item in value
        ]
    if kind is None and isinstance(value, str):
        _check_date(name, value)
    return value


def _check_date(name: str, value: str) -> None:
    """Refuse what no date can be in a field that only a date can be meant in."""
    last = name.rpartition(".")[2]
    if last == "date" or last.endswith(("_date", "_at")):
        _day(name, value)


def _integer(name: str, value: object) -> object:
    number = as_number(value)
    if number is None or number != number.to_integral_value():
        raise InvalidRequestError(f"“{name}” must be a whole number.")
    return int(number)


def _number(name: str, value: object) -> object:
    number = as_number(value)
    if number is None:
        raise InvalidRequestError(f"“{name}” must be a number.")
    return value if isinstance(value, (int, float)) else _plain(number)


def _money(name: str, value: object) -> object:
    number = as_number(value)
    if number is None:
        raise InvalidRequestError(f"“{name}” must be a number.")
    return value.strip() if isinstance(value, str) else format(number, "f")


def _plain(number: Decimal) -> int | float:
    return int(number) if number == number.to_integral_value() else float(number)


def _yes_or_no(name: str, value: object) -> object:
    answer = as_boolean(value)
    if answer is None:
        raise InvalidRequestError(f"“{name}” must be true or false.")
    return answer


def _day(name: str, value: object) -> object:
    if as_moment(value) is None:
        raise InvalidRequestError(f"“{name}” must be a date such as 2026-01-31.")
    return str(value).strip()[:10]


def _moment(name: str, value: object) -> object:
    """Write a point in time in full: Procore takes nothing less, also for a day."""
    moment = as_moment(value)
    if moment is None:
        raise InvalidRequestError(f"“{name}” must be a time such as 2026-01-31T08:00:00Z.")
    if not isinstance(moment, datetime):
        return f"{moment}T00:00:00Z"
    return moment.isoformat().removesuffix("+00:00") + ("" if moment.utcoffset() else "Z")


_CONVERSIONS: Final[Mapping[FieldType | None, Callable[[str, object], object]]] = {
    FieldType.INTEGER: _integer,
    FieldType.NUMBER: _number,
    FieldType.MONEY: _money,
    FieldType.BOOLEAN: _yes_or_no,
    FieldType.DATE: _day,
    FieldType.DATETIME: _moment,
}
