"""Which fields real records showed: Procore adds some, and companies have their own."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from cloud_connect.calls import Source
from cloud_connect_agent.procore.catalog import Direction, FieldSpec, Resource, label_of
from cloud_connect_agent.procore.rows import CUSTOM_FIELD, Row
from cloud_connect_agent.procore.selection import READABLE
from cloud_connect_agent.procore.values import FieldType, as_moment

__all__ = ["CUSTOM_TYPES", "ObservedFields"]

_SAMPLED: Final = 5  # records of a page; all of one list look alike
_MAX_TABLES: Final = 1_000  # company and resource pairs that are remembered
_MAX_FIELDS: Final = 300  # of one of them
_MAX_NAME: Final = 100  # characters of a field's name
_MISSES: Final = 20  # pages without a custom field, after which it counts as gone

_Key = tuple[str, int, str]


@dataclass(slots=True)
class _Table:
    """What records of one resource of one company showed.

    Attributes:
        listed: Names met that the catalogue knows; looking them up costs more than decoding them.
        pages: How many answers had custom fields.
        last: The last of them that had a certain one.
    """

    fields: dict[str, FieldType] = field(default_factory=dict)
    listed: set[str] = field(default_factory=set)
    pages: int = 0
    last: dict[str, int] = field(default_factory=dict)


class ObservedFields:
    """Remembers fields beyond the catalogue, per company and resource."""

    def __init__(self) -> None:
        self._tables: OrderedDict[_Key, _Table] = OrderedDict()

    def note(self, source: Source, resource: Resource, rows: Iterable[Row]) -> None:
        """Learn from some records."""
        key = _key(source, resource)
        table = self._tables.setdefault(key, _Table())
        self._tables.move_to_end(key)
        while len(self._tables) > _MAX_TABLES:
            self._tables.popitem(last=False)
        custom: dict[str, object] = {}
        for row in islice(rows, _SAMPLED):
            for name, value in row.items():
                if name == "custom_fields" and isinstance(value, dict):
                    custom.update(value)
                elif name in table.listed or name in table.fields:
                    continue
                elif resource.knows(name, READABLE):
                    if len(table.listed) < _MAX_FIELDS:
                        table.listed.add(name)
                else:
                    _note(table.fields, name, _type_of(value), any_name=resource.dynamic)
        if custom:
            table.pages += 1
            _note_custom(table, custom)

    def knows(self, source: Source, resource: Resource, name: str) -> bool:
        """Whether a record showed a field of that name."""
        table = self._tables.get(_key(source, resource))
        return table is not None and name in table.fields

    def misses(self, source: Source, resource: Resource, name: str) -> bool:
        """Whether many answers with custom fields came without this one, the last ones."""
        table = self._tables.get(_key(source, resource))
        return table is not None and table.pages - table.last.get(name, 0) >= _MISSES

    def type_of(self, source: Source, resource: Resource, name: str) -> FieldType | None:
        """The type of a field that a record showed."""
        table = self._tables.get(_key(source, resource))
        return None if table is None else table.fields.get(name)

    def fields(self, source: Source, resource: Resource) -> list[FieldSpec]:
        """The fields learned, as the catalogue would list them."""
        table = self._tables.get(_key(source, resource), _Table())
        return [
            FieldSpec(
                name=name,
                type=kind,
                direction=Direction.BOTH if CUSTOM_FIELD.fullmatch(name) else Direction.OUT,
                label=name if resource.dynamic else label_of(name),
            )
            for name, kind in table.fields.items()
            if not self.misses(source, resource, name) or not CUSTOM_FIELD.fullmatch(name)
        ]


CUSTOM_TYPES: Final[Mapping[str, FieldType]] = {
    "string": FieldType.STRING,
    "rich_text": FieldType.TEXT,
    "decimal": FieldType.NUMBER,
    "number": FieldType.NUMBER,
    "boolean": FieldType.BOOLEAN,
    "datetime": FieldType.DATETIME,
    "lov_entry": FieldType.STRING,
    "lov_entries": FieldType.LIST,
}
"""Types of custom fields, by what Procore calls them."""


def _key(source: Source, resource: Resource) -> _Key:
    return source.environment.value, source.company_id, resource.name


def _note_custom(table: _Table, fields: Mapping[str, object]) -> None:
    for name, value in fields.items():
        if CUSTOM_FIELD.fullmatch(name) and isinstance(value, dict):
            data_type = value.get("data_type")
            known = CUSTOM_TYPES.get(data_type) if isinstance(data_type, str) else None
            _note(table.fields, name, known or FieldType.STRING)
            if name in table.fields:
                table.last[name] = table.pages


def _note(
    table: dict[str, FieldType], name: str, kind: FieldType, *, any_name: bool = False
) -> None:
    plain = name.isidentifier() and name == name.lower()
    sane = len(name) <= _MAX_NAME and (plain or (any_name and name.isprintable() and name != ""))
    if sane and (name in table or len(table) < _MAX_FIELDS):
        table.setdefault(name, kind)


def _type_of(value: object) -> FieldType:
    if isinstance(value, bool):
        return FieldType.BOOLEAN
    if isinstance(value, (int, float)):
        return FieldType.NUMBER
    if isinstance(value, dict):
        return FieldType.OBJECT
    if isinstance(value, list):
        return FieldType.LIST
    moment = as_moment(value)
    if moment is None:
        return FieldType.STRING
    return FieldType.DATE if len(str(value).strip()) == 10 else FieldType.DATETIME
