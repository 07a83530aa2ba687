"""The catalogue as the platform's tree: groups, tables, and fields in each direction."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, Literal

from cloud_connect.calls import Source
from cloud_connect.tree import TreeField, TreeNode
from cloud_connect_agent.procore.catalog import (
    Catalog,
    FieldSpec,
    Level,
    Resource,
)
from cloud_connect_agent.procore.metadata import Metadata, names_in_sets
from cloud_connect_agent.procore.values import FieldType

__all__ = ["Trees", "tree_of"]

_GROUPS: Final = (
    (Level.COMPANY, "company_level", "Company", "fa fa-building", "Tables of the whole company"),
    (Level.PROJECT, "project_level", "Project", "fa fa-briefcase", "Tables of its projects"),
)
_MAX_MADE: Final = 4  # trees of some megabytes each
_Made = tuple[int, list[dict[str, object]]]
_NEEDED: Final = "Procore needs it for a new record"
_REQUIRED: Final = "One of the company's field sets requires it"
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


class Trees:
    """The trees of some companies, each made when it has changed."""

    def __init__(self, catalog: Catalog, metadata: Metadata) -> None:
        self._catalog: Final = catalog
        self._metadata: Final = metadata
        self._made: Final[OrderedDict[tuple[str, int, int | None], _Made]] = OrderedDict()

    def tree(self, source: Source) -> Sequence[Mapping[str, object]]:
        """The tree of a company and its project, by what is known of them now."""
        key = (source.environment.value, source.company_id, source.project_id)
        revision = self._metadata.revision(source)
        known = self._made.get(key)
        if known is None or known[0] != revision:
            known = self._made[key] = (
                revision,
                tree_of(
                    self._catalog,
                    lambda resource: self._metadata.fields(source, resource),
                    required=lambda resource: self._metadata.required(source, resource),
                ),
            )
        self._made.move_to_end(key)
        while len(self._made) > _MAX_MADE:
            self._made.popitem(last=False)
        return known[1]


def _nothing(_: Resource) -> frozenset[str]:
    return frozenset()


def tree_of(
    catalog: Catalog,
    own: Callable[[Resource], Iterable[FieldSpec]],
    *,
    required: Callable[[Resource], frozenset[str]] = _nothing,
) -> list[dict[str, object]]:
    """Make the tree; a field that goes both ways is listed once in each direction.

    Args:
        own: Fields beyond the catalogue that the company has.
        required: Fields that one of its field sets requires.
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
                _table(resource, own(resource), required(resource))
                for resource in catalog
                if resource.level is level
            ),
        )
        for level, name, text, icon, desc in _GROUPS
    ]
    # Only what goes in is required or not: elsewhere the member is left out.
    return [group.model_dump(mode="json", exclude_none=True) for group in groups]


def _table(resource: Resource, own: Iterable[FieldSpec], required: frozenset[str]) -> TreeNode:
    fields = tuple(_fields(resource, [*resource.scope_specs, *resource.fields, *own], required))
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


def _fields(
    resource: Resource, specs: Iterable[FieldSpec], required: frozenset[str]
) -> Iterator[TreeField]:
    needed = {*resource.needed_fields, *resource.scope_fields}
    for spec in specs:
        if spec.direction.goes_in:
            by_set = not required.isdisjoint(names_in_sets(spec.name))
            why = _NEEDED if spec.name in needed else _REQUIRED if by_set else None
            yield _field(spec, "IMPORT", required=why is not None, desc=why or "")
        if spec.direction.comes_out:
            yield _field(spec, "EXPORT")


def _field(
    spec: FieldSpec,
    inout: Literal["IMPORT", "EXPORT"],
    *,
    required: bool | None = None,
    desc: str = "",
) -> TreeField:
    return TreeField(
        name=spec.name,
        text=spec.label,
        title=spec.label,
        icon="fa fa-arrow-right" if inout == "IMPORT" else "fa fa-arrow-left",
        type=_TYPES[spec.type],
        desc=desc,
        inout=inout,
        required=required,
    )
