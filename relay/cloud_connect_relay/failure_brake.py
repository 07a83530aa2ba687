"""A brake on guessing: how many failures a source has in a minute."""

import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from cloud_connect.errors import QuotaExceededError

if TYPE_CHECKING:
    from collections.abc import Hashable

__all__ = ["FailureBrake"]

_WINDOW: Final = 60.0  # seconds over which failures are counted
_MAX_SOURCES: Final = 10_000  # sources remembered; the oldest are forgotten


class FailureBrake:
    """Counts failed attempts per source over the last minute; success costs nothing."""

    def __init__(self, limit: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit: Final = limit
        self._clock: Final = clock
        self._failures: Final[OrderedDict[Hashable, deque[float]]] = OrderedDict()

    def failed(self, source: "Hashable") -> None:
        """Count one failure.

        Raises:
            QuotaExceededError: If the source had used up its failures already.
        """
        self.check(source)
        self._failures.setdefault(source, deque()).append(self._clock())
        self._failures.move_to_end(source)
        if len(self._failures) > _MAX_SOURCES:
            self._failures.popitem(last=False)

    def check(self, source: "Hashable") -> None:
        """Refuse a source that has used up its failures.

        Raises:
            QuotaExceededError: With the seconds until the next attempt counts again.
        """
        times = self._failures.get(source)
        if times is None:
            return
        now = self._clock()
        while times and times[0] <= now - _WINDOW:
            times.popleft()
        if not times:
            del self._failures[source]
        elif len(times) >= self._limit:
            raise QuotaExceededError(
                "Too many failed sign-ins came from this address; wait a minute and check the"
                " credential.",
                retry_after=times[0] + _WINDOW - now,
            )
