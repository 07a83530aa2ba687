"""The database: connections, transactions, and writes that share one commit."""

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from sqlalchemy import event, literal, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from cloud_connect.errors import ConfigurationError
from cloud_connect_relay.storage.audit import append_all

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.engine import URL
    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.pool import ConnectionPoolEntry
    from sqlalchemy.sql.dml import UpdateBase

    from cloud_connect_relay.storage.audit import AuditDraft
    from cloud_connect_relay.storage.tenant import Tenant

__all__ = ["Storage"]


_WRITES: Final = "cloud_connect_writes"  # execution option: the transaction takes the write lock
_MAX_BATCH: Final = 512  # statements that share one commit
_MAX_WAITING: Final = 10_000  # statements that wait for a commit; more wait before they queue
_PATIENCE: Final = 20.0  # seconds for a server's answer: one that vanished sends none, ever
_LONGEST_WRITE: Final = 300.0  # seconds: deleting what is old takes longest
_LONGEST_END: Final = 10.0  # seconds that a commit may keep a caller who was cancelled
_CACHE_KIBIBYTES: Final = 256
_BUSY_MILLISECONDS: Final = 10_000  # how long another process (the CLI) may hold the write lock


@dataclass(slots=True, kw_only=True, eq=False)
class _Entry:
    """A statement that waits for its commit.

    Attributes:
        done: Cancelled if it was withdrawn before it had begun.
        begun: It is being executed: it can be waited for, and not be withdrawn.
    """

    statement: "UpdateBase"
    parameters: Mapping[str, Any]
    done: "asyncio.Future[None]"
    audit: "AuditDraft | None" = None
    begun: bool = False


