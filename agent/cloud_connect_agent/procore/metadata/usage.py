"""Which fields calls name: their names only, never a value."""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from cloud_connect.calls import RecordParams
from cloud_connect.query import Query
from cloud_connect_agent.procore.filters import fields_of

__all__ = ["Usage", "Use", "names_of_params", "names_of_query"]

_MAX_NAMES: Final = 2_000  # of one company; who has not been used for longest makes room
_MAX_NAME: Final = 200  # characters of a field's name
_MAX_PARTS: Final = 8  # of a name; nothing of Procore's nests so deep

_Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Use:
    """How often calls named a field, and when the last one did."""

    count: int
    last: float


class Usage:
    """How often which fields of one company were named, by table and field."""

    def __init__(self, known: Mapping[_Key, Use] | None = None) -> None:
        self._uses: Final[OrderedDict[_Key, Use]] = OrderedDict(known or {})

    def note(self, table: str, names: Iterable[str], *, at: float) -> None:
        """Note one call that names fields of a table: each once, and what each lies in."""
        for name in dict.fromkeys(meant for named in names for meant in _meant(named)):
            if not name or len(name) > _MAX_NAME or not name.isprintable():
                continue
            key = (table, name)
            before = self._uses.get(key)
            self._uses[key] = Use(1 if before is None else before.count + 1, at)
            self._uses.move_to_end(key)
        self._trim()

    def add(self, other: "Usage") -> None:
        """Add what *other* noted."""
        for key, use in other.items():
            before = self._uses.get(key, Use(0, use.last))
            self._uses[key] = Use(before.count + use.count, max(before.last, use.last))
            self._uses.move_to_end(key)
        self._trim()

    def copy(self) -> "Usage":
        """The same as it is at the moment."""
        return Usage(self._uses)

    def items(self) -> Iterator[tuple[_Key, Use]]:
        """Every field named, the one that was named last at the end."""
        yield from self._uses.items()

    def _trim(self) -> None:
        while len(self._uses) > _MAX_NAMES:
            self._uses.popitem(last=False)


def _meant(name: str) -> Iterator[str]:
    """The fields that a name means: ``question.body`` is one, and so is ``question``."""
    parts = name.split(".")[:_MAX_PARTS]
    if parts[0] == "custom_fields" and len(parts) > 1:
        yield parts[1]
        return
    for length in range(len(parts), 0, -1):
        yield ".".join(parts[:length])


def names_of_query(query: Query) -> Iterator[str]:
    """The fields that a query names."""
    yield from query.fields
    yield from fields_of(query.condition)
    if query.filter:
        yield query.filter_by
    yield query.order_by
    yield from query.mappings
    for record in query.records or ():
        yield from record


def names_of_params(
    params: RecordParams, records: Iterable[Mapping[str, object]] = ()
) -> Iterator[str]:
    """The fields that a call for records names."""
    yield from params.fields or ()
    yield from (condition.field for condition in params.filters)
    yield from (name.removeprefix("-") for name in params.sort)
    for record in records:
        yield from record
