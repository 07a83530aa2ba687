"""Writes that have begun: journaled, run to their end whoever waits, never run twice."""

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Final, Protocol

import orjson
import structlog

from cloud_connect.errors import (
    CloudConnectError,
    DeadlineExceededError,
    InternalError,
    NotFoundError,
    Outcome,
    OutcomeUnknownError,
)
from cloud_connect.tunnel import ResponseHead
from cloud_connect.tunnel.heads import encode_head
from cloud_connect_agent.audit.notes import CallAudit, call_note, leave_to_its_end
from cloud_connect_agent.journal import JournalEntry
from cloud_connect_agent.procore.writes import write_guard
from cloud_connect_agent.reply import INTERNAL_FAILURE, Call, problem_of
from cloud_connect_agent.sealed_exchange import AnswerSeal
from cloud_connect_agent.stages import Stage, spent
from cloud_connect_agent.write_answers import (
    Answer,
    failed,
    given_up,
    may_go_again,
    mismatch,
    not_kept,
    stored,
)

__all__ = ["CallJournal", "Settle", "Work", "WriteCalls", "fingerprint_of"]

log = structlog.get_logger(__name__)


class CallJournal(Protocol):
    """The durable record of calls, as far as writes need it."""

    def vouches_for(self, age: float | None) -> bool:
        """Whether a call without an entry, sent *age* seconds ago, surely never came."""
        ...

    async def receive(
        self, call_id: str, *, operation: str, fingerprint: str
    ) -> JournalEntry | None:
        """Enter a call, or return the entry that is there."""
        ...

    async def intend(self, call_id: str, *, again: bool = False) -> None:
        """Note that a write goes out."""
        ...

    async def finish(
        self, call_id: str, *, outcome: Outcome, status: int, head: bytes, body: bytes | None
    ) -> None:
        """Note what became of it."""
        ...

    async def find(self, call_id: str) -> JournalEntry | None:
        """Return a call's entry."""
        ...

    async def claim(self, nonce: str, call_id: str) -> str | None:
        """Bind a number used once to a call; return the call that has it, if it is another."""
        ...

    async def release(self, nonce: str, call_id: str) -> None:
        """Let go of the number of a call that was refused before it was entered."""
        ...


Settle = Callable[[Answer], Awaitable[None]]
Work = Callable[[Settle], Awaitable[Answer | None]]


def fingerprint_of(
    operation: str, params: Mapping[str, object], body: bytes, *, seal: AnswerSeal | None = None
) -> str:
    """Return a digest that two requests share only if they ask for the same.

    That of a sealed one tells nothing to whoever guesses what is inside.
    """
    asked = {
        key: params[key] for key in params if key not in {"again", "replay_only", "interactive"}
    }
    digest = hashlib.sha256(operation.encode())
    digest.update(orjson.dumps(asked, option=orjson.OPT_SORT_KEYS))
    digest.update(body)
    if seal is not None:
        digest.update(seal.secret)
    return digest.hexdigest()


