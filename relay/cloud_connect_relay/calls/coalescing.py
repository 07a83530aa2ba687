"""Inserts without a key that come twice at once: one is carried out, all get its answer."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Final

from cloud_connect.errors import AgentOfflineError, CloudConnectError, Outcome

if TYPE_CHECKING:
    from cloud_connect_relay.calls.answer import Answer
    from cloud_connect_relay.calls.spec import CallSpec

__all__ = ["Coalescing"]

_MAX_ANSWER_BYTES: Final = 16 * 1024 * 1024  # as much as a write may answer
_MAX_KEPT: Final = 1000  # answers remembered for their window; the oldest go

Run = Callable[[], AbstractAsyncContextManager["Answer"]]
Identity = tuple[str, str | None, str, str]


class _Shared:
    """One execution that several callers wait for.

    Attributes:
        waiting: How many of them there are.
    """

    def __init__(self) -> None:
        self.waiting = 0
        self.answered: Final[asyncio.Future[Answer]] = asyncio.get_running_loop().create_future()
        self.task: asyncio.Task[None] | None = None


class Coalescing:
    """Recognises the same insert of the same caller, while it runs and for a moment after.

    The platform sends a form's insert again when it is impatient, under no key that could be
    relied on. Only this node's calls are compared.

    Args:
        window: Seconds after the answer in which the same insert is the same one still.
    """

    def __init__(self, tasks: asyncio.TaskGroup, *, window: float) -> None:
        self._tasks: Final = tasks
        self._window: Final = window
        self._shared: Final[dict[Identity, _Shared]] = {}

    @contextlib.asynccontextmanager
    async def join(self, spec: "CallSpec", run: Run) -> AsyncIterator["Answer"]:
        """Hold the answer of *run*, or of the same insert that is under way already.

        Raises:
            CloudConnectError: What it failed with.
        """
        identity = (
            spec.subscription_id,
            spec.key_id,
            spec.target.datasource_id,
            spec.fingerprint or "",
        )
        shared = self._shared.get(identity)
        if shared is None:
            shared = self._shared[identity] = _Shared()
            shared.task = self._tasks.create_task(
                self._execute(identity, shared, run), name="shared-insert"
            )
            if len(self._shared) > _MAX_KEPT:
                self._forget(next(iter(self._shared)))
        shared.waiting += 1
        try:
            answer = await asyncio.shield(shared.answered)
        finally:
            shared.waiting -= 1
            if not shared.waiting and shared.task is not None and not shared.answered.done():
                shared.task.cancel()  # nobody waits: one that has not begun need not begin
                self._forget(identity, shared)
        yield answer.copy()

    async def _execute(self, identity: Identity, shared: _Shared, run: Run) -> None:
        kept = True
        try:
            async with run() as answer:
                await answer.collect(max_bytes=_MAX_ANSWER_BYTES)
            if not shared.answered.done():
                shared.answered.set_result(answer)
        except CloudConnectError as error:
            kept = error.outcome is not Outcome.NOT_EXECUTED
            if not shared.answered.done():
                shared.answered.set_exception(error)
        finally:
            if not shared.answered.done():
                shared.answered.set_exception(
                    AgentOfflineError("The relay is stopping; repeat the request in a moment.")
                )
            shared.answered.exception()  # nobody may be left to look at it
            if kept and self._window:
                loop = asyncio.get_running_loop()
                loop.call_later(self._window, self._forget, identity, shared)
            else:
                self._forget(identity, shared)

    def _forget(self, identity: Identity, shared: _Shared | None = None) -> None:
        if shared is None or self._shared.get(identity) is shared:
            self._shared.pop(identity, None)
