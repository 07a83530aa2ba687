"""Sorts an answer on the agent: everything is read first, as much as the limit asks is kept.

Where Procore has it in that order already, no more is read than the limit asks. Whether it
has must be proven first: pages may be in order by chance, where an order is ignored.
"""

import functools
from collections.abc import Iterable, Sequence
from typing import Final

from cloud_connect.calls import Source
from cloud_connect.errors import InvalidRequestError
from cloud_connect_agent.procore.catalog import Resource
from cloud_connect_agent.procore.cursor import Position, write_cursor
from cloud_connect_agent.procore.reading import Reading
from cloud_connect_agent.procore.rows import Path, Row, project
from cloud_connect_agent.procore.rowstream import FixedRows
from cloud_connect_agent.procore.selection import Order
from cloud_connect_agent.procore.values import BLANK_RANK, SortKey, sort_key

__all__ = ["Ordering", "Proofs", "sorted_rows"]

_MAX_SORTED: Final = 50_000  # records held in memory to sort them
_MAX_PROOFS: Final = 1_000  # orders of a company's tables that are remembered
_SLACK: Final = 1_000  # records collected before those beyond the limit are let go


@functools.total_ordering
class _Reversed:
    """A sort key the other way round."""

    __slots__ = ("_key",)

    def __init__(self, key: SortKey) -> None:
        self._key: Final = key

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Reversed) and self._key == other._key

    def __lt__(self, other: "_Reversed") -> bool:
        return other._key < self._key

    def __hash__(self) -> int:
        return hash(self._key)


_Place = tuple[tuple[bool, SortKey | _Reversed], ...]
_Entry = tuple[_Place, tuple[SortKey, ...], Row]


class Ordering:
    """The order of an answer: the fields asked for, then the id, so that no two are equal.

    Blank values come last, whichever way it goes.
    """

    def __init__(self, resource: Resource, orders: Sequence[Order]) -> None:
        ties = (Order(field="id"), *(Order(field=name) for name in resource.scope_fields))
        self._orders: Final = [
            (Path(order.field), resource.type_of(order.field), order.descending)
            for order in (*orders, *ties)
        ]

    @property
    def length(self) -> int:
        """How many keys a record has."""
        return len(self._orders)

    def keys(self, row: Row) -> tuple[SortKey, ...]:
        """A record's sort keys, as cursors hold them."""
        return tuple(sort_key(path.of(row), kind) for path, kind, _ in self._orders)

    def lead(self, row: Row) -> "_Place":
        """What to compare by the first field alone."""
        path, kind, _ = self._orders[0]
        return self.place([sort_key(path.of(row), kind)])

    def place(self, keys: Sequence[SortKey]) -> _Place:
        """What to compare to put records in order."""
        return tuple(
            (key[0] == BLANK_RANK, _Reversed(key) if descending else key)
            for key, (_, _, descending) in zip(keys, self._orders, strict=False)
        )


class Proofs:
    """Which orders Procore was seen to keep, per company and table."""

    def __init__(self) -> None:
        self._proven: Final[set[tuple[str, int, str, str]]] = set()

    async def hold(self, reading: Reading, source: Source, begin: "_Place | None") -> bool:
        """Whether Procore keeps the order that a reading asks for.

        Where it is ignored, it is so in both directions: the list begins alike.

        Args:
            begin: The first place of the list as it came.

        Raises:
            CloudConnectError: What reading the other end failed with.
        """
        selection = reading.plan.selection
        (order,) = selection.order
        company = source.environment.value, source.company_id
        key = (*company, selection.resource.name, order.field)
        if key not in self._proven:
            ordering = Ordering(selection.resource, selection.order)
            ends = (ordering.lead(row) for row in await reading.other_end())
            end = next((place for place in ends if not place[0][0]), None)
            if begin is None or end is None or not begin < end:
                return False
            if len(self._proven) < _MAX_PROOFS:
                self._proven.add(key)
        return True


