"""What the catalogue says about one operation: where it goes and what Procore takes and gives."""

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field, model_validator

from cloud_connect_agent.procore.catalog.fields import Table

__all__ = [
    "Content",
    "Endpoint",
    "FilterKind",
    "Pager",
    "ServerFilter",
    "SortStyle",
    "Sync",
    "SyncAnswer",
]

_PLACEHOLDER: Final = re.compile(r"\{([a-z0-9_]+)\}")
_MAX_V2_PAGE: Final = 100  # records of a page of the second generation


class Pager(StrEnum):
    """How a list goes on after its first answer.

    ``link``: ``page`` and ``per_page``, with ``Link``, ``Total`` and ``Per-Page`` in the answer.
    ``offset``: ``page_start`` and ``page_size``, with nothing in the answer.
    ``none``: one answer holds everything.
    """

    LINK = "link"
    OFFSET = "offset"
    NONE = "none"


class FilterKind(StrEnum):
    """How a filter of Procore's takes its values.

    ``one``: one value. ``many``: the parameter once per value. ``range``: ``from...until``,
    points in time. ``dates``: the same of days. ``since``: the earliest point in time.
    ``days``: two parameters, first and last day, always sent. ``day``: one day, always needed.
    """

    ONE = "one"
    MANY = "many"
    RANGE = "range"
    DATES = "dates"
    SINCE = "since"
    DAYS = "days"
    DAY = "day"


class ServerFilter(Table):
    """A filter that Procore documents for a list.

    Attributes:
        parameters: The query parameter, of ``days`` both.
        values: The only values it takes, where it takes only some.
        map: What it calls the field's values, where it calls them differently.
        default: What to send when no condition decides.
        echo: Whether records do not carry the value, so that it is added to them.
    """

    field: str
    kind: FilterKind
    parameters: tuple[str, ...] = Field(min_length=1, max_length=2)
    values: tuple[str, ...] = ()
    map: Mapping[str, str] = Field(default_factory=dict)
    default: str | None = None
    echo: bool = False

    @model_validator(mode="after")
    def _days_take_two_parameters(self) -> "ServerFilter":
        if (len(self.parameters) == 2) != (self.kind is FilterKind.DAYS):
            raise ValueError(f"filter on {self.field}: days take two parameters, others one")
        if self.echo and self.kind is not FilterKind.DAY:
            raise ValueError(f"filter on {self.field}: only the one day that is asked for is known")
        return self


class SortStyle(StrEnum):
    """How a list is told its order.

    ``minus``: ``sort=name``, ``sort=-name``. ``attribute``: ``sort[attribute]=name`` and
    ``sort[direction]=asc`` or ``desc``.
    """

    MINUS = "minus"
    ATTRIBUTE = "attribute"


class Content(StrEnum):
    """What the reference lists as a body; JSON is taken everywhere, as long as no file is in it."""

    JSON = "json"
    MULTIPART = "multipart"


class _Call(Table):
    """Where a request goes, and which scope ids stand where in it.

    Attributes:
        path: Below ``/rest/VERSION``; names in braces are scope ids, ``id`` the record's own.
        query: Scope ids sent as query parameters.
        body: Scope ids sent as keys of the body, beside the envelope.
    """

    method: Literal["", "GET", "POST", "PATCH", "PUT", "DELETE"] = ""
    version: str = Field(pattern=r"^v[1-9]\.\d$")
    path: str = Field(pattern=r"^(/([a-z0-9_]+|\{[a-z0-9_]+\}))+$")
    query: tuple[str, ...] = ()
    body: tuple[str, ...] = ()

    @property
    def template(self) -> str:
        """The whole path, with its names in braces."""
        return f"/rest/{self.version}{self.path}"

    @property
    def path_names(self) -> tuple[str, ...]:
        """The names in the path's braces."""
        return tuple(_PLACEHOLDER.findall(self.path))

    def filled(self, ids: Mapping[str, str]) -> tuple[str, list[tuple[str, str]]]:
        """The path with its names replaced, and the ids that stand in the query."""
        path = _PLACEHOLDER.sub(lambda match: ids[match[1]], self.template)
        return path, [(name, ids[name]) for name in self.query]


def _as_mapping(value: object) -> object:
    """Read a list of names as what Procore calls the same."""
    if isinstance(value, Iterable) and not isinstance(value, (str, Mapping)):
        return {name: name for name in value}
    return value


