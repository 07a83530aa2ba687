"""Custom fields: answered under ``custom_fields``, sent flat inside the record."""

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Final

from procore_simulator.failures import invalid
from procore_simulator.messages import Json, JsonObject

__all__ = ["custom_field_template", "read_custom_fields"]

_NAME = re.compile(r"^custom_field_(\d+)$")
_TYPES: Final = {
    "custom_field_49417": "decimal",
    "custom_field_49418": "string",
    "custom_field_49419": "lov_entry",
    "custom_field_49420": "lov_entries",
    "custom_field_49421": "boolean",
    "custom_field_49422": "datetime",
    "custom_field_49423": "rich_text",
}
_CHOICES: Final = {1: "Open", 2: "Waiting", 3: "Done"}


def custom_field_template() -> JsonObject:
    """Write every custom field without a value; only ``lov_entries`` is never null."""
    return {
        name: {"data_type": kind, "value": [] if kind == "lov_entries" else None}
        for name, kind in _TYPES.items()
    }


def read_custom_fields(sent: Mapping[str, Json]) -> JsonObject:
    """Read the known custom fields among the keys of a record; others are ignored.

    Raises:
        ApiError: 422 if a value is not of the field's type.
    """
    found: JsonObject = {}
    for name, value in sent.items():
        if _NAME.match(name) and name in _TYPES:
            kind = _TYPES[name]
            found[name] = {"data_type": kind, "value": _value(name, kind, value)}
    return found


def _value(name: str, kind: str, value: Json) -> Json:
    if kind == "lov_entries":
        ids = value if isinstance(value, list) else [] if value in (None, "") else [value]
        return [_choice(name, item) for item in ids]
    if value is None or value == "":
        return None
    if kind == "decimal":
        try:
            return float(Decimal(str(value)))
        except InvalidOperation as exc:
            raise invalid({name: ["is not a number"]}) from exc
    if kind == "boolean":
        return value in (True, "true", "1", 1)
    if kind == "lov_entry":
        return _choice(name, value)
    return str(value)


def _choice(name: str, value: Json) -> JsonObject:
    if str(value).isdecimal() and int(value) in _CHOICES:
        return {"id": int(value), "label": _CHOICES[int(value)]}
    raise invalid({name: ["is not included in the list"]})
