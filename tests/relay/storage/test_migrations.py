import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable

from cloud_connect.errors import ConfigurationError
from cloud_connect_relay.storage import Storage
from cloud_connect_relay.storage.migrations import HEAD, upgrade
from cloud_connect_relay.storage.tables import metadata
from doubles.postgres import PostgresServer


def url(folder: Path) -> str:
    return f"sqlite+aiosqlite:///{folder / 'relay.sqlite3'}"


async def test_migrated_schema_is_what_the_tables_say(empty: str) -> None:
    def differences(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), metadata))

    async with Storage.open(empty) as storage:
        await upgrade(storage)
        async with storage.read() as connection:
            assert await connection.run_sync(differences) == []


def test_tables_are_portable_to_postgresql() -> None:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy's own gap
    for table in metadata.sorted_tables:
        assert str(CreateTable(table).compile(dialect=dialect))
        for index in table.indexes:
            assert str(CreateIndex(index).compile(dialect=dialect))


async def test_upgrade_can_be_repeated(tmp_path: Path) -> None:
    async with Storage.open(url(tmp_path)) as storage:
        await upgrade(storage)
        await upgrade(storage)
        async with storage.read() as connection:
            found = await connection.execute(text("SELECT version_num FROM alembic_version"))
            assert found.scalars().all() == [HEAD]


def test_head_is_the_newest_revision() -> None:
    config = Config()
    config.set_main_option("script_location", "cloud_connect_relay:storage/migrations")
    config.set_main_option("path_separator", "os")
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]


def upgrade_to(revision: str) -> Callable[[Connection], None]:
    def run(connection: Connection) -> None:
        config = Config()
        config.set_main_option("script_location", "cloud_connect_relay:storage/migrations")
        config.set_main_option("path_separator", "os")
        config.attributes["connection"] = connection
        command.upgrade(config, revision)

    return run


async def test_keys_of_an_older_version_stay_bound_to_what_may_have_been_executed(
    empty: str,
) -> None:
    states = ["completed", "not_executed", "unknown", "completed", "not_executed"]
    keys = ["a", "a", "b", "a", "c"]
    async with Storage.open(empty) as storage:
        async with storage.write() as connection:
            await connection.run_sync(upgrade_to("0003"))
            await connection.execute(
                text("INSERT INTO subscriptions (id, name, created_at) VALUES ('s', 's', 0)")
            )
            for number, (state, key) in enumerate(zip(states, keys, strict=True)):
                await connection.execute(
                    text(
                        "INSERT INTO calls (id, subscription_id, operation, idempotency_key, state,"
                        " started_at) VALUES (:id, 's', 'records.create', :key, :state, :at)"
                    ),
                    {"id": str(number), "key": key, "state": state, "at": float(number)},
                )
        await upgrade(storage)
        async with storage.read() as connection:
            held = await connection.execute(
                text("SELECT id FROM calls WHERE holds_key ORDER BY id")
            )
            assert held.scalars().all() == ["2", "3"]


async def test_relays_that_start_together_migrate_one_after_the_other(
    postgres: PostgresServer,
) -> None:
    database = postgres.database()
    async with Storage.open(database) as one, Storage.open(database) as other:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(upgrade(one))
            tasks.create_task(upgrade(other))
        async with one.read() as connection:
            found = await connection.execute(text("SELECT version_num FROM alembic_version"))
            assert found.scalars().all() == [HEAD]


async def test_database_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    async with Storage.open(url(tmp_path)) as storage:
        await upgrade(storage)
        async with storage.write() as connection:
            await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        with pytest.raises(ConfigurationError, match="newer version"):
            await upgrade(storage)


async def test_empty_version_table_is_migrated(tmp_path: Path) -> None:
    async with Storage.open(url(tmp_path)) as storage:
        async with storage.write() as connection:
            await connection.execute(
                text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
            )
        await upgrade(storage)
        async with storage.read() as connection:
            assert (await connection.execute(text("SELECT count(*) FROM users"))).scalar() == 0
