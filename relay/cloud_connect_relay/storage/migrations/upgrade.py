"""Brings a database to the schema of this version; a SQLite file is copied before."""

import asyncio
import contextlib
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog
from sqlalchemy import inspect, text

from cloud_connect.errors import ConfigurationError
from cloud_connect_relay.storage.snapshots import copy_database

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from cloud_connect_relay.storage.engine import Storage

__all__ = ["HEAD", "upgrade"]

log = structlog.get_logger(__name__)

HEAD: Final = "0011"  # the newest revision in versions/
_LOCK_KEY: Final = 0x636C_6463  # any number that nobody else locks in this database


async def upgrade(storage: "Storage") -> None:
    """Migrate the database of *storage* to the newest schema, in one transaction.

    Before that, a SQLite file with content is copied beside itself, under the name of its schema:
    with it, the version that ran before can be brought back.

    Raises:
        ConfigurationError: If a newer version of the relay has migrated it already, or it cannot
            be copied; nothing has changed then.
    """
    async with storage.read() as connection:
        before = await connection.run_sync(_revision)
    if before == HEAD:
        return
    if before is not None and before < HEAD and storage.file is not None:
        await asyncio.to_thread(_keep_copy, storage.file, before)
    async with storage.write(within=None) as connection:
        await connection.run_sync(_one_at_a_time)
        await connection.run_sync(_upgrade)


def _keep_copy(database: Path, revision: str) -> None:
    copy = database.with_name(f"{database.name}.schema-{revision}")
    try:
        copy_database(database, copy)
    except (OSError, sqlite3.Error) as error:
        raise ConfigurationError(
            f"The database cannot be copied to {copy} before its schema changes ({error}), so that"
            " nothing was changed; make room there, and start again."
        ) from error
    for former in database.parent.glob(f"{database.name}.schema-*"):
        if former != copy:  # of an upgrade before this one
            with contextlib.suppress(OSError):
                former.unlink()
    log.info("database_copied", file=copy.name, schema=revision)


def _one_at_a_time(connection: "Connection") -> None:
    # SQLite has one writer anyway; nodes that start together on PostgreSQL wait for each other.
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})


def _revision(connection: "Connection") -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return None if found is None else str(found)


def _upgrade(connection: "Connection") -> None:
    from alembic import command  # slow to import, and seldom needed
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", "cloud_connect_relay:storage/migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise ConfigurationError(
            "The database was written by a newer version of the relay; install that version."
        ) from error