class _Run:
    """One write under way; it guards what leaves for Procore."""

    def __init__(
        self,
        call_id: str,
        fingerprint: str,
        journal: CallJournal,
        *,
        seal: AnswerSeal | None,
        audit: CallAudit | None,
    ) -> None:
        self.call_id: Final = call_id
        self.fingerprint: Final = fingerprint
        self.answered: Final[asyncio.Future[Answer]] = asyncio.get_running_loop().create_future()
        self.task: asyncio.Task[None] | None = None
        self.intended = False
        self.replay = False
        self.again = False
        self.doubtful = False  # an earlier attempt may have been carried out
        self.entered = False  # the journal has the call, and has said what it knew of it
        self._journal: Final = journal
        self._seal: Final = seal
        self._audit: Final = audit
        self._note: Final = call_note.get()
        self.abandoned = False
        self._carried_out = 0

    async def before_write(self) -> None:
        """Let a write go once its intent is durable."""
        if self.abandoned:
            raise given_up()
        if self.intended:
            return
        if self._audit is not None:
            self._audit.require()
        self.intended = True  # from here on nobody abandons it
        try:
            with spent(Stage.JOURNAL):
                await self._journal.intend(self.call_id, again=self.again)
        except CloudConnectError:
            self.intended = False
            raise

    def carried_out(self) -> None:
        """Note a write that Procore carried out."""
        self._carried_out += 1

    def abandon(self) -> bool:
        """End the write if nothing of it went out; return whether that is so."""
        if self.intended:
            return False
        self.abandoned = True
        if self.task is not None and self.entered:  # else it would stay open in the journal
            self.task.cancel()
        return True

    async def settle(self, answer: Answer) -> None:
        """Make the answer durable, then known."""
        if self.answered.done():
            return
        head = answer.head
        outcome = head.outcome or Outcome.COMPLETED
        undone = outcome is Outcome.NOT_EXECUTED
        if (undone and self._carried_out) or (self.doubtful and (undone or head.problem)):
            # A part of it was carried out, or perhaps the attempt before: "nothing" would be a lie.
            outcome = Outcome.UNKNOWN
            problem = head.problem and head.problem.model_copy(update={"outcome": outcome})
            head = head.model_copy(update={"outcome": outcome, "problem": problem})
            answer = replace(answer, head=head)
        kept_head, kept_body = head, answer.body
        if self._seal is not None:  # the journal is asked by the relay, and tells it what it keeps
            kept_head, kept_body = self._seal.conceal(head, answer.body)
        self._record(head.status, outcome)
        try:
            with spent(Stage.JOURNAL):
                await self._journal.finish(
                    self.call_id,
                    outcome=outcome,
                    status=head.status,
                    head=encode_head(kept_head),
                    body=kept_body,
                )
        except CloudConnectError as error:
            log.error("result_not_journaled", call_id=self.call_id, reason=error.message)  # noqa: TRY400 - the reason says all
            # Of one that did not go out the journal says as much without its result.
            if self.intended or outcome is not Outcome.NOT_EXECUTED:
                answer = failed(
                    OutcomeUnknownError(
                        f"The call ended ({outcome.value}), but its result could not be recorded: "
                        f"{error.message}"
                    )
                )
        if not self.answered.done():
            self.answered.set_result(answer)

    def _record(self, status: int, outcome: Outcome) -> None:
        """Record the end in the audit log, ahead of the journal: a crash loses neither.

        What only the journal has is recorded at the next start.
        """
        if self._audit is not None and self._note is not None:
            digest = self._audit.digest_of(self.fingerprint.encode())
            self._audit.call(self._note, status=status, outcome=outcome, digest=digest)


