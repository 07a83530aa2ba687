"""Work that outlives the caller who asked for it."""

import asyncio
from collections.abc import Coroutine
from typing import Final, TypeVar

from cloud_connect.errors import SourceUnavailableError

__all__ = ["Flights"]

_T = TypeVar("_T")


class Flights:
    """Runs work in tasks of its own, so that no caller's cancellation loses its result.

    Attributes:
        stopping: Nothing that uses something up begins any more.
    """

    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        self._tasks: Final = tasks
        self._precious: Final[dict[asyncio.Task[None], bool]] = {}
        self.stopping = False

    def start(
        self, work: Coroutine[object, object, _T], *, name: str, precious: bool = False
    ) -> "asyncio.Future[_T]":
        """Begin *work*; callers wait for the future with ``asyncio.shield``.

        Args:
            precious: Let it end when the agent stops; work may also say so later (`commit`).
        """
        future: asyncio.Future[_T] = asyncio.get_running_loop().create_future()
        future.add_done_callback(_look_at)
        task = self._tasks.create_task(_into(future, work), name=name)
        self._precious[task] = precious
        task.add_done_callback(self._precious.pop)
        return future

    def commit(self) -> None:
        """Let the running work end from here on: it is about to use something up.

        Raises:
            SourceUnavailableError: If the agent stops, so that it had better not.
        """
        task = asyncio.current_task()
        if self.stopping or task not in self._precious:
            raise SourceUnavailableError("The agent is stopping.")
        self._precious[task] = True

    def stop(self, *, urgent: bool = False) -> None:
        """Cancel what may be cancelled; *urgent* cancels the rest, too."""
        self.stopping = True
        for task, precious in list(self._precious.items()):
            if urgent or not precious:
                task.cancel()


async def _into(future: "asyncio.Future[_T]", work: Coroutine[object, object, _T]) -> None:
    try:
        result = await work
    except BaseException as exc:
        if not future.done():
            future.set_exception(
                SourceUnavailableError("The agent is stopping.")
                if isinstance(exc, asyncio.CancelledError)
                else exc
            )
        if not isinstance(exc, Exception):
            raise
    else:
        if not future.done():
            future.set_result(result)


def _look_at(future: "asyncio.Future[_T]") -> None:
    """Mark a failure as seen, also when every caller went away meanwhile."""
    if not future.cancelled():
        future.exception()
