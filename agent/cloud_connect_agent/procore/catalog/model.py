"""What a table of the catalogue says about one resource."""

import difflib
import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field, PrivateAttr, StringConstraints, model_validator

from cloud_connect.calls import MAX_ID, Operation
from cloud_connect.errors import UnsupportedOperationError
from cloud_connect_agent.procore.catalog.endpoint import Endpoint, FilterKind, Pager, Sync
from cloud_connect_agent.procore.catalog.fields import (
    Direction,
    FieldSpec,
    Table,
    expand_fields,
    label_of,
    lowered,
    singular_of,
)
from cloud_connect_agent.procore.rows import CUSTOM_FIELD
from cloud_connect_agent.procore.values import FieldType

__all__ = ["PARTICIPLES", "IdType", "Level", "Resource", "ScopeId"]

ScopeId = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*_id$")]

_METHODS: Final = {
    Operation.LIST: "GET",
    Operation.GET: "GET",
    Operation.CREATE: "POST",
    Operation.UPDATE: "PATCH",
    Operation.DELETE: "DELETE",
}
PARTICIPLES: Final = {
    Operation.LIST: "listed",
    Operation.GET: "read one by one",
    Operation.CREATE: "created",
    Operation.UPDATE: "changed",
    Operation.DELETE: "deleted",
}
"""What operations have done, in a sentence."""

_NUMBER_ID: Final = re.compile(r"\d{1,19}", re.ASCII)
_TEXT_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)


class Level(StrEnum):
    """Where a resource lives."""

    COMPANY = "company"
    PROJECT = "project"


class IdType(StrEnum):
    """How Procore writes an id: a 64-bit integer, or text (digits, a ULID, a UUID)."""

    INTEGER = "integer"
    STRING = "string"

    def accepts(self, text: str) -> bool:
        """Whether *text* can be such an id."""
        if self is IdType.STRING:
            return _TEXT_ID.fullmatch(text) is not None
        return _NUMBER_ID.fullmatch(text) is not None and 0 < int(text) <= MAX_ID

    def typed(self, text: str) -> int | str:
        """An id as Procore's records carry it."""
        return int(text) if self is IdType.INTEGER else text


_IDS: Final = frozenset({FieldType.INTEGER, FieldType.KEY, FieldType.LIST})
_SORTED_ALIKE: Final = frozenset({FieldType.INTEGER, FieldType.DATE, FieldType.DATETIME})
_FIELD_TYPES: Final = {IdType.INTEGER: FieldType.INTEGER, IdType.STRING: FieldType.KEY}


