"""What a table of the catalogue says about one resource, per operation."""

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, model_validator

from cloud_connect.calls import Operation
from cloud_connect_agent.procore.rows import CUSTOM_FIELD
from cloud_connect_agent.procore.values import FieldType

__all__ = [
    "Direction",
    "Endpoint",
    "FieldSpec",
    "FilterKind",
    "Level",
    "Pager",
    "Resource",
    "ServerFilter",
]

_PLACEHOLDER: Final = re.compile(r"\{([a-z_]+)\}")
_WORDS: Final = {"id": "ID", "ids": "IDs", "url": "URL", "rfi": "RFI", "uuid": "UUID", "pdf": "PDF"}
_METHODS: Final = {
    Operation.LIST: "GET",
    Operation.GET: "GET",
    Operation.CREATE: "POST",
    Operation.UPDATE: "PATCH",
    Operation.DELETE: "DELETE",
}


class Level(StrEnum):
    """Where a resource lives."""

    COMPANY = "company"
    PROJECT = "project"


class Direction(StrEnum):
    """Whether a field is sent, received, or both."""

    IN = "in"
    OUT = "out"
    BOTH = "both"

    @property
    def goes_in(self) -> bool:
        """Whether it can be sent."""
        return self is not Direction.OUT

    @property
    def comes_out(self) -> bool:
        """Whether it can be received."""
        return self is not Direction.IN


class Pager(StrEnum):
    """How a list goes on after its first answer.

    ``link``: ``page`` and ``per_page``, with ``Link``, ``Total`` and ``Per-Page`` in the answer.
    ``none``: one answer holds everything.
    """

    LINK = "link"
    NONE = "none"


class FilterKind(StrEnum):
    """How a filter of Procore's takes its values.

    ``one``: one value. ``many``: the parameter once per value. ``range``: ``from...until``,
    points in time. ``days``: two parameters, first and last day, always sent.
    """

    ONE = "one"
    MANY = "many"
    RANGE = "range"
    DAYS = "days"


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class FieldSpec(_Table):
    """A field of a resource's records."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*(\.[a-z0-9_]+)*$")
    type: FieldType
    direction: Direction
    label: str


def _expand(value: object) -> object:
    """Read ``name = "TYPE DIRECTION [LABEL]"``; a reference is an id and a name."""
    if not isinstance(value, Mapping):
        return value
    specs: list[FieldSpec] = []
    for name, text in value.items():
        kind, direction, *label = str(text).split(maxsplit=2)
        shown = label[0] if label else _label(name)
        if kind == "reference":
            specs.append(_spec(f"{name}.id", FieldType.INTEGER, direction, f"{shown} ID"))
            specs.append(_spec(f"{name}.name", FieldType.STRING, direction, shown))
        else:
            specs.append(_spec(name, FieldType(kind), direction, shown))
    return tuple(specs)


def _spec(name: str, kind: FieldType, direction: str, label: str) -> FieldSpec:
    return FieldSpec(name=name, type=kind, direction=Direction(direction), label=label)


def _label(name: str) -> str:
    words = [_WORDS.get(word, word) for word in name.replace(".", "_").split("_")]
    first = words[0]
    return " ".join([first[:1].upper() + first[1:], *words[1:]])


class ServerFilter(_Table):
    """A filter that Procore documents for a list.

    Attributes:
        parameters: The query parameter, of ``days`` both.
        values: The only values it takes, where it takes only some.
        map: What it calls the field's values, where it calls them differently.
        default: What to send when no condition decides.
    """

    field: str
    kind: FilterKind
    parameters: tuple[str, ...] = Field(min_length=1, max_length=2)
    values: tuple[str, ...] = ()
    map: Mapping[str, str] = Field(default_factory=dict)
    default: str | None = None

    @model_validator(mode="after")
    def _days_take_two_parameters(self) -> "ServerFilter":
        if (len(self.parameters) == 2) != (self.kind is FilterKind.DAYS):
            raise ValueError(f"filter on {self.field}: days take two parameters, others one")
        return self


class Endpoint(_Table):
    """One operation of one resource, as Procore documents it.

    Attributes:
        path: Below ``/rest/VERSION``; names in braces are scope ids, ``id`` the record's own.
        query: Scope ids sent as query parameters.
        body: Scope ids sent as keys of the body, beside the envelope.
        envelope: The key that the record is sent under; ``""`` sends it bare.
        top_level: Fields of the record that stand beside the envelope instead.
        query_fields: Fields of the record that are sent as query parameters instead.
        fixed: Query parameters that are always sent.
        unwrap: Where the records are in the answer, see :func:`..rows.unwrap`.
        success: What Procore documents; any 2xx is taken.
        required: Fields that Procore asks for. It judges, not we.
    """

    method: Literal["", "GET", "POST", "PATCH", "PUT", "DELETE"] = ""
    version: str = Field(pattern=r"^v[1-9]\.\d$")
    path: str = Field(pattern=r"^(/([a-z_]+|\{[a-z_]+\}))+$")
    query: tuple[str, ...] = ()
    body: tuple[str, ...] = ()
    envelope: str = Field(default="", pattern=r"^[a-z_]*$")
    top_level: tuple[str, ...] = ()
    query_fields: tuple[str, ...] = ()
    fixed: tuple[tuple[str, str], ...] = ()
    pager: Pager = Pager.NONE
    per_page: int = Field(default=100, ge=1, le=2000)
    unwrap: str = Field(default="", pattern=r"^((tree|groups):)?[A-Za-z]*$")
    success: tuple[int, ...] = ()
    required: tuple[str, ...] = ()
    filters: tuple[ServerFilter, ...] = ()

    @property
    def template(self) -> str:
        """The whole path, with its names in braces."""
        return f"/rest/{self.version}{self.path}"

    @property
    def path_names(self) -> tuple[str, ...]:
        """The names in the path's braces."""
        return tuple(_PLACEHOLDER.findall(self.path))

    def filled(self, ids: Mapping[str, str]) -> str:
        """The path with its names replaced."""
        return _PLACEHOLDER.sub(lambda match: ids[match[1]], self.template)


