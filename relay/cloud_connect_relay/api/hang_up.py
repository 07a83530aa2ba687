"""Work that ends when its caller hangs up."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Final

from cloud_connect_relay.caller import Caller, caller_of

if TYPE_CHECKING:
    from types import TracebackType

    from starlette.types import Receive, Scope

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


def until_hang_up(
    scope: "Scope",
    receive: "Receive",
    *,
    body: "Callable[[CallerWatch], Awaitable[None]] | None" = None,
) -> "contextlib.AbstractAsyncContextManager[CallerWatch]":
    """Run the block until its caller hangs up; then cancel it and go on after it.

    The block handles its own errors: with *body*, those it lets out leave as a group.

    Args:
        receive: The request's channel; its body has been read, or *body* reads it.
        body: Reads the request's body, beside the block, before the watch begins.
    """
    caller = caller_of(scope)
    if caller is None or body is not None:
        return _watched(receive, body)
    return _Heard(caller)


class _Heard:
    """The block of a caller whose connection tells when it is lost: no task has to wait for it."""

    __slots__ = ("_caller", "_timeout", "_watch")

    def __init__(self, caller: Caller) -> None:
        self._caller: Final = caller
        self._timeout: Final = asyncio.timeout_at(None)
        self._watch: Final = CallerWatch(self._timeout)

    async def __aenter__(self) -> CallerWatch:
        await self._timeout.__aenter__()
        self._caller.listen(self._watch.hang_up)
        return self._watch

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: "TracebackType | None",
    ) -> bool:
        self._caller.ignore(self._watch.hang_up)
        try:
            await self._timeout.__aexit__(kind, error, traceback)
        except TimeoutError:
            return True  # nothing but hanging up sets this deadline
        return False


@contextlib.asynccontextmanager
async def _watched(
    receive: "Receive", body: "Callable[[CallerWatch], Awaitable[None]] | None"
) -> AsyncIterator[CallerWatch]:
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
