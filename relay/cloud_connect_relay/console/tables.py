"""The tree of a data source: its tables and their fields, as people pick from them."""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from fastapi import Request

from cloud_connect.calls import Operation
from cloud_connect_relay.access import Use
from cloud_connect_relay.api.call_specs import spec_for, target_for
from cloud_connect_relay.api.query_calls import run_tree
from cloud_connect_relay.calls.idempotency import canonical

if TYPE_CHECKING:
    from cloud_connect_relay.console.pages import Page

__all__ = ["Field", "Group", "Table", "Tree", "TreeShelf", "shelf", "tree_of"]

_KEPT_SECONDS: Final = 60.0  # a person who looks around asks the connector once
_MAX_KEPT: Final = 32  # trees of some hundred tables each
_TITLES: Final = ("name", "title", "subject", "label", "description", "number")


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A field of a table.

    Attributes:
        type: ``string``, ``text``, ``number``, ``date`` or ``boolean``.
        goes_in: It can be written.
        comes_out: It can be read.
        required: Whether a new record needs it.
    """

    name: str
    text: str
    type: str
    desc: str = ""
    goes_in: bool = False
    comes_out: bool = False
    required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table that people pick; Procore's resource of that name."""

    name: str
    text: str
    desc: str
    group: str
    fields: tuple[Field, ...]

    @property
    def outputs(self) -> tuple[Field, ...]:
        """Return what can be shown, compared and sorted by."""
        return tuple(field for field in self.fields if field.comes_out)

    @property
    def inputs(self) -> tuple[Field, ...]:
        """Return what can be written, what a new record needs first."""
        found = [field for field in self.fields if field.goes_in]
        return tuple(sorted(found, key=lambda field: not field.required))

    @property
    def display(self) -> str:
        """Return the field that most probably tells people what a record is."""
        names = {field.name for field in self.outputs}
        best = next((name for name in _TITLES if name in names), None)
        return best or next(iter(field.name for field in self.outputs), "")

    @property
    def value(self) -> str:
        """Return the field that tells records apart."""
        names = [field.name for field in self.outputs]
        return "id" if "id" in names else self.display

    @property
    def places(self) -> tuple[str, ...]:
        """Return the fields that say where a record lives, such as ``project_id``.

        The tree lists them first and says that a new record needs them.
        """
        return tuple(
            field.name
            for field in self.fields
            if field.comes_out
            and field.name.endswith("_id")
            and (field.required or field.name == "project_id")
        )

    def field(self, name: str) -> Field | None:
        """Return the field of that name."""
        return next((field for field in self.fields if field.name == name), None)

    def type_of(self, name: str) -> str:
        """Return the type of a field; of one that is not known, text."""
        field = self.field(name)
        return "string" if field is None else field.type


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Tables of one level: the company's, or its projects'."""

    text: str
    tables: tuple[Table, ...]

    def matching(self, text: str) -> tuple[Table, ...]:
        """Return the tables whose name holds *text*."""
        wanted = text.strip().lower()
        return tuple(
            table
            for table in self.tables
            if wanted in table.text.lower() or wanted in table.name.lower()
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """What there is to pick from.

    Attributes:
        read_at: When the connector told, as UNIX time.
    """

    groups: tuple[Group, ...]
    read_at: float

    def find(self, name: str) -> Table | None:
        """Return the table of that name."""
        return next(
            (table for group in self.groups for table in group.tables if table.name == name), None
        )


def tree_of(items: Iterable[object], *, read_at: float) -> Tree:
    """Return the platform's tree as groups of tables; what is neither is left out."""
    groups = []
    for item in items:
        if isinstance(item, Mapping):
            text = _text(item, "text")
            tables = tuple(_table(node, text) for node in _members(item, "nodes"))
            groups.append(Group(text=text, tables=tuple(sorted(tables, key=lambda one: one.text))))
    return Tree(groups=tuple(groups), read_at=read_at)


class TreeShelf:
    """Trees that were read a moment ago."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock: Final = clock
        self._kept: Final[OrderedDict[tuple[str, str, str], tuple[float, Tree]]] = OrderedDict()

    async def read(self, page: "Page", datasource_id: str, *, refresh: bool = False) -> Tree:
        """Return the tree of a data source, as far as the person may see it.

        Args:
            refresh: Ask the connector, and have it ask Procore what the company defines.

        Raises:
            NotFoundError: If there is no such data source, or it is not the caller's.
            InsufficientScopeError: If its security settings do not let the person see it.
            CloudConnectError: Why the connector tells none.
        """
        principal = page.principal
        target = await target_for(page.services, principal, datasource_id, use=Use.TREE)
        key = (principal.subscription_id, datasource_id, canonical(target.source).decode())
        # What a partner sees is made for that partner.
        kept = None if refresh or target.partner_rules is not None else self._kept.get(key)
        if kept is not None and self._clock() < kept[0]:
            return kept[1]
        spec = spec_for(
            page.services,
            principal,
            page.request,
            target=target.confined(),
            operation=Operation.TREE,
            params={"refresh": True} if refresh else {},
        )
        items, _ = await run_tree(page.services, spec, target.partner_rules)
        tree = tree_of(items, read_at=page.now)
        if target.partner_rules is None:
            self._keep(key, tree)
        return tree

    def _keep(self, key: tuple[str, str, str], tree: Tree) -> None:
        self._kept[key] = (self._clock() + _KEPT_SECONDS, tree)
        self._kept.move_to_end(key)
        while len(self._kept) > _MAX_KEPT:
            self._kept.popitem(last=False)


def shelf(request: Request) -> TreeShelf:
    """Return the shelf of this console."""
    state = request.app.state
    found = getattr(state, "trees", None)
    if not isinstance(found, TreeShelf):
        found = state.trees = TreeShelf()
    return found


def _table(node: Mapping[str, Any], group: str) -> Table:
    fields: dict[str, Field] = {}
    for told in _members(node, "fields"):
        name = _text(told, "name")
        known = fields.get(name)
        goes_in = told.get("inout") == "IMPORT"
        fields[name] = Field(
            name=name,
            text=_text(told, "text") or name,
            type=_text(told, "type") or "string",
            desc=_text(told, "desc") or (known.desc if known else ""),
            goes_in=goes_in or (known is not None and known.goes_in),
            comes_out=not goes_in or (known is not None and known.comes_out),
            required=told.get("required") is True or (known is not None and known.required),
        )
    return Table(
        name=_text(node, "name"),
        text=_text(node, "text"),
        desc=_text(node, "desc"),
        group=group,
        fields=tuple(fields.values()),
    )


def _members(node: Mapping[str, Any], name: str) -> Sequence[Mapping[str, Any]]:
    told = node.get(name)
    return [one for one in told if isinstance(one, dict)] if isinstance(told, list) else []


def _text(node: Mapping[str, Any], name: str) -> str:
    value = node.get(name)
    return value if isinstance(value, str) else ""
