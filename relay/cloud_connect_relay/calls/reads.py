"""Reads: they run while their caller waits, and end with it."""

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from cloud_connect.errors import (
    AgentOfflineError,
    CloudConnectError,
    DeadlineExceededError,
    InternalError,
    Outcome,
)
from cloud_connect.problems import error_of
from cloud_connect.tunnel import ResetCode
from cloud_connect_relay.calls.answer import Answer, BrokenAnswerError
from cloud_connect_relay.calls.dispatch import Attempts
from cloud_connect_relay.calls.ending import ending
from cloud_connect_relay.calls.lateness import explained, overdue, untaken, until_deadline

if TYPE_CHECKING:
    from types import TracebackType

    from cloud_connect.exchange import Exchange
    from cloud_connect_relay.calls.dispatch import Dispatcher, Upload
    from cloud_connect_relay.calls.lifecycle import Lifecycle
    from cloud_connect_relay.calls.running import RunningCall
    from cloud_connect_relay.calls.spec import CallSpec

__all__ = ["Reads"]


class Reads:
    """Runs calls that change nothing: cancelled with their caller, repeated where that helps."""

    def __init__(self, dispatcher: "Dispatcher", lifecycle: "Lifecycle") -> None:
        self._dispatcher: Final = dispatcher
        self._lifecycle: Final = lifecycle

    def run(
        self, spec: "CallSpec", *, upload: "Upload | None" = None
    ) -> contextlib.AbstractAsyncContextManager[Answer]:
        """Run a read and hold its answer; leaving the block early cancels it at the source.

        Raises:
            CloudConnectError: Why there is no answer, or why its body broke off.
        """
        return _Reading(self._dispatcher, self._lifecycle, spec, upload)


class _Reading:
    """One read. A class and no generator: it is on the path of every pass-through request."""

    __slots__ = (
        "_answer",
        "_attempts",
        "_call",
        "_dispatcher",
        "_exchange",
        "_lifecycle",
        "_spec",
        "_upload",
    )

    _call: "RunningCall"

    def __init__(
        self,
        dispatcher: "Dispatcher",
        lifecycle: "Lifecycle",
        spec: "CallSpec",
        upload: "Upload | None",
    ) -> None:
        self._dispatcher: Final = dispatcher
        self._lifecycle: Final = lifecycle
        self._spec: Final = spec
        self._upload: Final = upload
        self._attempts: Final = Attempts()
        self._exchange: Exchange | None = None
        self._answer: Answer | None = None

    async def __aenter__(self) -> Answer:
        self._call = call = self._lifecycle.admit(self._spec)
        try:
            return await self._open(call)
        except BaseException as error:
            self._leave(error)
            raise

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: "TracebackType | None",
    ) -> None:
        self._leave(error)

    def _leave(self, error: BaseException | None) -> None:
        """Settle the call, whose block ended with *error* or well."""
        call, answer, exchange = self._call, self._answer, self._exchange
        if exchange is not None and not (
            answer is not None and answer.ended and exchange.send_ended
        ):
            exchange.reset(ResetCode.CANCEL)
        if error is None and answer is not None:
            self._lifecycle.completed(call, answer)
        elif isinstance(error, CloudConnectError):
            if answer is not None:
                self._lifecycle.measured(call, answer)  # its end told where the time went
            call.blame(error)
            if error.outcome is Outcome.UNKNOWN:
                error.outcome = Outcome.NOT_EXECUTED  # a read has no effect to be in doubt about
            self._lifecycle.failed(call, error, answer)
        elif isinstance(error, (asyncio.CancelledError, GeneratorExit)):
            self._lifecycle.cancelled(call)
        else:
            self._lifecycle.failed(call, InternalError("The relay failed."), answer)
        self._lifecycle.leave(call)

    async def _open(self, call: "RunningCall") -> Answer:
        """Return the answer once some of its body is here: until then another agent can give it."""
        try:
            async with asyncio.timeout_at(call.deadline) as timeout, ending(call, timeout):
                while True:
                    answer = await self._ask(call)
                    try:
                        await answer.begin()
                    except BrokenAnswerError:
                        if not self._may_move():
                            raise
                    else:
                        return answer
        except AgentOfflineError as error:
            if self._upload is not None and self._upload.failure is not None:
                raise self._upload.failure from error
            raise
        except TimeoutError:
            if not call.started:
                raise call.refusal or untaken() from None
            raise overdue(call, outcome=Outcome.NOT_EXECUTED) from None
        except DeadlineExceededError as problem:
            await until_deadline(problem, call)
            raise

    async def _ask(self, call: "RunningCall") -> Answer:
        """Bring the call to an agent and return the answer that begins to come."""
        exchange, head = await self._dispatcher.dispatch(
            call, upload=self._upload, attempts=self._attempts
        )
        self._exchange = exchange
        if head.problem is not None:
            raise explained(error_of(head.problem, call_id=call.id), call)
        if self._answer is None:
            self._answer = Answer.of(call.id, head, exchange, times=call.times)
            self._answer.again = self._again
        else:
            self._answer.take(head, exchange)
        return self._answer

    async def _again(self, _: BrokenAnswerError) -> bool:
        """Have the answer come once more, from its beginning."""
        if not self._may_move():
            return False
        await self._open(self._call)
        return True

    def _may_move(self) -> bool:
        """Note that the answer broke off; whether the call may go to an agent once more."""
        self._attempts.broke()
        return self._upload is None and not self._attempts.exhausted
