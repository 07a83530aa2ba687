"""Readers of request fields: tolerant of numeric strings, deaf to malformed dates."""

import re
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

from procore_simulator.failures import ApiError, bad_request, invalid
from procore_simulator.messages import Json, JsonObject
from procore_simulator.records import Record
from procore_simulator.resource import Input

if TYPE_CHECKING:
    from procore_simulator.calls import Call

__all__ = [
    "choice",
    "day",
    "flag",
    "instant",
    "integer",
    "kept",
    "money",
    "number",
    "objects",
    "people",
    "person",
    "reference",
    "references",
    "text",
    "to_integer",
    "valued",
]

_DAY = re.compile(r"^\d{4}-\d{2}-\d{2}$")


def to_integer(value: Json) -> int | None:
    """Read an integer that may come as text; ``None`` when it is none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, str) and value.strip().lstrip("-").isdecimal():
        return int(value)
    return None


def objects(value: Json, name: str) -> list[JsonObject]:
    """Read a list of objects that was sent under *name*.

    Raises:
        ApiError: 400 if it is none.
    """
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise bad_request(f"{name} must be a list of objects", fields=name)
    return value


def text(target: str) -> Input:
    """Store text, or null."""

    def read(value: Json, _call: "Call") -> Mapping[str, Json]:
        if isinstance(value, (dict, list)):
            raise invalid({target: ["is not a string"]})
        return {target: None if value is None else str(value)}

    return read


def integer(target: str) -> Input:
    """Store a whole number; numeric strings are accepted."""

    def read(value: Json, _call: "Call") -> Mapping[str, Json]:
        if value is None or value == "":
            return {target: None}
        found = to_integer(value)
        if found is None:
            raise invalid({target: ["is not a number"]})
        return {target: found}

    return read


def _decimal(value: Json, target: str) -> Decimal:
    try:
        found = Decimal(str(value))
    except InvalidOperation as exc:
        raise invalid({target: ["is not a number"]}) from exc
    # What is no number or without end is no amount either, and cannot be reckoned with.
    if not found.is_finite():
        raise invalid({target: ["is not a number"]})
    return found


def number(target: str) -> Input:
    """Store a number that is answered as a decimal string."""

    def read(value: Json, _call: "Call") -> Mapping[str, Json]:
        if value is None or value == "":
            return {target: None}
        return {target: str(_decimal(value, target))}

    return read


def money(target: str) -> Input:
    """Store an amount; it is answered as a string with two decimals."""

    def read(value: Json, _call: "Call") -> Mapping[str, Json]:
        if value is None or value == "":
            return {target: None}
        return {target: f"{_decimal(value, target):.2f}"}

    return read


def flag(target: str) -> Input:
    """Store a boolean, which forms send as text."""

    def read(value: Json, _call: "Call") -> Mapping[str, Json]:
        if isinstance(value, str):
            return {target: value.lower() in {"true", "1", "t", "yes", "on"}}
        return {target: bool(value)}

    return read


def day(target: str) -> Input:
    """Store a date; a malformed one becomes null, without an error."""

    def read(value: Json, _call: "Call") -> Mapping[str, Json]:
        try:
            if isinstance(value, str) and _DAY.match(value[:10]):
                return {target: date.fromisoformat(value[:10]).isoformat()}
        except ValueError:
            pass
        return {target: None}

    return read


def instant(target: str) -> Input:
    """Store a date-time; anything but full ISO 8601 becomes null."""

    def read(value: Json, _call: "Call") -> Mapping[str, Json]:
        if isinstance(value, str) and "T" in value:
            try:
                datetime.fromisoformat(value)
            except ValueError:
                return {target: None}
            return {target: value}
        return {target: None}

    return read


def choice(target: str, *allowed: str, answers: Mapping[str, str] | None = None) -> Input:
    """Store one of *allowed*, translated to what is answered."""
    spelled = {name.lower(): name for name in allowed}

    def read(value: Json, _call: "Call") -> Mapping[str, Json]:
        if value is None:
            return {target: None}
        found = spelled.get(str(value).lower())
        if found is None:
            raise invalid({target: ["is not included in the list"]})
        return {target: found if answers is None else answers.get(found, found)}

    return read


def valued(target: str) -> Input:
    """Store an impact: an object with ``status`` and ``value``."""

    def read(value: Json, _call: "Call") -> Mapping[str, Json]:
        if isinstance(value, dict):
            return {target: {"status": value.get("status"), "value": value.get("value")}}
        return {target: None if value is None else {"status": value, "value": None}}

    return read


def kept(target: str) -> Input:
    """Store the value as it comes."""

    def read(value: Json, _call: "Call") -> Mapping[str, Json]:
        return {target: value}

    return read


def _known(value: Json, resource: str, call: "Call", target: str) -> Record:
    found = to_integer(value)
    row = None if found is None else call.lookup(resource, found)
    if row is None:
        raise invalid({target: ["is invalid"]})
    return row


def reference(target: str, resource: str, *keys: str) -> Input:
    """Store ``{id, name}`` (or *keys*) of a row of another resource, given its id."""
    wanted = keys or ("id", "name")

    def read(value: Json, call: "Call") -> Mapping[str, Json]:
        if value is None or value == "":
            return {target: None}
        row = _known(value, resource, call, target)
        return {target: {key: row.get(key) for key in wanted}}

    return read


def references(target: str, resource: str, *keys: str) -> Input:
    """Store a list of such objects, given a list of ids."""
    one = reference(target, resource, *keys)

    def read(value: Json, call: "Call") -> Mapping[str, Json]:
        if not isinstance(value, list):
            value = [] if value in (None, "") else [value]
        return {target: [one(item, call)[target] for item in value if item not in (None, "")]}

    return read


def person(target: str) -> Input:
    """Store ``{id, login, name}`` of a user of the company."""

    def read(value: Json, call: "Call") -> Mapping[str, Json]:
        if value is None or value == "":
            return {target: None}
        row = _known(value, "company_users", call, target)
        return {target: {"id": row["id"], "login": row["email_address"], "name": row["name"]}}

    return read


def people(target: str) -> Input:
    """Store a list of users, given their ids."""
    one = person(target)

    def read(value: Json, call: "Call") -> Mapping[str, Json]:
        if not isinstance(value, list):
            value = [] if value in (None, "") else [value]
        found = []
        for item in value:
            if item in (None, ""):
                continue
            try:
                found.append(one(item, call)[target])
            except ApiError as exc:
                raise invalid({target: ["is invalid"]}) from exc
        return {target: found}

    return read
