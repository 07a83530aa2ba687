"""One ``serve`` at a time on a store that only one process may serve."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from cloud_connect.errors import CloudConnectError
from cloud_connect.file_lock import FileInUseError, file_lock

__all__ = ["AlreadyServedError", "sole_process"]


class AlreadyServedError(CloudConnectError):
    """Another process serves the data folder."""


@contextlib.contextmanager
def sole_process(path: Path) -> Iterator[None]:
    """Hold the lock file until the block ends; the system frees it after a crash.

    Raises:
        AlreadyServedError: If another process holds it.
    """
    try:
        with file_lock(path):
            yield
    except FileInUseError as exc:
        raise AlreadyServedError(
            f"A relay serves the data folder {path.parent} already; stop it first, or choose"
            " another folder with --data-dir."
        ) from exc
