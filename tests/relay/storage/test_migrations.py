from pathlib import Path

import pytest
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


def url(folder: Path) -> str:
    return f"sqlite+aiosqlite:///{folder / 'relay.sqlite3'}"


async def test_migrated_schema_is_what_the_tables_say(tmp_path: Path) -> None:
    def differences(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), metadata))

    async with Storage.open(url(tmp_path)) as storage:
        await upgrade(storage)
        async with storage.read() as connection:
            assert await connection.run_sync(differences) == []


def test_tables_are_portable_to_postgresql() -> None:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy's own gap
    for table in metadata.sorted_tables:
        assert str(CreateTable(table).compile(dialect=dialect))
        for index in table.indexes:
            assert str(CreateIndex(index).compile(dialect=dialect))
    assert "BIGSERIAL" in str(CreateTable(metadata.tables["audit"]).compile(dialect=dialect))


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
