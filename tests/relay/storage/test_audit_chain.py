"""The chain of each subscription in the store, on one node and on two."""

import asyncio

import pytest
from sqlalchemy import insert, select, text, update
from sqlalchemy.exc import IntegrityError

from cloud_connect.audit import CUT, Verdict
from cloud_connect.signing import SigningKey
from cloud_connect_relay.audit_keeper import AuditKeeper
from cloud_connect_relay.storage import Storage
from cloud_connect_relay.storage.audit import AuditDraft, AuditFilter, append_all
from cloud_connect_relay.storage.audit_checkpoints import AuditCheckpoints, verify
from cloud_connect_relay.storage.migrations import upgrade
from cloud_connect_relay.storage.tables import audit, subscriptions
from doubles.relay_node import NOW, Founded
from relay.storage.test_migrations import upgrade_to

DAY = 86_400.0


def draft(log: str, number: int) -> AuditDraft:
    return AuditDraft(
        subscription_id=log, at=NOW + number, actor="test", action="do.it", target=str(number)
    )


async def judged(store: Founded, log: str | None = None) -> Verdict:
    key = store.identity.public_key
    return await verify(store.storage, log or store.subscription_id, held=[], key=key)


async def test_logs_of_subscriptions_are_chains_of_their_own(store: Founded) -> None:
    other = await store.subscription("Other")
    async with store.storage.write() as connection:
        await append_all(
            connection,
            [draft(log, number) for number in range(3) for log in (store.subscription_id, other)],
        )
    for log in (store.subscription_id, other):
        verdict = await judged(store, log)
        assert verdict.fault is None
        entries = await store.storage.of(log).audit.newest(limit=100)
        assert [entry.seq for entry in entries] == list(range(len(entries), 0, -1))


async def test_writers_that_come_together_make_one_chain(store: Founded, empty: str) -> None:
    async with Storage.open(empty) as other:

        async def add(storage: Storage, number: int) -> None:
            async with storage.write() as connection:
                await append_all(connection, [draft(store.subscription_id, number)])

        async with asyncio.TaskGroup() as tasks:
            for number in range(20):
                tasks.create_task(add(other if number % 2 else store.storage, number))
    verdict = await judged(store)
    assert verdict.fault is None
    assert verdict.records >= 20


async def test_statement_and_its_record_are_stored_together_or_not_at_all(store: Founded) -> None:
    adding = insert(subscriptions)

    async def add(number: int) -> None:
        row = {"id": f"sub_{number}", "name": f"name {number % 8}", "created_at": NOW}
        await store.storage.record(adding, row, audit=draft(store.subscription_id, number))

    results = []
    async with asyncio.TaskGroup() as tasks:

        async def attempt(number: int) -> None:
            try:
                await add(number)
            except IntegrityError:
                results.append(number)

        for number in range(10):
            tasks.create_task(attempt(number))
    assert len(results) == 2  # two names were taken
    wanted = AuditFilter(action="do")
    entries = await store.storage.of(store.subscription_id).audit.newest(wanted, limit=100)
    assert {int(entry.target) for entry in entries} == set(range(10)) - set(results)
    assert (await judged(store)).fault is None


@pytest.mark.parametrize(
    "change",
    [
        {"time": NOW + 0.0001},
        {"actor": "nobody"},
        {"action": "do.nothing"},
        {"target": "x"},
        {"record": "rubbish"},
        {"hash": b"h" * 32},
        {"prev": b"p" * 32},
    ],
)
async def test_no_column_can_be_changed_unseen(sqlite: Founded, change: dict[str, object]) -> None:
    log = sqlite.subscription_id
    async with sqlite.storage.write() as connection:
        await append_all(connection, [draft(log, number) for number in range(5)])
        await connection.execute(
            update(audit).where(audit.c.subscription_id == log, audit.c.seq == 3).values(**change)
        )
    fault = (await judged(sqlite)).fault
    assert fault is not None
    assert fault.seq == 3


async def test_checkpoints_come_with_hundred_records_or_a_minute(store: Founded) -> None:
    now = 0.0
    keeper = AuditKeeper(
        store.storage, store.identity.key, clock=lambda: NOW, monotonic=lambda: now
    )
    assert await keeper.sign() == 0  # its founding is a few records, of this moment
    now = 60.0
    assert await keeper.sign() == 1
    assert await keeper.sign() == 0
    async with store.storage.write() as connection:
        await append_all(
            connection, [draft(store.subscription_id, number) for number in range(100)]
        )
    assert await keeper.sign() == 1
    verdict = await judged(store)
    assert (verdict.fault, verdict.signed) == (None, verdict.last)


