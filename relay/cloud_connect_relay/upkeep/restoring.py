"""Makes a relay of a backup: all of it is read and checked before anything is changed."""

import os
import shutil
import sqlite3
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import IO, Final

from pydantic import ValidationError

from cloud_connect.backup_file import BackupError, BackupHead, nothing_changed, read_backup
from cloud_connect_relay.paths import RelayPaths
from cloud_connect_relay.storage.migrations import HEAD
from cloud_connect_relay.upkeep.saving import DATABASE, Inventory, files_of

__all__ = ["Restored", "is_used", "restore"]

_MAX_FILE_BYTES: Final = 1024 * 1024  # keys and settings are far smaller
_CHUNK: Final = 1024 * 1024
_KNOWN: Final = frozenset({"relay.toml", "relay.pepper", "relay.key", DATABASE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What a backup held.

    Attributes:
        database: Whether the store came along; otherwise it is a server's.
    """

    head: BackupHead
    inventory: Inventory
    database: bool


def is_used(paths: RelayPaths) -> bool:
    """Whether there is a relay in the data folder already."""
    return any(one.exists() for one in (paths.key_file, paths.pepper_file, paths.database))


def restore(paths: RelayPaths, *, file: Path, passphrase: str) -> Restored:
    """Replace whatever relay the data folder holds by the one in the backup.

    To be done while no relay serves it. The key comes last: until then it holds none that could
    run.

    Raises:
        BackupError: If the backup cannot be read, is a newer version's, or finds no room; nothing
            has changed.
        OSError: If the disk does not take it, once the relay that was here is gone.
    """
    with ExitStack() as stack:
        with nothing_changed(paths.data_dir):
            made = tempfile.TemporaryDirectory(dir=paths.data_dir, prefix=".restoring-")
            draft = Path(stack.enter_context(made))
            inventory = None
            with read_backup(file, passphrase, kind="relay") as backup:
                head = backup.head
                for member, source in backup.members():
                    if member == "inventory.json":
                        inventory = _inventory(source)
                    elif member in _KNOWN:
                        _unpack(source, draft / member)
            _check(draft, inventory, head)
        assert inventory is not None  # noqa: S101 - checked
        database = (draft / DATABASE).exists()
        paths.key_file.unlink(missing_ok=True)
        if database:
            for suffix in ("", "-wal", "-shm"):  # a log of the former database must not be applied
                paths.database.with_name(paths.database.name + suffix).unlink(missing_ok=True)
            (draft / DATABASE).rename(paths.database)
        for member, path in files_of(paths).items():
            if (draft / member).exists():
                (draft / member).replace(path)
            else:
                path.unlink(missing_ok=True)
        _sync(paths.data_dir)
    return Restored(head=head, inventory=inventory, database=database)


def _inventory(source: IO[bytes]) -> Inventory:
    try:
        return Inventory.model_validate_json(source.read(_MAX_FILE_BYTES))
    except ValidationError as exc:
        raise BackupError("The backup's inventory cannot be read.") from exc


def _unpack(source: IO[bytes], path: Path) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as copy:
        shutil.copyfileobj(source, copy, _CHUNK)
        copy.flush()
        os.fsync(copy.fileno())


def _check(draft: Path, inventory: Inventory | None, head: BackupHead) -> None:
    if inventory is None or not all(
        (draft / one).exists() for one in ("relay.key", "relay.pepper")
    ):
        raise BackupError("The backup lacks the relay's keys.")
    if inventory.schema_revision > HEAD:
        raise BackupError(
            f"The backup is of a newer version of the relay ({head.program}); this is "
            f"{version('cloud-connect')}. Install that version first."
        )
    if not (draft / DATABASE).exists():
        return
    connection = sqlite3.connect(draft / DATABASE)
    try:
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as exc:
        raise BackupError(f"The database in the backup cannot be used: {exc}.") from exc
    finally:
        connection.close()
    if verdict != "ok":
        raise BackupError(f"The database in the backup is damaged: {verdict}.")


def _sync(folder: Path) -> None:
    if os.name == "posix":  # elsewhere a folder cannot be opened
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
