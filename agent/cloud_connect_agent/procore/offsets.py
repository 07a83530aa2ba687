"""Pages of a list that is told where to start, whatever it counts: records or pages."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from enum import StrEnum
from typing import Final

from cloud_connect_agent.procore.pager import Page

__all__ = ["Counting", "OffsetPages"]


class Counting(StrEnum):
    """What a start of 1 means: without the first record, or page 2, or page 1."""

    RECORDS = "records"
    FROM_ZERO = "pages from 0"
    FROM_ONE = "pages from 1"


class OffsetPages:
    """Finds out from the first two answers what Procore counts; its documentation is silent.

    Args:
        fetch: Reads what begins at a start.
        counted: Told once what is counted.
    """

    def __init__(
        self, fetch: Callable[[int], Awaitable[Page]], counted: Callable[[Counting], None]
    ) -> None:
        self._fetch: Final = fetch
        self._counted: Final = counted
        self._first: Page | None = None
        self._counting: Counting | None = None

    async def page(self, number: int) -> Page:
        """Read a page, counted from 1; one after the other."""
        if self._first is None:
            self._first = await self._fetch(0)
        if number == 1 or not self._first.rows:
            return replace(self._first, number=number)
        if self._counting is None:
            second = await self._fetch(1)
            self._counting = _counting(self._first, second)
            self._counted(self._counting)
            if number == 2 and self._counting is Counting.FROM_ZERO:
                return replace(second, number=number)
        starts = {
            Counting.RECORDS: (number - 1) * len(self._first.rows),
            Counting.FROM_ZERO: number - 1,
            Counting.FROM_ONE: number,
        }
        return replace(await self._fetch(starts[self._counting]), number=number)


def _counting(first: Page, second: Page) -> Counting:
    before, after = ([row.get("id", row) for row in page.rows] for page in (first, second))
    if before == after:
        return Counting.FROM_ONE
    if after and after[:1] == before[1:2]:
        return Counting.RECORDS
    return Counting.FROM_ZERO