async def test_two_nodes_that_sign_at_once_sign_once(store: Founded) -> None:
    checkpoints = AuditCheckpoints(store.storage)
    log, key = store.subscription_id, store.identity.key
    first = await checkpoints.sign(log, key, at=NOW)
    assert first is not None
    assert await checkpoints.sign(log, key, at=NOW) is None
    assert await checkpoints.sign("sub_none", key, at=NOW) is None
    assert await checkpoints.all(log) == [first]


async def test_checkpoint_of_another_key_is_found(store: Founded) -> None:
    stranger = SigningKey.generate()
    await AuditCheckpoints(store.storage).sign(store.subscription_id, stranger, at=NOW)
    assert (await judged(store)).fault is not None


async def test_old_records_go_up_to_a_checkpoint_and_a_record_says_so(store: Founded) -> None:
    now = NOW
    log = store.subscription_id
    keeper = AuditKeeper(store.storage, store.identity.key, clock=lambda: now)
    await keeper.sign(all_now=True)
    signed = (await judged(store)).last
    now = NOW + 10 * DAY
    async with store.storage.write() as connection:
        await append_all(connection, [draft(log, number) for number in range(3)])
    await keeper.sign(all_now=True)
    assert await keeper.cut(retention=20 * DAY) == 0
    assert await keeper.cut(retention=5 * DAY) == signed
    newest = (await store.storage.of(log).audit.newest(limit=1))[0]
    assert (newest.action, newest.detail["up_to"]) == (CUT, signed)
    verdict = await judged(store)
    assert (verdict.fault, verdict.first) == (None, (signed or 0) + 1)
    assert await keeper.cut(retention=5 * DAY) == 0

    now = NOW + 100 * DAY  # nothing happens for long: all goes but what says so
    await keeper.sign(all_now=True)
    now = NOW + 200 * DAY
    await keeper.cut(retention=5 * DAY)
    assert (await judged(store)).fault is None


async def test_records_that_went_without_a_word_are_missed(sqlite: Founded) -> None:
    log = sqlite.subscription_id
    keeper = AuditKeeper(sqlite.storage, sqlite.identity.key)
    await keeper.sign(all_now=True)
    async with sqlite.storage.write() as connection:
        await connection.execute(audit.delete())
        await append_all(connection, [draft(log, number) for number in range(3)])
    fault = (await judged(sqlite)).fault
    assert fault is not None
    assert fault.seq == 1


async def test_records_of_an_older_version_are_chained(empty: str) -> None:
    async with Storage.open(empty) as storage:
        async with storage.write() as connection:
            await connection.run_sync(upgrade_to("0005"))
            for number, log in enumerate(["a", "b", "a", "a"]):
                await connection.execute(
                    text(
                        "INSERT INTO audit (subscription_id, time, actor, action, target, detail)"
                        " VALUES (:log, :at, 'user:u', 'key.create', 'k', '{\"n\": 1.5}')"
                    ),
                    {"log": log, "at": 1000.0001 + number},
                )
        await upgrade(storage)
        for log, count in (("a", 3), ("b", 1)):
            verdict = await verify(storage, log, held=[], key=b"")
            assert (verdict.fault, verdict.records) == (None, count)
        entries = await storage.of("a").audit.newest(limit=1)
        assert (entries[0].seq, entries[0].detail) == (3, {"n": 1.5})
        async with storage.read() as connection:
            times = (
                await connection.execute(select(audit.c.time).order_by(audit.c.time))
            ).scalars()
            assert list(times) == [1000.0, 1001.0, 1002.0, 1003.0]


async def test_records_are_read_in_pages_from_the_oldest_on(
    sqlite: Founded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloud_connect_relay.storage.audit._PAGE", 2)
    log = sqlite.subscription_id
    async with sqlite.storage.write() as connection:
        await append_all(connection, [draft(log, number) for number in range(5)])
    wanted = AuditFilter(action="do.it", actor="test", since=NOW + 1, until=NOW + 4)
    found = [entry.target async for entry in sqlite.storage.of(log).audit.all(wanted)]
    assert found == ["1", "2", "3"]
    newest = await sqlite.storage.of(log).audit.newest(AuditFilter(target="4"), limit=9)
    assert [entry.target for entry in newest] == ["4"]
