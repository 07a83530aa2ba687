"""Tests of ``cloud_connect_agent.journal``."""

import asyncio
import sqlite3
import stat
from pathlib import Path

import pytest

from cloud_connect.errors import InternalError, JournalUnavailableError, Outcome
from cloud_connect_agent.journal import (
    MAX_BODY_BYTES,
    RETENTION_SECONDS,
    Journal,
    JournalState,
)


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite3"


async def enter(journal: Journal, call_id: str) -> None:
    assert await journal.receive(call_id, operation="records.create", fingerprint="f") is None


async def finish(journal: Journal, call_id: str, body: bytes | None = b"{}") -> None:
    await journal.finish(call_id, outcome=Outcome.COMPLETED, status=201, head=b"head", body=body)


async def test_a_call_is_kept_from_receipt_to_its_answer(path: Path) -> None:
    async with Journal.open(path) as journal:
        await enter(journal, "c1")
        received = await journal.find("c1")
        assert received is not None
        assert (received.state, received.outcome) == (JournalState.RECEIVED, None)
        await journal.intend("c1")
        running = await journal.find("c1")
        assert running is not None
        assert (running.state, running.outcome) == (JournalState.INTENT, None)
        await finish(journal, "c1")
        done = await journal.find("c1")
    assert done is not None
    assert done.state is JournalState.DONE
    assert done.outcome is Outcome.COMPLETED
    assert (done.status, done.head, done.body) == (201, b"head", b"{}")
    assert (done.operation, done.fingerprint) == ("records.create", "f")


async def test_a_call_id_is_taken_once(path: Path) -> None:
    async with Journal.open(path) as journal:
        await enter(journal, "c1")
        again = await journal.receive("c1", operation="records.delete", fingerprint="other")
    assert again is not None
    assert again.fingerprint == "f"


async def test_of_many_at_once_one_may_run(path: Path) -> None:
    found = []

    async def receive(journal: Journal) -> None:
        found.append(await journal.receive("c1", operation="o", fingerprint="f"))

    async with Journal.open(path) as journal, asyncio.TaskGroup() as group:
        for _ in range(50):
            group.create_task(receive(journal))
    assert found.count(None) == 1


async def test_a_call_nobody_entered_is_not_found(path: Path) -> None:
    async with Journal.open(path) as journal:
        assert await journal.find("c1") is None
        with pytest.raises(InternalError):
            await journal.intend("c1")
        with pytest.raises(InternalError):
            await finish(journal, "c1")
        assert journal.problem is None


async def test_intent_after_the_end_is_a_bug(path: Path) -> None:
    async with Journal.open(path) as journal:
        await enter(journal, "c1")
        await finish(journal, "c1")
        with pytest.raises(InternalError):
            await journal.intend("c1")


async def test_large_answers_are_not_kept(path: Path) -> None:
    async with Journal.open(path) as journal:
        for call_id, size in (("c1", MAX_BODY_BYTES), ("c2", MAX_BODY_BYTES + 1)):
            await enter(journal, call_id)
            await finish(journal, call_id, b"x" * size)
        kept, dropped = await journal.find("c1"), await journal.find("c2")
    assert kept is not None
    assert dropped is not None
    assert kept.body == b"x" * MAX_BODY_BYTES
    assert (dropped.body, dropped.outcome) == (None, Outcome.COMPLETED)


async def test_after_a_restart_each_call_has_the_outcome_that_is_certain(path: Path) -> None:
    async with Journal.open(path) as journal:
        for call_id in ("received", "intended", "finished"):
            await enter(journal, call_id)
        await journal.intend("intended")
        await finish(journal, "finished")
    async with Journal.open(path) as journal:
        received = await journal.find("received")
        intended = await journal.find("intended")
        finished = await journal.find("finished")
        assert received is not None
        assert intended is not None
        assert finished is not None
        assert (received.state, received.outcome) == (JournalState.DONE, Outcome.NOT_EXECUTED)
        assert (intended.state, intended.outcome) == (JournalState.INTENT, Outcome.UNKNOWN)
        assert finished.outcome is Outcome.COMPLETED
        again = await journal.receive("intended", operation="o", fingerprint="f")
        assert again == intended


async def test_an_unknown_outcome_can_be_settled_later(path: Path) -> None:
    async with Journal.open(path) as journal:
        await enter(journal, "c1")
        await journal.intend("c1")
    async with Journal.open(path) as journal:
        await finish(journal, "c1")
        entry = await journal.find("c1")
    assert entry is not None
    assert entry.outcome is Outcome.COMPLETED


