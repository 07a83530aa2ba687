"""The catalogue as the platform's tree: groups, tables, and fields in each direction."""

from collections.abc import Callable, Iterable, Iterator
from typing import Final, Literal

from cloud_connect.tree import TreeField, TreeNode
from cloud_connect_agent.procore.catalog import (
    Catalog,
    Direction,
    FieldSpec,
    Level,
    Resource,
    label_of,
)
from cloud_connect_agent.procore.values import FieldType

__all__ = ["tree_of"]

_GROUPS: Final = (
    (Level.COMPANY, "company_level", "Company", "fa fa-building", "Tables of the whole company"),
    (Level.PROJECT, "project_level", "Project", "fa fa-briefcase", "Tables of its projects"),
)
_TYPES: Final = {
    FieldType.INTEGER: "number",
    FieldType.NUMBER: "number",
    FieldType.MONEY: "number",
    FieldType.STRING: "string",
    FieldType.TEXT: "text",
    FieldType.DATE: "date",
    FieldType.DATETIME: "date",
    FieldType.BOOLEAN: "boolean",
    FieldType.OBJECT: "text",
    FieldType.LIST: "text",
    FieldType.KEY: "string",
}


def tree_of(
    catalog: Catalog, observed: Callable[[Resource], Iterable[FieldSpec]]
) -> list[dict[str, object]]:
    """Make the tree; a field that goes both ways is listed once in each direction.

    Args:
        observed: Fields beyond the catalogue that records of a resource showed.
    """
    groups = [
        TreeNode(
            name=name,
            text=text,
            title=text,
            icon=icon,
            type="GROUP",
            desc=desc,
            selectable=False,
            nodes=tuple(
                _table(resource, observed(resource))
                for resource in catalog
                if resource.level is level
            ),
        )
        for level, name, text, icon, desc in _GROUPS
    ]
    return [group.model_dump(mode="json") for group in groups]


def _table(resource: Resource, observed: Iterable[FieldSpec]) -> TreeNode:
    fields = tuple(_fields(resource, [*_scope(resource), *resource.fields, *observed]))
    return TreeNode(
        name=resource.name,
        text=resource.text,
        title=resource.text,
        icon=resource.icon,
        type="STRUCTURE",
        desc=resource.desc,
        selectable=True,
        nodes=fields,
        fields=fields,
    )


def _scope(resource: Resource) -> Iterator[FieldSpec]:
    """The scope ids, as the ordinary fields that they are in every record."""
    writes = resource.create is not None or resource.update is not None
    for name in resource.scope_fields:
        yield FieldSpec(
            name=name,
            type=resource.type_of(name) or FieldType.INTEGER,
            direction=Direction.BOTH if writes else Direction.OUT,
            label=label_of(name),
        )


def _fields(resource: Resource, specs: Iterable[FieldSpec]) -> Iterator[TreeField]:
    required = set(resource.create.required) if resource.create else set()
    for spec in specs:
        if spec.direction.goes_in:
            needed = spec.name in required or spec.name in resource.scope_fields
            yield _field(spec, "IMPORT", "Procore needs it for a new record" if needed else "")
        if spec.direction.comes_out:
            yield _field(spec, "EXPORT", "")


def _field(spec: FieldSpec, inout: Literal["IMPORT", "EXPORT"], desc: str) -> TreeField:
    return TreeField(
        name=spec.name,
        text=spec.label,
        title=spec.label,
        icon="fa fa-arrow-right" if inout == "IMPORT" else "fa fa-arrow-left",
        type=_TYPES[spec.type],
        desc=desc,
        inout=inout,
    )
