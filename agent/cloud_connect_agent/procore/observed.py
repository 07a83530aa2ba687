"""Which fields real records showed: Procore adds some, and companies have their own."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Final

from cloud_connect.calls import Source
from cloud_connect_agent.procore.catalog import Direction, FieldSpec, Resource
from cloud_connect_agent.procore.rows import CUSTOM_FIELD, Row
from cloud_connect_agent.procore.selection import READABLE
from cloud_connect_agent.procore.values import FieldType, as_moment

__all__ = ["ObservedFields"]

_SAMPLED: Final = 5  # records of a page; all of one list look alike
_MAX_TABLES: Final = 1_000  # company and resource pairs that are remembered
_MAX_FIELDS: Final = 300  # of one of them
_MAX_NAME: Final = 100  # characters of a field's name
_CUSTOM_TYPES: Final[Mapping[object, FieldType]] = {
    "string": FieldType.STRING,
    "rich_text": FieldType.TEXT,
    "decimal": FieldType.NUMBER,
    "boolean": FieldType.BOOLEAN,
    "datetime": FieldType.DATETIME,
    "lov_entry": FieldType.STRING,
    "lov_entries": FieldType.LIST,
}

_Key = tuple[str, int, str]


class ObservedFields:
    """Remembers fields beyond the catalogue, per company and resource."""

    def __init__(self) -> None:
        self._tables: OrderedDict[_Key, dict[str, FieldType]] = OrderedDict()

    def note(self, source: Source, resource: Resource, rows: Iterable[Row]) -> None:
        """Learn from some records."""
        key = _key(source, resource)
        table = self._tables.setdefault(key, {})
        self._tables.move_to_end(key)
        while len(self._tables) > _MAX_TABLES:
            self._tables.popitem(last=False)
        for row in islice(rows, _SAMPLED):
            for name, value in row.items():
                if name == "custom_fields" and isinstance(value, dict):
                    _note_custom(table, value)
                elif name not in table and not resource.knows(name, READABLE):
                    _note(table, name, _type_of(value), any_name=resource.dynamic)

    def knows(self, source: Source, resource: Resource, name: str) -> bool:
        """Whether a record showed a field of that name."""
        return name in self._tables.get(_key(source, resource), {})

    def type_of(self, source: Source, resource: Resource, name: str) -> FieldType | None:
        """The type of a field that a record showed."""
        return self._tables.get(_key(source, resource), {}).get(name)

    def fields(self, source: Source, resource: Resource) -> list[FieldSpec]:
        """The fields learned, as the catalogue would list them."""
        table = self._tables.get(_key(source, resource), {})
        return [
            FieldSpec(
                name=name,
                type=kind,
                direction=Direction.BOTH if CUSTOM_FIELD.fullmatch(name) else Direction.OUT,
                label=name.replace("_", " ").capitalize(),
            )
            for name, kind in table.items()
        ]


def _key(source: Source, resource: Resource) -> _Key:
    return source.environment.value, source.company_id, resource.name


def _note_custom(table: dict[str, FieldType], fields: Mapping[str, object]) -> None:
    for name, value in fields.items():
        if CUSTOM_FIELD.fullmatch(name) and isinstance(value, dict):
            kind = _CUSTOM_TYPES.get(value.get("data_type"), FieldType.STRING)
            _note(table, name, kind)


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
