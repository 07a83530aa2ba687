"""Reads: they run while their caller waits, and end with it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final

from cloud_connect.errors import (
    AgentOfflineError,
    CloudConnectError,
    DeadlineExceededError,
    InternalError,
    Outcome,
)
from cloud_connect.tunnel import ResetCode
from cloud_connect_relay.calls.answer import Answer
from cloud_connect_relay.calls.failures import error_of

if TYPE_CHECKING:
    from cloud_connect_relay.calls.dispatch import Dispatched, Dispatcher, Upload
    from cloud_connect_relay.calls.lifecycle import Lifecycle
    from cloud_connect_relay.calls.running import RunningCall
    from cloud_connect_relay.calls.spec import CallSpec

__all__ = ["Reads"]


class Reads:
    """Runs calls that change nothing: cancelled with their caller, repeated where that helps."""

    def __init__(self, dispatcher: "Dispatcher", lifecycle: "Lifecycle") -> None:
        self._dispatcher: Final = dispatcher
        self._lifecycle: Final = lifecycle

    @contextlib.asynccontextmanager
    async def run(
        self, spec: "CallSpec", *, upload: "Upload | None" = None
    ) -> AsyncIterator[Answer]:
        """Run a read and hold its answer; leaving the block early cancels it at the source.

        Raises:
            CloudConnectError: Why there is no answer, or why its body broke off.
        """
        call = self._lifecycle.admit(spec)
        answer: Answer | None = None
        try:
            exchange, head = await self._head(call, upload)
            try:
                if head.problem is not None:
                    raise error_of(head.problem, call_id=call.id)
                answer = Answer.of(call.id, head, exchange)
                yield answer
            finally:
                if answer is None or not (answer.ended and exchange.send_ended):
                    exchange.reset(ResetCode.CANCEL)
            self._lifecycle.completed(call, answer)
        except CloudConnectError as error:
            error.call_id = call.id
            if error.outcome is Outcome.UNKNOWN:
                error.outcome = Outcome.NOT_EXECUTED  # a read has no effect to be in doubt about
            self._lifecycle.failed(call, error, answer)
            raise
        except (asyncio.CancelledError, GeneratorExit):
            self._lifecycle.cancelled(call)
            raise
        except BaseException:
            self._lifecycle.failed(call, InternalError("The relay failed."), answer)
            raise
        finally:
            self._lifecycle.leave(call)

    async def _head(self, call: "RunningCall", upload: "Upload | None") -> "Dispatched":
        try:
            async with asyncio.timeout_at(call.deadline) as timeout:
                call.timeouts.append(timeout)
                return await self._dispatcher.dispatch(call, upload=upload)
        except TimeoutError:
            if not call.started:
                raise AgentOfflineError("No connector took the call in time.") from None
            raise DeadlineExceededError(
                "The deadline passed before the answer came; the call changed nothing and may be"
                " repeated."
            ) from None