async def test_what_is_promised_is_on_disk(path: Path) -> None:
    async with Journal.open(path) as journal:
        await enter(journal, "c1")
        await journal.intend("c1")
        # Another connection sees what was committed, as a process after a crash would.
        other = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        state = other.execute("SELECT state FROM calls").fetchone()
        level = other.execute("PRAGMA journal_mode").fetchone()
        other.close()
    assert state == ("intent",)
    assert level == ("wal",)


async def test_concurrent_calls_share_their_commits(path: Path) -> None:
    async def call(journal: Journal, call_id: str) -> None:
        await enter(journal, call_id)
        await journal.intend(call_id)
        await finish(journal, call_id)

    async with Journal.open(path) as journal:
        async with asyncio.TaskGroup() as group:
            for number in range(600):
                group.create_task(call(journal, f"c{number}"))
        assert journal.commits < 100


async def test_a_caller_that_went_away_disturbs_nobody(path: Path) -> None:
    async with Journal.open(path) as journal:
        async with asyncio.TaskGroup() as group:
            doomed = group.create_task(journal.receive("c1", operation="o", fingerprint="f"))
            await asyncio.sleep(0)
            doomed.cancel()
        await enter(journal, "c2")
        entry = await journal.find("c1")
    assert entry is not None  # what was entered stays entered


async def test_old_calls_are_forgotten_and_running_ones_are_not(path: Path) -> None:
    clock = Clock()
    async with Journal.open(path, clock=clock) as journal:
        await enter(journal, "old")
        await finish(journal, "old")
        await journal.acknowledge(["old"])
        await enter(journal, "running")
        await journal.intend("running")
        clock.now += RETENTION_SECONDS + 1
        await enter(journal, "new")
        await finish(journal, "new")
        await journal._run(lambda database: database.purge(clock.now))
        assert await journal.find("old") is None
        assert await journal.find("running") is not None
        assert await journal.find("new") is not None


async def test_the_files_are_private(path: Path) -> None:
    async with Journal.open(path) as journal:
        await enter(journal, "c1")
        for file in path.parent.iterdir():
            assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.fixture
def damaged(path: Path) -> Path:
    path.write_bytes(b"not a database, certainly not" * 100)
    return path


async def test_a_damaged_journal_refuses_writes_and_says_so(damaged: Path) -> None:
    async with Journal.open(damaged) as journal:
        assert "not a database" in str(journal.problem)
        with pytest.raises(JournalUnavailableError, match="writes are refused") as caught:
            await enter(journal, "c1")
        assert caught.value.outcome is Outcome.NOT_EXECUTED
        assert await journal.find("c1") is None
        assert not journal.vouches_for(age=1.0)  # it may have stood in what was lost


async def test_a_folder_that_is_missing_refuses_writes(tmp_path: Path) -> None:
    async with Journal.open(tmp_path / "missing" / "journal") as journal:
        assert journal.problem is not None
        with pytest.raises(JournalUnavailableError):
            await enter(journal, "c1")


async def test_a_full_disk_refuses_writes_until_there_is_room(path: Path) -> None:
    async def limit(pages: int) -> None:
        await journal._run(lambda database: bound(database.connection, pages), writes=False)

    def bound(connection: sqlite3.Connection, pages: int) -> None:
        connection.execute(f"PRAGMA max_page_count = {pages}")

    async with Journal.open(path) as journal:
        await enter(journal, "c1")
        await limit(1)
        with pytest.raises(JournalUnavailableError, match="full") as caught:
            await finish(journal, "c1", b"x" * 100_000)
        assert caught.value.outcome is Outcome.UNKNOWN  # Procore has done it by then
        assert "full" in str(journal.problem)
        await limit(100_000)
        await finish(journal, "c1", b"x" * 100_000)
        assert journal.problem is None


async def test_a_closed_journal_takes_nothing(path: Path) -> None:
    async with Journal.open(path) as journal:
        pass
    with pytest.raises(JournalUnavailableError, match="closed"):
        await enter(journal, "c1")


async def test_what_waits_at_the_end_is_still_written(path: Path) -> None:
    async with asyncio.TaskGroup() as group:
        async with Journal.open(path) as journal:
            last = group.create_task(journal.receive("c1", operation="o", fingerprint="f"))
            await asyncio.sleep(0)
        assert await last is None


async def test_more_calls_than_a_batch_holds_are_all_written(path: Path) -> None:
    async with Journal.open(path) as journal:
        async with asyncio.TaskGroup() as group:
            for number in range(1100):
                group.create_task(enter(journal, f"c{number}"))
        assert await journal.find("c1099") is not None
