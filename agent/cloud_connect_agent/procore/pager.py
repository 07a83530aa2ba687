"""Reads lists page by page: many pages at once, delivered in order, each record once."""

import asyncio
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from itertools import count, islice
from typing import Final, Self

import structlog

from cloud_connect.errors import CloudConnectError, SourceRejectedError
from cloud_connect_agent.procore.circuits import is_disconnected
from cloud_connect_agent.procore.continuity import Continuity
from cloud_connect_agent.procore.cursor import Position
from cloud_connect_agent.procore.pages import Page, Unread
from cloud_connect_agent.procore.planner import Target
from cloud_connect_agent.procore.window import ReadAhead

__all__ = ["ListReader"]

log = structlog.get_logger(__name__)

Fetch = Callable[[Target, int], Awaitable["Page | Unread"]]

_LISTS_AHEAD: Final = 8  # lists whose first page is read before it is their turn


class _List:
    """One list being read: which pages are under way, and which come after them.

    Attributes:
        size: Records of a page, once that is known.
        delivered: Records that came.
        opened: Whether a page of it came.
    """

    def __init__(
        self, target: Target, *, begin: Position | None, paged: bool, identity: str
    ) -> None:
        first = 1 if begin is None else begin.page
        self.target: Final = target
        self.under_way: deque[asyncio.Task[Page | Unread | Exception]] = deque()
        self._paged: Final = paged
        self._first: Final = first
        self._next: int = first
        self._until: int = first
        self._by_total = False
        self._front: int = first  # the page behind those that came
        self.continuity: Final = Continuity(begin, identity=identity)
        self.opened = False
        self.size: int | None = None
        self.delivered = 0

    @property
    def has_more(self) -> bool:
        """Whether pages are under way or planned."""
        return bool(self.under_way) or self._next <= self._until

    def next_number(self) -> int | None:
        """Take the next page to start; ``None`` if none is planned."""
        if self._next > self._until:
            return None
        self._next += 1
        return self._next - 1

    def arrived(self, page: Page) -> Page:
        """Take the next page in order: plan what follows it, drop what came before."""
        new = self.continuity.take(page)
        self.delivered += len(new.rows)
        if page.number < self._front:
            if new.rows:
                log.info("list_lost_records", moved_up=len(new.rows), **self.target)
            return new
        size = new.unit or page.size
        self._front = page.number + 1
        self.size = size or None
        if page.number == self._first and self._paged and page.total is not None and size:
            self._until = max(page.number, math.ceil(page.total / size))
            self._by_total = True
        if not page.rows or (page.has_next is False and page.number != self._first):
            self.stop()
        elif page.number == self._until and self._paged and self._brings(new, size):
            # Procore may have gained records meanwhile, or not have told how many it has.
            self._until += page.has_next or (page.has_next is None and not self._by_total)
        return new

    def _brings(self, new: Page, size: int) -> bool:
        """Whether a page is more than one that came before, so that there may be others."""
        if new.rows or new.number == self._first:
            return True
        # Records came in front, if Procore counts more pages now.
        return new.total is not None and new.number * size < new.total

    def stop(self) -> None:
        """Plan nothing more, cancel what is under way."""
        self._until = self._next - 1
        for task in self.under_way:
            task.cancel()
        self.under_way.clear()


