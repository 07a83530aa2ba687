"""A record as a form has it, and the query of the platform that writes it."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from cloud_connect_relay.calls.idempotency import canonical

if TYPE_CHECKING:
    from cloud_connect_relay.console.forms import Form
    from cloud_connect_relay.console.tables import Field, Table

__all__ = ["Draft", "Place", "deletion", "draft_of", "key_of", "selection"]

_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_MAX_VALUE: Final = 100_000  # characters of one field


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Which record is meant.

    Attributes:
        scope: Where it lives, by fields such as ``project_id``.
    """

    table: "Table"
    record_id: str
    scope: Mapping[str, str]

    @classmethod
    def read(cls, form: "Form", table: "Table", record_id: str) -> "Place":
        """Return the place that a link or form of a record names."""
        scope = {name: form.value(name).strip() for name in table.places}
        return cls(
            table=table,
            record_id=record_id,
            scope={name: value for name, value in scope.items() if value},
        )

    @property
    def conditions(self) -> list[dict[str, Any]]:
        """Return the conditions that no other record meets."""
        wanted = {"id": self.record_id, **self.scope}
        return [
            {
                "group": "and",
                "conditions": [
                    {"operator": "eq", "arg1": {"name": name}, "arg2": {"value": value}}
                    for name, value in wanted.items()
                ],
            }
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One field of a draft.

    Attributes:
        was: What the record holds.
    """

    field: "Field"
    value: str = ""
    was: str = ""

    @property
    def input(self) -> str:
        """Return what asks for it: ``boolean``, ``date``, ``number``, ``text`` or ``line``."""
        kind = self.field.type
        if kind == "date":  # a point in time does not fit what asks for a day
            fits = all(not one or _DAY.fullmatch(one) for one in (self.value, self.was))
            return "date" if fits else "line"
        return kind if kind in {"boolean", "number", "text"} else "line"

    def written(self) -> object:
        """Return the value to send."""
        if self.value == "":
            return None
        if self.field.type == "boolean":
            return self.value == "true"
        if self.field.type == "text" and self.value[0] in "[{":
            try:
                return json.loads(self.value)
            except ValueError:
                return self.value
        return self.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A record that is being written."""

    table: "Table"
    entries: tuple[Entry, ...]

    @property
    def first(self) -> list[Entry]:
        """Return what is asked for before all else: what is needed, or there already."""
        return [entry for entry in self.entries if self._leads(entry)]

    @property
    def rest(self) -> list[Entry]:
        """Return what a person seldom fills in."""
        return [entry for entry in self.entries if not self._leads(entry)]

    def _leads(self, entry: Entry) -> bool:
        return (
            entry.field.required
            or bool(entry.value or entry.was)
            or entry.field.name == self.table.display
        )

    @classmethod
    def new(cls, table: "Table", form: "Form") -> "Draft":
        """Return an empty one; what the link says of its place is filled in."""
        entries = (Entry(field=field, value=form.value(field.name)) for field in table.inputs)
        return cls(table=table, entries=tuple(entries))

    @classmethod
    def of(cls, table: "Table", row: Mapping[str, Any]) -> "Draft":
        """Return that of a record as it is."""
        entries = []
        for field in table.inputs:
            text = _text(row.get(field.name))
            entries.append(Entry(field=field, value=text, was=text))
        return cls(table=table, entries=tuple(entries))

    @property
    def changes(self) -> dict[str, object]:
        """Return what differs from what was there, as it is sent."""
        return {
            entry.field.name: entry.written() for entry in self.entries if entry.value != entry.was
        }

    def insertion(self) -> dict[str, Any]:
        """Return the query that creates the record."""
        return {"action": "insert", "info": _info(self.table), "mappings": self.changes}

    def update(self, place: Place) -> dict[str, Any]:
        """Return the query that changes the record."""
        moved = {name: value for name, value in self.changes.items() if name not in place.scope}
        return {
            "action": "update",
            "info": _info(self.table),
            "conditions": place.conditions,
            "mappings": moved,
        }


def draft_of(form: "Form", table: "Table") -> Draft:
    """Read the draft that was sent."""
    entries = []
    for field in table.inputs:
        value = form.value(f"v.{field.name}").replace("\r\n", "\n")
        if len(value) > _MAX_VALUE:
            form.fault(f"v.{field.name}", f"{field.text} has at most {_MAX_VALUE:,} characters.")
        was = form.value(f"was.{field.name}").replace("\r\n", "\n")
        if field.type != "text":
            value = value.strip()
        entries.append(Entry(field=field, value=value, was=was))
    return Draft(table=table, entries=tuple(entries))


def selection(place: Place) -> dict[str, Any]:
    """Return the query that reads the record."""
    return {
        "action": "select",
        "info": _info(place.table),
        "conditions": place.conditions,
        "rowLimit": 1,
    }


def deletion(place: Place) -> dict[str, Any]:
    """Return the query that deletes the record."""
    return {"action": "delete", "info": _info(place.table), "conditions": place.conditions}


def key_of(nonce: str, document: Mapping[str, Any]) -> str:
    """Return the idempotency key of a form that was sent: the same for the same content.

    So a form that is sent twice writes once, and one that was corrected is another write.
    """
    digest = hashlib.sha256(canonical(dict(document))).hexdigest()
    return f"console-{nonce}-{digest[:16]}"


def _info(table: "Table") -> dict[str, str]:
    return {"name": table.name, "text": table.text, "type": "STRUCTURE"}


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return str(value)
