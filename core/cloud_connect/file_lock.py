"""A file that one process at a time holds."""

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

__all__ = ["FileInUseError", "file_lock"]

_POLL_SECONDS = 0.02  # between two attempts at a lock that another process holds


class FileInUseError(Exception):
    """Another process holds the lock."""


@contextlib.contextmanager
def file_lock(path: Path, *, timeout: float = 0.0) -> Iterator[None]:
    """Hold the lock *path* against all other processes; the system frees it after a crash.

    Args:
        timeout: Seconds to wait for another holder; blocks the thread meanwhile.

    Raises:
        FileInUseError: If another process holds it for longer.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        deadline = time.monotonic() + timeout
        while not _try_lock(descriptor):
            if time.monotonic() >= deadline:
                raise FileInUseError(path.name)
            time.sleep(_POLL_SECONDS)
        yield
    finally:
        os.close(descriptor)  # frees the lock


def _try_lock(descriptor: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