class Storage:
    """The relay's database.

    SQLite has one writer at a time: writers of this process queue on a lock here, those of
    other processes on SQLite's own. Every commit is on disk when it returns.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine: Final = engine
        self._writing: Final = engine.execution_options(**{_WRITES: True})
        self._single_writer: Final = engine.dialect.name == "sqlite"
        self._patience: Final = None if self._single_writer else _PATIENCE
        self._write_lock: Final = asyncio.Lock()
        self._waiting: Final[asyncio.Queue[_Entry | None]] = asyncio.Queue(_MAX_WAITING)

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, url: str) -> AsyncIterator[Self]:
        """Connect to the database at *url* until the block ends.

        Raises:
            ConfigurationError: If *url* is no database URL, its driver is missing, or it names
                a file that is no SQLite database and cannot become one.
        """
        engine = _engine(url)
        if engine.dialect.name == "sqlite":
            await asyncio.to_thread(_probe_file, str(engine.url.database))
        storage = cls(engine)
        failure: Exception | None = None
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(storage._commit_batches(), name="storage-batches")
                try:
                    yield storage
                except Exception as error:  # noqa: BLE001  re-raised below, outside the group
                    failure = error
                await storage._waiting.put(None)
        finally:
            await storage.engine.dispose()
        if failure is not None:
            raise failure

    @property
    def file(self) -> Path | None:
        """The SQLite file; ``None`` if the store is none."""
        url = self.engine.url
        return Path(str(url.database)) if self._single_writer and _has_file(url) else None

    @contextlib.asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """Hold a transaction that reads one consistent state.

        Raises:
            SQLAlchemyError: Whatever is wrong with the database, its absence included.
        """
        with _lost_alike():
            async with asyncio.timeout(self._patience), self.engine.begin() as connection:
                yield connection

    @contextlib.asynccontextmanager
    async def write(
        self, *, within: float | None = _LONGEST_WRITE
    ) -> AsyncIterator[AsyncConnection]:
        """Hold a transaction that may write; it is durable when the block has ended.

        Args:
            within: Seconds after which a server that does not answer is given up.

        Raises:
            SQLAlchemyError: Whatever is wrong with the database, its absence included.
        """
        async with contextlib.AsyncExitStack() as stack:
            stack.enter_context(_lost_alike())
            if self._single_writer:
                await stack.enter_async_context(self._write_lock)
            else:
                await stack.enter_async_context(asyncio.timeout(within))
            yield await stack.enter_async_context(self._writing.begin())

    async def record(
        self,
        statement: "UpdateBase",
        parameters: Mapping[str, Any],
        *,
        audit: "AuditDraft | None" = None,
    ) -> None:
        """Execute one statement, durably, in a transaction shared with its neighbours.

        For the many small writes of calls: what waits is committed together. The statements of
        one transaction may be reordered (equal ones run as one), so wait for a write before
        sending one that builds on it. Pass the same statement object each time.

        Whoever is cancelled knows that it is over: what has not begun never will, and what has
        is waited for. It can overtake nothing that is stored afterwards.

        Args:
            audit: What to append to the audit log with it, so that neither is without the other.
        """
        done = asyncio.get_running_loop().create_future()
        entry = _Entry(statement=statement, parameters=parameters, done=done, audit=audit)
        await self._waiting.put(entry)
        try:
            await asyncio.shield(done)
        except asyncio.CancelledError:
            if entry.begun:
                await asyncio.wait({done}, timeout=_LONGEST_END)
            else:
                done.cancel()
            raise

    async def ping(self) -> None:
        """Ask the database for an answer, whatever it is.

        Raises:
            SQLAlchemyError: If there is none.
        """
        async with self.read() as connection:
            await connection.execute(select(literal(1)))

    def of(self, subscription_id: str) -> "Tenant":
        """Return the repositories of one subscription; the id comes from a credential only."""
        from cloud_connect_relay.storage.tenant import Tenant

        return Tenant(self, subscription_id)

    async def _commit_batches(self) -> None:
        while (first := await self._waiting.get()) is not None:
            batch = [first]
            while len(batch) < _MAX_BATCH and not self._waiting.empty():
                following = self._waiting.get_nowait()
                if following is None:
                    self._waiting.put_nowait(None)
                    break
                batch.append(following)
            await self._commit(batch)

    async def _commit(self, batch: list[_Entry]) -> None:
        """Commit *batch*; when one of it fails, commit each alone, so that only that one does."""
        try:
            await self._execute(batch)
        except TimeoutError as error:  # each alone would only take as long again
            _fail(batch, OperationalError(None, None, error))
        except Exception as error:  # noqa: BLE001  the error belongs to whoever waits for the entry
            if len(batch) == 1:
                _fail(batch, error)
            else:
                for entry in batch:
                    if not entry.done.done():
                        await self._commit([entry])
        else:
            for entry in batch:
                if not entry.done.done():
                    entry.done.set_result(None)

    async def _execute(self, batch: list[_Entry]) -> None:
        async with asyncio.timeout(self._patience), self.write() as connection:
            wanted = [entry for entry in batch if not entry.done.cancelled()]
            for entry in wanted:
                entry.begun = True
            for statement, rows in _grouped(wanted):
                await connection.execute(statement, rows)
            drafts = [entry.audit for entry in wanted if entry.audit is not None]
            if drafts:
                await append_all(connection, drafts)


def _fail(batch: list[_Entry], error: Exception) -> None:
    for entry in batch:
        if not entry.done.done():
            entry.done.set_exception(error)


def _grouped(batch: list[_Entry]) -> list[tuple["UpdateBase", list[Mapping[str, Any]]]]:
    groups: dict[int, tuple[UpdateBase, list[Mapping[str, Any]]]] = {}
    for entry in batch:
        groups.setdefault(id(entry.statement), (entry.statement, []))[1].append(entry.parameters)
    return list(groups.values())


@contextlib.contextmanager
def _lost_alike() -> Iterator[None]:
    """Tell the loss of the database as SQLAlchemy tells all its other troubles.

    Drivers let errors of the network through as they are; whoever goes on without the store
    would have to know each of them.
    """
    try:
        yield
    except OSError as error:
        raise OperationalError(None, None, error) from error


def _engine(url: str) -> AsyncEngine:
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() != "sqlite":
            return create_async_engine(parsed, pool_pre_ping=True, hide_parameters=True)
        # The connection that was used last is warm: in turns, each would keep pages and statements.
        pool = {"pool_use_lifo": True} if _has_file(parsed) else {}
        engine = create_async_engine(parsed, hide_parameters=True, **pool)  # errors go to the log
    except ArgumentError as error:
        raise ConfigurationError(
            "The setting database_url is no database URL; write sqlite+aiosqlite:///FILE"
            " or postgresql+asyncpg://USER@HOST/NAME."
        ) from error
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"The setting database_url needs the driver '{error.name}', which is not installed."
        ) from error
    event.listen(engine.sync_engine, "connect", _on_sqlite_connect)
    event.listen(engine.sync_engine, "begin", _on_sqlite_begin)
    return engine


def _has_file(url: "URL") -> bool:
    """Whether SQLite's store outlives the process."""
    return url.database not in {None, "", ":memory:"}


def _probe_file(path: str) -> None:
    # aiosqlite leaves a thread behind when it cannot open a file, which then fails on its own.
    try:
        if path != ":memory:":  # SQLite itself would let every account read a new file
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA schema_version")
    except (OSError, sqlite3.Error) as error:
        raise ConfigurationError(
            f"The database file {path} cannot be used ({error}); check the setting database_url,"
            " or restore the file from your backup."
        ) from error


def _on_sqlite_connect(connection: "DBAPIConnection", _entry: "ConnectionPoolEntry") -> None:
    connection.isolation_level = None  # BEGIN is ours: the driver's own would come too late
    cursor = connection.cursor()
    try:
        for pragma in (
            f"busy_timeout = {_BUSY_MILLISECONDS}",
            "journal_mode = WAL",
            "synchronous = FULL",  # a commit that was answered survives a power cut
            "foreign_keys = ON",
            # Of pages, for each connection: the system keeps the file in memory once for all.
            f"cache_size = -{_CACHE_KIBIBYTES}",
        ):
            cursor.execute(f"PRAGMA {pragma}")
    finally:
        cursor.close()


def _on_sqlite_begin(connection: "Connection") -> None:
    # IMMEDIATE takes the write lock first: a reader that turns writer would fail instead of wait.
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
