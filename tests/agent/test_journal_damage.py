"""What becomes of a journal whose files are not what was written."""

import asyncio
import contextlib
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from cloud_connect.errors import InternalError, JournalUnavailableError, Outcome
from cloud_connect_agent.journal import (
    Damage,
    Journal,
    JournalState,
    accept_loss,
    opening,
)

Harm = Callable[[Path], None]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "journal.sqlite3"


async def left_by_a_crash(path: Path, *, folded: bool = False) -> None:
    """Leave behind what a killed process does: 40 calls, most of them in the log only."""
    live = path.parent.with_name("live")
    live.mkdir()
    async with Journal.open(live / path.name) as journal:
        for number in range(40):
            await journal.receive(f"call-{number:02}", operation="o", fingerprint="f")
            await journal.intend(f"call-{number:02}")
        if folded:
            await journal._run(
                lambda database: database.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)"),
                writes=False,
            )
        shutil.copytree(live, path.parent)


def log_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def cut_log(path: Path) -> None:
    os.truncate(log_of(path), log_of(path).stat().st_size - 3000)


def cut_log_at_a_frame(path: Path) -> None:
    """Without its last frames the log is as good as any: SQLite has no word to say."""
    os.truncate(log_of(path), 32 + 20 * (24 + 4096))


def flip_in_log(path: Path) -> None:
    flip(log_of(path), log_of(path).stat().st_size // 2)


def flip(file: Path, offset: int) -> None:
    with file.open("r+b") as opened:
        opened.seek(offset)
        byte = opened.read(1)[0]
        opened.seek(offset)
        opened.write(bytes([byte ^ 0x10]))


def flip_in_header(path: Path) -> None:
    flip(path, 3)


def flip_in_id(path: Path) -> None:
    flip(path, path.read_bytes().index(b"call-17") + 6)


def flip_in_state(path: Path) -> None:
    flip(path, path.read_bytes().index(b"intent") + 2)


def flip_in_head(path: Path) -> None:
    flip(path, path.read_bytes().index(b'{"status":201}') + 3)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def garbage(path: Path) -> None:
    path.write_bytes(b"not a database, certainly not" * 500)


def of_somebody_else(path: Path) -> None:
    path.unlink()
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE calls (call_id TEXT)")
    other.close()


def without_file(path: Path) -> None:
    path.unlink()


def without_log(path: Path) -> None:
    log_of(path).unlink()


def without_mark(path: Path) -> None:
    path.with_name(f"{path.name}.mark").unlink()


IN_LOG = [
    cut_log,
    cut_log_at_a_frame,
    flip_in_log,
    without_log,
    without_file,
    empty,
    garbage,
    of_somebody_else,
]
IN_FILE = [flip_in_header, flip_in_id, flip_in_state, without_mark]


@pytest.mark.parametrize(
    ("harm", "folded"),
    [(harm, False) for harm in IN_LOG] + [(harm, True) for harm in IN_FILE],
    ids=lambda value: value.__name__ if callable(value) else "",
)
async def test_a_damaged_journal_is_kept_aside_and_vouches_for_nothing(
    path: Path, harm: Harm, *, folded: bool
) -> None:
    await left_by_a_crash(path, folded=folded)
    harm(path)
    for _ in range(2):  # a restart changes nothing about it
        async with Journal.open(path) as journal:
            assert journal.damaged
            assert "accept-loss" in str(journal.problem)
            with pytest.raises(JournalUnavailableError, match="writes are refused") as refused:
                await journal.receive("call-new", operation="o", fingerprint="f")
            assert refused.value.outcome is Outcome.NOT_EXECUTED
            assert await journal.find("call-39") is None
            assert not journal.vouches_for(age=5.0)
    names = {file.name for file in path.parent.iterdir()}
    assert path.name not in names
    assert any(".damaged-" in name for name in names)


@pytest.mark.parametrize("folded", [False, True])
async def test_a_journal_left_by_a_crash_is_not_taken_for_damaged(
    path: Path, *, folded: bool
) -> None:
    await left_by_a_crash(path, folded=folded)
    async with Journal.open(path) as journal:
        assert journal.problem is None
        for number in range(40):
            entry = await journal.find(f"call-{number:02}")
            assert entry is not None
            assert (entry.state, entry.outcome) == (JournalState.INTENT, Outcome.UNKNOWN)


@pytest.mark.parametrize("log", [True, False])
async def test_files_that_vanish_meanwhile_end_the_writes(path: Path, *, log: bool) -> None:
    path.parent.mkdir()
    async with Journal.open(path) as journal:
        await journal.receive("call-1", operation="o", fingerprint="f")
        (log_of(path) if log else path).unlink()
        with pytest.raises(JournalUnavailableError, match="removed"):
            await journal.intend("call-1")
        assert journal.damaged
        assert await journal.find("call-1") is None
        assert not journal.vouches_for(age=1.0)


async def test_an_entry_that_changed_meanwhile_is_not_believed(path: Path) -> None:
    path.parent.mkdir()
    async with Journal.open(path) as journal:
        await journal.receive("call-1", operation="o", fingerprint="f")
        await journal._run(
            lambda database: database.connection.execute("UPDATE calls SET state = 'done'")
        )
        assert await journal.find("call-1") is None
        assert journal.damaged


async def test_a_person_lets_a_new_journal_begin(path: Path) -> None:
    await left_by_a_crash(path)
    cut_log(path)
    now = 1_000_000.0
    async with Journal.open(path, clock=lambda: now) as journal:
        damage = Damage.read(path)
        assert damage is not None
        assert accept_loss(path) == damage
        assert await journal.receive("call-new", operation="o", fingerprint="f") is None
        assert journal.problem is None
        now += 60
        assert journal.vouches_for(age=50.0)  # writes were refused since the damage was found
        assert not journal.vouches_for(age=70.0)
    assert path.with_name(f"{damage.kept_as}-wal").exists()
    assert accept_loss(path) is None


async def test_a_note_that_nobody_can_read_stands_for_damage(path: Path) -> None:
    path.parent.mkdir()
    path.with_name(f"{path.name}.damage.json").write_text("{")
    async with Journal.open(path) as journal:
        assert journal.damaged
        assert not journal.vouches_for(age=0.0)
        assert accept_loss(path) is not None
        await journal.receive("call-1", operation="o", fingerprint="f")
    assert accept_loss(path) is None


async def test_two_damaged_journals_of_one_second_are_both_kept(path: Path) -> None:
    path.parent.mkdir()
    for _ in range(2):
        garbage(path)
        async with Journal.open(path, clock=lambda: 1_000_000.0) as journal:
            assert journal.damaged
        accept_loss(path)
    kept = {file.name for file in path.parent.iterdir()}
    assert kept == {f"{path.name}.damaged-19700112T134640Z{end}" for end in ("", "-2")}


async def test_a_journal_of_another_version_is_left_to_the_agent_that_knows_it(
    path: Path,
) -> None:
    path.parent.mkdir()
    async with Journal.open(path) as journal:
        await journal.receive("call-1", operation="o", fingerprint="f")
    of_version(path, 9)
    async with Journal.open(path) as journal:
        assert not journal.damaged
        with pytest.raises(JournalUnavailableError, match=r"format 9.*Install") as refused:
            await journal.receive("call-2", operation="o", fingerprint="f")
        assert refused.value.outcome is Outcome.NOT_EXECUTED
        with pytest.raises(JournalUnavailableError, match="format 9"):
            await journal.find("call-1")
        assert not journal.vouches_for(age=0.0)
    assert Damage.read(path) is None
    of_version(path, opening._VERSION)
    async with Journal.open(path) as journal:
        assert await journal.find("call-1") is not None
        assert journal.problem is None


def of_version(path: Path, version: int) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {version}")


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE calls SET content_sum = x'' WHERE call_id = 'call-17'",
        "UPDATE calls SET seal = x'00' WHERE call_id = 'call-17'",
        "UPDATE calls SET operation = CAST(x'ef' AS TEXT) WHERE call_id = 'call-17'",
        "UPDATE calls SET call_id = CAST(x'e3616c6c2d3137' AS TEXT) WHERE call_id = 'call-17'",
        "UPDATE facts SET commits = x''",
        "UPDATE facts SET complete_since = CAST(x'ef' AS TEXT)",
    ],
)
async def test_a_bit_that_makes_another_kind_of_value_is_damage(path: Path, change: str) -> None:
    await left_by_a_crash(path, folded=True)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(change)
    async with asyncio.timeout(5), Journal.open(path) as journal:
        assert journal.damaged
    assert accept_loss(path) is not None


