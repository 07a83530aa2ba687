"""Sorts an answer on the agent: everything is read first, as much as the limit asks is kept."""

import functools
from collections.abc import Sequence
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

__all__ = ["Ordering", "sorted_rows"]

_MAX_SORTED: Final = 50_000  # records held in memory to sort them
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

    def keys(self, row: Row) -> tuple[SortKey, ...]:
        """A record's sort keys, as cursors hold them."""
        return tuple(sort_key(path.of(row), kind) for path, kind, _ in self._orders)

    def place(self, keys: Sequence[SortKey]) -> _Place:
        """What to compare to put records in order."""
        return tuple(
            (key[0] == BLANK_RANK, _Reversed(key) if descending else key)
            for key, (_, _, descending) in zip(keys, self._orders, strict=True)
        )


async def sorted_rows(reading: Reading, position: Position | None, source: Source) -> FixedRows:
    """Read everything and sort it.

    Raises:
        InvalidRequestError: If it is too much to sort.
    """
    selection = reading.plan.selection
    ordering = Ordering(selection.resource, selection.order)
    fields = [Path(name) for name in selection.fields]
    behind = None if position is None else _behind(ordering, position)
    keep = None if selection.limit is None else selection.limit + 1
    kept: list[tuple[_Place, tuple[SortKey, ...], Row]] = []
    total = 0
    while (batch := await reading.read()) is not None:
        total += len(batch.hits)
        for hit in batch.hits:
            row = batch.rows[hit]
            keys = ordering.keys(row)
            place = ordering.place(keys)
            if behind is None or place > behind:
                kept.append((place, keys, project(row, fields) if fields else row))
        if keep is not None and len(kept) > keep + _SLACK:
            kept.sort(key=_first)
            del kept[keep:]
        if len(kept) > _MAX_SORTED:
            raise InvalidRequestError(
                f"More than {_MAX_SORTED} records are too many to sort; narrow the conditions "
                "or set a limit."
            )
    kept.sort(key=_first)
    paging = None
    if selection.limit is not None and len(kept) > selection.limit:
        del kept[selection.limit :]
        if kept:
            paging = write_cursor(Position.in_order(kept[-1][1]), selection, source)
    return FixedRows((row for _, _, row in kept), total_items=total, paging=paging)


def _behind(ordering: Ordering, position: Position) -> _Place:
    try:
        return ordering.place(position.sort_keys)
    except ValueError as exc:
        raise InvalidRequestError("“paging” does not belong to this query.") from exc


def _first(entry: tuple[_Place, tuple[SortKey, ...], Row]) -> _Place:
    return entry[0]
