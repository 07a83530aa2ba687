"""From a stream to an answer: what the relay asks for, allowed, bounded, carried out."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Final

import orjson
import structlog

from cloud_connect.calls import (
    DryRunParams,
    JournalParams,
    Operation,
    PassthroughParams,
    QueryParams,
    RecordParams,
    Source,
    SourceParams,
)
from cloud_connect.echo import EchoParams
from cloud_connect.errors import (
    CloudConnectError,
    ConnectorPausedError,
    ErrorCode,
    InternalError,
    Outcome,
    PolicyDeniedError,
    QuotaExceededError,
    TunnelError,
    UnsupportedOperationError,
)
from cloud_connect.exchange import Exchange
from cloud_connect_agent.audit.notes import CallAudit, CallNote, call_note
from cloud_connect_agent.authorize_calls import AuthorizeCalls
from cloud_connect_agent.descriptions import drift_within, tree_within
from cloud_connect_agent.file_calls import FileCalls
from cloud_connect_agent.live_calls import LiveCalls
from cloud_connect_agent.policy import Access, Verb
from cloud_connect_agent.policy.gate import Gate
from cloud_connect_agent.procore.client import ProcoreClient
from cloud_connect_agent.procore.connection_test import run_connection_test
from cloud_connect_agent.procore.files.parts import ProcoreFiles
from cloud_connect_agent.raw_calls import RawCalls
from cloud_connect_agent.record_calls import RecordCalls
from cloud_connect_agent.record_source import RecordSource
from cloud_connect_agent.reply import (
    INTERNAL_FAILURE,
    JSON_HEADERS,
    Call,
    by_deadline,
    completed,
    params_of,
)
from cloud_connect_agent.strong_calls import StrongCalls
from cloud_connect_agent.strong_gate import StrongGate
from cloud_connect_agent.tasks import lasting_tasks
from cloud_connect_agent.write_calls import CallJournal, WriteCalls

__all__ = ["Dispatcher"]

log = structlog.get_logger(__name__)

_MAX_OPEN: Final = 1024  # calls at once
_LINGER: Final = 25.0  # seconds for started writes, after the session has ended
_REPORTS: Final = frozenset(
    {Operation.REPORT, Operation.RESULTS, Operation.AUDIT}
)  # the agent opens these
_OPERATIONS: Final = {one.value: one for one in Operation if one not in _REPORTS}


class Dispatcher:
    """Handles the calls of a session; open it with :meth:`open`.

    Reads end with their stream. A write that has started goes on: its task belongs to the
    dispatcher, which waits for it when it is closed.
    """

    def __init__(
        self,
        executor: RecordSource,
        client: ProcoreClient,
        gate: Gate,
        journal: CallJournal,
        tasks: asyncio.TaskGroup,
        *,
        files: ProcoreFiles,
        strong: StrongCalls,
        audit: CallAudit | None,
        live: LiveCalls | None,
        paused: Callable[[], bool],
        echoed: Callable[[EchoParams], None],
        max_open: int,
        clock: Callable[[], float],
    ) -> None:
        self._executor: Final = executor
        self._client: Final = client
        self._strong: Final = strong
        gate = self._gate = StrongGate(gate, strong)
        self._writes: Final = WriteCalls(journal, tasks, audit=audit, clock=clock)
        self._raw: Final = RawCalls(client, files.downloads, self._writes, gate=gate)
        self._records: Final = RecordCalls(executor, self._writes, gate=gate)
        self._files: Final = FileCalls(
            executor, files, gate=gate, journaled=self._records.journaled
        )
        self._authorizing: Final = AuthorizeCalls(client, gate=gate, clock=clock)
        self._audit: Final = audit
        self._live: Final = live
        self._paused: Final = paused
        self._echoed: Final = echoed
        self._max_open: Final = max_open
        self._clock: Final = clock
        self._open = 0
        self._quiet: Final = asyncio.Event()
        self._quiet.set()

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        executor: RecordSource,
        client: ProcoreClient,
        gate: Gate,
        journal: CallJournal,
        *,
        files: ProcoreFiles,
        strong: StrongCalls | None = None,
        audit: CallAudit | None = None,
        live: LiveCalls | None = None,
        paused: Callable[[], bool] = lambda: False,
        echoed: Callable[[EchoParams], None] = lambda _: None,
        linger: Callable[[], float] = lambda: _LINGER,
        max_open: int = _MAX_OPEN,
        clock: Callable[[], float] = time.monotonic,
    ) -> AsyncIterator["Dispatcher"]:
        """Open a dispatcher; closing it waits a little for writes that have started.

        What is left then stays in the journal as an intent, so its outcome is unknown.

        Args:
            gate: What lets calls in.
            files: What moves the bytes of files.
            strong: Opens sealed calls and checks signed ones; without, none is taken.
            audit: Where each call is recorded; without one, none is.
            live: Where people look on.
            paused: Whether the PC's administrator has paused the connector.
            echoed: Told when the relay asked whether calls come through, with what it said of
                an administrator there who keeps calls from here.
            linger: How many seconds to wait at the end.
            clock: Monotonic seconds, the Procore client's.
        """
        async with lasting_tasks() as tasks:
            dispatcher = cls(
                executor,
                client,
                gate,
                journal,
                tasks,
                files=files,
                strong=strong or StrongCalls(journal),
                audit=audit,
                live=live,
                paused=paused,
                echoed=echoed,
                max_open=max_open,
                clock=clock,
            )
            try:
                yield dispatcher
            finally:
                await dispatcher._writes.close(linger())

    @property
    def in_flight(self) -> int:
        """Calls that are being answered, and writes that outlived theirs."""
        return max(self._open, self._writes.running)

    async def idle(self) -> None:
        """Wait until nothing is under way."""
        while self._open or self._writes.running:
            await self._quiet.wait()
            await self._writes.idle()

    async def __call__(self, exchange: Exchange) -> None:
        """Answer one exchange; failures become answers, only cancellation leaves."""
        call = Call(exchange, self._clock)
        if call.operation == Operation.ECHO:
            # Paused or busy, the way through is what it asks for.
            await call.reply.send(completed(200, JSON_HEADERS), b"{}")
            said = EchoParams()
            with suppress(CloudConnectError):  # of a relay that says it in another way
                said = params_of(EchoParams, call)
            self._echoed(said)
            return
        self._open += 1
        self._quiet.clear()
        try:
            await self._answer(call)
        finally:
            self._open -= 1
            if not self._open:
                self._quiet.set()

    async def _answer(self, call: Call) -> None:
        note = CallNote(call.call_id, call.operation)
        call_note.set(note)
        try:
            await self._serve(call)
            head = call.reply.head
            status = head.status if head else None
            outcome = (head and head.outcome) or Outcome.COMPLETED
            self._ended(call, note, "request_finished", status=status, outcome=outcome)
        except CloudConnectError as error:
            if isinstance(error, PolicyDeniedError):
                note.refused(error.message)
            code = error.code.value
            self._ended(
                call, note, "request_failed", status=error.status, outcome=error.outcome, code=code
            )
            await self._fail(call, error)
        except asyncio.CancelledError:
            # A write that was begun goes on: how it ends is the journal's to say.
            outcome = Outcome.UNKNOWN if note.journaled else Outcome.NOT_EXECUTED
            event, code = "request_cancelled", "cancelled"
            self._ended(call, note, event, status=None, outcome=outcome, code=code)
            raise
        except Exception:
            self._record(note, 500, Outcome.UNKNOWN)
            self._show(call, note, 500, Outcome.UNKNOWN, code=ErrorCode.INTERNAL_ERROR.value)
            log.exception("request_broke", call_id=call.call_id, operation=call.operation)
            await self._fail(call, InternalError(INTERNAL_FAILURE, outcome=Outcome.UNKNOWN))

    def _ended(
        self,
        call: Call,
        note: CallNote,
        event: str,
        *,
        status: int | None,
        outcome: Outcome,
        code: str | None = None,
    ) -> None:
        self._record(note, status, outcome, code=code)
        self._show(call, note, status, outcome, code=code)
        told = {} if code is None else {"code": code}
        self._log(call, event, status=status, **told)

    async def _serve(self, call: Call) -> None:
        operation = _operation_of(call.operation)
        if operation is Operation.JOURNAL:  # however much runs: a refusal would tell of no call
            wanted = params_of(JournalParams, call)
            age = None if wanted.age_ms is None else wanted.age_ms / 1000
            known = await self._writes.look_up(wanted.call_id, age=age)
            await call.reply.send(known.head, known.body or b"")
            return
        self._check_room()
        if self._paused():
            raise ConnectorPausedError("The connector's administrator has paused it.")
        if operation is Operation.SEALED:
            # What is refused from here on is told inside, to the caller alone.
            await self._answer(await self._strong.open(call, self._clock))
            return
        async with self._strong.checked(call, operation):
            await self._carry_out(call, operation)

    async def _carry_out(self, call: Call, operation: Operation) -> None:
        if operation is Operation.PASSTHROUGH:
            await self._raw.serve(call, params_of(PassthroughParams, call))
            return
        for part in (self._files, self._authorizing):
            if operation in part.operations:
                await part.serve(call, operation)
                return
        match operation:
            case Operation.TEST | Operation.TREE | Operation.DRIFT:
                await self._describe(call, operation, params_of(SourceParams, call))
            case Operation.QUERY | Operation.QUERY_DRY_RUN:
                rehearsal = operation is Operation.QUERY_DRY_RUN
                await self._records.query(call, params_of(QueryParams, call), dry_run=rehearsal)
            case Operation.LIST | Operation.GET:
                await self._records.read(call, operation, params_of(RecordParams, call))
            case Operation.DRY_RUN:
                await self._records.dry_run(call, params_of(DryRunParams, call))
            case _:
                await self._records.write(call, operation, params_of(RecordParams, call))

    def _check_room(self) -> None:
        if self._open > self._max_open:
            raise QuotaExceededError(
                f"The connector has {self._max_open} calls running, which is its limit.",
                retry_after=1.0,
            )

    async def _describe(self, call: Call, operation: Operation, params: SourceParams) -> None:
        source = params.source
        shown: frozenset[str] | None = None
        if operation is Operation.TEST:
            access = Access(
                verb=Verb.TEST, environment=source.environment, company_id=source.company_id
            )
            await self._gate.allow([access], call.deadline)
        else:
            shown = await self._described(call, source)
        async with by_deadline(call):
            if operation is Operation.TEST:
                report = await run_connection_test(self._client, source, deadline=call.deadline)
                document: object = report.as_json()
            elif operation is Operation.DRIFT:
                drift = await self._executor.drift(source, call.deadline, refresh=params.refresh)
                document = drift_within(drift, shown)
            else:
                items = await self._executor.tree(source, call.deadline, refresh=params.refresh)
                document = {"items": tree_within(items, shown)}
        await call.reply.send(completed(200, JSON_HEADERS), orjson.dumps(document))

    async def _described(self, call: Call, source: Source) -> frozenset[str] | None:
        """Return the resources whose descriptions may be read; ``None`` is all of them.

        Raises:
            PolicyDeniedError: If there are none.
        """
        whole = Access(
            verb=Verb.READ,
            environment=source.environment,
            company_id=source.company_id,
            project_id=source.project_id,
        )
        try:
            await self._gate.allow([whole], call.deadline)
        except PolicyDeniedError:
            shown = set[str]()
            for name in self._executor.resources:
                with suppress(PolicyDeniedError):
                    self._gate.check([replace(whole, resource=name, described=True)])
                    shown.add(name)
            if not shown:
                raise
            # In with it as any other call, which asks whose the project is, too.
            some = replace(whole, resource=min(shown), described=True)
            await self._gate.allow([some], call.deadline)
            return frozenset(shown)
        return None

    async def _fail(self, call: Call, error: CloudConnectError) -> None:
        if isinstance(error, TunnelError):
            return  # nobody is there to be told
        try:
            late = error.code is ErrorCode.DEADLINE_EXCEEDED
            await call.reply.fail(error, why=call.stages.sentence() if late else None)
        except TunnelError as gone:
            log.debug("answer_not_sent", call_id=call.call_id, reason=gone.message)

    def _record(
        self, note: CallNote, status: int | None, outcome: Outcome, *, code: str | None = None
    ) -> None:
        """Record the call, if the policy was asked and its record is not left to a write."""
        if self._audit is None or not note.known or note.journaled:
            return
        digest = None if note.asked is None else self._audit.digest_of(note.asked)
        self._audit.call(note, status=status, outcome=outcome, digest=digest, code=code)

    def _show(
        self,
        call: Call,
        note: CallNote,
        status: int | None,
        outcome: Outcome,
        *,
        code: str | None = None,
    ) -> None:
        """Let people see that the call ended; what it carried sealed is shown by itself."""
        opened = call.operation == Operation.SEALED and code is None
        if self._live is not None and not opened and call.operation != Operation.JOURNAL:
            self._live.ended(note, status=status, outcome=outcome, code=code, hops=call.hops)

    def _log(self, call: Call, event: str, **facts: object) -> None:
        log.info(
            event,
            call_id=call.call_id,
            operation=call.operation,
            rows=call.reply.rows,
            duration_ms=call.hops["agent"],
            **facts,
        )


def _operation_of(name: str) -> Operation:
    operation = _OPERATIONS.get(name)
    if operation is None:
        raise UnsupportedOperationError(f"The connector does not know the operation {name!r}.")
    return operation
