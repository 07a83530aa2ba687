"""Work that ends when its caller hangs up."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from starlette.types import Receive

__all__ = ["CallerWatch", "until_hang_up"]


class CallerWatch:
    """Tells whether the caller is still there; hanging up cancels the block it belongs to."""

    def __init__(self, timeout: asyncio.Timeout) -> None:
        self._timeout: Final = timeout
        self.hung_up = False

    def hang_up(self) -> None:
        """Note that the caller is gone."""
        self.hung_up = True
        # A deadline in the past cancels the block, and only the block, through public means.
        self._timeout.reschedule(0)


@contextlib.asynccontextmanager
async def until_hang_up(
    receive: "Receive", *, body: "Callable[[CallerWatch], Awaitable[None]] | None" = None
) -> AsyncIterator[CallerWatch]:
    """Run the block until its caller hangs up; then cancel it and go on after it.

    The block handles its own errors: those it lets out leave as a group.

    Args:
        receive: The request's channel; its body has been read, or *body* reads it.
        body: Reads the request's body, beside the block, before the watch begins.
    """
    async with asyncio.TaskGroup() as tasks:
        watch: CallerWatch | None = None
        try:
            async with asyncio.timeout(None) as timeout:
                watch = CallerWatch(timeout)
                watching = tasks.create_task(_watch(receive, watch, body), name="caller")
                try:
                    yield watch
                finally:
                    watching.cancel()
        except TimeoutError:
            if watch is None or not watch.hung_up:
                raise


async def _watch(
    receive: "Receive",
    watch: CallerWatch,
    body: "Callable[[CallerWatch], Awaitable[None]] | None",
) -> None:
    if body is not None:
        await body(watch)
    while (await receive())["type"] != "http.disconnect":
        pass
    watch.hang_up()
