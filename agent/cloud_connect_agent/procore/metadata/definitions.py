"""Pure: the custom fields and field sets that a company defines, read from Procore's answers."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from cloud_connect_agent.procore.catalog import Direction, FieldSpec
from cloud_connect_agent.procore.observed import CUSTOM_TYPES
from cloud_connect_agent.procore.rows import CUSTOM_FIELD
from cloud_connect_agent.procore.values import FieldType

__all__ = ["CompanyFields", "company_fields", "names_in_sets", "resources_of"]

_MAX_FIELDS: Final = 300  # custom fields of one table
_MAX_LABEL: Final = 200  # characters of a field's label
_PREFIX: Final = "ConfigurableFieldSet::"
_WORDS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+")
_MAX_CLASS: Final = 100  # characters of a class's name

# Classes whose table goes by another name.
_TABLES: Final[Mapping[str, tuple[str, ...]]] = {
    "SubmittalLog": ("submittals",),
    "Equipment": ("managed_equipment",),
    "LoginInformation": ("company_users", "project_users"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CompanyFields:
    """What a company adds to the catalogue.

    Attributes:
        custom: Its custom fields, by table.
        required: What one of its field sets requires, by table; fields of the catalogue, too.
        covered: Tables whose field sets are all in *custom*.
        active: Every custom field that the company has; ``None`` if that is not known.
    """

    custom: Mapping[str, tuple[FieldSpec, ...]] = field(default_factory=dict)
    required: Mapping[str, frozenset[str]] = field(default_factory=dict)
    covered: frozenset[str] = frozenset()
    active: frozenset[str] | None = None

    def required_of(self, table: str) -> frozenset[str]:
        """What the field sets of a table require."""
        return self.required.get(table, frozenset())

    def lacks(self, name: str) -> bool:
        """Whether the company certainly has no such custom field."""
        return self.active is not None and name not in self.active


def resources_of(class_name: str, names: frozenset[str]) -> tuple[str, ...]:
    """The tables that a field set's class is about: ``Rfi::Header`` is about ``rfis``.

    Args:
        names: All tables that there are.
    """
    own = class_name[:_MAX_CLASS].removeprefix(_PREFIX)
    if own in _TABLES:
        return tuple(name for name in _TABLES[own] if name in names)
    parts = [_snake(part) for part in own.split("::") if part]
    for guess in ("_".join(parts), *reversed(parts)):
        for base in (f"{guess}s", guess, f"{guess[:-1]}ies" if guess.endswith("y") else guess):
            family = (base, f"{base}_v2", f"company_{base}", f"project_{base}")
            found = tuple(name for name in family if name in names)
            if found:
                return found
    return ()


def names_in_sets(name: str) -> frozenset[str]:
    """What a field set may call a field: its object, or the things whose ids are sent."""
    several = f"{name.removesuffix('_ids')}s" if name.endswith("_ids") else name
    return frozenset({name, name.partition(".")[0], name.removesuffix("_id"), several})


def company_fields(
    field_sets: Iterable[object], definitions: Iterable[object] | None, names: frozenset[str]
) -> CompanyFields:
    """Put together what a company's field sets and definitions say.

    Args:
        definitions: Every custom field of the company; ``None`` if they could not be read.
        names: All tables that there are.
    """
    known = {} if definitions is None else dict(_defined(definitions))
    active = None if definitions is None else frozenset(known)
    custom: dict[str, dict[str, FieldSpec]] = {}
    required: dict[str, set[str]] = {}
    for item in field_sets:
        if not isinstance(item, dict) or not isinstance(item.get("fields"), dict):
            continue
        told = item.get("class_name") or item.get("type")
        for table in resources_of(told, names) if isinstance(told, str) else ():
            fields = custom.setdefault(table, {})
            for name, facts in _members(item["fields"]):
                if CUSTOM_FIELD.fullmatch(name):
                    if active is not None and name not in active:
                        continue
                    if len(fields) < _MAX_FIELDS:
                        fields.setdefault(name, _spec(name, facts, known.get(name, {})))
                if facts.get("required") is True and facts.get("visible") is not False:
                    required.setdefault(table, set()).add(name)
    return CompanyFields(
        custom={table: tuple(fields.values()) for table, fields in custom.items()},
        required={table: frozenset(fields) for table, fields in required.items()},
        covered=frozenset(custom),
        active=active,
    )


def _members(fields: Mapping[object, object]) -> Iterator[tuple[str, Mapping[str, object]]]:
    """The fields of a set: keyed by their name, or by anything with the name inside."""
    for key, facts in fields.items():
        if not isinstance(facts, dict):
            continue
        name = key if CUSTOM_FIELD.fullmatch(str(key)) else facts.get("name") or key
        if isinstance(name, str):
            yield name, facts


def _defined(definitions: Iterable[object]) -> Iterator[tuple[str, Mapping[str, object]]]:
    for item in definitions:
        if not isinstance(item, dict) or item.get("active") is False:
            continue
        if isinstance(item.get("id"), int):
            yield f"custom_field_{item['id']}", item


def _spec(name: str, facts: Mapping[str, object], definition: Mapping[str, object]) -> FieldSpec:
    kind = facts.get("data_type") or definition.get("data_type")
    label = facts.get("label") or definition.get("label")
    shown = _plain(label) if isinstance(label, str) else ""
    return FieldSpec(
        name=name,
        type=CUSTOM_TYPES.get(str(kind), FieldType.STRING),
        direction=Direction.BOTH,
        label=shown or name.replace("_", " ").capitalize(),
    )


def _plain(label: str) -> str:
    line = "".join(one if one.isprintable() else " " for one in label[:_MAX_LABEL])
    return " ".join(line.split())


def _snake(name: str) -> str:
    return "_".join(word.lower() for word in _WORDS.findall(name))
