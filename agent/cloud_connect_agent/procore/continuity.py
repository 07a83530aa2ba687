"""Pure: whether a page follows what came before it, as the list changes, and what is new on it."""

from dataclasses import replace
from typing import Final

from cloud_connect.errors import InvalidRequestError
from cloud_connect_agent.procore.coverage import Coverage
from cloud_connect_agent.procore.cursor import Position
from cloud_connect_agent.procore.pages import Page
from cloud_connect_agent.procore.recent import Recent

__all__ = ["Continuity"]

_READ_AGAIN: Final = 256  # pages of a list: one whose count goes up and down is not read for ever
_CHANGED: Final = (
    "The list has lost too many records since “paging” was made; start again without it."
)


class Continuity:
    """Sees to it that no record of one list is missed or delivered twice.

    A record that leaves lets those behind it move up, perhaps to a page that has been read.
    Procore's count tells, and so does the record behind which an earlier answer ended. The pages
    before are then read again, one by one, until one joins what came.

    Args:
        begin: Where an earlier answer ended.
        identity: The field that holds a record's id.
    """

    def __init__(self, begin: Position | None, *, identity: str) -> None:
        self._begin: Final = begin
        self._identity: Final = identity
        self._recent: Final = Recent(identity)
        self._coverage: Final = Coverage()
        self._waiting: Final[set[int]] = set()  # pages that came, until one before it came again
        self._again = 0
        self._found = begin is None
        self._place: int | None = 0  # up to which an earlier answer delivered, or as counted
        self._gone = 0  # 1 if the record that it delivered last is not there any more
        self._unit = 0 if begin is None or begin.unit is None else begin.unit

    def before(self, page: Page) -> int | None:
        """Tell which page to read again before this one is taken; ``None`` if it follows.

        Raises:
            InvalidRequestError: If there would be too many of an answer that is gone on with.
        """
        self._unit = self._unit or page.size or (self._begin.per_page if self._begin else 0)
        if page.number in self._waiting:
            self._waiting.remove(page.number)
            return None
        follows = self._follows(page) if self._found else self._finds(page)
        if follows or page.number == 1:
            return None
        if self._again >= _READ_AGAIN:
            if not self._found:
                raise InvalidRequestError(_CHANGED)
            return None
        self._again += 1
        self._waiting.add(page.number)
        return page.number - 1

    def take(self, page: Page) -> Page:
        """Note a page as taken; return what is new on it."""
        last = self._last_on(page)
        place = self._counted(page) if self._place is None else self._place
        skip = place - self._start(page) if last is None else last + 1
        if self._begin is not None and page.number >= self._begin.page:
            self._place = 0  # what comes again from here on is known by its ids
        places = self._recent.fresh(page.rows, skip=max(0, skip))
        if page.total is not None:
            self._coverage.note(page.total, page.number * self._unit)
        if len(places) == len(page.rows):
            return replace(page, unit=self._unit)
        rows = [page.rows[place] for place in places]
        return replace(page, rows=rows, places=places, unit=self._unit)

    def _follows(self, page: Page) -> bool:
        """Whether each record before this page came, as far as can be told."""
        if page.total is None or not self._recent.named:
            return True
        if self._coverage.upto(page.total) >= self._start(page):
            return True
        joins = bool(page.rows) and self._recent.knows(page.rows[0])
        return joins or self._last_on(page) is not None

    def _finds(self, page: Page) -> bool:
        """Whether this page tells up to where an earlier answer delivered.

        By the last record if it is there. It is looked for up to one page before the place where
        the count has it; if it is gone itself, those that left count as having stood before it:
        a row may come twice then, but none is missed.
        """
        begin, start = self._begin, self._start(page)
        if begin is None:
            return True
        last = self._last_on(page)
        if last is not None:
            self._found, self._place = True, start + last + 1
            return True
        missed = begin.last_id is not None and (begin.taken > 0 or page.number < begin.page)
        place = begin.came(self._unit, page.total)
        if page.number > 1 and (start > place or (missed and start + self._unit > place)):
            return False
        self._found, self._place, self._gone = True, None, int(missed)
        return True

    def _counted(self, page: Page) -> int:
        """Up to which place of a page's list an earlier answer delivered, by the count alone."""
        begin = self._begin
        if begin is None:
            return 0
        came = begin.came(self._unit, page.total)
        return min(came, begin.came(self._unit, None) - self._gone)

    def _start(self, page: Page) -> int:
        return (page.number - 1) * self._unit

    def _last_on(self, page: Page) -> int | None:
        """Where the last record of an earlier answer stands on a page, if it is there."""
        if self._begin is None or self._begin.last_id is None:
            return None
        ids = [row.get(self._identity) for row in page.rows]
        return ids.index(self._begin.last_id) if self._begin.last_id in ids else None
