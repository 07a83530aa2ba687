"""The audit log of a running agent: calls and events as they happen, signed now and then."""

import asyncio
import contextlib
import errno
import hmac
import os
import shutil
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Final

import structlog

from cloud_connect.audit import ACCEPTED, CUT, Checkpoint, Signer, record_time
from cloud_connect.errors import JournalUnavailableError, Outcome
from cloud_connect.file_lock import FileInUseError
from cloud_connect_agent.audit.folder import AuditFolder
from cloud_connect_agent.audit.notes import CallNote
from cloud_connect_agent.audit.retention import Retention, cut
from cloud_connect_agent.audit.writer import AuditWriter, Head

__all__ = ["AuditTrail"]

log = structlog.get_logger(__name__)

_SYNC_SECONDS: Final = 1.0  # after which a record survives the machine
_SIGN_RECORDS: Final = 100
_SIGN_SECONDS: Final = 60.0
_CUT_SECONDS: Final = 3600.0  # between two looks for what is too old
_ROOM_BYTES: Final = 64 * 1024  # on the disk: more than the records of all writes at once
_MAX_OWED: Final = 1024  # records of writes and events that wait for room on the disk
_LOCK_SECONDS: Final = 5.0  # a command that appends holds the log for less
_DIGEST_CHARACTERS: Final = 32
_REMEDY: Final = (
    "So writes are refused, and reads go on unrecorded; free some disk space or repair the agent's"
    " state folder."
)


