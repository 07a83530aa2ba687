"""Reads of identical shape that are under way at the same time are sent once."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Hashable
from typing import Final, Generic, TypeVar

from cloud_connect.errors import DeadlineExceededError
from cloud_connect_agent.stages import Stage, spent

__all__ = ["SharedReads"]

_T = TypeVar("_T")

_BURST_SECONDS: Final = 0.25  # for which those who come late to a burst get what it read
_MAX_KEPT: Final = 32  # results of bursts


class _Flight(Generic[_T]):
    """One read under way, and who waits for it beside the caller that makes it.

    Attributes:
        kept: What it read, while latecomers still get that.
    """

    __slots__ = ("kept", "waiters")

    def __init__(self) -> None:
        self.waiters: list[tuple[float, asyncio.Future[_T | None]]] = []
        self.kept: _T | None = None

    def land(self, result: _T | None) -> None:
        """Give everybody the result; ``None`` tells them to read themselves."""
        for _, waiter in self.waiters:
            if not waiter.done():
                waiter.set_result(result)

    def fail(self, error: Exception, *, until: float) -> None:
        """Fail everybody whose deadline is not after *until*; the others read themselves."""
        for deadline, waiter in self.waiters:
            if waiter.done():
                continue
            if deadline > until:
                waiter.set_result(None)
            else:
                waiter.set_exception(_copy_of(error))
                waiter.exception()  # seen, also if its caller goes away just now


class SharedReads(Generic[_T]):
    """Gives the result of one read to all who ask for the same while it is under way.

    Nothing is kept beyond that: whoever asks later gets an answer of that moment. Only where
    several shared a read, the same burst's latecomers still get its result: a form that fifty
    people open at once does so over some milliseconds, and Procore may be quicker than that.
    The caller that came first makes the read; when it goes away, or has no more time for it,
    the next one makes it anew.

    Args:
        clock: Monotonic seconds, on which deadlines count.
        keeps: Whether a result is small enough to be kept for latecomers.
    """

    def __init__(
        self, *, clock: Callable[[], float], keeps: Callable[[_T], bool] = lambda _: True
    ) -> None:
        self._flights: Final[dict[Hashable, _Flight[_T]]] = {}
        self._clock: Final = clock
        self._keeps: Final = keeps

    def part(self) -> None:
        """Let nobody else share what was read: it may show what was before a write."""
        self._flights.clear()

    async def run(
        self,
        key: Hashable,
        read: Callable[[], Awaitable[_T]],
        *,
        deadline: float,
        hasty: Callable[[Exception], bool],
    ) -> _T:
        """Return what *read* does, or what the same read of another caller did.

        Args:
            key: What makes two reads the same.
            hasty: Whether *read* failed because its caller had no more time.

        Raises:
            CloudConnectError: What the read failed with, also another caller's.
            DeadlineExceededError: The deadline passed first.
        """
        while (flight := self._flights.get(key)) is not None:
            shared = flight.kept
            if shared is None:
                shared = await self._join(flight, deadline)
            if shared is not None:
                return shared
        flight = self._flights[key] = _Flight()
        try:
            result = await read()
        except Exception as error:
            self._leave(key, flight)
            flight.fail(error, until=deadline if hasty(error) else math.inf)
            raise
        except BaseException:  # cancelled: the others still want it
            self._leave(key, flight)
            flight.land(None)
            raise
        if flight.waiters and self._keeps(result) and self._kept < _MAX_KEPT:
            flight.kept = result
            asyncio.get_running_loop().call_later(_BURST_SECONDS, self._leave, key, flight)
        else:
            self._leave(key, flight)
        flight.land(result)
        return result

    @property
    def _kept(self) -> int:
        return sum(flight.kept is not None for flight in self._flights.values())

    async def _join(self, flight: _Flight[_T], deadline: float) -> _T | None:
        waiter: asyncio.Future[_T | None] = asyncio.get_running_loop().create_future()
        flight.waiters.append((deadline, waiter))
        try:
            async with asyncio.timeout(max(0.0, deadline - self._clock())):
                with spent(Stage.PROCORE):
                    return await waiter
        except TimeoutError as exc:
            raise DeadlineExceededError(
                "Procore did not answer before the call's deadline."
            ) from exc

    def _leave(self, key: Hashable, flight: _Flight[_T]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]


def _copy_of(error: Exception) -> Exception:
    """Return the same failure for another call, which notes its own facts on it."""
    copy = type(error).__new__(type(error), *error.args)
    copy.args = error.args
    copy.__dict__.update(error.__dict__)
    copy.__cause__ = error.__cause__
    return copy
