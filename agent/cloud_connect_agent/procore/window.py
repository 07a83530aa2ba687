"""Pure: how many pages to read ahead, so that neither Procore nor memory is kept waiting."""

import math
from typing import Final

__all__ = ["MAX_PAGES", "ReadAhead"]

MAX_PAGES: Final = 32  # reads at once per connector
_MIN_PAGES: Final = 2
_SLOW_START: Final = 2  # pages at first where a limit may end the reading any time
_WEIGHT: Final = 0.3  # of the newest measure in the running average


class ReadAhead:
    """Tells the number of pages that may be in flight or waiting to be taken.

    As many as arrive while one is taken, twice over: a slow taker then holds a few pages
    in memory, a quick one gets all the parallelism there is.

    Args:
        cautious: Start small and double with each page taken, since few may be needed.
    """

    def __init__(self, *, cautious: bool = False, most: int = MAX_PAGES) -> None:
        self._most: Final = most
        self._ceiling = _SLOW_START if cautious else most
        self._fetch: float | None = None
        self._take: float | None = None

    def fetched(self, seconds: float) -> None:
        """Note how long a page took to arrive."""
        self._fetch = _average(self._fetch, seconds)

    def taken(self, seconds: float) -> None:
        """Note how long the taker was busy with a page."""
        self._take = _average(self._take, seconds)
        self._ceiling = min(self._most, self._ceiling * 2)

    @property
    def pages(self) -> int:
        """How many pages may be ahead."""
        if self._fetch is None or self._take is None or self._take <= 0:
            return self._ceiling
        wanted = self._most
        if self._fetch < self._take * self._most:
            wanted = math.ceil(2 * self._fetch / self._take) + 1
        return max(_MIN_PAGES, min(self._ceiling, wanted))


def _average(old: float | None, new: float) -> float:
    return new if old is None else old + _WEIGHT * (new - old)
