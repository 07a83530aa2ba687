"""Rows as a table: which columns, in which order, and what stands in each cell."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from cloud_connect_relay.console.tables import Table

__all__ = ["Column", "columns_of", "shown"]

_MAX_CELL: Final = 300  # characters; a table is for looking over


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of rows."""

    name: str
    text: str
    type: str


def columns_of(
    rows: Iterable[Mapping[str, Any]], table: "Table", *, first: Sequence[str] = ()
) -> list[Column]:
    """Return a column for each field that a row has: *first* ones, then in the tree's order."""
    present = dict.fromkeys(name for row in rows for name in row)
    order = [*first, *(field.name for field in table.outputs), *present]
    columns = []
    for name in dict.fromkeys(order):
        if name in present:
            field = table.field(name)
            text = name if field is None else field.text
            columns.append(Column(name=name, text=text, type=table.type_of(name)))
    return columns


def shown(value: object) -> str:
    """Return a value as it stands in a cell."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "Yes" if value else "No"
    if isinstance(value, str):
        text = value
    elif isinstance(value, dict | list):
        text = _named(value) or json.dumps(value, ensure_ascii=False, default=str)
    else:
        text = str(value)
    return text if len(text) <= _MAX_CELL else f"{text[:_MAX_CELL]}…"


def _named(value: object) -> str:
    """Return what people call an object that Procore nests, or a list of such."""
    if isinstance(value, list):
        return ", ".join(_named(one) or str(one) for one in value if not isinstance(one, list))
    if isinstance(value, dict):
        for name in ("name", "label", "title", "value"):
            found = value.get(name)
            if isinstance(found, str) and found:
                return found
    return ""
