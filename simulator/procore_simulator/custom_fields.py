"""Custom fields: answered under ``custom_fields``, sent flat inside the record."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Final

from procore_simulator.failures import ApiError, invalid
from procore_simulator.messages import Json, JsonObject
from procore_simulator.tenancy import Company

__all__ = [
    "CHOICES",
    "DATA_TYPES",
    "DEFINITIONS",
    "Definition",
    "as_defined",
    "custom_field_template",
    "demand_custom_fields",
    "read_custom_fields",
]

_NAME = re.compile(r"^custom_field_(\d+)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """A custom field as the company's administrator defined it."""

    id: int
    label: str
    data_type: str
    description: str | None = None
    required: bool = False
    """Whether field sets demand it, when a write asks for validation."""

    @property
    def name(self) -> str:
        """Its key in records."""
        return f"custom_field_{self.id}"


DEFINITIONS: Final = (
    Definition(id=49417, label="Delay cost", data_type="decimal"),
    Definition(id=49418, label="Zone", data_type="string", description="As on the site plan",
               required=True),
    Definition(id=49419, label="Follow-up", data_type="lov_entry"),
    Definition(id=49420, label="Stages", data_type="lov_entries"),
    Definition(id=49421, label="Weather related", data_type="boolean"),
    Definition(id=49422, label="Inspected at", data_type="datetime"),
    Definition(id=49423, label="Remarks", data_type="rich_text"),
)  # fmt: skip
CHOICES: Final = {1: "Open", 2: "Waiting", 3: "Done"}
"""The entries of every list of values."""
DATA_TYPES: Final = frozenset(definition.data_type for definition in DEFINITIONS)
_TYPES: Final = {definition.name: definition.data_type for definition in DEFINITIONS}


def _types_in(company: Company | None) -> Mapping[str, str]:
    if company is None or not company.retyped_custom_fields:
        return _TYPES
    retyped = company.retyped_custom_fields.items()
    return {**_TYPES, **{f"custom_field_{number}": kind for number, kind in retyped}}


def custom_field_template() -> JsonObject:
    """Write every custom field without a value; only ``lov_entries`` is never null."""
    return {
        name: {"data_type": kind, "value": [] if kind == "lov_entries" else None}
        for name, kind in _TYPES.items()
    }


def read_custom_fields(sent: Mapping[str, Json], company: Company | None) -> JsonObject:
    """Read the known custom fields among the keys of a record; others are ignored.

    Raises:
        ApiError: 422 if a value is not of the field's type.
    """
    found: JsonObject = {}
    types = _types_in(company)
    for name, value in sent.items():
        if _NAME.match(name) and name in types:
            kind = types[name]
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
    if str(value).isdecimal() and int(value) in CHOICES:
        return {"id": int(value), "label": CHOICES[int(value)]}
    raise invalid({name: ["is not included in the list"]})


def demand_custom_fields(sent: Mapping[str, Json]) -> None:
    """Hold a record to its field set, as ``run_configurable_validations`` asks for.

    Raises:
        ApiError: 422 naming the required custom fields that are empty.
    """
    empty = [
        definition.name
        for definition in DEFINITIONS
        if definition.required and sent.get(definition.name) in (None, "", [])
    ]
    if empty:
        raise invalid({name: ["can't be blank"] for name in empty})


def as_defined(fields: JsonObject, company: Company) -> JsonObject:
    """Show a record's custom fields as its company's administrator defines them by now."""
    gone = {f"custom_field_{number}" for number in company.retired_custom_fields}
    types = _types_in(company)
    return {
        name: shown if shown["data_type"] == types[name] else _retyped(name, types[name], shown)
        for name, shown in fields.items()
        if name not in gone
    }


def _retyped(name: str, kind: str, shown: JsonObject) -> JsonObject:
    """Show a value under another type; it is lost where that cannot hold it."""
    value = shown["value"]
    plain = value.get("label") if isinstance(value, dict) else value
    try:
        return {"data_type": kind, "value": _value(name, kind, plain)}
    except ApiError:
        return {"data_type": kind, "value": [] if kind == "lov_entries" else None}