class _Sorter:
    """Collects the first records of an order, from wherever an earlier answer stopped."""

    def __init__(self, reading: Reading, position: Position | None) -> None:
        self._selection: Final = reading.plan.selection
        self._ordering: Final = Ordering(self._selection.resource, self._selection.order)
        self._fields: Final = [Path(name) for name in self._selection.fields]
        self._behind: Final = None if position is None else _behind(self._ordering, position)
        # Records without ids can be equal in every key; then so many of them were delivered.
        self._delivered: Final = 0 if position is None else max(1, position.taken)
        self._passed = 0
        limit = self._selection.limit
        self._keep: Final = None if limit is None else limit + 1
        self._kept: list[_Entry] = []
        self._newest: _Place | None = None
        self.begin: _Place | None = None
        self.in_order = bool(reading.plan.sort)

    def watch(self, rows: Iterable[Row]) -> bool:
        """Note how far Procore's own order has come; tell whether it is the one asked for."""
        for row in rows:
            place = self._ordering.lead(row)
            blank = place[0][0]
            if blank:
                continue  # Procore may have those first
            self.in_order = self.in_order and (self._newest is None or self._newest <= place)
            self._newest = place
            self.begin = self.begin or place
        return self.in_order

    def take(self, row: Row) -> None:
        """Keep a record, if it belongs to the answer."""
        keys = self._ordering.keys(row)
        place = self._ordering.place(keys)
        if self._behind is not None and place <= self._behind:
            self._passed += place == self._behind
            if place < self._behind or self._passed <= self._delivered:
                return
        self._kept.append((place, keys, project(row, self._fields) if self._fields else row))

    def cut(self) -> None:
        """Let go of what is beyond the limit.

        Raises:
            InvalidRequestError: If it is too much to sort.
        """
        if self._keep is not None and len(self._kept) > self._keep + _SLACK:
            self._kept.sort(key=_first)
            del self._kept[self._keep :]
        if len(self._kept) > _MAX_SORTED:
            raise InvalidRequestError(
                f"More than {_MAX_SORTED} records are too many to sort; narrow the conditions "
                "or set a limit."
            )

    @property
    def complete(self) -> bool:
        """Whether nothing that is still to come can stand before what the limit asks for."""
        if not self.in_order or self._keep is None or self._newest is None:
            return False
        newest = self._newest
        return sum(place[:1] < newest for place, _, _ in self._kept) >= self._keep

    def rows(self, source: Source) -> tuple[list[Row], str | None]:
        """The records in order, and the cursor of those behind the limit."""
        kept, limit = self._kept, self._selection.limit
        kept.sort(key=_first)
        paging = None
        if limit is not None and len(kept) > limit:
            del kept[limit:]
            if kept:
                place, keys, _ = kept[-1]
                taken = sum(one == place for one, _, _ in kept)
                taken += self._delivered if place == self._behind else 0
                paging = write_cursor(Position.in_order(keys, taken), self._selection, source)
        return [row for _, _, row in kept], paging


async def sorted_rows(
    reading: Reading, position: Position | None, source: Source, proofs: Proofs
) -> FixedRows:
    """Sort what a reading delivers; to the end, unless Procore has it in that order.

    Raises:
        InvalidRequestError: If it is too much to sort.
    """
    plan, resource = reading.plan, reading.plan.selection.resource
    sorter = _Sorter(reading, position)
    total: int | None = 0
    doubted = False
    while (batch := await reading.read()) is not None:
        total = (total or 0) + len(batch.hits)
        if sorter.in_order and not sorter.watch(batch.rows):
            reading.sightings.note("procore_sort_ignored", resource=resource.name)
        for hit in batch.hits:
            sorter.take(batch.rows[hit])
        sorter.cut()
        if sorter.complete and reading.list_has_more and not doubted:
            if await proofs.hold(reading, source, sorter.begin):
                total = None if plan.filtered else batch.page.total
                break
            doubted = True
    rows, paging = sorter.rows(source)
    answer = FixedRows(rows, paging=paging)
    answer.total_items = total
    return answer


def _behind(ordering: Ordering, position: Position) -> _Place:
    keys = position.sort_keys
    if len(keys) != ordering.length:
        raise InvalidRequestError("“paging” does not belong to this query.")
    return ordering.place(keys)


def _first(entry: _Entry) -> _Place:
    return entry[0]
