"""The journal's database over a process's life: opened, lost, found damaged, opened again."""

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import structlog

from cloud_connect.errors import CloudConnectError, InternalError, JournalUnavailableError, Outcome
from cloud_connect_agent.journal.damage import Damage, JournalDamagedError, is_damage, set_aside
from cloud_connect_agent.journal.database import Database
from cloud_connect_agent.journal.opening import open_database

__all__ = ["JournalJob", "JournalKeeper"]

log = structlog.get_logger(__name__)

_MAX_OWED: Final = 1024  # results that wait in memory for room on the disk
_ROOM_STEPS: Final = 50  # of making room at a time; the rest has its turn later

_REMEDY: Final = "So writes are refused; free some disk space or repair the agent's state folder."

_BROKEN: Final = "The agent's journal failed; the agent's log has the reason."

_Deliver = Callable[[], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalJob:
    """Something to do with the database.

    Attributes:
        attempt: Does it, and returns what tells so once it is durable.
        refuse: Tells that it cannot be done.
        writes: It runs within a transaction that it shares with others.
        owed: Try again later if it cannot be done, whoever has been told.
        outcome: Of the call, if it cannot be done.
    """

    attempt: Callable[[Database], _Deliver]
    refuse: Callable[[CloudConnectError], None]
    writes: bool = True
    owed: bool = False
    outcome: Outcome = Outcome.NOT_EXECUTED


class JournalKeeper:
    """Carries out jobs; all but its properties belongs to one thread.

    Attributes:
        problem: Why the journal cannot be written; ``None`` while it can.
        damage: What was found damaged, until somebody accepts the loss.
        complete_since: Each call since then that came here has an entry; ``None`` while nothing
            can be said.
        commits: Transactions of this process.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float], max_bytes: int) -> None:
        self.problem: str | None = None
        self.damage: Damage | None = None
        self.complete_since: float | None = None
        self.commits = 0
        self._path: Final = path
        self._clock: Final = clock
        self._max_bytes: Final = max_bytes
        self._database: Database | None = None
        self._settled = False
        self._owed: list[JournalJob] = []

    @property
    def waits(self) -> bool:
        """Whether something could be better a moment later."""
        return self.problem is not None or bool(self._owed)

    def carry_out(self, jobs: Sequence[JournalJob]) -> None:
        """Do the jobs, those that write in one transaction, and tell whoever waits."""
        writes = [job for job in jobs if job.writes]
        if writes:
            self._commit(writes)
        for job in jobs:
            if not job.writes:
                self._read(job)

    def probe(self) -> None:
        """Find out whether the journal can be written."""
        self._commit([_job(Database.touch)])

    def purge(self) -> None:
        """Forget what is old, and what is more than there is room for."""
        full = True

        def make_room(database: Database) -> None:
            nonlocal full
            full = database.make_room(self._max_bytes)

        self._commit([_job(lambda database: database.purge(self._clock()))])
        for _ in range(_ROOM_STEPS):
            if not full or self.problem is not None:
                break
            self._commit([_job(make_room)])
        self.carry_out([_job(Database.give_back, writes=False)])

    def close(self) -> None:
        """Close the database."""
        database, self._database = self._database, None
        if database is not None:
            database.close()

    def _commit(self, jobs: Sequence[JournalJob]) -> None:
        jobs = [*self._owed, *jobs]
        self._owed = []
        tell: list[_Deliver] = []
        try:
            database = self._ready()
            with database.transaction():
                for job in jobs:
                    try:
                        tell.append(job.attempt(database))
                    except CloudConnectError as exc:  # nothing was written by that one
                        tell.append(partial(job.refuse, exc))
        except (sqlite3.Error, OSError, JournalDamagedError, JournalUnavailableError) as exc:
            self._failed(exc)
            for job in jobs:
                self._refuse(job)
            self._owed = [job for job in jobs if job.owed][:_MAX_OWED]
            return
        except Exception:  # the thread goes on whatever happens: everybody waits for it
            log.exception("journal_broke")
            self._note(_BROKEN)
            for job in jobs:
                job.refuse(InternalError(_BROKEN, outcome=job.outcome))
            return
        self.commits += 1
        self.complete_since = database.complete_since
        self._note(None)
        for deliver in tell:
            deliver()

    def _read(self, job: JournalJob) -> None:
        try:
            deliver = job.attempt(self._ready())
        except (sqlite3.Error, OSError, JournalDamagedError, JournalUnavailableError) as exc:
            self._failed(exc)
            self._refuse(job)
        except Exception:  # likewise
            log.exception("journal_broke")
            job.refuse(InternalError(_BROKEN, outcome=job.outcome))
        else:
            deliver()

    def _ready(self) -> Database:
        """Return the database, opened and settled if need be.

        Raises:
            JournalUnavailableError: If it was found damaged, or another version wrote it.
            JournalDamagedError: If that is found now.
            sqlite3.Error: If it cannot be opened.
            OSError: Likewise.
        """
        database = self._database or self._opened()
        if not self._settled:
            now = self._clock()
            with database.transaction():
                database.settle(now)
                database.purge(now)
            self._settled = True  # what is open from now on is this process's own
            self.complete_since = database.complete_since
        return database

    def _opened(self) -> Database:
        standing = Damage.read(self._path)
        if standing is not None:
            self.damage = standing
            self.complete_since = standing.found_at  # none has been taken since
            raise JournalUnavailableError(standing.sentence)
        accepted, self.damage = self.damage, None
        now = self._clock()
        database = self._database = open_database(
            self._path, now=now, complete_since=min(now, accepted.found_at) if accepted else None
        )
        self.complete_since = database.complete_since
        return database

    def _failed(self, error: Exception) -> None:
        damaged = isinstance(error, JournalDamagedError) or (
            isinstance(error, sqlite3.Error) and is_damage(error)
        )
        if damaged:
            self._set_aside(str(error))
        elif isinstance(error, JournalUnavailableError):
            self._note(error.message)
        else:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_IOERR:
                self.close()  # it may not know any more what is on the disk
            reason = error.strerror if isinstance(error, OSError) else error  # it names no path
            self._note(f"The journal cannot be written: {reason}. {_REMEDY}")

    def _set_aside(self, reason: str) -> None:
        now = self._clock()
        try:
            damage = set_aside(self._path, reason, now=now)
        except OSError:
            self.close()  # Windows moves no open file
            try:
                damage = set_aside(self._path, reason, now=now)
            except OSError as exc:  # it is found damaged again when it is opened again
                self._note(
                    f"The journal is damaged ({reason}) and cannot be kept aside: {exc.strerror}. "
                    f"{_REMEDY}"
                )
                return
        self.close()
        self.damage = damage
        self.complete_since = damage.found_at
        self._note(damage.sentence)

    def _refuse(self, job: JournalJob) -> None:
        job.refuse(JournalUnavailableError(f"{self.problem}", outcome=job.outcome))

    def _note(self, problem: str | None) -> None:
        if problem != self.problem:
            self.problem = problem
            if problem is None:
                log.info("journal_recovered")
            else:
                log.error("journal_unavailable", problem=problem)


def _job(work: Callable[[Database], object], *, writes: bool = True) -> JournalJob:
    """Return a job that nobody waits for."""

    def attempt(database: Database) -> _Deliver:
        work(database)
        return lambda: None

    return JournalJob(attempt=attempt, refuse=lambda _: None, writes=writes)
