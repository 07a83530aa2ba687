"""The security settings of a data source as fields of a form, and back."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

from cloud_connect.query import Operator
from cloud_connect_relay.access import PartnerRules
from cloud_connect_relay.access.security import Listed
from cloud_connect_relay.console.conditions import any_operators
from cloud_connect_relay.console.forms import Form

__all__ = ["OPERATORS", "QUERY_TYPES", "Line", "Mapped", "entry_text", "mappings_in", "read_people"]

QUERY_TYPES: Final = ("Create", "Read", "Update", "Delete")
_MAX_LISTED: Final = 200
_MAX_LINES: Final = 50
_SAME_TYPE: Final = {
    "create": "Create",
    "insert": "Create",
    "read": "Read",
    "select": "Read",
    "update": "Update",
    "delete": "Delete",
    "remove": "Delete",
}
# A line has one value, and does not know its field's type.
OPERATORS: Final = tuple(
    (operator.value, words)
    for operator, words in any_operators().items()
    if operator is not Operator.ISBETWEEN
)
_KNOWN: Final = frozenset(value for value, _ in OPERATORS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One condition: a field, an operator, a value.

    Attributes:
        given: It as it is stored, which it stays as long as nobody changes it.
    """

    field: str = ""
    operator: str = "eq"
    value: str = ""
    given: Any = None

    @classmethod
    def of(cls, given: object) -> Self | None:
        """Read a condition; ``None`` if it does not fit into one line."""
        if not isinstance(given, Mapping) or "conditions" in given:
            return None
        one, other = given.get("arg1"), given.get("arg2") or {}
        operator = str(given.get("operator", "")).strip().lower()
        if not isinstance(one, Mapping) or not isinstance(other, Mapping):
            return None
        value = other.get("value")
        value = ", ".join(map(str, value)) if isinstance(value, list) else value
        dates = other.get("date1") is not None or other.get("date2") is not None
        if operator not in _KNOWN or dates or isinstance(value, Mapping):
            return None
        text = "" if value is None else str(value).lower() if value in (True, False) else str(value)
        return cls(field=str(one.get("name") or ""), operator=operator, value=text, given=given)

    @property
    def document(self) -> Any:
        """The condition as the platform writes it."""
        if self.given is not None:
            before = Line.of(self.given)
            if before is not None and (before.field, before.operator, before.value) == (
                self.field,
                self.operator,
                self.value,
            ):
                return self.given
        return {
            "operator": self.operator,
            "arg1": {"name": self.field},
            "arg2": {"value": self.value},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapped:
    """One mapping of the partner default query parameters.

    Attributes:
        lines: Its conditions, all of which must hold.
        document: The same in JSON, where lines cannot say it: alternatives, two dates.
    """

    query_type: str = "Read"
    table: str = ""
    lines: tuple[Line, ...] = (Line(),)
    document: str | None = None
    fault: str = field(default="", compare=False)

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Self:
        """Read a stored mapping."""
        kind = next(
            (given[name] for name in ("queryType", "type", "action") if given.get(name)), ""
        )
        table = given.get("table") or given.get("info") or ""
        table = table.get("name") if isinstance(table, Mapping) else table
        conditions = given.get("conditions")
        conditions = [] if conditions is None else conditions
        conditions = conditions if isinstance(conditions, list) else [conditions]
        lines = [Line.of(one) for one in _flattened(conditions)]
        plain = tuple(line for line in lines if line is not None)
        return cls(
            query_type=_SAME_TYPE.get(str(kind).strip().lower(), "Read"),
            table=str(table or ""),
            lines=plain if len(plain) == len(lines) else (),
            document=None if len(plain) == len(lines) else json.dumps(conditions, indent=2),
        )

    def stored(self) -> dict[str, Any]:
        """Return the mapping as it is stored.

        Raises:
            ValueError: Saying what is wrong with it.
        """
        conditions: Any = [line.document for line in self.lines if line.field]
        if not self.table:
            raise ValueError("name the table, as under Procore parameters, for example rfis")
        if self.document is not None:
            try:
                conditions = json.loads(self.document or "[]")
            except ValueError as error:
                raise ValueError("the conditions are no JSON") from error
        elif any(line.value and not line.field for line in self.lines):
            raise ValueError("a condition has a value, but names no field")
        made = {"queryType": self.query_type, "table": self.table, "conditions": conditions}
        try:
            PartnerRules.parse([made])
        except ValueError as error:
            raise ValueError(str(error).removeprefix("mapping 0: ")) from error
        return made


def mappings_in(form: Form, before: Iterable[Mapped]) -> list[Mapped]:
    """Return the mappings that a form holds, in their order.

    Args:
        before: The stored ones, whose conditions stay as they are where nobody changed them.
    """
    stored = {
        (line.field, line.operator, line.value): line.given
        for mapped in before
        for line in mapped.lines
    }
    prefixes = [one for one in form.many("mapping") if one]
    return [_mapping(form, prefix, stored) for prefix in prefixes[:_MAX_LISTED]]


def read_people(form: Form, name: str, before: Iterable[Any], *, label: str) -> list[Any]:
    """Return the entries of a list of users and groups, one a line."""
    known = {entry_text(entry): entry for entry in before}
    entries: list[Any] = []
    for line in dict.fromkeys(form.value(name).splitlines()):
        text = line.strip()
        if not text:
            continue
        entry = known.get(text, text)
        try:
            Listed.of(entry)
        except ValueError as error:
            form.fault(name, f"{label}, “{text[:40]}”: {error}.")
        entries.append(entry)
    if len(entries) > _MAX_LISTED:
        form.fault(name, f"{label}: a list has at most {_MAX_LISTED} entries; name a group.")
    return entries


def entry_text(entry: object) -> str:
    """Return an entry of a list as a line."""
    if isinstance(entry, str):
        return entry
    try:
        listed = Listed.of(entry)
    except ValueError:
        return str(entry)
    return f"group:{listed.name}" if listed.is_group else listed.name


def _mapping(form: Form, prefix: str, stored: Mapping[tuple[str, str, str], Any]) -> Mapped:
    fields = form.many(f"{prefix}-field")[:_MAX_LINES]
    operators = form.many(f"{prefix}-operator")
    values = form.many(f"{prefix}-value")
    lines = []
    for place, name in enumerate(fields):
        operator = operators[place] if place < len(operators) else "eq"
        key = (
            name.strip(),
            operator if operator in _KNOWN else "eq",
            values[place].strip() if place < len(values) else "",
        )
        lines.append(Line(field=key[0], operator=key[1], value=key[2], given=stored.get(key)))
    query_type = form.value(f"{prefix}-type")
    return Mapped(
        query_type=query_type if query_type in QUERY_TYPES else "Read",
        table=form.value(f"{prefix}-table").strip(),
        lines=tuple(lines),
        document=form.value(f"{prefix}-json") if form.has(f"{prefix}-json") else None,
    )


def _flattened(conditions: Iterable[Any]) -> list[Any]:
    """Take groups apart whose members must all hold anyway."""
    found: list[Any] = []
    for one in conditions:
        if isinstance(one, Mapping) and isinstance(one.get("conditions"), list):
            members = one["conditions"]
            if len(members) <= 1 or str(one.get("group") or "and").strip().lower() == "and":
                found.extend(_flattened(members))
                continue
        found.append(one)
    return found
