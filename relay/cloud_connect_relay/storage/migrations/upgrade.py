"""Brings a database to the schema of this version."""

from typing import TYPE_CHECKING, Final

from sqlalchemy import inspect, text

from cloud_connect.errors import ConfigurationError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from cloud_connect_relay.storage.engine import Storage

__all__ = ["HEAD", "upgrade"]

HEAD: Final = "0009"  # the newest revision in versions/
_LOCK_KEY: Final = 0x636C_6463  # any number that nobody else locks in this database


async def upgrade(storage: "Storage") -> None:
    """Migrate the database of *storage* to the newest schema, in one transaction.

    Raises:
        ConfigurationError: If a newer version of the relay has migrated it already.
    """
    async with storage.read() as connection:
        if await connection.run_sync(_revision) == HEAD:
            return
    async with storage.write(within=None) as connection:
        await connection.run_sync(_one_at_a_time)
        await connection.run_sync(_upgrade)


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
