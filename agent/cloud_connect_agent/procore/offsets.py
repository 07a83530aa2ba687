"""Pages of a list that is told where to start, whatever it counts: ids, records or pages."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from enum import StrEnum
from typing import Final

from cloud_connect_agent.procore.pages import Page

__all__ = ["Counting", "OffsetPages"]


class Counting(StrEnum):
    """What a start of 1 means: behind the record 1, without the first record, page 2, page 1."""

    IDS = "ids"
    RECORDS = "records"
    FROM_ZERO = "pages from 0"
    FROM_ONE = "pages from 1"


class OffsetPages:
    """Finds out from the first answers what Procore counts.

    Its reference says the last id of the page before; other lists of the kind count otherwise.

    Args:
        fetch: Reads what begins at a start.
        counted: Told once what is counted.
        identity: The field that holds a record's id.
    """

    def __init__(
        self,
        fetch: Callable[[int], Awaitable[Page]],
        counted: Callable[[Counting], None],
        *,
        identity: str = "id",
    ) -> None:
        self._fetch: Final = fetch
        self._counted: Final = counted
        self._identity: Final = identity
        self._first: Page | None = None
        self._keys: list[object] = []  # what tells the first page's records from others
        self._counting: Counting | None = None
        self._turn: Final = asyncio.Lock()  # a page says where the next one begins
        self._ends: Final[list[int]] = []  # the last id of each page that was read

    async def page(self, number: int) -> Page:
        """Read a page, counted from 1; one after the other, whoever asks."""
        async with self._turn:
            return await self._page(number)

    async def _page(self, number: int) -> Page:
        first = self._first
        if first is None:
            first = self._first = await self._fetch(0)
            self._keys = self._keys_of(first)
        if number == 1 or not first.rows:
            return replace(first, number=number)
        if self._counting is None:
            found = await self._found_out(first)
            if number == 2 and found is not None:
                return replace(found, number=number)
        return replace(await self._counted_page(first, number), number=number)

    async def _found_out(self, first: Page) -> Page | None:
        """Learn what is counted; return the second page if that told it."""
        end = self._end_of(first)
        if end is not None:
            behind = await self._fetch(end)
            if behind.rows and not any(key in self._keys for key in self._keys_of(behind)):
                self._settle(Counting.IDS)
                self._ends.append(end)
                self._note_end(2, behind)
                return behind
        second = await self._fetch(1)
        self._settle(_counting(self._keys, self._keys_of(second)))
        return second if self._counting is Counting.FROM_ZERO else None

    def _settle(self, counting: Counting) -> None:
        self._counting = counting
        self._counted(counting)

    async def _counted_page(self, first: Page, number: int) -> Page:
        if self._counting is Counting.IDS:
            return await self._behind(number)
        starts = {
            Counting.RECORDS: (number - 1) * len(first.rows),
            Counting.FROM_ZERO: number - 1,
        }
        page = await self._fetch(starts.get(self._counting or Counting.FROM_ONE, number))
        # The same once more: nothing is counted, as there is nothing behind the first page.
        return replace(page, rows=[]) if self._keys_of(page) == self._keys else page

    async def _behind(self, number: int) -> Page:
        """The page behind those before it, which are read if that has not been done."""
        while True:
            known = min(number - 1, len(self._ends))
            page = await self._fetch(self._ends[known - 1])
            self._note_end(known + 1, page)
            if known == number - 1 or not page.rows:
                return page

    def _note_end(self, number: int, page: Page) -> None:
        end = self._end_of(page)
        if end is not None and len(self._ends) == number - 1:
            self._ends.append(end)

    def _keys_of(self, page: Page) -> list[object]:
        """The ids of a page's records, or copies: what is delivered gets fields of its own."""
        return [row.get(self._identity) or dict(row) for row in page.rows]

    def _end_of(self, page: Page) -> int | None:
        last = page.rows[-1].get(self._identity) if page.rows else None
        return last if isinstance(last, int) else None


def _counting(before: list[object], after: list[object]) -> Counting:
    if before == after:
        return Counting.FROM_ONE
    if after and after[:1] == before[1:2]:
        return Counting.RECORDS
    return Counting.FROM_ZERO
