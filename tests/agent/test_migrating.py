"""Files of an older format are brought to today's or stay as they were; newer ones are refused."""

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cloud_connect.errors import ConfigurationError
from cloud_connect_agent.paths import AgentPaths
from cloud_connect_agent.settings import VaultSettings
from cloud_connect_agent.upkeep.migrating import MIGRATIONS, Migration, migrate
from cloud_connect_agent.upkeep.state_format import (
    STATE_FORMAT,
    StateFormat,
    check_format,
    read_format,
    write_format,
)
from cloud_connect_agent.vault import vault_of
from cloud_connect_agent.version import VERSION

TODAY = len(MIGRATIONS)


@pytest.fixture
def paths(tmp_path: Path) -> AgentPaths:
    paths = AgentPaths.of(tmp_path / "home")
    paths.create()
    return paths


def journal(paths: AgentPaths) -> None:
    with contextlib.closing(sqlite3.connect(paths.journal_file)) as database, database:
        database.execute("CREATE TABLE calls (call_id TEXT)")
        database.execute("INSERT INTO calls VALUES ('call_1')")


def columns(paths: AgentPaths) -> list[str]:
    with contextlib.closing(sqlite3.connect(paths.journal_file)) as database:
        return [row[1] for row in database.execute("PRAGMA table_info(calls)")]


def widen(paths: AgentPaths) -> None:
    with contextlib.closing(sqlite3.connect(paths.journal_file)) as database, database:
        database.execute("ALTER TABLE calls ADD COLUMN note TEXT")
    (paths.state_dir / "notes").mkdir()
    (paths.state_dir / "notes" / "one").write_text("new")


def step(run: Callable[[AgentPaths], None]) -> Migration:
    return Migration(
        title="give calls a note",
        changes=lambda paths: (paths.journal_file, paths.state_dir / "notes"),
        run=run,
    )


def test_number_is_the_count_of_steps() -> None:
    assert STATE_FORMAT == TODAY


def test_new_folders_have_todays_format(paths: AgentPaths) -> None:
    assert read_format(paths) is None
    assert migrate(paths) == 0
    assert read_format(paths) == StateFormat(format=STATE_FORMAT, program=VERSION)


def test_vault_of_the_time_before_kinds_were_noted_says_its_kind(paths: AgentPaths) -> None:
    vault = vault_of(paths, VaultSettings(key="key-file"))
    vault.write("identity", b"k" * 32)
    (paths.vault_dir / "kind").unlink()
    assert read_format(paths) == StateFormat(format=0)
    assert migrate(paths) == TODAY
    assert (paths.vault_dir / "kind").read_text() == "key-file\n"
    assert vault_of(paths).read("identity") == b"k" * 32
    assert migrate(paths) == 0, "once"


def test_step_is_taken_and_what_it_changed_is_kept_until_the_next(paths: AgentPaths) -> None:
    journal(paths)
    write_format(paths)
    assert migrate(paths, steps=(*MIGRATIONS, step(widen))) == 1
    assert columns(paths) == ["call_id", "note"]
    kept = sqlite3.connect(paths.kept_dir(TODAY) / "0")
    assert [row[1] for row in kept.execute("PRAGMA table_info(calls)")] == ["call_id"]
    kept.close()
    assert migrate(paths, steps=(*MIGRATIONS, step(widen), step(lambda _: None))) == 1
    assert [one.name for one in paths.state_dir.glob("kept-*")] == [f"kept-format-{TODAY + 1}"]


def test_step_that_fails_half_way_is_undone(paths: AgentPaths) -> None:
    def fail(paths: AgentPaths) -> None:
        widen(paths)
        raise ValueError("no such luck")

    journal(paths)
    write_format(paths)
    before = paths.journal_file.read_bytes()
    with pytest.raises(ConfigurationError, match=r"give calls a note: no such luck\); they are as"):
        migrate(paths, steps=(*MIGRATIONS, step(fail)))
    assert paths.journal_file.read_bytes() == before
    assert not (paths.state_dir / "notes").exists()
    assert list(paths.state_dir.glob("kept-*")) == []
    assert read_format(paths) == StateFormat(format=STATE_FORMAT, program=VERSION)
    assert migrate(paths, steps=(*MIGRATIONS, step(widen))) == 1


CRASHING = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = [{tests!r}]
from agent.test_migrating import MIGRATIONS, step, widen
from cloud_connect_agent.paths import AgentPaths
from cloud_connect_agent.upkeep.migrating import migrate

def crash(paths):
    widen(paths)
    os.kill(os.getpid(), signal.SIGKILL)

migrate(AgentPaths.of(Path({home!r})), steps=(*MIGRATIONS, step(crash)))
"""


@pytest.mark.timeout(60)
def test_step_that_a_crash_cut_short_is_undone_before_it_is_taken_again(paths: AgentPaths) -> None:
    journal(paths)
    write_format(paths)
    tests = str(Path(__file__).parent.parent)
    program = CRASHING.format(tests=tests, home=str(paths.home))
    crashed = subprocess.run([sys.executable, "-c", program], check=False, timeout=50)
    assert crashed.returncode == -signal.SIGKILL
    assert columns(paths) == ["call_id", "note"], "half of it was done"
    # A second ADD COLUMN, or a second folder, would fail.
    assert migrate(paths, steps=(*MIGRATIONS, step(widen))) == 1
    assert columns(paths) == ["call_id", "note"]


def test_disk_that_takes_no_copy_changes_nothing(
    paths: AgentPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, os.strerror(28))

    journal(paths)
    write_format(paths)
    monkeypatch.setattr("cloud_connect_agent.upkeep.migrating.shutil.copy2", full)
    with pytest.raises(ConfigurationError, match="No space left on device; they are as they were"):
        migrate(paths, steps=(*MIGRATIONS, step(widen)))
    assert columns(paths) == ["call_id"]


def test_files_of_a_newer_version_are_refused_in_a_sentence(paths: AgentPaths) -> None:
    paths.format_file.write_text('{"format": 7, "program": "9.1.0", "more": true}')
    for refuse in (check_format, migrate):
        with pytest.raises(ConfigurationError, match=r"newer version of the agent \(9\.1\.0\)"):
            refuse(paths)


def test_damaged_note_of_the_format_is_told(paths: AgentPaths) -> None:
    paths.format_file.write_text("one")
    with pytest.raises(ConfigurationError, match="is damaged"):
        read_format(paths)
    paths.format_file.unlink()
    paths.format_file.mkdir()
    with pytest.raises(ConfigurationError, match="cannot be read: Is a directory"):
        read_format(paths)
