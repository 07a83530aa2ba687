"""Tests of ``cloud_connect_agent.durable``."""

import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from cloud_connect_agent.durable import (
    FileInUseError,
    file_lock,
    make_private_dir,
    private_fault,
    write_durably,
)


def test_missing_folders_are_made_private_and_others_stay(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    make_private_dir(tmp_path / "a" / "b")
    make_private_dir(tmp_path / "a" / "b")
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_a_file_is_replaced_as_a_whole_and_private(tmp_path: Path) -> None:
    file = tmp_path / "file"
    write_durably(file, b"one")
    write_durably(file, b"two")
    assert file.read_bytes() == b"two"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert private_fault(file) is None
    assert list(tmp_path.iterdir()) == [file]


def test_a_read_only_file_is_replaced_too(tmp_path: Path) -> None:
    file = tmp_path / "file"
    write_durably(file, b"one", mode=0o400)
    write_durably(file, b"two", mode=0o400)
    assert file.read_bytes() == b"two"


def test_a_lock_is_held_against_others_and_freed(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with file_lock(lock), pytest.raises(FileInUseError), file_lock(lock):
        pass
    with file_lock(lock):
        pass


def test_a_lock_is_waited_for(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with file_lock(lock):
            held.set()
            release.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(10)
    threading.Timer(0.05, release.set).start()
    with file_lock(lock, timeout=10):
        pass
    thread.join()


def test_a_lock_of_a_process_that_died_is_free(tmp_path: Path) -> None:
    program = (
        "import os, pathlib, sys\n"
        "from cloud_connect_agent.durable import file_lock\n"
        "with file_lock(pathlib.Path(sys.argv[1])): os._exit(9)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program, tmp_path / "lock"], check=False)
    assert ended.returncode == 9
    with file_lock(tmp_path / "lock"):
        pass
