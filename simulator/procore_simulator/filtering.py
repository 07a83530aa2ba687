"""Filters, sorting and date windows of list requests."""

import re
from collections.abc import Callable
from datetime import date
from typing import Any

from procore_simulator.failures import bad_request
from procore_simulator.records import Collection, Record
from procore_simulator.resource import Filter, Resource

__all__ = [
    "among",
    "containing",
    "demand_known_filters",
    "flagged",
    "ranged",
    "referring",
    "select_among",
    "selected_rows",
]

_FILTER_KEY = re.compile(r"^filters\[([^\]]+)\](\[\])?(?:\[(gt|gte|lt|lte|eq)\])?$")
_SORT_PART = re.compile(r"^sort\[(attribute|direction)\]$")
_DAY_LENGTH = len("2026-01-01")


def among(name: str) -> Filter:
    """Accept rows whose field *name* is one of the values, whatever their case."""

    def accept(row: Record, values: tuple[str, ...]) -> bool:
        found = str(row.get(name, "")).lower()
        return any(found == value.lower() for value in values)

    return accept


def referring(name: str) -> Filter:
    """Accept rows that refer to one of the ids in *name* (one object or several)."""

    def accept(row: Record, values: tuple[str, ...]) -> bool:
        found = row.get(name)
        objects = found if isinstance(found, list) else [found]
        return any(item is not None and str(item["id"]) in values for item in objects)

    return accept


def flagged(name: str) -> Filter:
    """Accept rows whose boolean *name* is as asked."""

    def accept(row: Record, values: tuple[str, ...]) -> bool:
        return any(bool(row.get(name)) == (value.lower() in {"true", "1"}) for value in values)

    return accept


def containing(*names: str) -> Filter:
    """Accept rows with the text in any of the fields *names*."""

    def accept(row: Record, values: tuple[str, ...]) -> bool:
        text = " ".join(str(row.get(name) or "") for name in names).lower()
        return all(value.lower() in text for value in values)

    return accept


def ranged(name: str) -> Filter:
    """Accept rows whose date lies in ``from...to`` (three dots, quotes allowed)."""

    def accept(row: Record, values: tuple[str, ...]) -> bool:
        found = row.get(name)
        if not isinstance(found, str):
            return False
        for value in values:
            first, dots, last = value.replace('"', "").partition("...")
            last = last if dots else first
            if len(last) == _DAY_LENGTH and len(found) > _DAY_LENGTH:
                last += "T23:59:59Z"
            if first <= found and (not last or found <= last):
                return True
        return False

    return accept


def _compared(operator: str, name: str) -> Filter:
    checks: dict[str, Callable[[str, str], bool]] = {
        "gt": lambda found, value: found > value,
        "gte": lambda found, value: found >= value,
        "lt": lambda found, value: found < value,
        "lte": lambda found, value: found <= value,
        "eq": lambda found, value: found == value,
    }
    check = checks[operator]

    def accept(row: Record, values: tuple[str, ...]) -> bool:
        found = row.get(name)
        return found is not None and all(check(str(found), value) for value in values)

    return accept


def selected_rows(
    resource: Resource,
    rows: Collection,
    query: list[tuple[str, str]],
    *,
    today: date,
) -> list[Record]:
    """Return the rows the query asks for; unknown filters are ignored."""
    tests = _tests(resource, query)
    order = _order(resource, query)
    window = _window(resource, query, today=today)
    if not tests and not order and window is None:
        return rows.rows()
    key = (tuple(pair for pair in query if pair[0] not in {"page", "per_page", "view"}), window)

    def make() -> list[Record]:
        found = rows.rows()
        if window is not None:
            name, first, last = window
            found = [row for row in found if first <= (row.get(name) or "") <= last]
        return _sifted(resource, found, tests, order)

    return rows.selection(key, make)


def select_among(
    resource: Resource, rows: list[Record], query: list[tuple[str, str]]
) -> list[Record]:
    """Filter and sort rows that are derived and have no collection of their own."""
    return _sifted(resource, rows, _tests(resource, query), _order(resource, query))


def _sifted(
    resource: Resource,
    rows: list[Record],
    tests: list[tuple[Filter, tuple[str, ...]]],
    order: list[tuple[str, bool]],
) -> list[Record]:
    if tests:
        # A row holds only what differs from the template; a filter asks for what is shown.
        shown = (({**resource.template, **row}, row) for row in rows)
        rows = [row for whole, row in shown if all(test(whole, values) for test, values in tests)]
    for name, descending in reversed(order):
        rows = sorted(rows, key=_sort_key(name), reverse=descending)
    return rows


def _tests(
    resource: Resource, query: list[tuple[str, str]]
) -> list[tuple[Filter, tuple[str, ...]]]:
    wanted: dict[tuple[str, str], list[str]] = {}
    for key, value in query:
        match = _FILTER_KEY.match(key)
        if match is not None:
            wanted.setdefault((match[1], match[3] or ""), []).append(value)
    tests = []
    for (name, operator), values in wanted.items():
        known = resource.filters.get(name)
        if known is None:
            continue
        parts = [part for value in values for part in _split(value)]
        tests.append((_compared(operator, name) if operator else known, tuple(parts)))
    return tests


def demand_known_filters(resource: Resource, query: list[tuple[str, str]]) -> None:
    """Hold a query to the filters the list has.

    Raises:
        ApiError: 400 naming the one it has not.
    """
    for key, _ in query:
        match = _FILTER_KEY.match(key)
        if match is not None and match[1] not in resource.filters:
            raise bad_request(f"unknown filter: {match[1]}", fields=key)


def _split(value: str) -> list[str]:
    inner = value.strip()
    if inner.startswith("[") and inner.endswith("]"):
        return [part.strip().strip('"') for part in inner[1:-1].split(",")]
    return [value]


def _order(resource: Resource, query: list[tuple[str, str]]) -> list[tuple[str, bool]]:
    parts: dict[str, str] = {}
    order: list[tuple[str, bool]] = []
    for key, value in query:
        if key == "sort":
            order += [(name.lstrip("-+ "), name.startswith("-")) for name in value.split(",")]
        else:
            match = _SORT_PART.match(key)
            if match is not None:
                parts[match[1]] = value
    if "attribute" in parts:
        order.append((parts["attribute"], parts.get("direction", "asc").lower() == "desc"))
    return [(name, descending) for name, descending in order if name in resource.sorts]


def _sort_key(name: str) -> Callable[[Record], tuple[bool, Any]]:
    def key(row: Record) -> tuple[bool, Any]:
        value = row.get(name)
        if isinstance(value, dict):
            value = value.get("name")
        return (value is not None, "" if value is None else value)

    return key


def _window(
    resource: Resource, query: list[tuple[str, str]], *, today: date
) -> tuple[str, str, str] | None:
    if resource.date_field is None:
        return None
    wanted = dict(query)
    if "log_date" in wanted:
        return resource.date_field, wanted["log_date"], wanted["log_date"]
    if "start_date" in wanted or "end_date" in wanted:
        return (
            resource.date_field,
            wanted.get("start_date", ""),
            wanted.get("end_date", "9999-12-31"),
        )
    if any(key.startswith("filters[created_at]") for key, _ in query):
        return None
    day = today.isoformat()
    return resource.date_field, day, day
