"""The journal's statements: what is read and written in its database."""

import contextlib
import os
import sqlite3
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from cloud_connect.errors import InternalError, Outcome
from cloud_connect_agent.journal.damage import JournalDamagedError
from cloud_connect_agent.journal.entries import JournalEntry, JournalState
from cloud_connect_agent.journal.mark import Mark
from cloud_connect_agent.journal.rows import FACTS, entry_of, facts_seal, whole_entry

__all__ = [
    "MAX_BODY_BYTES",
    "RETENTION_SECONDS",
    "STEPS_SECONDS",
    "Database",
]

RETENTION_SECONDS = 7 * 24 * 3600
UNTOLD_SECONDS: Final = 30 * 24 * 3600  # of what no relay has acknowledged
STEPS_SECONDS = 3600.0  # for which Procore surely remembers an upload that was begun
MAX_BODY_BYTES = 256 * 1024  # larger answers are not kept; a replay says so
_CHUNK: Final = 500  # rows in one go when room is made
_VACUUM_PAGES: Final = 2000  # given back to the disk in one go
_NO_FILE: Final = (0, 0)
_TO_TELL: Final = "acknowledged = 0 AND outcome IS NOT NULL"


class Database:
    """An open database; every method runs within the caller's transaction.

    Attributes:
        commits: Transactions that changed something, since the journal was made.
        complete_since: Each call since then that came here has an entry, in UNIX time.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, mark: Mark) -> None:
        self.connection: Final = connection
        self._path: Final = path
        self._mark: Final = mark
        self.commits, self.complete_since = self._read_facts()
        self._identity = self._identities()

    def close(self) -> None:
        """Close the files."""
        self._mark.close()
        self.connection.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit what the block does, durably, or nothing of it.

        Raises:
            JournalDamagedError: If the files are no longer the ones that were opened.
        """
        self._check_files()
        connection = self.connection
        connection.execute("BEGIN IMMEDIATE")
        before = connection.total_changes
        try:
            yield
            changed = connection.total_changes != before
            if changed:
                self._write_facts(self.commits + 1)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        if changed:
            self.commits += 1
            with contextlib.suppress(OSError):  # an older mark forgives more, and lies never
                self._mark.note(self.commits)

    def begin_anew(self, now: float) -> None:
        """Vouch for nothing from before: the disk has been set back, and calls since are gone.

        A call that had only come when the disk was copied may have been carried out since.
        """
        rows = self.connection.execute(
            f"SELECT {FACTS}, head, body FROM calls WHERE state = 'done' AND head IS NULL"  # noqa: S608 - constants
            " AND outcome = 'not_executed'"
        ).fetchall()
        for row in rows:
            self._write(entry_of(row), now, state=JournalState.INTENT, outcome=Outcome.UNKNOWN)
        self.complete_since = max(self.complete_since, now)
        self.touch()

    def touch(self) -> None:
        """Change something, to see whether that is possible."""
        self._write_facts(self.commits)

    def settle(self, now: float) -> None:
        """Give the calls of a process that died the outcome that is certain about them."""
        open_calls = self.connection.execute(
            f"SELECT {FACTS}, head, body FROM calls WHERE state <> 'done' AND outcome IS NULL"  # noqa: S608 - constants
        ).fetchall()
        for row in open_calls:
            entry = entry_of(row)
            if entry.state is JournalState.RECEIVED:
                self._write(entry, now, state=JournalState.DONE, outcome=Outcome.NOT_EXECUTED)
            else:
                self._write(entry, now, state=JournalState.INTENT, outcome=Outcome.UNKNOWN)

    def receive(
        self, call_id: str, *, operation: str, fingerprint: str, now: float
    ) -> JournalEntry | None:
        """Enter a call; return the entry that is there already."""
        found = self.find(call_id)
        if found is not None:
            return found
        entry = JournalEntry(
            call_id=call_id,
            operation=operation,
            fingerprint=fingerprint,
            state=JournalState.RECEIVED,
        )
        content = entry.content_sum
        self.connection.execute(
            "INSERT INTO calls (call_id, operation, fingerprint, state, changed_at, content_sum,"
            " seal) VALUES (?, ?, ?, 'received', ?, ?, ?)",
            (call_id, operation, fingerprint, now, content, entry.seal(content)),
        )
        return None

    def intend(self, call_id: str, *, now: float, again: bool = False) -> None:
        """Note that the first byte of a write goes out after this."""
        entry = self.find(call_id)
        if entry is None or entry.outcome is Outcome.COMPLETED:
            raise _no_open_call(call_id)
        if entry.state is JournalState.DONE and not again:
            raise _no_open_call(call_id)
        # Of one that goes out again nothing is certain until it has ended.
        outcome = None if again else entry.outcome
        self._write(entry, now, state=JournalState.INTENT, outcome=outcome)

    def finish(
        self,
        call_id: str,
        *,
        outcome: Outcome,
        status: int,
        head: bytes,
        body: bytes | None,
        now: float,
    ) -> None:
        """Note what became of a call."""
        entry = self.find(call_id)
        if entry is None:
            raise _no_open_call(call_id)
        kept = body if body is None or len(body) <= MAX_BODY_BYTES else None
        done = JournalEntry(
            call_id=call_id,
            operation=entry.operation,
            fingerprint=entry.fingerprint,
            state=JournalState.DONE,
            outcome=outcome,
            status=status,
            head=head,
            body=kept,
        )
        content = done.content_sum
        self.connection.execute(
            "UPDATE calls SET state = 'done', outcome = ?, status = ?, head = ?, body = ?,"
            " changed_at = ?, acknowledged = 0, content_sum = ?, seal = ? WHERE call_id = ?",
            (outcome.value, status, head, kept, now, content, done.seal(content), call_id),
        )

    def find(self, call_id: str) -> JournalEntry | None:
        """Return a call's entry.

        Raises:
            JournalDamagedError: If it has changed since it was written.
        """
        row = self.connection.execute(
            f"SELECT {FACTS}, head, body, content_sum, seal FROM calls WHERE call_id = ?",  # noqa: S608 - constants
            (call_id,),
        ).fetchone()
        if row is None:
            return None
        return whole_entry(row)

    def to_tell(self, after: tuple[float, str], limit: int) -> list[tuple[float, JournalEntry]]:
        """Return ended calls that the relay has not acknowledged, the oldest first, without body.

        Raises:
            JournalDamagedError: If one has changed since it was written.
        """
        rows = self.connection.execute(
            f"SELECT changed_at, {FACTS}, head, body, content_sum, seal FROM calls"  # noqa: S608 - constants
            f" WHERE {_TO_TELL} AND (changed_at, call_id) > (?, ?)"
            " ORDER BY changed_at, call_id LIMIT ?",
            (*after, limit),
        )
        return [(changed, replace(whole_entry(row), body=None)) for changed, *row in rows]

    def ended_since(self, since: float) -> list[JournalEntry]:
        """Return the calls that have ended since then, without what they were answered."""
        rows = self.connection.execute(
            f"SELECT {FACTS} FROM calls WHERE changed_at >= ? AND outcome IS NOT NULL"  # noqa: S608 - constants
            " ORDER BY changed_at, call_id",
            (since,),
        ).fetchall()
        return [entry_of([*facts, None, None]) for facts in rows]

    def untold(self) -> int:
        """Return how many ended calls the relay has not acknowledged."""
        (count,) = self.connection.execute(
            f"SELECT count(*) FROM calls WHERE {_TO_TELL}"  # noqa: S608 - constants
        ).fetchone()
        return int(count)

    def acknowledge(self, call_ids: Iterable[str]) -> None:
        """Note that the relay has these ended calls on disk."""
        self.connection.executemany(
            "UPDATE calls SET acknowledged = 1 WHERE call_id = ? AND outcome IS NOT NULL",
            [(call_id,) for call_id in call_ids],
        )

    def steps(self, key: str, *, since: float) -> bytes | None:
        """Return what was noted about a piece of work after *since*, if it is whole."""
        row = self.connection.execute(
            "SELECT data, seal FROM steps WHERE key = ? AND changed_at > ?", (key, since)
        ).fetchone()
        if row is None or not isinstance(row[0], bytes) or zlib.crc32(row[0]) != row[1]:
            return None
        return row[0]

    def note_steps(self, key: str, data: bytes, *, now: float) -> None:
        """Note how far a piece of work came."""
        self.connection.execute(
            "INSERT OR REPLACE INTO steps VALUES (?, ?, ?, ?)", (key, now, data, zlib.crc32(data))
        )

    def forget_steps(self, key: str) -> None:
        """Forget a piece of work."""
        self.connection.execute("DELETE FROM steps WHERE key = ?", (key,))

    def purge(self, now: float) -> None:
        """Forget ended calls whose retention is over; what was never told is kept for longer.

        A clock that was wrong for a while must not take the only word of a call.
        """
        old = (now - RETENTION_SECONDS,)
        self._delete("acknowledged = 1 AND changed_at < ?", old, limit=-1)
        self._delete("changed_at < ?", (now - UNTOLD_SECONDS,), limit=-1)
        self.connection.execute("DELETE FROM steps WHERE changed_at < ?", (now - STEPS_SECONDS,))

    def make_room(self, max_bytes: int) -> bool:
        """Drop the oldest answers, then the oldest calls, while there is more than allowed.

        Returns:
            Whether there is still more.
        """
        if self._bytes() <= max_bytes:
            return False
        rows = self.connection.execute(
            f"SELECT {FACTS}, head FROM calls WHERE state = 'done'"  # noqa: S608 - constants
            " AND body IS NOT NULL AND acknowledged = 1 ORDER BY changed_at LIMIT ?",
            (_CHUNK,),
        ).fetchall()
        for facts in rows:
            entry = entry_of([*facts, None])
            content = entry.content_sum
            self.connection.execute(
                "UPDATE calls SET body = NULL, content_sum = ?, seal = ? WHERE call_id = ?",
                (content, entry.seal(content), entry.call_id),
            )
        if not rows:
            deleted = self._delete("acknowledged = 1", (), limit=_CHUNK)
            return deleted > 0 and self._bytes() > max_bytes
        return self._bytes() > max_bytes

    def give_back(self) -> None:
        """Return free pages to the disk; outside a transaction."""
        # It takes a step for each page, of which `execute` makes but one.
        self.connection.executescript(f"PRAGMA incremental_vacuum({_VACUUM_PAGES});")

    def _delete(self, condition: str, values: tuple[float, ...], *, limit: int) -> int:
        rows = self.connection.execute(
            f"SELECT call_id, changed_at FROM calls WHERE {condition}"  # noqa: S608 - constants
            " AND (state = 'done' OR outcome IS NOT NULL) ORDER BY changed_at LIMIT ?",
            (*values, limit),
        ).fetchall()
        if rows:
            self.connection.executemany(
                "DELETE FROM calls WHERE call_id = ?", [(call_id,) for call_id, _ in rows]
            )
            # A call that came up to then may be among them: "unknown here" says nothing of it.
            self.complete_since = max(self.complete_since, rows[-1][1])
        return len(rows)

    def _bytes(self) -> int:
        facts = [
            self.connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "page_size")
        ]
        pages, free, size = (int(fact) for fact in facts)
        return (pages - free) * size

    def _write(
        self, entry: JournalEntry, now: float, *, state: JournalState, outcome: Outcome | None
    ) -> None:
        after = JournalEntry(
            call_id=entry.call_id,
            operation=entry.operation,
            fingerprint=entry.fingerprint,
            state=state,
            outcome=outcome,
            status=entry.status,
            head=entry.head,
            body=entry.body,
        )
        self.connection.execute(
            "UPDATE calls SET state = ?, outcome = ?, changed_at = ?, seal = ? WHERE call_id = ?",
            (state, outcome, now, after.seal(after.content_sum), entry.call_id),
        )

    def _read_facts(self) -> tuple[int, float]:
        row = self.connection.execute(
            "SELECT commits, complete_since, seal FROM facts WHERE id = 1"
        ).fetchone()
        if row is None or row[2] != facts_seal(row[0], row[1]):
            raise JournalDamagedError("its first page has changed on the disk")
        return row[0], row[1]

    def _write_facts(self, commits: int) -> None:
        self.connection.execute(
            "UPDATE facts SET commits = ?, complete_since = ?, seal = ? WHERE id = 1",
            (commits, self.complete_since, facts_seal(commits, self.complete_since)),
        )

    def _check_files(self) -> None:
        found, known = self._identities(), self._identity
        if known[1] == _NO_FILE:
            known = self._identity = [known[0], found[1]]  # the log comes with the first write
        if found != known:
            raise JournalDamagedError("its file was removed, emptied or replaced")

    def _identities(self) -> list[tuple[int, int]]:
        """Which files stand at the path; an empty one is none."""
        found = []
        for suffix in ("", "-wal"):
            try:
                facts = os.stat(f"{self._path}{suffix}")  # noqa: PTH116 - on every commit
            except FileNotFoundError:
                found.append(_NO_FILE)
            else:
                found.append((facts.st_dev, facts.st_ino) if facts.st_size else _NO_FILE)
        return found


def _no_open_call(call_id: str) -> InternalError:
    return InternalError(f"The journal has no open call {call_id}.")