async def test_steps_of_another_kind_are_not_believed(path: Path) -> None:
    path.parent.mkdir()
    async with Journal.open(path) as journal:
        await journal.note_steps("key", b"data")
        await journal._run(
            lambda database: database.connection.execute("UPDATE steps SET data = 'data'")
        )
        async with asyncio.timeout(5):
            assert await journal.steps("key") is None


@pytest.mark.parametrize("writes", [True, False])
async def test_a_bug_in_one_piece_of_work_ends_no_other(path: Path, *, writes: bool) -> None:
    path.parent.mkdir()
    async with asyncio.timeout(5), Journal.open(path) as journal:
        with pytest.raises(InternalError) as failed:
            await journal._run(lambda _: 1 // 0, writes=writes)
        assert failed.value.outcome is Outcome.NOT_EXECUTED
        assert await journal.receive("call-1", operation="o", fingerprint="f") is None
        assert await journal.find("call-1") is not None


async def test_pages_that_do_not_fit_together_are_damage(path: Path) -> None:
    await left_by_a_crash(path, folded=True)
    flip(path, 3 * 4096 + 3)  # how many cells the page has
    async with Journal.open(path) as journal:
        assert journal.damaged


async def test_a_check_that_takes_too_long_holds_up_no_start(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await left_by_a_crash(path, folded=True)
    monkeypatch.setattr(opening, "_CHECK_SECONDS", -1.0)
    monkeypatch.setattr(opening, "_STEPS", 1)
    async with Journal.open(path) as journal:
        assert journal.problem is None
        assert await journal.find("call-17") is not None


async def test_a_journal_that_was_half_made_is_made_again(path: Path) -> None:
    path.parent.mkdir()
    path.with_name(f"{path.name}.new").write_bytes(b"half of it")
    async with Journal.open(path) as journal:
        assert journal.problem is None
        await journal.receive("call-1", operation="o", fingerprint="f")
    assert not path.with_name(f"{path.name}.new").exists()


async def test_result_that_changed_on_the_disk_is_not_told_but_found_damaged(path: Path) -> None:
    path.parent.mkdir()
    async with Journal.open(path) as journal:
        for call_id in ("call-1", "call-2"):
            await journal.receive(call_id, operation="o", fingerprint="f")
            await journal.finish(
                call_id, outcome=Outcome.COMPLETED, status=201, head=b'{"status":201}', body=b"{}"
            )
        told = await journal.to_tell(after=(0.0, ""), limit=10)
        assert [(entry.call_id, entry.body) for _, entry in told] == [
            ("call-1", None),
            ("call-2", None),
        ]
        assert all(entry.head == b'{"status":201}' for _, entry in told)
    flip_in_head(path)
    async with Journal.open(path) as journal:
        with pytest.raises(JournalUnavailableError, match="accept-loss"):
            await journal.to_tell(after=(0.0, ""), limit=10)
        assert journal.damaged
