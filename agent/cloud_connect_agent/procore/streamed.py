"""An answer in the order in which Procore lists: rows, limit, total and cursor."""

from collections.abc import Sequence
from typing import Any, Final

from cloud_connect.calls import Source
from cloud_connect_agent.procore.cursor import Position, write_cursor
from cloud_connect_agent.procore.reading import Batch, Reading
from cloud_connect_agent.procore.rows import Path, Row, project

__all__ = ["StreamedRows"]


class StreamedRows:
    """Rows as they arrive. Whoever gets one closes it; the reading ends with it."""

    def __init__(
        self, reading: Reading, position: Position | None, source: Source, *, lists: int
    ) -> None:
        selection = reading.plan.selection
        self.total_items: int | None = None
        self.paging: str | None = None
        self._reading: Final = reading
        self._position: Final = position
        self._source: Final = source
        self._single: Final = lists <= 1
        self._fields: Final = [Path(name) for name in selection.fields]
        self._left = selection.limit
        self._first: Batch | None = None
        self._counted = 0
        self._over = False

    async def begin(self) -> None:
        """Read the first page and tell from it, if possible, how many rows there are."""
        batch = await self._reading.read()
        if batch is None:
            self.total_items = 0
            await self._finish()
            return
        more = self._reading.list_has_more or self._reading.next_target is not None
        if not more and self._position is None:
            self.total_items = len(batch.hits)
        elif self._single and not self._reading.plan.filtered:
            self.total_items = batch.page.total
        self._first = batch

    async def next_batch(self) -> list[Row] | None:
        """Deliver the matching rows of the next page."""
        if self._over:
            return None
        batch, self._first = self._first, None
        if batch is None:
            batch = await self._reading.read()
        if batch is None:
            if self._position is None:
                self.total_items = self._counted
            await self._finish()
            return None
        self._counted += len(batch.hits)
        hits = batch.hits
        if self._left is not None and len(hits) >= self._left:
            hits = hits[: self._left]
            self._point_behind(batch, hits)
            await self._finish()
        elif self._left is not None:
            self._left -= len(hits)
        rows = [batch.rows[place] for place in hits]
        return [project(row, self._fields) for row in rows] if self._fields else rows

    async def aclose(self) -> None:
        """Stop reading."""
        self._over = True
        await self._reading.aclose()

    async def _finish(self) -> None:
        self._over = True
        await self._reading.aclose()

    def _ids(self, batch: Batch) -> list[int | str | None]:
        identity = self._reading.plan.selection.resource.identity
        found = (row.get(identity) for row in batch.rows)
        return [one if isinstance(one, (int, str)) else None for one in found]

    def _point_behind(self, batch: Batch, hits: Sequence[int]) -> None:
        """Set the cursor behind the last row that is delivered, if more may follow."""
        where = dict(batch.target)
        after = self._reading.next_target
        per_page = self._reading.plan.per_page
        page, ids = batch.page, self._ids(batch)
        known: dict[str, Any] = {"t": where, "s": per_page, "c": page.total}
        if page.unit and page.unit != per_page:
            known["u"] = page.unit
        if len(hits) < len(batch.hits):
            taken = page.place_of(hits[-1]) + 1 if hits else page.place_of(batch.hits[0])
            last = ids[hits[-1]] if hits else None
            position = Position(p=page.number, n=taken, i=last, **known)
        elif self._reading.list_has_more:
            position = Position(p=page.number + 1, i=ids[-1] if ids else None, **known)
        elif after is not None:
            position = Position(t=dict(after), s=per_page)
        else:
            if self._position is None:
                self.total_items = self._counted
            return
        self.paging = write_cursor(position, self._reading.plan.selection, self._source)
