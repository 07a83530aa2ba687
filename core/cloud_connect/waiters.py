"""Waiters: tasks that wait for the same thing to happen once more."""

import asyncio
from typing import Generic, TypeVar

__all__ = ["Waiters"]

_T = TypeVar("_T")


class Waiters(Generic[_T]):
    """Whoever waits now is released together; who comes later waits for the next time."""

    __slots__ = ("_futures",)

    def __init__(self) -> None:
        self._futures: list[asyncio.Future[_T]] = []

    async def wait(self) -> _T:
        """Wait until it happens, and return what it brought."""
        future: asyncio.Future[_T] = asyncio.get_running_loop().create_future()
        self._futures.append(future)
        return await future

    def release(self, value: _T) -> None:
        """Let those who wait go on with *value*."""
        futures, self._futures = self._futures, []
        for future in futures:
            if not future.done():
                future.set_result(value)

    def fail(self, error: Exception) -> None:
        """Raise *error* at those who wait."""
        futures, self._futures = self._futures, []
        for future in futures:
            if not future.done():
                future.set_exception(error)
