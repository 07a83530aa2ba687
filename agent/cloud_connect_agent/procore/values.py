"""Pure: values of records and of conditions as what they are: numbers, days, text."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

__all__ = [
    "BLANK_RANK",
    "Calendar",
    "FieldType",
    "SortKey",
    "TypeOf",
    "as_boolean",
    "as_key",
    "as_moment",
    "as_number",
    "compare",
    "equals",
    "is_blank",
    "shown",
    "sort_key",
]

_NUMBER: Final = re.compile(r"\s*[+-]?\d{1,80}(?:\.\d{1,80})?\s*", re.ASCII)
_MOMENT: Final = re.compile(
    r"\d{4}-\d{2}-\d{2}(?:[Tt ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:[Zz]|[+-]\d{2}:?\d{2})?)?",
    re.ASCII,
)
_LABELS: Final = ("label", "name", "login")  # what people see of an object, best first
_BOOLEANS: Final[Mapping[str, bool]] = {
    "true": True,
    "yes": True,
    "1": True,
    "false": False,
    "no": False,
    "0": False,
}


SortKey = tuple[int, Decimal | str]

BLANK_RANK: Final = 3
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SORTED_CHARS: Final = 200  # of a text; more would make cursors long


class FieldType(StrEnum):
    """What a field of a record holds; a ``key`` is an id that is text."""

    INTEGER = "integer"
    NUMBER = "number"
    MONEY = "money"
    STRING = "string"
    TEXT = "text"
    DATE = "date"
    DATETIME = "datetime"
    BOOLEAN = "boolean"
    OBJECT = "object"
    LIST = "list"
    KEY = "key"

    @property
    def is_numeric(self) -> bool:
        """Whether its values compare as numbers."""
        return self in {FieldType.INTEGER, FieldType.NUMBER, FieldType.MONEY}

    @property
    def is_moment(self) -> bool:
        """Whether its values compare as days or points in time."""
        return self in {FieldType.DATE, FieldType.DATETIME}


TypeOf = Callable[[str], FieldType | None]
"""The type of a field by its name, where it is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calendar:
    """What "today" is, and on which day a point in time falls.

    Attributes:
        zone: Where the days are counted; ``None`` is this PC's own zone.
    """

    now: datetime
    zone: tzinfo | None = None

    @property
    def today(self) -> date:
        """The current day."""
        return self.day(self.now)

    def day(self, moment: date) -> date:
        """The day a date or a point in time falls on."""
        return moment.astimezone(self.zone).date() if isinstance(moment, datetime) else moment


def is_blank(value: object) -> bool:
    """Whether a value says nothing: absent, empty text or empty collection."""
    return value is None or (isinstance(value, (str, list, dict)) and not value)


def shown(value: object) -> object:
    """What people see of a value: of an entry of a list of values its label.

    Procore answers one as ``{"id": 1, "label": "Open"}``, a person or a company by name.
    """
    if isinstance(value, dict):
        return next((value[name] for name in _LABELS if name in value), value)
    return value


