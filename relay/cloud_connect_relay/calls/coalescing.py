"""Inserts without a key that come twice at once: one is carried out, all get its answer."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Final

from cloud_connect.errors import (
    AgentOfflineError,
    CloudConnectError,
    DeadlineExceededError,
    Outcome,
)

if TYPE_CHECKING:
    from cloud_connect_relay.calls.answer import Answer
    from cloud_connect_relay.calls.running import RunningCall
    from cloud_connect_relay.calls.spec import CallSpec

__all__ = ["Coalescing"]

_MAX_ANSWER_BYTES: Final = 16 * 1024 * 1024  # as much as a write may answer
_MAX_KEPT: Final = 1000  # inserts known; with more, the oldest answers are forgotten early

Admit = Callable[["CallSpec"], "RunningCall"]
Run = Callable[["RunningCall"], AbstractAsyncContextManager["Answer"]]
Identity = tuple[str, str | None, str, str]


class _Shared:
    """One execution that several callers wait for.

    Attributes:
        waiting: How many of them there are.
        call: What carries it out, once it is let in.
    """

    def __init__(self) -> None:
        self.waiting = 0
        self.answered: Final[asyncio.Future[Answer]] = asyncio.get_running_loop().create_future()
        self.task: asyncio.Task[None] | None = None
        self.call: RunningCall | None = None

    @property
    def may_end(self) -> bool:
        """Whether nobody needs it any more: neither a caller, nor a repeat of what has begun."""
        begun = self.call is not None and self.call.started
        return not (self.waiting or begun or self.answered.done())

    def overdue(self) -> DeadlineExceededError:
        """Return the failure of a caller whose deadline passed before the first one's."""
        error = DeadlineExceededError(
            "The deadline passed while the same insert, which came before, was under way. Look"
            " the call up before you repeat it.",
            outcome=Outcome.UNKNOWN,
        )
        if self.call is not None:
            self.call.blame(error)
        return error


class Coalescing:
    """Recognises the same insert of the same caller, while it runs and for a moment after.

    The platform sends a form's insert again when it is impatient, under no key that could be
    relied on. Only this node's calls are compared.

    Args:
        admit: Lets an insert in.
        run: Carries it out.
        window: Seconds after the answer in which the same insert is the same one still.
    """

    def __init__(self, tasks: asyncio.TaskGroup, *, admit: Admit, run: Run, window: float) -> None:
        self._tasks: Final = tasks
        self._admit: Final = admit
        self._run: Final = run
        self._window: Final = window
        self._shared: Final[dict[Identity, _Shared]] = {}

    @contextlib.asynccontextmanager
    async def join(self, spec: "CallSpec") -> AsyncIterator["Answer"]:
        """Hold the answer of the insert, or of the same one that is under way already.

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
        patience: float | None = spec.timeout
        if shared is None:
            patience = None  # the call itself keeps the deadline of whoever came first
            shared = self._shared[identity] = _Shared()
            shared.task = self._tasks.create_task(
                self._execute(identity, shared, spec), name="shared-insert"
            )
            if len(self._shared) > _MAX_KEPT:
                self._forget_oldest()
        shared.waiting += 1
        try:
            async with asyncio.timeout(patience):
                answer = await asyncio.shield(shared.answered)
        except TimeoutError:
            raise shared.overdue() from None
        finally:
            shared.waiting -= 1
            if shared.may_end and shared.task is not None:
                shared.task.cancel()
                self._forget(identity, shared)
        yield answer.copy()

    async def _execute(self, identity: Identity, shared: _Shared, spec: "CallSpec") -> None:
        kept = True
        try:
            call = shared.call = self._admit(spec)
            async with self._run(call) as answer:
                await answer.collect(max_bytes=_MAX_ANSWER_BYTES)
            if not shared.answered.done():
                shared.answered.set_result(answer)
        except CloudConnectError as error:
            kept = error.outcome is not Outcome.NOT_EXECUTED
            if not shared.answered.done():
                shared.answered.set_exception(error)
            shared.answered.exception()  # nobody may be left to look at it
            if kept and shared.call is not None:
                await shared.call.recorded.wait()  # it may go on beyond its callers' deadline
        finally:
            if not shared.answered.done():
                shared.answered.set_exception(
                    AgentOfflineError("The relay is stopping; repeat the request in a moment.")
                )
                shared.answered.exception()
            if kept and self._window:
                loop = asyncio.get_running_loop()
                loop.call_later(self._window, self._forget, identity, shared)
            else:
                self._forget(identity, shared)

    def _forget_oldest(self) -> None:
        """Forget an answer; what runs is as many as quotas allow, and has to be known."""
        for identity, shared in self._shared.items():
            if shared.answered.done():
                self._forget(identity)
                return

    def _forget(self, identity: Identity, shared: _Shared | None = None) -> None:
        if shared is None or self._shared.get(identity) is shared:
            self._shared.pop(identity, None)