class Resource(_Table):
    """One table of the catalogue.

    Attributes:
        scope: Ids that say where a record lives, outermost first.
        project_field: The field that *is* a project's id, where the records are projects.
        missing: Why an operation does not exist at Procore, as a sentence.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")
    text: str
    desc: str
    icon: str = Field(pattern=r"^fa fa-[a-z-]+$")
    level: Level
    scope: tuple[Literal["company_id", "project_id", "rfi_id"], ...]
    project_field: str | None = None
    list_: Endpoint = Field(alias="list")
    get: Endpoint | None = None
    create: Endpoint | None = None
    update: Endpoint | None = None
    delete: Endpoint | None = None
    missing: Mapping[Literal["create", "update", "delete"], str] = Field(default_factory=dict)
    fields: Annotated[tuple[FieldSpec, ...], BeforeValidator(_expand)]
    _types: dict[str, FieldType] = PrivateAttr(default_factory=dict)

    def model_post_init(self, context: object, /) -> None:
        """Index the fields: they are looked up for every name that a call uses."""
        super().model_post_init(context)
        for spec in self.fields:
            outer = spec.name.split(".")[:-1]
            for length in range(1, len(outer) + 1):
                self._types.setdefault(".".join(outer[:length]), FieldType.OBJECT)
        self._types.update((spec.name, spec.type) for spec in self.fields)
        self._types.update((name, FieldType.INTEGER) for name in self.scope_fields)

    @property
    def scope_fields(self) -> tuple[str, ...]:
        """The scope ids that are ordinary fields of every record; the company is not."""
        return tuple(name for name in self.scope if name != "company_id")

    def endpoint(self, operation: Operation) -> Endpoint | None:
        """How an operation is done; ``None`` if Procore has none."""
        found: Mapping[Operation, Endpoint | None] = {
            Operation.LIST: self.list_,
            Operation.GET: self.get,
            Operation.CREATE: self.create,
            Operation.UPDATE: self.update,
            Operation.DELETE: self.delete,
        }
        return found[operation]

    def method(self, operation: Operation) -> str:
        """The HTTP method of an operation that exists."""
        endpoint = self.endpoint(operation)
        return (endpoint.method if endpoint else "") or _METHODS[operation]

    def type_of(self, name: str) -> FieldType | None:
        """The type of a field; ``None`` if the catalogue does not tell."""
        return self._types.get(name)

    def knows(self, name: str, directions: Iterable[Direction]) -> bool:
        """Whether a name can be a field: one of the catalogue's, or below one that nests."""
        if name in self.scope_fields or CUSTOM_FIELD.fullmatch(name):
            return True
        allowed = frozenset(directions)
        for spec in self.fields:
            if spec.direction not in allowed:
                continue
            nests = spec.type in {FieldType.OBJECT, FieldType.LIST}
            if (
                spec.name == name
                or spec.name.startswith(f"{name}.")
                or (nests and name.startswith(f"{spec.name}."))
            ):
                return True
        return False
