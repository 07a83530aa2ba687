"""Results that are used again for a short time, and made by one caller for all that wait."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Final, Generic, NamedTuple, TypeVar

from cloud_connect_agent.procore.shared_reads import SharedReads

__all__ = ["BriefMemory"]

_T = TypeVar("_T")

_MAX_RESULTS: Final = 64


class _Made(NamedTuple, Generic[_T]):
    result: _T
    at: float


class BriefMemory(Generic[_T]):
    """Remembers what was made, for as long as the settings say; failures are not kept.

    Args:
        seconds: Tells for how long, at each use; 0 remembers nothing.
        clock: Monotonic seconds, on which deadlines count, too.
    """

    def __init__(self, *, seconds: Callable[[], float], clock: Callable[[], float]) -> None:
        self._seconds: Final = seconds
        self._clock: Final = clock
        self._shared: Final[SharedReads[_Made[_T]]] = SharedReads(clock=clock)
        self._made: Final[OrderedDict[Hashable, _Made[_T]]] = OrderedDict()
        self._forgotten_at = clock()

    def forget(self) -> None:
        """Make everything anew from the next use on."""
        self._forgotten_at = self._clock()
        self._made.clear()
        self._shared.part()

    async def get(
        self,
        key: Hashable,
        make: Callable[[], Awaitable[_T]],
        *,
        deadline: float,
        refresh: bool = False,
    ) -> _T:
        """Return the result of *key*, from memory if it is fresh.

        Args:
            make: Makes it; several callers at once wait for one of them.
            refresh: Make it anew, also if it is fresh.

        Raises:
            CloudConnectError: What making it failed with.
        """
        if refresh:
            self._made.pop(key, None)
        else:
            known = self._made.get(key)
            if known is not None and self._clock() - known.at < self._seconds():
                return known.result

        async def fresh() -> _Made[_T]:
            began = self._clock()
            return _Made(await make(), began)

        made = await self._shared.run((key, refresh), fresh, deadline=deadline)
        known = self._made.get(key)
        if made.at >= (self._forgotten_at if known is None else known.at):
            self._made[key] = made
            self._made.move_to_end(key)
        if len(self._made) > _MAX_RESULTS:
            self._made.popitem(last=False)
        return made.result
