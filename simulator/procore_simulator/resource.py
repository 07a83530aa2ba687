"""What a resource is made of: its answer's keys, its inputs, its list's features."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, TypeAlias

from procore_simulator.messages import Json
from procore_simulator.records import Record

if TYPE_CHECKING:
    from procore_simulator.calls import Call
    from procore_simulator.seeding.seeder import Seeder

__all__ = ["UNPAGED", "Filter", "Input", "Paging", "Refusal", "Resource"]

Input: TypeAlias = "Callable[[Json, Call], Mapping[str, Json]]"
"""Reads one key of a request body into changes of the row; raises ``ApiError``."""

Filter: TypeAlias = Callable[[Record, tuple[str, ...]], bool]
"""Tells whether a row passes a filter with the values given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Paging:
    """A list's default and greatest page size."""

    default: int = 100
    maximum: int = 10_000


UNPAGED = Paging(default=0, maximum=0)
"""A list that returns everything in one body."""


class Refusal(Enum):
    """How a missing required field is refused, which differs between tools."""

    FIELDS = "422 with errors for each field"
    MESSAGE = "400 with a message"


def _no_rows(_seeder: "Seeder") -> Iterator[Record]:
    return iter(())


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """The facts that the generic operations work from.

    Args:
        template: Every key of an answer with the value it has when a row lacks it.
        list_omits: Keys that a show has and a list has not.
        normalize: Completes a row after a write (derived fields, rules); may refuse.
        present: Changes the answer's object just before it goes out.
        count: How many rows a project (or company) starts with.
        date_field: Set on lists that show only today's rows unless told dates.
    """

    name: str
    tool: str
    template: Mapping[str, Json]
    envelope: str | None = None
    inputs: Mapping[str, Input] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    refusal: Refusal = Refusal.FIELDS
    paging: Paging = field(default_factory=Paging)
    filters: Mapping[str, Filter] = field(default_factory=dict)
    sorts: frozenset[str] = frozenset({"id", "created_at", "updated_at"})
    list_omits: frozenset[str] = frozenset()
    custom_fields: bool = False
    company_wide: bool = False
    count: int = 12
    date_field: str | None = None
    seed: "Callable[[Seeder], Iterator[Record]]" = _no_rows
    normalize: "Callable[[Call, Record, Record | None], None] | None" = None
    present: "Callable[[Call, Record, bool], Record] | None" = None