class AuditTrail:
    """Appends to the log of this PC; all of it belongs to the event loop.

    Nothing here raises: what cannot be recorded makes a problem, and a problem refuses writes.

    Attributes:
        problem: Why nothing can be recorded; ``None`` while it can.
        mismatch: Why the log is not the one that the relay knows; ``None`` while it is.
    """

    def __init__(
        self,
        folder: AuditFolder,
        *,
        signer: Signer,
        digest_key: bytes,
        retention: Retention | None = None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder: Final = folder
        self.problem: str | None = None
        self.mismatch: str | None = None
        self._signer: Final = signer
        self._digest_key: Final = digest_key
        self._retention: Final = retention or Retention()
        self._clock: Final = clock
        self._monotonic: Final = monotonic
        self._writer: AuditWriter | None = None
        self._signed: Checkpoint | None = None
        self._unsigned_since: float | None = None
        self._cut_at = monotonic()
        self._owed: Final[deque[dict[str, object]]] = deque(maxlen=_MAX_OWED)
        self._unrecorded = 0
        self._dirty: Final = asyncio.Event()
        self._news = asyncio.Event()

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        folder: AuditFolder,
        *,
        signer: Signer,
        digest_key: bytes,
        retention: Retention | None = None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> AsyncIterator["AuditTrail"]:
        """Hold the log until the block ends; one that cannot be used opens all the same."""
        trail = cls(
            folder,
            signer=signer,
            digest_key=digest_key,
            retention=retention,
            clock=clock,
            monotonic=monotonic,
        )
        with contextlib.ExitStack() as stack:
            try:
                trail._writer = await asyncio.to_thread(
                    stack.enter_context, AuditWriter.open(folder, lock_timeout=_LOCK_SECONDS)
                )
            except (OSError, FileInUseError) as exc:
                trail._failed(exc)
            else:
                await asyncio.to_thread(trail._begin, trail._writer)
            try:
                yield trail
            finally:
                await trail.sign()

    @property
    def checkpoint(self) -> Checkpoint | None:
        """The newest checkpoint of this log."""
        return self._signed

    @property
    def log(self) -> str:
        """The log's name."""
        return self._writer.log if self._writer is not None else ""

    @property
    def problems(self) -> tuple[str, ...]:
        """Sentences about what a person has to look into."""
        return tuple(one for one in (self.problem, self.mismatch) if one is not None)

    def document(self) -> dict[str, object]:
        """Return how the log fares, as ``status`` shows it."""
        return {
            "state": "ok" if not self.problems else "unavailable" if self.problem else "mismatch",
            "log": self.log,
            "records": self._writer.head.seq if self._writer is not None else None,
            "signed": self._signed.seq if self._signed is not None else 0,
            "unrecorded_reads": self._unrecorded,
        }

    def require(self) -> None:
        """Let a write go only if it can be recorded.

        Raises:
            JournalUnavailableError: If it cannot.
        """
        if self.problem is not None:
            self._catch_up()
        elif not self._has_room():
            self._failed(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
        if self.problem is not None:
            raise JournalUnavailableError(self.problem, outcome=Outcome.NOT_EXECUTED)

    def digest_of(self, data: bytes) -> str:
        """Return a digest that only this PC can make: nobody can guess what it is of."""
        return hmac.digest(self._digest_key, data, "sha256").hex()[:_DIGEST_CHARACTERS]

    def event(
        self,
        action: str,
        facts: Mapping[str, str | int | None] | None = None,
        *,
        actor: str = "agent",
    ) -> None:
        """Record something that was done to this PC, such as ``agent.paused``."""
        known = {name: value for name, value in (facts or {}).items() if value is not None}
        self._append(self._record(action, actor, detail=known or None), is_owed=True)

    def call(
        self,
        note: CallNote,
        *,
        status: int | None,
        outcome: Outcome,
        digest: str | None = None,
        **detail: str | int | bool | None,
    ) -> None:
        """Record a call that was carried out, or refused.

        Args:
            digest: Of what was asked for, by :meth:`digest_of`.
        """
        facts = note.facts()
        facts["outcome"] = outcome.value
        for name, value in detail.items():
            if value is not None:
                facts[name] = value
        # Each call comes by here: no more is built than it takes.
        record: dict[str, object] = {
            "action": "call",
            "actor": "relay",
            "call_id": note.call_id,
            "detail": facts,
            "time": record_time(self._clock()),
        }
        if note.known:
            record["decision"] = "allowed" if note.allowed else "refused"
            record["rule"] = note.rule
        if digest is not None:
            record["digest"] = digest
        if status is not None:
            record["status"] = status
        self._append(record, is_owed=note.journaled)

    def disagree(self, sentence: str) -> None:
        """Note that this log and what is known of it, or of the relay's, do not fit."""
        if sentence != self.mismatch:
            self.mismatch = sentence
            log.error("audit_mismatch", reason=sentence)
            self.event("audit.mismatch", {"reason": sentence})

    def accept(self, checkpoints: Iterable[Checkpoint], reason: str) -> None:
        """Record that an administrator accepts that a log does not go on from checkpoints."""
        places = [{"log": one.log, "seq": one.seq, "hash": one.hash} for one in checkpoints]
        detail = {"reason": reason, "checkpoints": places}
        self._append(self._record(ACCEPTED, "administrator", detail=detail), is_owed=True)
        self.mismatch = None

    async def checkpointed(self) -> None:
        """Wait until there is another checkpoint than the last time."""
        await self._news.wait()
        self._news.clear()

    async def sign(self) -> None:
        """Sign what there is, without waiting until it is time."""
        await self._settle(at_once=True)

    async def keep(self) -> None:
        """Make records durable within a second and sign them within a minute, until cancelled."""
        while True:
            await self._next_duty()
            self._dirty.clear()
            await asyncio.sleep(_SYNC_SECONDS)  # what comes meanwhile shares the flush
            if self.problem is not None:
                self._catch_up()
            await self._settle()
            await self._cut()

    async def _next_duty(self) -> None:
        """Wait for a record, or until what there is has to be signed."""
        within = None
        if self.problem is not None:
            within = _SYNC_SECONDS
        elif self._unsigned_since is not None:
            within = max(0.0, self._unsigned_since + _SIGN_SECONDS - self._monotonic())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._dirty.wait()

    def _begin(self, writer: AuditWriter) -> None:
        self._signed = self.folder.newest_checkpoint()
        if writer.head.seq > (self._signed.seq if self._signed else 0):
            self._unsigned_since = self._monotonic()
        if writer.recovered is not None:
            self.event("audit.recovered", {"reason": writer.recovered})

    def _record(self, action: str, actor: str, **facts: object) -> dict[str, object]:
        record = {name: value for name, value in facts.items() if value is not None}
        record["time"] = record_time(self._clock())
        record["actor"] = actor
        record["action"] = action
        return record

    def _append(self, record: dict[str, object], *, is_owed: bool) -> None:
        if self.problem is None or self._catch_up():
            try:
                self._write(record)
            except OSError as exc:
                self._failed(exc)
            else:
                return
        if is_owed:
            self._owed.append(record)
        else:
            self._unrecorded += 1

    def _write(self, record: Mapping[str, object]) -> None:
        if self._writer is None:
            raise FileNotFoundError(2, "The audit log is not open")
        self._writer.append(record)
        if self._unsigned_since is None:
            self._unsigned_since = self._monotonic()
        self._dirty.set()

    def _has_room(self) -> bool:
        """Whether the records of all writes that run fit: one that is let go must be recorded."""
        try:
            return shutil.disk_usage(self.folder.path).free >= _ROOM_BYTES
        except OSError:
            return False

    def _catch_up(self) -> bool:
        """Try to record what is owed, and how much is missing; whether that worked."""
        if self._writer is None or not self._has_room():
            return False
        try:
            while self._owed:
                self._write(self._owed[0])
                self._owed.popleft()
            missing, detail = self._unrecorded, {"reads": self._unrecorded}
            self._write(self._record("audit.gap", "agent", detail=detail))
        except OSError:
            return False
        self._unrecorded -= missing
        self.problem = None
        log.info("audit_log_recovered", unrecorded_reads=missing)
        return True

    async def _settle(self, *, at_once: bool = False) -> None:
        """Make what was appended survive the machine, and sign it if it is time."""
        writer = self._writer
        if writer is None or self._unsigned_since is None:
            return
        head = writer.head
        try:
            await asyncio.to_thread(writer.sync)
            unsigned = head.seq - (self._signed.seq if self._signed else 0)
            age = self._monotonic() - self._unsigned_since
            if writer.is_full:
                # In one go with what came meanwhile: the next file begins behind a checkpoint,
                # however much goes on.
                writer.sync()
                checkpoint = self._checkpoint(writer.log, writer.head)
                self.folder.add_checkpoint(checkpoint)
                self._now_signed(checkpoint)
                writer.close()
            elif unsigned >= _SIGN_RECORDS or age >= _SIGN_SECONDS or (at_once and unsigned):
                checkpoint = self._checkpoint(writer.log, head)
                await asyncio.to_thread(self.folder.add_checkpoint, checkpoint)
                self._now_signed(checkpoint)
                if writer.head.seq > head.seq:
                    self._unsigned_since = self._monotonic()
        except FileNotFoundError as exc:
            writer.close()  # the next record begins another file, and the gap shows
            log.error("audit_log_replaced", reason=exc.strerror)  # noqa: TRY400 - that is all
            self.event("audit.file_lost", {"seq": head.seq})
        except OSError as exc:
            self._failed(exc)

    def _checkpoint(self, name: str, head: Head) -> Checkpoint:
        return Checkpoint.sign(
            self._signer, log=name, seq=head.seq, digest=head.hash, at=self._clock()
        )

    def _now_signed(self, checkpoint: Checkpoint) -> None:
        self._signed, self._unsigned_since = checkpoint, None
        self._news.set()

    async def _cut(self) -> None:
        """Delete what is too old or too much, now and then."""
        if self._writer is None or self._monotonic() < self._cut_at:
            return
        self._cut_at = self._monotonic() + _CUT_SECONDS
        plan = await asyncio.to_thread(self._retention.plan, self.folder, now=self._clock())
        if plan is None:
            return
        self.event(CUT, {"up_to": plan.up_to})
        await self._settle()
        if self.problem is None:
            try:
                await asyncio.to_thread(cut, self.folder, plan)
            except OSError as exc:
                log.warning("audit_log_not_cut", reason=exc.strerror)

    def _failed(self, error: OSError | FileInUseError) -> None:
        reason = (
            (error.strerror or type(error).__name__)
            if isinstance(error, OSError)
            else ("another process holds it")
        )
        problem = f"The audit log cannot be written: {reason}. {_REMEDY}"
        if problem != self.problem:
            self.problem = problem
            log.error("audit_log_unavailable", problem=problem)
        self._dirty.set()