class WriteCalls:
    """Runs writes in tasks of their own.

    A write that has started goes on when its caller goes away; one that has not ends.
    """

    def __init__(
        self,
        journal: CallJournal,
        tasks: asyncio.TaskGroup,
        *,
        audit: CallAudit | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._journal: Final = journal
        self._audit: Final = audit
        self._tasks: Final = tasks
        self._clock: Final = clock
        self._running: Final[dict[str, _Run]] = {}
        self._idle: Final = asyncio.Event()
        self._idle.set()

    @property
    def running(self) -> int:
        """Writes under way."""
        return len(self._running)

    async def idle(self) -> None:
        """Wait until no write is under way."""
        await self._idle.wait()

    async def close(self, linger: float) -> None:
        """Wait up to *linger* seconds for writes under way, then leave them to the journal."""
        try:
            async with asyncio.timeout(linger):
                await self.idle()
        except TimeoutError:
            pass
        finally:
            for run in self._running.values():
                if run.task is not None:
                    run.task.cancel()

    async def run(
        self, call: Call, operation: str, fingerprint: str, work: Work, *, again: bool = False
    ) -> Answer | None:
        """Run a write, or answer it from the journal; ``None`` if its work answered itself.

        Args:
            again: Carrying it out twice leaves what once leaves, so it may be tried again
                unless the journal knows that it was completed.

        Raises:
            DeadlineExceededError: If the deadline passed; its outcome says if it had started.
            IdempotencyMismatchError: If the call id stands for another request.
        """
        leave_to_its_end()
        run = self._running.get(call.call_id)
        if run is not None:
            return (await self._join(run, call, fingerprint)).replayed
        run = _Run(call.call_id, fingerprint, self._journal, seal=call.seal, audit=self._audit)
        self._running[call.call_id] = run
        self._idle.clear()
        run.task = self._tasks.create_task(
            self._execute(run, operation, work, again=again), name=f"write-{call.call_id}"
        )
        try:
            answer = await self._wait(run, call)
        except asyncio.CancelledError:
            run.abandon()
            raise
        except DeadlineExceededError:
            if run.abandon():
                raise DeadlineExceededError(
                    "The call's deadline passed before it went to Procore.",
                    outcome=Outcome.UNKNOWN if again else Outcome.NOT_EXECUTED,
                ) from None
            raise
        if answer.body is None and not run.replay:
            await asyncio.wait({run.task})  # it streams the rest itself
            return None
        return answer

    async def replay(self, call: Call, fingerprint: str | None) -> Answer:
        """Answer a call from the journal, executing nothing.

        Args:
            fingerprint: What the request must equal, if it is known.

        Raises:
            NotFoundError: If the journal does not know the call.
        """
        leave_to_its_end()
        run = self._running.get(call.call_id)
        if run is not None:
            return (await self._join(run, call, fingerprint)).replayed
        return stored(await self._find(call.call_id), fingerprint)

    async def look_up(self, call_id: str, *, age: float | None = None) -> Answer:
        """Return what is known of a call: no outcome while it runs or the journal is shut.

        A call that the journal does not know has a problem that says so, and no outcome.

        Args:
            age: How many seconds ago it was sent here, if that is known.
        """
        if call_id in self._running:
            return Answer(head=ResponseHead(status=202))
        try:
            entry = await self._find(call_id, age)
            if entry.outcome is None:  # its result waits for room on the disk
                return Answer(head=ResponseHead(status=202))
            return stored(entry, None)
        except NotFoundError as error:
            return Answer(head=ResponseHead(status=error.status, problem=problem_of(error)))
        except CloudConnectError:
            return Answer(head=ResponseHead(status=503))

    async def _find(self, call_id: str, age: float | None = None) -> JournalEntry:
        entry = await self._journal.find(call_id)
        if entry is None:
            # What a lost or purged journal does not show may have been executed all the same.
            known = self._journal.vouches_for(age)
            outcome = Outcome.NOT_EXECUTED if known else Outcome.UNKNOWN
            raise NotFoundError("The connector does not know this call.", outcome=outcome)
        return entry

    async def _join(self, run: _Run, call: Call, fingerprint: str | None) -> Answer:
        if fingerprint is not None and fingerprint != run.fingerprint:
            raise mismatch()
        answer = await self._wait(run, call)
        return answer if answer.body is not None else failed(not_kept(answer.head.outcome))

    async def _wait(self, run: _Run, call: Call) -> Answer:
        while (left := call.deadline - self._clock()) > 0:
            try:
                async with asyncio.timeout(left):
                    return await asyncio.shield(run.answered)
            except TimeoutError:
                continue  # the deadline may have moved
        raise DeadlineExceededError(
            "The deadline passed while the call was under way to Procore; it goes on, so look it "
            "up before a repeat.",
            outcome=Outcome.UNKNOWN,
        )

    async def _execute(self, run: _Run, operation: str, work: Work, *, again: bool) -> None:
        answer: Answer | None = None
        try:
            with spent(Stage.JOURNAL):
                entry = await self._journal.receive(
                    run.call_id, operation=operation, fingerprint=run.fingerprint
                )
            run.doubtful, run.entered = again, True
            if entry is None:
                await self._perform(run, work)
            elif again and may_go_again(entry, run.fingerprint):
                run.again = True
                await self._perform(run, work)
            else:
                run.replay = True
                answer = stored(entry, run.fingerprint)
        except CloudConnectError as error:
            answer = failed(error)
        except Exception:
            log.exception("write_failed", call_id=run.call_id)
            answer = failed(InternalError(INTERNAL_FAILURE, outcome=Outcome.UNKNOWN))
        finally:
            del self._running[run.call_id]
            if not self._running:
                self._idle.set()
            if not run.answered.done():
                run.answered.set_result(answer or failed(given_up(intended=run.intended)))

    async def _perform(self, run: _Run, work: Work) -> None:
        if run.abandoned:
            await run.settle(failed(given_up()))
            return
        write_guard.set(run)
        try:
            answer = await work(run.settle)
            if answer is not None:
                await run.settle(answer)
        except CloudConnectError as error:
            await run.settle(failed(error))
        except asyncio.CancelledError:
            if not run.intended:
                await run.settle(failed(given_up()))
            raise
        except Exception:
            log.exception("write_failed", call_id=run.call_id)
            outcome = Outcome.UNKNOWN if run.intended else Outcome.NOT_EXECUTED
            await run.settle(failed(InternalError(INTERNAL_FAILURE, outcome=outcome)))
