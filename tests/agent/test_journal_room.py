"""How the journal stays small, and what it does on a disk that is full or out of reach."""

import asyncio
import errno
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from cloud_connect.errors import JournalUnavailableError, Outcome
from cloud_connect_agent.journal import (
    RETENTION_SECONDS,
    Damage,
    Journal,
    damage,
    keeper,
)
from cloud_connect_agent.journal.database import Database
from doubles.waiting import until

BODY = b"x" * 100_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite3"


async def end(journal: Journal, call_id: str, body: bytes = BODY) -> None:
    await journal.receive(call_id, operation="o", fingerprint="f")
    await journal.intend(call_id)
    await journal.finish(call_id, outcome=Outcome.COMPLETED, status=201, head=b"{}", body=body)


async def purge(journal: Journal) -> None:
    """Have the journal do now what it does every hour."""
    await asyncio.to_thread(_purge, journal)


def _purge(journal: Journal) -> None:
    # SQLite's connection belongs to the journal's thread, which does jobs only.
    asyncio.run_coroutine_threadsafe(_in_thread(journal), journal._loop).result(10)


async def _in_thread(journal: Journal) -> None:
    def work(_: Database) -> None:
        journal._keeper.purge()

    await journal._run(work, writes=False)


def size_of(file: Path) -> int:
    return file.stat().st_size


async def test_the_oldest_answers_that_were_told_go_first(path: Path) -> None:
    async with Journal.open(path, max_bytes=2_000_000) as journal:
        for number in range(40):
            await end(journal, f"call-{number:02}")
        await journal.acknowledge([f"call-{number:02}" for number in range(40) if number != 3])
        before = size_of(path) + size_of(path.with_name(f"{path.name}-wal"))
        await purge(journal)
        entries = [await journal.find(f"call-{number:02}") for number in range(40)]
        await journal._run(
            lambda database: database.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)"),
            writes=False,
        )
        assert all(entry is not None and entry.outcome is Outcome.COMPLETED for entry in entries)
        bodies = [entry is not None and entry.body is not None for entry in entries]
        assert bodies[3]  # the relay may still want it
        assert not any(bodies[:3])
        assert journal.vouches_for(age=0.001)
    assert before > 4_000_000
    assert size_of(path) < 2_500_000  # what is free goes back to the disk


async def test_calls_that_had_to_go_are_not_vouched_for(path: Path) -> None:
    now = 1_000_000.0
    async with Journal.open(path, clock=lambda: now, max_bytes=10_000) as journal:
        for number in range(40):
            now += 1
            await end(journal, f"call-{number:02}", b"")
        await journal.acknowledge([f"call-{number:02}" for number in range(39)])
        await purge(journal)
        assert await journal.find("call-00") is None
        assert await journal.find("call-39") is not None  # the relay has not got it yet
        assert not journal.vouches_for(age=39.0)
        assert journal.vouches_for(age=0.5)


async def test_calls_whose_week_is_over_are_not_vouched_for(path: Path) -> None:
    now = 1_000_000.0
    async with Journal.open(path, clock=lambda: now) as journal:
        await end(journal, "old")
        await journal.acknowledge(["old"])
        now += RETENTION_SECONDS + 60
        await end(journal, "new")
        await purge(journal)
        assert await journal.find("old") is None
        assert not journal.vouches_for(age=RETENTION_SECONDS + 61)
        assert journal.vouches_for(age=RETENTION_SECONDS)
    async with Journal.open(path, clock=lambda: now) as journal:
        assert not journal.vouches_for(age=RETENTION_SECONDS + 61)


@asynccontextmanager
async def without_room(journal: Journal) -> AsyncIterator[None]:
    """Let nothing be written meanwhile."""
    await limit(journal, 1)
    yield
    await limit(journal, 100_000)


async def limit(journal: Journal, pages: int) -> None:
    await journal._run(
        lambda database: database.connection.execute(f"PRAGMA max_page_count = {pages}"),
        writes=False,
    )


async def test_a_result_without_room_is_written_down_when_there_is_some(path: Path) -> None:
    async with Journal.open(path) as journal:
        await journal.receive("call-1", operation="o", fingerprint="f")
        await journal.intend("call-1")
        async with without_room(journal):
            with pytest.raises(JournalUnavailableError) as refused:
                await end_of(journal, "call-1")
            assert refused.value.outcome is Outcome.UNKNOWN
            entry = await journal.find("call-1")
            assert entry is not None
            assert entry.outcome is None  # nobody is told yet that it will never be known
        async with asyncio.timeout(5):
            while await journal.untold() == 0:
                await asyncio.sleep(0.01)
        entry = await journal.find("call-1")
    assert entry is not None
    assert (entry.outcome, entry.body) == (Outcome.COMPLETED, BODY)


