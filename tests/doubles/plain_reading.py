"""The plain reading of a query: a row in Python's own types either meets it or does not.

Written without a look at the agent's code, and without filters, pages or types of a catalogue.
"""

from datetime import UTC, date, datetime
from decimal import Decimal
from fnmatch import fnmatchcase

__all__ = ["NOW", "TODAY", "Key", "Row", "holds", "in_order", "written"]

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
TODAY = NOW.date()
Row = dict[str, object]


class Key(str):
    """An id that is text."""

    __slots__ = ()


def written(value: object) -> object:
    """A value as it stands in JSON."""
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(value, Decimal):
        return f"{value:.2f}"
    if isinstance(value, Key):
        return "".join(value)
    return str(value) if isinstance(value, date) else value


def holds(tree: Row, row: Row) -> bool:
    """Whether a row, in Python's own types, meets a condition: the plain reading of it."""
    if "conditions" in tree:
        parts = tree["conditions"]
        assert isinstance(parts, list)
        joined = [holds(part, row) for part in parts]
        return all(joined) if tree["group"] == "and" else any(joined)
    arg1, arg2, operator = tree["arg1"], tree["arg2"], str(tree["operator"])
    assert isinstance(arg1, dict)
    assert isinstance(arg2, dict)
    return leaf_holds(operator, row[arg1["name"]], arg2["value"])


def leaf_holds(operator: str, value: object, operand: object) -> bool:
    if operator in {"ne", "notin", "notcontains", "isblank"}:
        asked = {"ne": "eq", "notin": "in", "notcontains": "contains", "isblank": "isnotblank"}
        return not leaf_holds(asked[operator], value, operand)
    if value is None or value == "":
        return False
    if operator == "isnotblank":
        return True
    if isinstance(value, bool):
        return value == (operand if isinstance(operand, bool) else operand == "true")
    if operator == "in":
        assert isinstance(operand, list)
        return any(leaf_holds("eq", value, one) for one in operand)
    if operator in {"contains", "startswith", "endswith", "matches"}:
        return text_holds(operator, str(value).lower(), str(operand).lower())
    day = value.date() if isinstance(value, datetime) else value
    if isinstance(day, date) and operator.endswith(("today", "days")):
        return day_holds(operator, day, operand)
    return order_holds(operator, value, operand)


def text_holds(operator: str, text: str, operand: str) -> bool:
    if operator == "matches":
        return fnmatchcase(text, operand)
    return {
        "contains": operand in text,
        "startswith": text.startswith(operand),
        "endswith": text.endswith(operand),
    }[operator]


def day_holds(operator: str, day: date, operand: object) -> bool:
    away = (day - TODAY).days
    span = operand if isinstance(operand, int) else 0
    return {
        "istoday": away == 0,
        "isbeforetoday": away < 0,
        "isaftertoday": away > 0,
        "inlastdays": -span <= away <= 0,
        "innextdays": 0 <= away <= span,
    }[operator]


def order_holds(operator: str, value: object, operand: object) -> bool:
    if isinstance(value, Key):
        left, right = str(value), str(operand)
    elif isinstance(value, datetime):
        left, right = str(written(value)), str(operand)
    elif isinstance(value, (int, Decimal)):
        return number_holds(operator, Decimal(value), Decimal(str(operand)))
    else:
        left, right = str(value).lower(), str(operand).lower()
    return {
        "eq": left == right,
        "lt": left < right,
        "le": left <= right,
        "gt": left > right,
        "ge": left >= right,
        "isbefore": left < right,
        "isafter": left > right,
    }[operator]


def number_holds(operator: str, value: Decimal, operand: Decimal) -> bool:
    return {
        "eq": value == operand,
        "lt": value < operand,
        "le": value <= operand,
        "gt": value > operand,
        "ge": value >= operand,
    }[operator]


def in_order(rows: list[Row], field: str | None, *, ascending: bool, ties: list[str]) -> list[Row]:
    """The rows sorted by one field: blanks last, equals by *ties*, whichever way it goes."""
    ordered = sorted(rows, key=lambda row: [_place(row[name]) for name in ties])
    if field is None:
        return rows
    blank = [row for row in ordered if _place(row[field])[0] == 2]
    rest = [row for row in ordered if _place(row[field])[0] != 2]
    rest.sort(key=lambda row: _place(row[field]), reverse=not ascending)
    return rest + blank


def _place(value: object) -> tuple[int, object]:
    if value is None or value == "":
        return (2, "")
    if isinstance(value, Key):
        return (1, str(value))
    if isinstance(value, (int, Decimal)):
        return (0, Decimal(value))
    if isinstance(value, str):
        return (0, Decimal(value)) if value.isdigit() else (1, value.lower())
    return (0, value)
