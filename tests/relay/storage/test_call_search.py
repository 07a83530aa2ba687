import random
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from sqlalchemy import text

from cloud_connect.errors import Outcome
from cloud_connect_relay.ids import new_id
from cloud_connect_relay.storage.call_search import CallCursor, CallFilter, Fate, StatusClass
from cloud_connect_relay.storage.calls import CallRecord, CallsOfAll, CallState
from doubles.machine_speed import slowness
from doubles.relay_node import NOW, Founded

MANY = 100_000
PAGE_SECONDS = 0.05


def record(subscription_id: str, *, at: float = NOW, **members: object) -> CallRecord:
    made = CallRecord(
        id=new_id("call"),
        subscription_id=subscription_id,
        operation="records.list",
        state=CallState.COMPLETED,
        outcome=Outcome.COMPLETED,
        final=True,
        status=200,
        started_at=at,
    )
    return replace(made, **members)  # type: ignore[arg-type]  # the test's own


def mixed(subscription_id: str, *, count: int = 60) -> list[CallRecord]:
    """Calls of all kinds; some began at the same moment."""
    fates = [
        (CallState.COMPLETED, Outcome.COMPLETED, 200),
        (CallState.COMPLETED, Outcome.COMPLETED, 404),
        (CallState.UNKNOWN, Outcome.UNKNOWN, 502),
        (CallState.NOT_EXECUTED, Outcome.NOT_EXECUTED, None),
        (CallState.DISPATCHED, None, None),
    ]
    return [
        record(
            subscription_id,
            at=NOW + number // 7 + 0.1,
            state=fates[number % 5][0],
            outcome=fates[number % 5][1],
            status=fates[number % 5][2],
            connector_id=f"con_{number % 3}",
            datasource_id=f"ds_{number % 4}",
            operation=("records.list", "records.get")[number % 2],
            # Only what had no effect may have its key in common with others.
            idempotency_key=f"key-{number % 2}" if number % 5 == 3 else None,
        )
        for number in range(count)
    ]


FILTERS = [
    CallFilter(),
    *(CallFilter(fate=fate) for fate in Fate),
    *(CallFilter(status_class=one) for one in StatusClass),
    CallFilter(connector_id="con_1", status_class=StatusClass.SERVER_ERROR),
    CallFilter(datasource_id="ds_2", operation="records.list"),
    CallFilter(idempotency_key="key-1"),
    CallFilter(since=NOW + 2, until=NOW + 5.1),
    CallFilter(call_id="call_0000000000000000"),
]


async def test_pages_hold_each_call_once_and_in_order(store: Founded) -> None:
    made = mixed(store.subscription_id)
    foreign = await store.subscription("Other")
    await CallsOfAll(store.storage).insert_all([*made, *mixed(foreign)])
    repository = store.storage.of(store.subscription_id).calls
    for chosen in FILTERS:
        wanted, found = chosen, list[str]()
        while page := await repository.newest(wanted, limit=7):
            found += [one.id for one in page]
            wanted = replace(wanted, after=CallCursor.of(page[-1]))
            assert not any(wanted.matches(one) for one in made if one.id in found)
        assert found == [one.id for one in newest_first(made) if chosen.matches(one)], chosen
        assert found or chosen in {FILTERS[-1], CallFilter(status_class=StatusClass.REDIRECTION)}


def newest_first(records: list[CallRecord]) -> list[CallRecord]:
    return sorted(records, key=lambda one: (one.started_at, one.id), reverse=True)


def test_cursor_is_what_it_was_written_as() -> None:
    cursor = CallCursor(started_at=NOW + 1 / 3, call_id=new_id("call"))
    assert CallCursor.parse(str(cursor)) == cursor
    for wrong in (
        "",
        "~",
        "1.0",
        "1.0~con_0000000000000000",
        f"inf~{cursor.call_id}",
        f"x{cursor}",
    ):
        with pytest.raises(ValueError, match=r"place|float"):
            CallCursor.parse(wrong)


@pytest.mark.nightly
@pytest.mark.timeout(300)
async def test_page_of_many_calls_comes_at_once(store: Founded) -> None:
    chosen = random.Random(5)
    repository = store.storage.of(store.subscription_id).calls
    for batch in many(store.subscription_id, chosen):
        await CallsOfAll(store.storage).insert_all(batch)
    async with store.storage.write() as connection:
        if connection.dialect.name == "postgresql":  # which does so by itself, some minutes later
            await connection.execute(text("ANALYZE calls"))
    for wanted in (
        CallFilter(),
        CallFilter(after=CallCursor(started_at=NOW + MANY / 2, call_id=new_id("call"))),
        CallFilter(fate=Fate.UNKNOWN),
        CallFilter(fate=Fate.RUNNING),
        CallFilter(status_class=StatusClass.CLIENT_ERROR),
        CallFilter(connector_id="con_7"),
        CallFilter(connector_id="con_7", status_class=StatusClass.SERVER_ERROR),
        CallFilter(datasource_id="ds_of_nobody"),
        CallFilter(operation="files.download"),
        CallFilter(idempotency_key="nobody's"),
        CallFilter(since=NOW + 10, until=NOW + 20),
    ):
        took = []
        for _ in range(5):
            began = time.perf_counter()
            await repository.newest(wanted, limit=51)
            took.append(time.perf_counter() - began)
        assert min(took) < PAGE_SECONDS * slowness(), wanted


def many(subscription_id: str, chosen: random.Random) -> Iterator[list[CallRecord]]:
    for first in range(0, MANY, 1000):
        yield [
            record(
                subscription_id,
                at=NOW + first + place,
                connector_id=f"con_{chosen.randrange(1000)}",
                datasource_id=f"ds_{chosen.randrange(20)}",
                operation=chosen.choice(("records.list", "records.get", "passthrough")),
                **({"status": 404} if chosen.random() < 0.01 else {}),
            )
            for place in range(1000)
        ]
