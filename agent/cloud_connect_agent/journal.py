"""The durable record of calls: received, intent before the first byte, outcome after.

SQLite runs in a thread of its own; what waits there together is committed together, since
one commit costs one flush of the disk however many rows it holds.
"""

import asyncio
import queue
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, TypeAlias

import structlog

from cloud_connect.errors import CloudConnectError, InternalError, Outcome

__all__ = ["Journal", "JournalEntry", "JournalState", "JournalUnavailableError"]

log = structlog.get_logger(__name__)

RETENTION_SECONDS = 7 * 24 * 3600
MAX_BODY_BYTES = 256 * 1024  # larger answers are not kept; a replay says so
_MAX_BATCH = 512  # bounds the time to the first answer of a batch
_PURGE_SECONDS = 3600.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS calls (
    call_id TEXT PRIMARY KEY,
    operation TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    state TEXT NOT NULL,
    outcome TEXT,
    status INTEGER,
    head BLOB,
    body BLOB,
    changed_at REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS calls_by_change ON calls (changed_at);
"""
_COLUMNS = "call_id, operation, fingerprint, state, outcome, status, head, body"


class JournalState(StrEnum):
    """How far a call came."""

    RECEIVED = "received"
    INTENT = "intent"
    DONE = "done"


class JournalUnavailableError(CloudConnectError):
    """The journal cannot be written, so writes to Procore are refused; reads go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalEntry:
    """What is known about one call.

    Attributes:
        outcome: ``None`` while the call runs. An entry in state ``intent`` with outcome
            ``unknown`` was running when the agent died.
        body: ``None`` if the answer was too large to be kept.
    """

    call_id: str
    operation: str
    fingerprint: str
    state: JournalState
    outcome: Outcome | None
    status: int | None
    head: bytes | None
    body: bytes | None


_Result: TypeAlias = JournalEntry | None
_Work: TypeAlias = Callable[[sqlite3.Connection], _Result]
_Job: TypeAlias = tuple[_Work, asyncio.Future[_Result] | None]


class Journal:
    """The journal of one agent."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._path: Final = path
        self._clock: Final = clock
        self._jobs: Final[queue.SimpleQueue[_Job | None]] = queue.SimpleQueue()
        self._problem: str | None = None
        self._closed = False
        self._loop: Final = asyncio.get_running_loop()
        self.commits = 0

    @classmethod
    @asynccontextmanager
    async def open(
        cls, path: Path, *, clock: Callable[[], float] = time.time
    ) -> AsyncIterator["Journal"]:
        """Open the journal and settle what an earlier process left behind.

        A journal that cannot be used opens all the same: its ``problem`` says why, and each
        attempt to write raises :class:`JournalUnavailableError`.
        """
        journal = cls(path, clock=clock)
        opened: asyncio.Future[_Result] = journal._loop.create_future()
        thread = threading.Thread(
            target=journal._serve, args=(opened,), name="journal", daemon=True
        )
        thread.start()
        try:
            await asyncio.shield(opened)
            yield journal
        finally:
            journal._closed = True
            journal._jobs.put(None)
            await asyncio.shield(asyncio.to_thread(thread.join))

    @property
    def problem(self) -> str | None:
        """Why the journal cannot be written; ``None`` while it can."""
        return self._problem

    async def receive(
        self, call_id: str, *, operation: str, fingerprint: str
    ) -> JournalEntry | None:
        """Enter a call; return the entry that exists already, which must not run again."""

        def work(database: sqlite3.Connection) -> JournalEntry | None:
            cursor = database.execute(
                "INSERT INTO calls (call_id, operation, fingerprint, state, changed_at)"
                " VALUES (?, ?, ?, 'received', ?) ON CONFLICT DO NOTHING",
                (call_id, operation, fingerprint, self._clock()),
            )
            return None if cursor.rowcount else _find(database, call_id)

        return await self._run(work)

    async def intend(self, call_id: str) -> None:
        """Note that the first byte of a write goes to Procore after this; durable on return."""

        def work(database: sqlite3.Connection) -> None:
            _update(
                database.execute(
                    "UPDATE calls SET state = 'intent', changed_at = ?"
                    " WHERE call_id = ? AND state <> 'done'",
                    (self._clock(), call_id),
                ),
                call_id,
            )

        await self._run(work)

    async def finish(
        self, call_id: str, *, outcome: Outcome, status: int, head: bytes, body: bytes | None
    ) -> None:
        """Note what became of the call; durable on return."""
        kept = body if body is None or len(body) <= MAX_BODY_BYTES else None

        def work(database: sqlite3.Connection) -> None:
            _update(
                database.execute(
                    "UPDATE calls SET state = 'done', outcome = ?, status = ?, head = ?,"
                    " body = ?, changed_at = ? WHERE call_id = ?",
                    (outcome.value, status, head, kept, self._clock(), call_id),
                ),
                call_id,
            )

        await self._run(work, outcome=Outcome.UNKNOWN)

    async def find(self, call_id: str) -> JournalEntry | None:
        """Return the call's entry."""
        return await self._run(lambda database: _find(database, call_id))

    async def _run(self, work: _Work, *, outcome: Outcome = Outcome.NOT_EXECUTED) -> _Result:
        if self._closed:
            raise JournalUnavailableError("The agent's journal is closed.", outcome=outcome)
        answer: asyncio.Future[_Result] = self._loop.create_future()
        self._jobs.put((work, answer))
        try:
            return await answer
        except sqlite3.Error as exc:
            raise JournalUnavailableError(
                f"The agent's journal cannot be used ({exc}), so writes are refused; "
                "free some disk space or repair the agent's state folder.",
                outcome=outcome,
            ) from exc

    def _serve(self, opened: asyncio.Future[_Result]) -> None:
        database: sqlite3.Connection | None = None
        try:
            database = self._connect()
        except (sqlite3.Error, OSError) as exc:
            self._note(f"The journal cannot be opened: {exc}.")
        self._answer(opened, None)
        try:
            self._serve_jobs(database)
        finally:
            if database is not None:
                database.close()

    def _serve_jobs(self, database: sqlite3.Connection | None) -> None:
        closing = False
        while not closing:
            batch, closing = self._next_batch()
            if database is not None:
                self._commit(database, batch)
            else:
                broken = sqlite3.OperationalError(self._problem or "closed")
                for _, answer in batch:
                    self._answer(answer, broken)

    def _next_batch(self) -> tuple[list[_Job], bool]:
        """Return what waits, and whether the journal closes after it."""
        try:
            job = self._jobs.get(timeout=_PURGE_SECONDS)
        except queue.Empty:
            return [(self._purge, None)], False
        batch: list[_Job] = []
        while job is not None:
            batch.append(job)
            if len(batch) == _MAX_BATCH:
                return batch, False
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return batch, False
        return batch, True

    def _connect(self) -> sqlite3.Connection:
        self._path.touch(mode=0o600)
        database = sqlite3.connect(self._path, isolation_level=None, timeout=5.0)
        try:
            database.execute("PRAGMA journal_mode = WAL")
            # NORMAL may lose a committed row with the power; a lost intent is a duplicate write.
            database.execute("PRAGMA synchronous = FULL")
            database.execute("PRAGMA cache_size = -1024")
            database.executescript(_SCHEMA)
            database.execute("BEGIN IMMEDIATE")
            self._settle(database)
            self._purge(database)
            database.execute("COMMIT")
        except BaseException:
            database.close()
            raise
        return database

    def _settle(self, database: sqlite3.Connection) -> None:
        """Give the calls of a process that died the outcome that is certain about them."""
        changed = self._clock()
        database.execute(
            "UPDATE calls SET state = 'done', outcome = 'not_executed', changed_at = ?"
            " WHERE state = 'received'",
            (changed,),
        )
        database.execute(
            "UPDATE calls SET outcome = 'unknown', changed_at = ?"
            " WHERE state = 'intent' AND outcome IS NULL",
            (changed,),
        )

    def _purge(self, database: sqlite3.Connection) -> None:
        database.execute(
            "DELETE FROM calls WHERE changed_at < ? AND (state = 'done' OR outcome IS NOT NULL)",
            (self._clock() - RETENTION_SECONDS,),
        )

    def _commit(self, database: sqlite3.Connection, batch: list[_Job]) -> None:
        results: list[_Result | BaseException] = []
        try:
            database.execute("BEGIN IMMEDIATE")
            for work, _ in batch:
                try:
                    results.append(work(database))
                except CloudConnectError as exc:  # nothing was written by that one
                    results.append(exc)
            database.execute("COMMIT")
        except sqlite3.Error as exc:
            if database.in_transaction:
                database.execute("ROLLBACK")
            self._note(f"The journal cannot be written: {exc}.")
            results = [exc] * len(batch)
        else:
            self.commits += 1
            self._note(None)
        for (_, answer), result in zip(batch, results, strict=True):
            self._answer(answer, result)

    def _answer(
        self, answer: asyncio.Future[_Result] | None, result: _Result | BaseException
    ) -> None:
        def settle() -> None:
            if answer is None or answer.done():
                return  # nobody asked, or the caller was cancelled
            if isinstance(result, BaseException):
                answer.set_exception(result)
            else:
                answer.set_result(result)

        self._loop.call_soon_threadsafe(settle)

    def _note(self, problem: str | None) -> None:
        if problem != self._problem:
            self._problem = problem
            if problem is None:
                log.info("journal_recovered")
            else:
                log.error("journal_unavailable", problem=problem)


def _find(database: sqlite3.Connection, call_id: str) -> JournalEntry | None:
    row = database.execute(
        f"SELECT {_COLUMNS} FROM calls WHERE call_id = ?",  # noqa: S608 - a constant list
        (call_id,),
    ).fetchone()
    if row is None:
        return None
    return JournalEntry(
        call_id=row[0],
        operation=row[1],
        fingerprint=row[2],
        state=JournalState(row[3]),
        outcome=None if row[4] is None else Outcome(row[4]),
        status=row[5],
        head=row[6],
        body=row[7],
    )


def _update(cursor: sqlite3.Cursor, call_id: str) -> None:
    if not cursor.rowcount:
        raise InternalError(f"The journal has no open call {call_id}.")