class ListReader:
    """Reads the lists of several targets one after the other, and each in parallel pages.

    Opened with ``async with``; its tasks end with it.

    Args:
        targets: Where the lists are, in the order of delivery.
        fetch: Reads one page of one target.
        begin: Where an earlier answer ended in the first list.
        paged: Whether the lists come in pages at all.
        skip_refused: Pass over lists that Procore refuses with 403 or 404, unless all are.
        accepted: One before was not.
        enough: Records after which the taker stops; pages beyond are not started.
        page_size: Records that a page is expected to hold before one came.
        identity: The field that holds a record's id.
    """

    def __init__(
        self,
        targets: Iterable[Target],
        fetch: Fetch,
        *,
        window: ReadAhead,
        begin: Position | None = None,
        paged: bool = True,
        skip_refused: bool = False,
        accepted: bool = False,
        enough: int | None = None,
        page_size: int = 100,
        identity: str = "id",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lists: deque[_List] = deque(
            _List(target, begin=None if place else begin, paged=paged, identity=identity)
            for place, target in enumerate(targets)
        )
        self._fetch: Final = fetch
        self._window: Final = window
        self._skip_refused: Final = skip_refused
        self._enough: Final = enough
        self._page_size: Final = page_size
        self._delivered = 0
        self._finished_lists = 0
        self._finished_records = 0
        self._refusal: SourceRejectedError | None = None
        self._accepted = accepted
        self._clock: Final = clock
        self._stack: Final = AsyncExitStack()
        self._tasks: asyncio.TaskGroup | None = None
        self._names: Final = count(1)
        self._handed_over: float | None = None

    async def __aenter__(self) -> Self:
        self._tasks = await self._stack.enter_async_context(asyncio.TaskGroup())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Cancel the pages under way and wait until they are gone."""
        for waiting in self._lists:
            waiting.stop()
        self._lists.clear()
        await self._stack.aclose()

    @property
    def next_target(self) -> Target | None:
        """The list after the current one, if there is any."""
        return self._lists[1].target if len(self._lists) > 1 else None

    @property
    def list_has_more(self) -> bool:
        """Whether the current list has pages left, as far as is known."""
        return bool(self._lists) and self._lists[0].has_more

    async def read(self) -> tuple[Target, Page] | None:
        """Deliver the next page in order; ``None`` after the last one.

        Raises:
            CloudConnectError: What reading it failed with.
        """
        if self._handed_over is not None:
            self._window.taken(self._clock() - self._handed_over)
        while self._lists:
            current = self._lists[0]
            self._read_ahead()
            if not current.under_way and not self._start_next(current):
                self._lists.popleft()
                self._finished_lists += 1
                self._finished_records += current.delivered
                continue
            result = _opened(await current.under_way[0])
            if isinstance(result, Page):
                self._accepted = current.opened = True
                again = current.continuity.before(result)
                if again is not None:
                    current.under_way.appendleft(self._start(current.target, again))
                    continue
            current.under_way.popleft()
            if isinstance(result, Page):
                page = current.arrived(result)
                self._delivered += len(page.rows)
                self._read_ahead()
                self._handed_over = self._clock()
                return current.target, page
            self._give_up(current, result)
        if self._refusal is not None and not self._accepted:
            raise self._refusal
        return None

    def _give_up(self, current: _List, error: Exception) -> None:
        refused = (
            isinstance(error, SourceRejectedError)
            and error.status in {403, 404}
            and not is_disconnected(error)
        )
        if not (refused and self._skip_refused and not current.opened):
            raise error
        if isinstance(error, SourceRejectedError):
            self._refusal = self._refusal or error
            log.info("list_passed_over", status=error.status, **current.target)
        current.stop()
        self._lists.popleft()

    def _read_ahead(self) -> None:
        """Start as many pages as the window allows, the current list's first."""
        near = list(islice(self._lists, _LISTS_AHEAD + 1))
        free = self._window.pages - sum(len(waiting.under_way) for waiting in near)
        for waiting in near:
            if free <= 0:
                break
            while free > 0 and self._falls_short and self._start_next(waiting):
                free -= 1

    def _start_next(self, waiting: _List) -> bool:
        """Start the next page of a list, if one is planned."""
        number = waiting.next_number()
        if number is None:
            return False
        waiting.under_way.append(self._start(waiting.target, number))
        return True

    @property
    def _falls_short(self) -> bool:
        """Whether what came and what is under way may be less than enough."""
        if self._enough is None:
            return True
        near = islice(self._lists, _LISTS_AHEAD + 1)
        coming = sum(len(one.under_way) * self._expected(one) for one in near)
        return self._delivered + coming < self._enough

    def _expected(self, waiting: _List) -> int:
        """The records that a page of a list will hold, by what came before."""
        if waiting.size is not None:
            return waiting.size
        if self._finished_lists:
            return min(self._page_size, 1 + self._finished_records // self._finished_lists)
        return self._page_size

    def _start(self, target: Target, number: int) -> "asyncio.Task[Page | Unread | Exception]":
        if self._tasks is None:
            raise RuntimeError("a ListReader is used inside its “async with”")
        name = f"procore-page-{next(self._names)}"
        return self._tasks.create_task(self._run(target, number), name=name)

    async def _run(self, target: Target, number: int) -> Page | Unread | Exception:
        started = self._clock()
        try:
            page = await self._fetch(target, number)
        except Exception as exc:  # noqa: BLE001  # handed over: raised where the page is awaited
            return exc
        self._window.fetched(self._clock() - started)
        return page


def _opened(result: Page | Unread | Exception) -> Page | Exception:
    if isinstance(result, (Page, Exception)):
        return result
    try:
        return result()
    except CloudConnectError as exc:
        return exc