class Endpoint(_Call):
    """One operation of one resource, as Procore documents it.

    Attributes:
        envelope: The key that the record is sent under; ``""`` sends it bare.
        content: What the reference lists as a body.
        attach: The key of files, where an update takes them within a form and not by reference.
        upload_field: The field by which an update refers to an upload; a dot leads into objects.
        top_level: Fields of the record that stand beside the envelope instead.
        query_fields: Fields of the record that are sent as query parameters instead.
        fixed: Query parameters that are always sent.
        views: The values of ``view_parameter`` that Procore documents.
        view: The one that is sent: the fullest that a list can afford.
        per_page: Records asked for at once; no more than Procore's maximum.
        unwrap: Where the records are in the answer, see :func:`..rows.unwrap`; the second
            generation has them under ``data`` where nothing else is said.
        success: What Procore documents; any 2xx is taken.
        idempotent: Whether Procore carries a repeat with the same ``Idempotency-Token`` out
            only once.
        required: Fields that Procore asks for. It judges, not we; an update repeats them from
            the record as it is, if that was read to find it.
        sorts: Fields that Procore can sort by, and what it calls them.
    """

    envelope: str = Field(default="", pattern=r"^[a-z_]*$")
    content: Content = Content.JSON
    attach: str = Field(default="", pattern=r"^([a-z_]+(\[[a-z_]*\])*)?$")
    upload_field: str = Field(default="", pattern=r"^([a-z_]+(\.[a-z_]+)?)?$")
    top_level: tuple[str, ...] = ()
    query_fields: tuple[str, ...] = ()
    fixed: tuple[tuple[str, str], ...] = ()
    views: tuple[str, ...] = ()
    view: str | None = None
    view_parameter: Literal["view", "serializer_view"] = "view"
    pager: Pager = Pager.NONE
    per_page: int = Field(default=100, ge=1, le=2000)
    unwrap: str = Field(default="", pattern=r"^((tree|groups):)?[A-Za-z_]*$")
    success: tuple[int, ...] = ()
    idempotent: bool = False
    required: tuple[str, ...] = ()
    filters: tuple[ServerFilter, ...] = ()
    sorts: Annotated[Mapping[str, str], BeforeValidator(_as_mapping)] = Field(default_factory=dict)
    sort_style: SortStyle = SortStyle.MINUS

    @model_validator(mode="before")
    @classmethod
    def _second_generation_answers_data(cls, table: object) -> object:
        if isinstance(table, Mapping) and str(table.get("version")).startswith("v2"):
            return {"unwrap": "data", **table}
        return table

    @model_validator(mode="after")
    def _fits_together(self) -> "Endpoint":
        if self.attach and self.upload_field:
            raise ValueError(f"{self.path}: files are taken within a form or by reference")
        if self.view is not None and self.view not in self.views:
            raise ValueError(f"{self.path}: the view {self.view} is none of its views")
        paged = self.pager is Pager.LINK
        if paged and self.version.startswith("v2") and self.per_page > _MAX_V2_PAGE:
            raise ValueError(f"{self.path}: {self.version} pages hold at most {_MAX_V2_PAGE}")
        return self

    @property
    def always(self) -> tuple[tuple[str, str], ...]:
        """Query parameters that every request carries."""
        view = () if self.view is None else ((self.view_parameter, self.view),)
        return (*self.fixed, *view)


class SyncAnswer(StrEnum):
    """What a sync answers: ``entities`` beside ``errors``, or a bare list of ``rows``."""

    ENTITIES = "entities"
    ROWS = "rows"


class Sync(_Call):
    """Procore's bulk upsert of a resource: many records in one request.

    Attributes:
        key: What the records stand under in the body.
        each: Scope ids that every record carries, as nothing else says where it belongs.
        query_fields: Fields of the records that are sent as query parameters instead: the
            records of one request agree in them.
        max_items: Records of one request.
        safe_for_create: Whether an ``origin_id`` of ours may be written, so that a repeated
            create finds the record that the first one made.
    """

    method: Literal["", "GET", "POST", "PATCH", "PUT", "DELETE"] = "PATCH"
    key: str = Field(default="updates", pattern=r"^[a-z_]+$")
    each: tuple[str, ...] = ()
    query_fields: tuple[str, ...] = ()
    answer: SyncAnswer = SyncAnswer.ENTITIES
    max_items: int = Field(default=1000, ge=1, le=1000)
    safe_for_create: bool = False
