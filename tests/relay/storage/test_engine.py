import asyncio
import contextlib
import socket
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import bindparam, func, insert, select, text, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from cloud_connect.errors import ConfigurationError
from cloud_connect_relay.storage import Storage
from cloud_connect_relay.storage.tables import audit, subscriptions
from doubles.postgres import PostgresServer
from doubles.relay_node import Founded, founded

ADD = insert(subscriptions)
RENAME = (
    update(subscriptions)
    .where(subscriptions.c.id == bindparam("this_id"))
    .values(name=bindparam("new_name"))
)
_ELSEWHERE = "INSERT INTO subscriptions (id, name, created_at) VALUES ('sub_x', 'x', 0)"


def row(number: int) -> dict[str, Any]:
    return {"id": f"sub_{number}", "name": f"name {number}", "created_at": float(number)}


async def count(store: Founded) -> int:
    async with store.storage.read() as connection:
        found = (await connection.execute(select(func.count()).select_from(subscriptions))).scalar()
        return int(found or 0)


async def test_sqlite_is_opened_for_durability(sqlite: Founded) -> None:
    wanted = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 10_000}
    async with sqlite.storage.read() as connection:
        for pragma, value in wanted.items():
            assert (await connection.execute(text(f"PRAGMA {pragma}"))).scalar() == value


async def test_pages_that_connections_keep_do_not_grow_with_the_file(sqlite: Founded) -> None:
    async with sqlite.storage.read() as connection:
        kibibytes = -(await connection.execute(text("PRAGMA cache_size"))).scalar_one()
    assert 0 < kibibytes <= 256


async def test_connection_that_was_used_last_is_used_again(sqlite: Founded) -> None:
    async def used() -> object:
        async with sqlite.storage.read() as connection:
            await asyncio.sleep(0)
            return (await connection.get_raw_connection()).driver_connection

    several = {id(one) for one in await asyncio.gather(*(used() for _ in range(4)))}
    alone = {id(await used()) for _ in range(4)}
    assert len(alone) == 1
    assert alone < several


async def test_many_records_share_commits_and_all_are_stored(store: Founded) -> None:
    before = await count(store)
    async with asyncio.TaskGroup() as tasks:
        for number in range(1200):
            tasks.create_task(store.storage.record(ADD, row(number)))
    assert await count(store) == before + 1200


async def test_bad_record_fails_alone_and_its_neighbours_are_stored(store: Founded) -> None:
    before = await count(store)
    numbers = [1, 2, 2, 3]
    async with asyncio.TaskGroup() as tasks:

        async def add(number: int) -> bool:
            try:
                await store.storage.record(ADD, row(number))
            except IntegrityError:
                return False
            return True

        added = [tasks.create_task(add(number)) for number in numbers]
    assert sorted(task.result() for task in added) == [False, True, True, True]
    assert await count(store) == before + 3


async def test_record_that_is_withdrawn_before_it_began_is_never_stored(store: Founded) -> None:
    before = await count(store)
    async with store.storage.write():
        waiting = asyncio.create_task(store.storage.record(ADD, row(1)))
        refused = asyncio.create_task(store.storage.record(ADD, row(1)))
        await asyncio.sleep(0)
        waiting.cancel()
        refused.cancel()
        await asyncio.wait({waiting, refused})
    await store.storage.record(ADD, row(2))
    assert await count(store) == before + 1


async def test_record_that_was_cancelled_overtakes_nothing_that_is_stored_later(
    sqlite: Founded,
) -> None:
    async def store(name: str) -> None:
        await sqlite.storage.record(RENAME, {"this_id": "sub_1", "new_name": name})

    async def store_later() -> None:
        async with sqlite.storage.write() as connection:
            await connection.execute(RENAME, {"this_id": "sub_1", "new_name": "last"})

    await sqlite.storage.record(ADD, row(1))
    for cancelled_after in range(12):
        async with asyncio.TaskGroup() as tasks:
            async with sqlite.storage.write():
                first = tasks.create_task(store("first"))  # its commit waits for the lock here
                await asyncio.sleep(0.01)
                second = tasks.create_task(store("second"))  # and this one for that commit
                await asyncio.sleep(0.01)
            for _ in range(cancelled_after):
                await asyncio.sleep(0.0002)
            second.cancel()
            await asyncio.wait({second})
            tasks.create_task(store_later())
            await first
        async with sqlite.storage.read() as connection:
            found = await connection.execute(
                select(subscriptions.c.name).where(subscriptions.c.id == "sub_1")
            )
            assert found.scalar() == "last", cancelled_after