class Resource(Table):
    """One table of the catalogue.

    Attributes:
        area: The file that it stands in: what it belongs to.
        singular: One of its records, as in “the new RFI”; made of *text* where nothing is said.
        scope: Ids that say where a record lives, outermost first.
        text_scope: Those of them that are text, as the ids of the second generation are.
        project_field: The field that *is* a project's id, where the records are projects.
        identity: The field that holds a record's id, where Procore does not call it ``id``;
            it is given under both names.
        single: There is one record in each place and no id in its paths, as a project's
            schedule.
        dynamic: Records have fields that nobody can list here, such as a budget's columns.
        sends: Fields that are sent under another name than they are received under.
        missing: Why an operation does not exist at Procore, as a sentence.
        sync: How many records are created or changed in one request.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")
    area: str = Field(default="", pattern=r"^[a-z_]*$")
    text: str
    singular: str = ""
    desc: str
    icon: str = Field(pattern=r"^fa fa-[a-z0-9-]+$")
    level: Level
    scope: tuple[ScopeId, ...]
    text_scope: tuple[ScopeId, ...] = ()
    project_field: str | None = None
    identity: str = "id"
    single: bool = False
    dynamic: bool = False
    list_: Endpoint | None = Field(default=None, alias="list")
    get: Endpoint | None = None
    create: Endpoint | None = None
    update: Endpoint | None = None
    delete: Endpoint | None = None
    sync: Sync | None = None
    sends: Mapping[str, str] = Field(default_factory=dict)
    missing: Mapping[Literal["list", "get", "create", "update", "delete"], str] = Field(
        default_factory=dict
    )
    fields: Annotated[tuple[FieldSpec, ...], BeforeValidator(expand_fields)]
    _types: dict[str, FieldType] = PrivateAttr(default_factory=dict)
    _sent: dict[str, FieldType] = PrivateAttr(default_factory=dict)

    @model_validator(mode="after")
    def _scope_is_placed(self) -> "Resource":
        known = {*self.scope, "company_id"}
        if not set(self.text_scope) <= known:
            raise ValueError(f"{self.name}: text_scope names ids that are not in scope")
        for call in (self.list_, self.get, self.create, self.update, self.delete, self.sync):
            if call is not None:
                placed = {*call.path_names, *call.query, *call.body} - {"id"}
                if not placed <= known:
                    raise ValueError(f"{self.name}: {sorted(placed - known)} are not in its scope")
        return self

    @model_validator(mode="after")
    def _filters_take_what_is_sent(self) -> "Resource":
        for spec in self.list_.filters if self.list_ else ():
            if spec.kind not in {FilterKind.ONE, FilterKind.MANY} or spec.values or spec.map:
                continue
            # Other text Procore may compare more strictly than we do, and 7 is not 007.
            known = self.type_of(spec.field)
            if known not in _IDS and not (known is None and spec.field.endswith("id")):
                raise ValueError(f"{self.name}: the filter on {spec.field} needs values or a map")
        return self

    def model_post_init(self, context: object, /) -> None:
        """Index the fields: they are looked up for every name that a call uses."""
        super().model_post_init(context)
        for spec in self.fields:
            outer = spec.name.split(".")[:-1]
            for length in range(1, len(outer) + 1):
                self._types.setdefault(".".join(outer[:length]), FieldType.OBJECT)
        self._types.update((spec.name, spec.type) for spec in self.fields)
        self._types.update((name, _FIELD_TYPES[self.scope_type(name)]) for name in self.scope)
        self._sent.update((spec.name, spec.sent) for spec in self.fields if spec.sent is not None)

    @model_validator(mode="after")
    def _uploads_are_referred_to(self) -> "Resource":
        name = self.update.upload_field.partition(".")[0] if self.update is not None else ""
        if name and not self.knows(name, (Direction.IN, Direction.BOTH)):
            raise ValueError(f"{self.name}: no field “{name}” could refer to an upload")
        return self

    @property
    def one(self) -> str:
        """One of its records, as it stands within a sentence."""
        return self.singular or singular_of(self.text)

    @property
    def many(self) -> str:
        """Its records, as they stand within a sentence."""
        return lowered(self.text)

    @property
    def scope_fields(self) -> tuple[str, ...]:
        """The scope ids that are ordinary fields of every record; the company is not."""
        return tuple(name for name in self.scope if name != "company_id")

    @property
    def scope_specs(self) -> tuple[FieldSpec, ...]:
        """The scope ids as the fields that they are."""
        writes = self.create is not None or self.update is not None
        return tuple(
            FieldSpec(
                name=name,
                type=self._types[name],
                direction=Direction.BOTH if writes else Direction.OUT,
                label=label_of(name),
            )
            for name in self.scope_fields
        )

    @property
    def needed_fields(self) -> tuple[str, ...]:
        """What Procore asks for in a new record, beside the scope ids."""
        return () if self.create is None else self.create.required

    @property
    def served_sorts(self) -> Mapping[str, str]:
        """The fields that Procore sorts pages by just as we do, and what it calls them.

        Only numbers and days: for text Procore's order is that of its database, not ours.
        """
        if self.list_ is None or self.list_.pager is not Pager.LINK:
            return {}
        sorts = self.list_.sorts.items()
        return {field: name for field, name in sorts if self._types.get(field) in _SORTED_ALIKE}

    @property
    def id_type(self) -> IdType:
        """How Procore writes the ids of the records."""
        return IdType.STRING if self._types.get("id") is FieldType.KEY else IdType.INTEGER

    def scope_type(self, name: str) -> IdType:
        """How Procore writes one of the scope ids."""
        return IdType.STRING if name in self.text_scope else IdType.INTEGER

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

    def needed(self, operation: Operation) -> Endpoint:
        """How an operation is done.

        Raises:
            UnsupportedOperationError: If Procore has none; the message says what it has.
        """
        endpoint = self.endpoint(operation)
        if endpoint is None:
            raise UnsupportedOperationError(self.missing_reason(operation))
        return endpoint

    def missing_reason(self, operation: Operation) -> str:
        """Why Procore has no such operation, and what to do instead."""
        verb = operation.value.rpartition(".")[2]
        told = next((why for name, why in self.missing.items() if name == verb), None)
        return told or f"{self.text} cannot be {PARTICIPLES[operation]} in Procore."

    def method(self, operation: Operation) -> str:
        """The HTTP method of an operation that exists."""
        endpoint = self.endpoint(operation)
        return (endpoint.method if endpoint else "") or _METHODS[operation]

    def type_of(self, name: str) -> FieldType | None:
        """The type of a field; ``None`` if the catalogue does not tell."""
        return self._types.get(name)

    def shows(self, body: Mapping[str, object]) -> bool:
        """Whether an object that Procore answers can be a record, rather than an error."""
        if self.identity in body:
            return True
        if "errors" in body or "error" in body:
            return False
        return self.dynamic or any(name in self._types for name in body)

    def no_field(self, name: str, *, beside: Iterable[str] = ()) -> str:
        """The sentence that *name* is no field, with the one that may be meant.

        Args:
            beside: Names that records have, whether the catalogue knows them or not.
        """
        said = f"{self.text} have no field “{name}”"
        for ours, theirs in self.sends.items():
            if theirs == name:
                return f"{said}; it is called “{ours}” here, in both directions."
        near = difflib.get_close_matches(name, {*self._types, *beside}, n=1)
        return f"{said}. Did you mean “{near[0]}”?" if near else f"{said}."

    def holds_several(self, name: str) -> bool:
        """Whether a field is a list, or lies in the elements of one, not in a certain one."""
        parts = name.split(".")
        return any(
            self._types.get(".".join(parts[:length])) is FieldType.LIST
            and not "".join(parts[length : length + 1]).isdigit()
            for length in range(1, len(parts) + 1)
        )

    def has_parts(self, name: str) -> bool:
        """Whether the catalogue lists fields below one."""
        return any(spec.name.startswith(f"{name}.") for spec in self.fields)

    def sent_type_of(self, name: str) -> FieldType | None:
        """The type that a field is sent as; ``None`` if the catalogue does not tell."""
        return self._sent.get(name) or self._types.get(name)

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
