"""What of a relay goes into a backup."""

import os
import sqlite3
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from cloud_connect.backup_file import BackupError, BackupWriter, seal_backup
from cloud_connect_relay.paths import RelayPaths
from cloud_connect_relay.storage.snapshots import copy_database

__all__ = ["DATABASE", "Inventory", "files_of", "save"]

DATABASE: Final = "relay.sqlite3"


class Inventory(BaseModel):
    """The first member: whose backup it is, and of which schema.

    Attributes:
        schema_revision: The revision of the database in it; empty if it is elsewhere.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    relay_id: str = Field(max_length=64)
    schema_revision: str = Field(default="", max_length=64)


def files_of(paths: RelayPaths) -> dict[str, Path]:
    """Return the files beside the database by their names in a backup; the key comes last."""
    return {
        "relay.toml": paths.settings_file,
        "relay.pepper": paths.pepper_file,
        "relay.key": paths.key_file,
    }


def save(
    paths: RelayPaths, *, relay_id: str, database: Path | None, file: Path, passphrase: str
) -> int:
    """Write the backup *file*; return its bytes.

    Args:
        database: The data folder's own store; ``None`` if it is elsewhere, with tools of its own.

    Raises:
        BackupError: If it cannot be written, or the database cannot be read.
    """
    with tempfile.TemporaryDirectory(dir=paths.data_dir, prefix=".backup-") as draft:
        copy, revision = Path(draft) / DATABASE, ""
        if database is not None:
            try:
                copy_database(database, copy)
                revision = _revision_of(copy)
            except (OSError, sqlite3.Error) as exc:
                raise BackupError(f"The database cannot be copied: {exc}.") from exc
        inventory = Inventory(relay_id=relay_id, schema_revision=revision)
        with seal_backup(
            file,
            passphrase,
            kind="relay",
            program=version("cloud-connect"),
            made_at=time.time(),
        ) as backup:
            backup.add("inventory.json", inventory.model_dump_json().encode())
            for name, path in files_of(paths).items():
                if path.exists():
                    _add(backup, name, path)
            if database is not None:
                _add(backup, DATABASE, copy)
    return file.stat().st_size


def _add(backup: BackupWriter, name: str, path: Path) -> None:
    with path.open("rb") as source:
        backup.copy(name, source, os.fstat(source.fileno()).st_size)


def _revision_of(copy: Path) -> str:
    connection = sqlite3.connect(copy)
    try:
        (revision,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        return str(revision)
    finally:
        connection.close()
