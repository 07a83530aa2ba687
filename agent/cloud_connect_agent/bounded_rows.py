"""Rows of which the policy lets one call return so many only."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final

from cloud_connect_agent.policy.gate import Granted
from cloud_connect_agent.record_source import Rows

__all__ = ["BoundedRows"]


class BoundedRows:
    """Passes rows on, and refuses the call rather than cut them short: that would be a lie.

    Args:
        limit: How many the caller wants at most.
    """

    def __init__(self, rows: Rows, granted: Granted, limit: int | None) -> None:
        self._rows: Final = rows
        self._granted: Final = granted
        self._limit: Final = limit

    @property
    def total_items(self) -> int | None:
        """How many rows there are in all, as soon as it is known."""
        return self._rows.total_items

    @property
    def paging(self) -> str | None:
        """Where the next page begins, known at the end."""
        return self._rows.paging

    @property
    def message(self) -> str | None:
        """A sentence for people, where there is something to say."""
        return self._rows.message

    @property
    def unclear(self) -> bool:
        """Whether they tell of writes, one of which may have had its effect or not."""
        return self._rows.unclear

    def check_announced(self) -> None:
        """Refuse at once what is known to be too much.

        Raises:
            PolicyDeniedError: If it is.
        """
        wanted = [count for count in (self.total_items, self._limit) if count is not None]
        if self.total_items is not None:
            self._granted.check_rows(min(wanted))

    async def batches(self) -> AsyncIterator[Sequence[Mapping[str, object]]]:
        """Yield the rows that arrived together.

        Raises:
            PolicyDeniedError: If there are too many; those before them were passed on.
        """
        count = 0
        async for batch in self._rows.batches():
            count += len(batch)
            self._granted.check_rows(count)
            yield batch

    async def aclose(self) -> None:
        """Stop reading."""
        await self._rows.aclose()
