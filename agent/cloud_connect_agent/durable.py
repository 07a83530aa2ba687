"""Files that survive a crash and stay private: durable writes, private folders."""

import errno
import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

from cloud_connect_agent.own_account import own_uid

__all__ = ["NO_ROOM", "make_private_dir", "private_fault", "sync_dir", "write_durably"]

# What a full disk, or an account's full share of it, answers.
NO_ROOM: Final = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)})
# Windows has no such bits: there, the folder's access list does the same.
_HAS_MODES = os.name == "posix"


def make_private_dir(path: Path) -> None:
    """Create *path* for the running account only; leave an existing folder as it is."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    for folder in reversed(missing):
        if _HAS_MODES:
            folder.mkdir(mode=0o700, exist_ok=True)
        else:
            from cloud_connect_agent.hosting.windows_folders import make_private_folder

            make_private_folder(folder)


def private_fault(path: Path) -> str | None:
    """Say why *path* is not private to the running account; ``None`` if it is.

    A link is a fault too: somebody else may have put it there to be followed.
    """
    facts = path.lstat()
    if stat.S_ISLNK(facts.st_mode):
        return "is a symbolic link"
    if _HAS_MODES:
        if facts.st_uid != own_uid():
            return "belongs to another account"
        if stat.S_IMODE(facts.st_mode) & 0o077:
            return "can be reached by other accounts"
    return None


def write_durably(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Replace *path* by *data*, so that a crash leaves either the old or the new content.

    No ``Path`` is made of the temporary name: pathlib interns every name (``sys.intern``), and
    Python's table of these doubles, by a megabyte, once 10,000 have come and gone.
    """
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, mode)  # noqa: PTH101
        os.replace(temporary, path)  # noqa: PTH105
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)  # noqa: PTH108
        raise
    sync_dir(path.parent)


def sync_dir(folder: Path) -> None:
    """Make the folder's entries durable: a rename is lost with power otherwise."""
    if _HAS_MODES:
        descriptor = os.open(folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
