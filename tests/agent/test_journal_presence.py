"""What a journal says of calls that it does not know, on a disk that was set back or slept."""

import asyncio
import shutil
import stat
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from cloud_connect_agent.journal import Journal, presence
from cloud_connect_agent.journal.presence import Presence

if TYPE_CHECKING:
    from cloud_connect.session import Session

SESSION = cast("Session", None)  # the time is noted for as long as it is there, and no more


class Wall:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "pc").mkdir()
    return tmp_path / "pc" / "journal.sqlite3"


def connected(journal: Journal) -> None:
    """Note that there is a session, as the agent does twice a minute."""
    journal.presence.note()
    journal.presence.keep()


async def test_disk_that_was_set_back_vouches_for_nothing_that_came_since(path: Path) -> None:
    wall = Wall()
    async with Journal.open(path, clock=wall) as journal:
        wall.now += 600
        connected(journal)
    snapshot = path.parent.with_name("snapshot")
    await asyncio.to_thread(shutil.copytree, path.parent, snapshot)
    copied = wall.now
    async with Journal.open(path, clock=wall) as journal:
        for _ in range(60):
            wall.now += 60
            connected(journal)
        assert journal.vouches_for(age=1800)
    async with Journal.open(snapshot / path.name, clock=wall) as journal:
        wall.now += 300
        for _ in range(2):
            since = wall.now - copied
            assert not journal.vouches_for(age=1800)
            assert not journal.vouches_for(age=since - 121)
            assert journal.vouches_for(age=since - 119)  # it may have died then, as far as it knows
            assert journal.vouches_for(age=since + 300)
            connected(journal)
        wall.now += 60
        assert journal.vouches_for(age=59)
        assert not journal.vouches_for(age=61)
    async with Journal.open(snapshot / path.name, clock=wall) as journal:
        connected(journal)
        assert not journal.vouches_for(age=1800), "restarted before the relay had asked"
        for _ in range(11):
            wall.now += 60
            connected(journal)
    async with Journal.open(snapshot / path.name, clock=wall) as journal:
        assert journal.vouches_for(age=60)
        assert journal.vouches_for(age=1800), "the relay has asked for what came then"


async def test_pc_that_was_off_vouches_for_what_the_relay_sent_before_it_noticed(
    path: Path,
) -> None:
    wall = Wall()
    async with Journal.open(path, clock=wall) as journal:
        wall.now += 600
        connected(journal)
    wall.now += 29 + 35  # the next note was almost due, then the relay found the link dead
    sent = wall.now
    wall.now += 8 * 3600
    async with Journal.open(path, clock=wall) as journal:
        connected(journal)
        assert journal.vouches_for(age=wall.now - sent)


async def test_process_that_was_set_back_with_its_memory_notices_by_the_clock(path: Path) -> None:
    wall = Wall()
    async with Journal.open(path, clock=wall) as journal:
        wall.now += 600
        connected(journal)
        wall.now += 3600
        assert not journal.vouches_for(age=1800)
        connected(journal)
        assert not journal.vouches_for(age=1800)
        assert journal.vouches_for(age=0.0)


@pytest.mark.parametrize("content", [b"", b"\0" * 13, b"soon\n"])
async def test_note_that_cannot_be_read_vouches_for_nothing_before(
    path: Path, content: bytes
) -> None:
    wall = Wall()
    async with Journal.open(path, clock=wall):
        pass
    path.with_name(f"{path.name}.presence").write_bytes(content)
    wall.now += 60
    async with Journal.open(path, clock=wall) as journal:
        assert not journal.vouches_for(age=1.0)
        connected(journal)
        assert not journal.vouches_for(age=1.0)
        wall.now += 10
        assert journal.vouches_for(age=1.0)


def test_folder_without_a_note_covers_everything(tmp_path: Path) -> None:
    known = Presence(tmp_path / "presence")
    assert known.covers(0.0)
    assert known.covers(4e12)


def test_clock_that_was_ahead_vouches_for_nothing_before_it_was_set_right(tmp_path: Path) -> None:
    wall = Wall()
    known = Presence(tmp_path / "presence", clock=wall)
    known.note()
    wall.now -= 3600
    known.note()
    assert not known.covers(wall.now - 1)
    assert known.covers(wall.now)
    wall.now -= 1  # as it is corrected every day
    known.note()
    assert known.covers(wall.now + 1)


def test_of_many_gaps_none_is_forgotten(tmp_path: Path) -> None:
    wall = Wall()
    known, missed = Presence(tmp_path / "presence", clock=wall), []
    for _ in range(100):
        known.note()
        missed.append(wall.now + 1800)
        wall.now += 3600
    known.note()
    assert not any(known.covers(moment) for moment in missed)
    assert len(known._gaps) <= presence._MAX_GAPS


async def test_note_is_written_in_place_for_its_account_alone(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "_EVERY_SECONDS", 0.001)
    wall = Wall()
    file = path.with_name("presence")
    known = Presence(file, clock=wall)
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        work = tasks.create_task(known.run(SESSION))
        for number in (b"001800000000\n", b"001800000005\n"):
            while not file.exists() or file.read_bytes() != number:
                await asyncio.sleep(0.005)
            wall.now += 5
        work.cancel()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_note_that_cannot_be_written_ends_nothing(tmp_path: Path) -> None:
    known = Presence(tmp_path / "missing" / "presence")
    known.note()
    known.keep()