async def test_records_that_wait_are_stored_before_the_store_closes(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'a.sqlite3'}"
    async with Storage.open(url) as storage:
        async with storage.write() as connection:
            await connection.execute(text("CREATE TABLE subscriptions (id, name, created_at)"))
        async with storage.write():
            waiting = asyncio.create_task(storage.record(ADD, row(1)))
            await asyncio.sleep(0.01)  # the batch of the first has begun, the second queues
            following = asyncio.create_task(storage.record(ADD, row(2)))
            await asyncio.sleep(0)
    await waiting
    await following
    with contextlib.closing(sqlite3.connect(tmp_path / "a.sqlite3")) as database:
        found = database.execute("SELECT count(*) FROM subscriptions").fetchone()
    assert found == (2,)


async def test_failed_transaction_leaves_nothing(store: Founded) -> None:
    async def fail_midway() -> None:
        async with store.storage.write() as connection:
            await connection.execute(ADD, row(1))
            raise ZeroDivisionError

    before = await count(store)
    with pytest.raises(ZeroDivisionError):
        await fail_midway()
    assert await count(store) == before


async def test_error_inside_the_block_comes_out_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        async with Storage.open(f"sqlite+aiosqlite:///{tmp_path / 'a.sqlite3'}"):
            raise ZeroDivisionError


async def test_writers_wait_for_each_other_instead_of_failing(sqlite: Founded) -> None:
    async def add(number: int) -> None:
        async with sqlite.storage.write() as connection:
            seen = (await connection.execute(select(func.count()).select_from(audit))).scalar()
            await connection.execute(
                insert(audit).values(
                    subscription_id="s",
                    seq=number,
                    time=0.0,
                    actor="a",
                    action=str(number),
                    target=str(seen),
                    record="{}",
                    prev=b"",
                    hash=b"",
                )
            )

    async with asyncio.TaskGroup() as tasks:
        for number in range(20):
            tasks.create_task(add(number))
    async with sqlite.storage.read() as connection:
        query = select(audit.c.target).where(audit.c.subscription_id == "s")
        seen = (await connection.execute(query)).scalars().all()
    assert len(set(seen)) == 20


async def test_another_process_may_write_meanwhile(sqlite: Founded, tmp_path: Path) -> None:
    def elsewhere() -> None:
        with contextlib.closing(sqlite3.connect(tmp_path / "relay.sqlite3")) as database:
            database.execute(_ELSEWHERE)
            database.commit()

    await asyncio.to_thread(elsewhere)
    async with sqlite.storage.read() as connection:
        query = select(subscriptions.c.name).where(subscriptions.c.id == "sub_x")
        assert (await connection.execute(query)).scalar() == "x"


async def test_ping_asks_the_database(store: Founded) -> None:
    await store.storage.ping()


@pytest.mark.parametrize("url", ["nonsense", "sqlite+nothing:///x", "postgresql+nodriver://h/x"])
async def test_bad_database_url_names_the_setting(url: str) -> None:
    with pytest.raises(ConfigurationError, match="database_url"):
        async with Storage.open(url):
            pass


async def test_missing_driver_is_named() -> None:
    with pytest.raises(ConfigurationError, match="asyncmy"):
        async with Storage.open("mysql+asyncmy://user@host/name"):
            pass


async def test_server_that_is_not_there_is_told_like_any_trouble_of_the_store() -> None:
    with socket.create_server(("127.0.0.1", 0)) as left:
        port = left.getsockname()[1]
    async with Storage.open(f"postgresql+asyncpg://nobody@127.0.0.1:{port}/x") as storage:
        with pytest.raises(SQLAlchemyError):
            async with storage.read():
                pass
        with pytest.raises(SQLAlchemyError):
            await storage.record(ADD, row(1))
        with pytest.raises(SQLAlchemyError):
            await storage.ping()


async def test_server_that_does_not_answer_is_given_up_and_found_again(
    tmp_path: Path, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with founded(tmp_path, postgres.database()) as store:

        async def written() -> None:
            async with store.storage.write(within=0.5) as connection:
                await connection.execute(ADD, row(8))

        before = await count(store)
        monkeypatch.setattr(store.storage, "_patience", 0.5)
        with postgres.frozen():
            async with asyncio.timeout(30):
                lost = await asyncio.gather(
                    *(store.storage.record(ADD, row(number)) for number in range(3)),
                    count(store),
                    written(),
                    return_exceptions=True,
                )
        assert [isinstance(error, SQLAlchemyError) for error in lost] == [True] * 5
        monkeypatch.undo()
        await store.storage.record(ADD, row(9))
        assert await count(store) == before + 1


async def test_errors_tell_no_value_since_they_go_to_the_log(store: Founded) -> None:
    await store.storage.record(ADD, row(1))
    with pytest.raises(IntegrityError) as raised:
        async with store.storage.write() as connection:
            await connection.execute(ADD, {**row(1), "name": "confidential"})
    assert "confidential" not in str(raised.value)
