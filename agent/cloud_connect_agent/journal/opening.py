"""Opening the journal: the first one is made, each later one is checked before it is trusted."""

import contextlib
import os
import sqlite3
import time
from pathlib import Path
from typing import Final

import structlog

from cloud_connect.errors import JournalUnavailableError
from cloud_connect_agent.durable import sync_dir
from cloud_connect_agent.journal.damage import (
    JournalDamagedError,
    files_of,
    is_damage,
    mark_file,
    set_aside,
)
from cloud_connect_agent.journal.database import Database
from cloud_connect_agent.journal.mark import Mark
from cloud_connect_agent.journal.rows import FACTS, entry_of, facts_seal

__all__ = ["open_database"]

log = structlog.get_logger(__name__)

_CHECK_SECONDS: Final = 20.0  # that a start waits for the check; a journal of a week needs less
_STEPS: Final = 10_000  # of SQLite's machine between two looks at the clock
_LOG_BYTES: Final = 8 * 1024 * 1024  # to which the write-ahead log shrinks after a burst
_APPLICATION: Final = 0x43434A31  # "CCJ1" in the file's header: this file is ours
_VERSION: Final = 2

_SCHEMA: Final = f"""
PRAGMA auto_vacuum = INCREMENTAL;
PRAGMA journal_mode = WAL;
PRAGMA application_id = {_APPLICATION};
PRAGMA user_version = {_VERSION};
BEGIN;
CREATE TABLE calls (
    call_id TEXT PRIMARY KEY,
    operation TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    state TEXT NOT NULL,
    outcome TEXT,
    status INTEGER,
    changed_at REAL NOT NULL,
    acknowledged INTEGER NOT NULL DEFAULT 0,
    content_sum INTEGER NOT NULL,
    seal INTEGER NOT NULL,
    head BLOB,
    body BLOB
) WITHOUT ROWID;
CREATE INDEX calls_by_change ON calls (changed_at);
CREATE INDEX calls_to_tell ON calls (changed_at, call_id)
    WHERE acknowledged = 0 AND outcome IS NOT NULL;
CREATE TABLE steps (
    key TEXT PRIMARY KEY,
    changed_at REAL NOT NULL,
    data BLOB NOT NULL,
    seal INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE facts (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    commits INTEGER NOT NULL,
    complete_since REAL NOT NULL,
    seal INTEGER NOT NULL
);
"""


def open_database(path: Path, *, now: float, complete_since: float | None = None) -> Database:
    """Open the journal, or make the first one; check it before anything relies on it.

    Args:
        complete_since: For a new journal, if nothing happened in the time before.

    Raises:
        JournalDamagedError: If it is not what was written.
        JournalUnavailableError: If another version of the agent wrote it.
        sqlite3.Error: If it cannot be used at the moment.
        OSError: Likewise.
    """
    if not path.exists():
        if any(True for _ in files_of(path)):
            raise JournalDamagedError("its file is gone")
        _create(path, complete_since=now if complete_since is None else complete_since)
    elif path.stat().st_size == 0:
        raise JournalDamagedError("its file is empty")
    with contextlib.ExitStack() as opened:
        connection = opened.enter_context(
            contextlib.closing(
                sqlite3.connect(
                    f"{path.absolute().as_uri()}?mode=rw",
                    uri=True,
                    isolation_level=None,
                    timeout=5.0,
                )
            )
        )
        try:
            _check(connection)
            mark = opened.enter_context(contextlib.closing(_mark_of(path, connection)))
            database = Database(path, connection, mark)
            _check_log(database, mark)
        except (JournalDamagedError, sqlite3.Error) as exc:
            if isinstance(exc, JournalDamagedError) or is_damage(exc):
                # Before it is closed, since closing merges the log and removes it.
                _set_aside_open(path, str(exc), now=now)
            raise
        opened.pop_all()
    return database


def _create(path: Path, *, complete_since: float) -> None:
    """Make an empty journal under another name, so that a half-made one is never found."""
    fresh = path.with_name(f"{path.name}.new")
    for leftover in list(files_of(fresh)):
        leftover.unlink()
    fresh.touch(mode=0o600)
    connection = sqlite3.connect(fresh, isolation_level=None)
    try:
        connection.executescript(_SCHEMA)
        connection.execute(
            "INSERT INTO facts VALUES (1, 0, ?, ?)",
            (complete_since, facts_seal(0, complete_since)),
        )
        connection.execute("COMMIT")
    finally:
        connection.close()
    with fresh.open("rb+") as file:
        os.fsync(file.fileno())
    fresh.rename(path)
    sync_dir(path.parent)


def _check(connection: sqlite3.Connection) -> None:
    """Make sure that the file is ours and whole, as far as the time for that goes."""
    # NORMAL may lose a committed row with the power; a lost intent is a duplicate write.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA cache_size = -1024")
    connection.execute(f"PRAGMA journal_size_limit = {_LOG_BYTES}")
    connection.text_factory = _text
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != _APPLICATION:
        raise JournalDamagedError("it is of another program")
    if version != _VERSION:  # whole, and known to the agent that wrote it: it stays where it is
        raise JournalUnavailableError(
            f"The journal of writes is of format {version}, and this version of the agent knows "
            f"format {_VERSION}, so writes are refused; reads go on. Install the version of the "
            "agent that ran on the connector's PC before, or a newer one."
        )
    until = time.monotonic() + _CHECK_SECONDS
    connection.set_progress_handler(lambda: time.monotonic() > until, _STEPS)
    try:
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise JournalDamagedError("its pages do not fit together")
        for *facts, content_sum, seal in connection.execute(
            f"SELECT {FACTS}, content_sum, seal FROM calls"  # noqa: S608 - constants
        ):
            if entry_of([*facts, None, None]).seal(content_sum) != seal:
                raise JournalDamagedError("an entry has changed on the disk")
    except sqlite3.OperationalError as exc:
        if getattr(exc, "sqlite_errorcode", None) != sqlite3.SQLITE_INTERRUPT:
            raise
        log.warning("journal_check_unfinished", seconds=_CHECK_SECONDS)
    finally:
        connection.set_progress_handler(None, _STEPS)


def _text(data: bytes) -> str:
    """Return text as it is; what is none any more fails the seals, and not the reading."""
    return data.decode(errors="replace")


def _check_log(database: Database, mark: Mark) -> None:
    if database.commits < mark.read():
        raise JournalDamagedError("the end of its write-ahead log is missing")


def _mark_of(path: Path, connection: sqlite3.Connection) -> Mark:
    try:
        return Mark(mark_file(path))
    except FileNotFoundError:
        (commits,) = connection.execute("SELECT max(commits) FROM facts").fetchone()
        if commits:
            raise JournalDamagedError("its mark is gone") from None
        return Mark.create(mark_file(path))


def _set_aside_open(path: Path, reason: str, *, now: float) -> None:
    try:
        set_aside(path, reason, now=now)
    except OSError as exc:  # on Windows it has to be closed first; else the disk is full
        log.info("journal_not_yet_set_aside", reason=str(exc))
