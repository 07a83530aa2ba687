"""An answer's rows as they arrive, and what is known about them at the end."""

from collections import deque
from collections.abc import AsyncIterator, Iterable
from typing import Final, Protocol, Self

from cloud_connect_agent.procore.rows import Row

__all__ = ["Batches", "FixedRows", "RowStream"]


class Batches(Protocol):
    """Where rows come from, some at a time.

    Attributes:
        total_items: How many rows the query has in all, its limit aside; ``None`` as long
            as that is not known.
        paging: The cursor of what remains, once the last batch was delivered.
    """

    total_items: int | None
    paging: str | None

    async def next_batch(self) -> list[Row] | None:
        """Deliver some rows; ``None`` after the last ones."""
        ...

    async def aclose(self) -> None:
        """Stop reading."""
        ...


class FixedRows:
    """Rows that are all there already."""

    def __init__(
        self, rows: Iterable[Row], *, total_items: int | None = None, paging: str | None = None
    ) -> None:
        self._rows: list[Row] | None = list(rows)
        self.total_items: int | None = len(self._rows or ()) if total_items is None else total_items
        self.paging = paging

    async def next_batch(self) -> list[Row] | None:
        """Deliver all of them, once."""
        rows, self._rows = self._rows, None
        return rows or None

    async def aclose(self) -> None:
        """Do nothing: nothing is read."""


class RowStream:
    """The rows of an answer, one by one or batch by batch.

    Whoever gets one closes it: ``async with``, or :meth:`aclose`. Pages that are being read
    are cancelled by that.

    Attributes:
        message: A sentence for people, where there is something to say.
        unclear: Whether the rows tell of writes, one of which may have had its effect or not.
    """

    def __init__(
        self, batches: Batches, *, message: str | None = None, unclear: bool = False
    ) -> None:
        self._batches: Final = batches
        self._waiting: Final[deque[Row]] = deque()
        self.message: Final = message
        self.unclear: Final = unclear

    @property
    def total_items(self) -> int | None:
        """How many rows the query has in all, as soon as that is known."""
        return self._batches.total_items

    @property
    def paging(self) -> str | None:
        """The cursor of what remains, after the last row was delivered."""
        return self._batches.paging

    async def batches(self) -> AsyncIterator[list[Row]]:
        """The rows as they arrived together, never an empty batch."""
        while (rows := await self._batches.next_batch()) is not None:
            if rows:
                yield rows

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Row:
        while not self._waiting:
            rows = await self._batches.next_batch()
            if rows is None:
                raise StopAsyncIteration
            self._waiting.extend(rows)
        return self._waiting.popleft()

    async def aclose(self) -> None:
        """Stop reading; harmless when it is over already."""
        await self._batches.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()
