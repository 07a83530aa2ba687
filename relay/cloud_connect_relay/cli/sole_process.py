"""One ``serve`` at a time on a store that only one process may serve."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from cloud_connect.errors import CloudConnectError

__all__ = ["AlreadyServedError", "sole_process"]


class AlreadyServedError(CloudConnectError):
    """Another process serves the data folder."""


@contextlib.contextmanager
def sole_process(path: Path) -> Iterator[None]:
    """Hold the lock file until the block ends; the system frees it after a crash.

    Raises:
        AlreadyServedError: If another process holds it.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if not _try_lock(descriptor):
            raise AlreadyServedError(
                f"A relay serves the data folder {path.parent} already; stop it first, or choose"
                " another folder with --data-dir."
            )
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