def as_number(value: object) -> Decimal | None:
    """Read a number exactly, also from text; ``None`` if it is none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, Decimal)):
        return Decimal(value)
    if isinstance(value, float):
        number = Decimal(repr(value))
        return number if number.is_finite() else None
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return Decimal(value.strip())
    return None


def as_boolean(value: object) -> bool | None:
    """Read a yes or no, also from text and from 0 and 1; ``None`` if it is neither."""
    if isinstance(value, bool):
        return value
    if isinstance(value, (int, str)):
        return _BOOLEANS.get(str(value).strip().lower())
    return None


def as_moment(value: object) -> date | None:
    """Read a day, or a point in time (a ``datetime`` with a zone); ``None`` if it is neither.

    A time without a zone is UTC, as Procore's are.
    """
    if not isinstance(value, str):
        return None
    text = value.strip()
    if not _MOMENT.fullmatch(text):
        return None
    try:
        if len(text) == 10:
            return date.fromisoformat(text)
        moment = datetime.fromisoformat(text.upper())
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def compare(
    value: object, operand: object, kind: FieldType | None, calendar: Calendar
) -> int | None:
    """Order a record's value against an operand: negative, zero, positive.

    Args:
        kind: The field's type, where the catalogue knows it.

    Returns:
        ``None`` if the two have no order, as a number and a word.
    """
    if isinstance(value, (dict, list)) or isinstance(operand, (dict, list)):
        return None
    if kind is FieldType.KEY:
        return _order(as_key(value), as_key(operand))
    if kind is FieldType.BOOLEAN or isinstance(value, bool):
        left, right = as_boolean(value), as_boolean(operand)
        return None if left is None or right is None else int(left) - int(right)
    if kind is None or not kind.is_moment:
        numbers = as_number(value), as_number(operand)
        if numbers[0] is not None and numbers[1] is not None:
            return _order(*numbers)
    if kind is None or kind.is_moment:
        moments = _moments(value, operand, kind, calendar)
        if moments is not None:
            return _order(*moments)
    if kind is not None and (kind.is_numeric or kind.is_moment):
        return None
    return _order(str(value).casefold(), str(operand).casefold())


def equals(value: object, operand: object, kind: FieldType | None, calendar: Calendar) -> bool:
    """Whether a record's value is the operand; text without regard to case, but for keys.

    Two texts of digits are equal only letter by letter: 007 is another number than 7.
    """
    if isinstance(value, str) and isinstance(operand, str) and not _is_typed(value, operand, kind):
        return value.casefold() == operand.casefold()
    return compare(value, operand, kind, calendar) == 0


def _is_typed(value: str, operand: str, kind: FieldType | None) -> bool:
    if kind is None:
        return not (value.strip().isdigit() and operand.strip().isdigit())
    return kind not in {FieldType.STRING, FieldType.TEXT}


def _moments(
    value: object, operand: object, kind: FieldType | None, calendar: Calendar
) -> tuple[date, date] | None:
    left, right = as_moment(value), as_moment(operand)
    if left is None or right is None:
        return None
    left_has_time, right_has_time = isinstance(left, datetime), isinstance(right, datetime)
    if left_has_time and right_has_time and kind is not FieldType.DATE:
        return left, right
    # A day has no zone: against a point in time it means the day as somebody wrote it.
    if right_has_time:
        right = _written_day(operand)
    return (calendar.day(left) if kind is not FieldType.DATE else _written_day(value)), right


def _written_day(value: object) -> date:
    return date.fromisoformat(str(value).strip()[:10])


def as_key(value: object) -> str:
    """An id as text, also where it arrived as a number."""
    number = None if isinstance(value, str) else as_number(value)
    if number is not None and number == number.to_integral_value():
        return str(int(number))
    return str(value).strip()


def _order(left: Any, right: Any) -> int:
    return int(left > right) - int(left < right)


def sort_key(value: object, kind: FieldType | None) -> SortKey:
    """The place of a value in an order: numbers, points in time, text; blanks last.

    Only the first 200 characters of a text count.
    """
    value = shown(value)
    if is_blank(value) or isinstance(value, (dict, list)):
        return BLANK_RANK, ""
    if kind is FieldType.KEY:
        return 2, as_key(value)[:_SORTED_CHARS]
    if isinstance(value, bool):
        return 0, Decimal(value)
    if kind is None or not kind.is_moment:
        number = as_number(value)
        if number is not None:
            return 0, number
    moment = as_moment(value)
    if moment is not None:
        if not isinstance(moment, datetime):
            moment = datetime(moment.year, moment.month, moment.day, tzinfo=UTC)
        return 1, Decimal((moment - _EPOCH) // timedelta(microseconds=1))
    return 2, str(value).casefold()[:_SORTED_CHARS]
