"""Tests of ``cloud_connect.file_lock``."""

import fcntl
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from cloud_connect.file_lock import FileInUseError, file_lock


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    return tmp_path / "lock"


def test_a_lock_is_held_against_others_and_freed(lock: Path) -> None:
    with file_lock(lock), pytest.raises(FileInUseError, match="lock"), file_lock(lock):
        pass
    with file_lock(lock):
        pass


def test_a_lock_is_waited_for(lock: Path) -> None:
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


def test_a_lock_of_a_process_that_died_is_free(lock: Path) -> None:
    program = (
        "import os, pathlib, sys\n"
        "from cloud_connect.file_lock import file_lock\n"
        "with file_lock(pathlib.Path(sys.argv[1])): os._exit(9)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program, lock], check=False)
    assert ended.returncode == 9
    with file_lock(lock):
        pass


def test_windows_locks_the_first_byte_without_waiting(
    lock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, int]] = []

    def locking(descriptor: int, mode: int, count: int) -> None:
        asked.append((mode, count))
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setitem(sys.modules, "msvcrt", SimpleNamespace(locking=locking, LK_NBLCK=2))
    with file_lock(lock), pytest.raises(FileInUseError), file_lock(lock):
        pass
    assert asked == [(2, 1), (2, 1)]
