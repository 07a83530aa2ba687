"""Writes: recorded before they are dispatched, finished whoever waits, never repeated unseen."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import structlog

from cloud_connect.errors import (
    AgentOfflineError,
    CloudConnectError,
    InternalError,
    Outcome,
    OutcomeUnknownError,
    SourceRejectedError,
    UnsupportedOperationError,
)
from cloud_connect.problems import error_of
from cloud_connect.tunnel import ResetCode
from cloud_connect_relay.calls.answer import Answer
from cloud_connect_relay.calls.ending import ending
from cloud_connect_relay.calls.lateness import explained, overdue, untaken, until_deadline

if TYPE_CHECKING:
    from cloud_connect.exchange import Exchange
    from cloud_connect_relay.calls.dispatch import Dispatcher, Upload
    from cloud_connect_relay.calls.ledger import Ledger
    from cloud_connect_relay.calls.lifecycle import Lifecycle
    from cloud_connect_relay.calls.recovery import Recovery
    from cloud_connect_relay.calls.resolution import Resolution
    from cloud_connect_relay.calls.running import RunningCall

__all__ = ["Writes"]

log = structlog.get_logger(__name__)

_GRACE_SECONDS: Final = 30.0  # that a started write has beyond the deadline of its caller
_PAUSE_SECONDS: Final = 0.5  # between two attempts at an upsert
_ANSWER_SECONDS: Final = 0.5  # of the deadline, left for telling that the outcome is unknown
_MAX_ANSWER_BYTES: Final = 16 * 1024 * 1024  # of a write that is answered as a whole
_INTERRUPTED: Final = (
    "It is not known whether the call was executed: the relay stopped while it ran. Look the call"
    " up before you repeat it."
)
_NOT_FOUND_OUT: Final = (
    "It is not known whether the call was executed, and no connector found that out within the"
    " deadline. A repeat with the same Idempotency-Key makes no second record."
)
_OWN_RISK: Final = (
    "It came without an Idempotency-Key, so a repeat would be another call, at your own risk."
)


@dataclass(slots=True, kw_only=True)
class _Execution:
    """A write that runs in a task of its own, beside the request that waits for it.

    Attributes:
        streams: Its answer's body is passed on as it comes.
        abandoned: Nobody waits any more.
        left: The call is out of the table of running ones.
    """

    call: "RunningCall"
    upload: "Upload | None"
    streams: bool
    abandoned: bool = False
    left: bool = False
    answer: Answer | None = None
    exchange: "Exchange | None" = None
    error: CloudConnectError | None = None
    finished: asyncio.Event = field(default_factory=asyncio.Event)

    def is_wanted(self) -> bool:
        """Whether somebody waits for the answer."""
        return not self.abandoned


class Writes:
    """Runs calls that may change something at the source.

    A write runs in a task of the service: when its caller hangs up, one that has started goes
    on to its end, is recorded, and can be looked up. One that has not started ends at once.
    """

    def __init__(
        self,
        *,
        dispatcher: "Dispatcher",
        ledger: "Ledger",
        lifecycle: "Lifecycle",
        recovery: "Recovery",
        resolution: "Resolution",
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._dispatcher: Final = dispatcher
        self._ledger: Final = ledger
        self._lifecycle: Final = lifecycle
        self._recovery: Final = recovery
        self._resolution: Final = resolution
        self._tasks: Final = tasks
        self._executing: Final[set[asyncio.Task[None]]] = set()

    @contextlib.asynccontextmanager
    async def run(
        self, call: "RunningCall", *, upload: "Upload | None" = None, streams: bool = False
    ) -> AsyncIterator[Answer]:
        """Run an admitted write and hold its answer; its outcome is on disk by then.

        Raises:
            CloudConnectError: Why there is no answer; its outcome says what is certain.
        """
        execution = _Execution(call=call, upload=upload, streams=streams)
        task = self._tasks.create_task(self._execute(execution), name=f"write-{call.id}")
        self._executing.add(task)
        # Not a finally of the task: one that is cancelled before it began runs none of it.
        task.add_done_callback(lambda ended: self._finished(execution, ended))
        try:
            await self._wait(execution)
        except BaseException:
            execution.abandoned = True
            if not call.started:
                task.cancel()
            elif task.done():
                self._leave(execution)
            raise
        try:
            if execution.error is not None:
                await until_deadline(execution.error, call)
                raise execution.error
            if execution.answer is None:
                raise AgentOfflineError("The relay is stopping; repeat the request in a moment.")
            yield execution.answer
        finally:
            self._leave(execution)

    def stop(self) -> None:
        """End what still runs; what has started is recorded as unknown."""
        for task in self._executing:
            task.cancel()

    async def _wait(self, execution: _Execution) -> None:
        call = execution.call
        try:
            async with asyncio.timeout_at(call.deadline) as timeout, ending(call, timeout):
                await execution.finished.wait()
        except TimeoutError:
            error: CloudConnectError
            if call.started:
                error = overdue(call, outcome=Outcome.UNKNOWN)
            else:
                error = call.refusal or untaken()
                self._lifecycle.failed(call, error)
            call.blame(error)
            raise error from None

    async def _execute(self, execution: _Execution) -> None:
        """Run the write to its end; whatever happens is in *execution* and in the record."""
        call = execution.call
        try:
            late = call.deadline + _GRACE_SECONDS
            async with asyncio.timeout_at(late) as timeout, ending(call, timeout):
                execution.answer = await self._perform(execution)
            self._lifecycle.completed(call, execution.answer)
        except CloudConnectError as error:
            self._fail(execution, error)
        except TimeoutError:
            late_error: CloudConnectError = OutcomeUnknownError(
                "It is not known whether the call was executed: no answer came long after its"
                " deadline. Look the call up before you repeat it."
            )
            if call.refusal is not None and not call.started:
                late_error = call.refusal
            self._fail(execution, late_error)
        except asyncio.CancelledError:
            if call.started:
                self._fail(execution, OutcomeUnknownError(_INTERRUPTED))
            raise
        except Exception:  # the dispatcher's border: the write's record must be settled
            log.exception("write_failed", call_id=call.id)
            outcome = Outcome.UNKNOWN if call.started else Outcome.NOT_EXECUTED
            self._fail(
                execution,
                InternalError("The relay failed; its log has the reason.", outcome=outcome),
            )
        await self._ledger.settled(call)
        self._lifecycle.recorded(call)
        if call.outcome is Outcome.UNKNOWN:
            self._resolution.expect(call.connector_id)

    def _finished(self, execution: _Execution, task: "asyncio.Task[None]") -> None:
        self._executing.discard(task)
        if not execution.call.ended:
            self._lifecycle.cancelled(execution.call)
        if execution.abandoned or execution.answer is None or not execution.streams:
            self._leave(execution)
        execution.finished.set()

    async def _perform(self, execution: _Execution) -> Answer:
        """Carry the write out once; an upsert as often as it takes to learn its outcome."""
        call = execution.call
        doubt: CloudConnectError = OutcomeUnknownError(_NOT_FOUND_OUT)
        if not call.again:
            try:
                return await self._attempt(execution)
            except CloudConnectError as error:
                whole = execution.upload is None and not execution.streams
                if not (call.upsert and whole and error.outcome is Outcome.UNKNOWN):
                    raise
                doubt = error
        return await self._repeat(execution, doubt)

    async def _repeat(self, execution: _Execution, doubt: CloudConnectError) -> Answer:
        """Carry an upsert out again until its outcome is certain, as long as the deadline lasts.

        Raises:
            CloudConnectError: What Procore answered, or *doubt* if nothing is certain still.
        """
        call = execution.call
        call.again = True
        until = call.deadline - _ANSWER_SECONDS
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                # The timeout would let one begin that is over already.
                while asyncio.get_running_loop().time() < until:
                    before = call.whereabouts
                    try:
                        return await self._attempt(execution)
                    except UnsupportedOperationError:
                        call.put_back(before)
                        break  # by the PC's administrator's word it is no upsert any more
                    except CloudConnectError as error:
                        if error.outcome is Outcome.COMPLETED:
                            raise
                        if error.outcome is Outcome.NOT_EXECUTED:
                            call.put_back(before)
                        if error.outcome is Outcome.UNKNOWN:
                            doubt = error
                        if isinstance(error, SourceRejectedError):
                            break  # Procore would say so each time
                    await asyncio.sleep(_PAUSE_SECONDS)
        raise doubt

    async def _attempt(self, execution: _Execution) -> Answer:
        call = execution.call
        if not self._dispatcher.is_ready(call):
            await self._ledger.dispatching(call)  # it waits: a restart must not forget it
        try:
            exchange, head = await self._dispatcher.dispatch(call, upload=execution.upload)
        except OutcomeUnknownError as error:
            if execution.upload is not None and execution.upload.failure is not None:
                raise execution.upload.failure from error
            if call.upsert:
                raise
            return await self._recovery.after(error, call, wanted=execution.is_wanted)
        execution.exchange = exchange
        if head.problem is not None:
            raise explained(error_of(head.problem, call_id=call.id), call)
        answer = Answer.of(call.id, head, exchange, times=call.times)
        if execution.streams:
            return answer
        try:
            await answer.collect(max_bytes=_MAX_ANSWER_BYTES, progressed=call.progressed)
            answer.rows = answer.total_items
        except CloudConnectError as error:
            if error.outcome is not Outcome.UNKNOWN:
                raise
            if head.outcome is Outcome.COMPLETED:
                error.outcome = Outcome.COMPLETED  # what was lost is the answer only
            return await self._recovery.after(error, call, wanted=execution.is_wanted)
        return answer

    def _fail(self, execution: _Execution, error: CloudConnectError) -> None:
        call = execution.call
        doubtful = isinstance(error, OutcomeUnknownError) and error.outcome is Outcome.UNKNOWN
        if doubtful and call.spec.idempotency_key is None:
            error = OutcomeUnknownError(f"{error.message} {_OWN_RISK}")
        call.blame(error)
        execution.error = error
        self._lifecycle.failed(call, error)

    def _leave(self, execution: _Execution) -> None:
        if execution.left:
            return
        execution.left = True
        answer, exchange = execution.answer, execution.exchange
        if exchange is not None and not (answer and answer.ended and exchange.send_ended):
            exchange.reset(ResetCode.CANCEL)
        if answer is not None:
            self._lifecycle.measured(execution.call, answer)
        self._lifecycle.leave(execution.call)
