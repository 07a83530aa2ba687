"""Rows of one resource in one company or project, in memory."""

from collections.abc import Callable, Hashable, Iterable
from typing import Any, TypeAlias

__all__ = ["Collection", "Record"]

Record: TypeAlias = dict[str, Any]
"""Only what differs from the resource's template, so that null-heavy rows stay small."""

_MAX_CACHED_RESULTS = 32
"""Filtered and sorted selections kept, so that paging through one costs one filtering."""


class Collection:
    """Rows by id, in the order they came to be."""

    __slots__ = ("_results", "_rows", "_snapshot", "version")

    def __init__(self, rows: Iterable[Record] = ()) -> None:
        self._rows: dict[int, Record] = {row["id"]: row for row in rows}
        self._snapshot: list[Record] | None = None
        self._results: dict[Hashable, list[Record]] = {}
        self.version = 0

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, record_id: int) -> Record | None:
        """Return the row, or ``None``."""
        return self._rows.get(record_id)

    def rows(self) -> list[Record]:
        """Return all rows; the list is shared and must not be changed."""
        if self._snapshot is None:
            self._snapshot = list(self._rows.values())
        return self._snapshot

    def find(self, predicate: Callable[[Record], bool]) -> Record | None:
        """Return the first row the predicate accepts."""
        return next((row for row in self.rows() if predicate(row)), None)

    def put(self, row: Record) -> None:
        """Add a row, or replace the one with its id."""
        self._rows[row["id"]] = row
        self._changed()

    def remove(self, record_id: int) -> Record | None:
        """Take a row out and return it."""
        row = self._rows.pop(record_id, None)
        if row is not None:
            self._changed()
        return row

    def selection(self, key: Hashable, make: Callable[[], list[Record]]) -> list[Record]:
        """Return a derived list, made once for each version of the rows."""
        found = self._results.get(key)
        if found is None:
            if len(self._results) >= _MAX_CACHED_RESULTS:
                self._results.clear()
            found = self._results[key] = make()
        return found

    def _changed(self) -> None:
        self.version += 1
        self._snapshot = None
        self._results.clear()
