"""A SQLite store is copied before its schema changes: the way back to the version before."""

import contextlib
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import text

from cloud_connect.errors import ConfigurationError
from cloud_connect_relay.storage import Storage
from cloud_connect_relay.storage.migrations import HEAD, upgrade
from cloud_connect_relay.storage.snapshots import copy_database
from relay.storage.test_migrations import upgrade_to, url


async def older(folder: Path, revision: str) -> None:
    async with Storage.open(url(folder)) as storage, storage.write() as connection:
        await connection.run_sync(upgrade_to(revision))
        await connection.execute(
            text("INSERT INTO subscriptions (id, name, created_at) VALUES ('s', 'mine', 0)")
        )


def found_in(file: Path) -> tuple[str, str]:
    with contextlib.closing(sqlite3.connect(file)) as database:
        (revision,) = database.execute("SELECT version_num FROM alembic_version").fetchone()
        (name,) = database.execute("SELECT name FROM subscriptions").fetchone()
    return revision, name


def copies(folder: Path) -> list[str]:
    return [one.name for one in folder.glob("*.schema-*")]


async def test_store_of_an_older_version_is_copied_first(tmp_path: Path) -> None:
    await older(tmp_path, "0007")
    (tmp_path / "relay.sqlite3.schema-0005").write_text("of an upgrade before")
    async with Storage.open(url(tmp_path)) as storage:
        await upgrade(storage)
        await upgrade(storage)
    copy = tmp_path / "relay.sqlite3.schema-0007"
    assert found_in(copy) == ("0007", "mine")
    assert copy.stat().st_mode & 0o077 == 0
    assert found_in(tmp_path / "relay.sqlite3") == (HEAD, "mine")
    assert copies(tmp_path) == [copy.name]


async def test_new_store_needs_no_copy(tmp_path: Path) -> None:
    async with Storage.open(url(tmp_path)) as storage:
        await upgrade(storage)
    assert copies(tmp_path) == []


async def test_schema_stays_as_it_is_where_no_copy_can_be_made(tmp_path: Path) -> None:
    await older(tmp_path, "0007")
    (tmp_path / "relay.sqlite3.schema-0007.new").mkdir()  # something is in the way
    async with Storage.open(url(tmp_path)) as storage:
        with pytest.raises(ConfigurationError, match="before its schema changes"):
            await upgrade(storage)
    assert found_in(tmp_path / "relay.sqlite3") == ("0007", "mine")


def test_copy_is_of_one_moment_while_others_write(tmp_path: Path) -> None:
    source = tmp_path / "busy.sqlite3"
    writer = sqlite3.connect(source, isolation_level=None)
    writer.execute("PRAGMA journal_mode = WAL")
    writer.execute("CREATE TABLE pairs (a INTEGER, b INTEGER)")
    writer.execute("INSERT INTO pairs VALUES (1, 1)")
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("UPDATE pairs SET a = 2")  # under way, and not committed
    copy_database(source, tmp_path / "copy")
    writer.execute("UPDATE pairs SET b = 2")
    writer.execute("COMMIT")
    with contextlib.closing(sqlite3.connect(tmp_path / "copy")) as copied:
        assert copied.execute("SELECT a, b FROM pairs").fetchall() == [(1, 1)]
    copy_database(source, tmp_path / "copy")
    with contextlib.closing(sqlite3.connect(tmp_path / "copy")) as copied:
        assert copied.execute("SELECT a, b FROM pairs").fetchall() == [(2, 2)]
    writer.close()