async def test_what_a_crash_left_open_is_settled_once_a_full_disk_has_room(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Journal.open(path) as crashed:
        await crashed.receive("call-1", operation="o", fingerprint="f")
        await crashed.intend("call-1")
    full = sqlite3.OperationalError("database or disk is full")
    full.sqlite_errorcode = sqlite3.SQLITE_FULL
    real, failures = Database.settle, [full]

    def settle(database: Database, now: float) -> None:
        if failures:
            raise failures.pop()
        real(database, now)

    monkeypatch.setattr(Database, "settle", settle)
    async with Journal.open(path) as journal:
        assert "full" in str(journal.problem)
        async with asyncio.timeout(5):
            while journal.problem is not None:
                await asyncio.sleep(0.01)
        entry = await journal.find("call-1")
        assert entry is not None
        assert entry.outcome is Outcome.UNKNOWN
        assert await journal.untold() == 1


async def end_of(journal: Journal, call_id: str) -> None:
    await journal.finish(call_id, outcome=Outcome.COMPLETED, status=201, head=b"{}", body=BODY)


async def test_a_folder_that_appears_later_takes_writes_by_itself(tmp_path: Path) -> None:
    path = tmp_path / "later" / "journal.sqlite3"
    async with Journal.open(path) as journal:
        assert journal.problem is not None
        assert not journal.damaged
        assert not journal.vouches_for(age=0.0)
        with pytest.raises(JournalUnavailableError, match="writes are refused"):
            await journal.find("call-1")
        await asyncio.to_thread(path.parent.mkdir)
        await until(lambda: journal.problem is None)
        await end(journal, "call-1")


def failing(error: Exception, *, times: int = 1) -> Callable[..., None]:
    left = times

    def fail(*_: object, **__: object) -> None:
        nonlocal left
        if left:
            left -= 1
            raise error

    return fail


async def test_a_disk_that_fails_once_is_looked_at_afresh(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_WRITE
    async with Journal.open(path) as journal:
        await end(journal, "call-1")
        monkeypatch.setattr(Database, "_check_files", failing(error))
        with pytest.raises(JournalUnavailableError, match="I/O error"):
            await journal.receive("call-2", operation="o", fingerprint="f")
        assert not journal.damaged
        await end(journal, "call-2")
        assert await journal.find("call-1") is not None
        assert journal.problem is None


async def test_damage_that_cannot_be_noted_is_noted_as_soon_as_it_can(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Journal.open(path) as journal:
        await end(journal, "call-1")
        await asyncio.to_thread(path.unlink)
        monkeypatch.setattr(keeper, "set_aside", refusing_twice(damage.set_aside, path))
        with pytest.raises(JournalUnavailableError, match="aside: No space left") as refused:
            await journal.receive("call-2", operation="o", fingerprint="f")
        assert str(path.parent) not in refused.value.message  # it leaves this PC
        await until(lambda: journal.damaged)
        assert await journal.find("call-1") is None
        assert not journal.vouches_for(age=1.0)
    assert Damage.read(path) is not None


def refusing_twice(real: Callable[..., Damage], path: Path) -> Callable[..., Damage]:
    refuse = failing(OSError(errno.ENOSPC, "No space left on device", str(path)), times=2)

    def set_aside(*arguments: Path, **named: float) -> Damage:
        refuse()
        return real(*arguments, **named)

    return set_aside


def test_only_what_sqlite_cannot_have_written_is_damage() -> None:
    for code, damaged in (
        (sqlite3.SQLITE_CORRUPT, True),
        (sqlite3.SQLITE_CORRUPT_INDEX, True),
        (sqlite3.SQLITE_NOTADB, True),
        (sqlite3.SQLITE_IOERR_SHORT_READ, True),
        (sqlite3.SQLITE_IOERR_WRITE, False),
        (sqlite3.SQLITE_FULL, False),
        (sqlite3.SQLITE_READONLY, False),
        (sqlite3.SQLITE_BUSY, False),
    ):
        error = sqlite3.OperationalError("x")
        error.sqlite_errorcode = code
        assert damage.is_damage(error) is damaged, code
    assert not damage.is_damage(sqlite3.ProgrammingError("no code"))


async def test_journal_of_a_disk_that_was_set_back_vouches_for_nothing_before(path: Path) -> None:
    now = 1_000_000.0
    async with Journal.open(path, clock=lambda: now) as journal:
        now += 100
        await journal.receive("come", operation="o", fingerprint="f")
        await end(journal, "done")
    async with Journal.open(path, clock=lambda: now) as journal:  # that copy, an hour later
        now += 3600
        assert journal.vouches_for(age=3000.0)
        await journal.begin_anew()
        assert not journal.vouches_for(age=1.0)
        come, done = await journal.find("come"), await journal.find("done")
        assert come is not None
        assert done is not None
        assert (come.outcome, done.outcome) == (Outcome.UNKNOWN, Outcome.COMPLETED)
        now += 10
        assert journal.vouches_for(age=1.0)
    async with Journal.open(path, clock=lambda: now) as journal:
        assert not journal.vouches_for(age=11.0)


async def test_word_that_nobody_took_outlives_a_wrong_clock(path: Path) -> None:
    now = 1_000_000.0
    async with Journal.open(path, clock=lambda: now) as journal:
        await end(journal, "told")
        await end(journal, "untold")
        await journal.acknowledge(["told"])
    now += 8 * 24 * 3600
    async with Journal.open(path, clock=lambda: now) as journal:
        assert await journal.find("told") is None
        assert await journal.find("untold") is not None
        assert await journal.untold() == 1
