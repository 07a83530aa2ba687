"""Whole copies of a SQLite store, made while others use it."""

import contextlib
import os
import sqlite3
from pathlib import Path
from typing import Final

__all__ = ["copy_database"]

_PAGES: Final = 4096  # copied between two looks at who else wants the file: some 16 MiB
_BUSY_SECONDS: Final = 10.0


def copy_database(source: Path, target: Path) -> None:
    """Copy the database *source* as it is at one moment to *target*, durably; blocks.

    A target that is there is replaced. A copy that fails leaves none.

    Raises:
        sqlite3.Error: If the source cannot be read, or the disk is full.
        OSError: If the target cannot be written.
    """
    draft = target.with_name(f"{target.name}.new")
    draft.unlink(missing_ok=True)
    os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        with (
            contextlib.closing(
                sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)
            ) as read,
            contextlib.closing(sqlite3.connect(draft)) as written,
        ):
            read.execute(f"PRAGMA busy_timeout = {int(_BUSY_SECONDS * 1000)}")
            read.execute("BEGIN")  # one moment, also if the relay goes on writing
            read.execute("SELECT count(*) FROM sqlite_master").fetchone()
            read.backup(written, pages=_PAGES)
            written.execute("PRAGMA journal_mode = DELETE")  # one file, without a log beside it
        with draft.open("rb+") as file:
            os.fsync(file.fileno())
        draft.replace(target)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
