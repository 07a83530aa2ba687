"""How much is read and in which order: limits, totals, cursors, sorting."""

import time
from decimal import Decimal

import pytest

from cloud_connect.errors import (
    InvalidRequestError,
)
from cloud_connect_agent.procore.catalog import load_catalog
from cloud_connect_agent.procore.cursor import Position, write_cursor
from cloud_connect_agent.procore.executor import RecordExecutor
from cloud_connect_agent.procore.selection import Order, Selection
from doubles.record_calls import (
    RFIS,
    SOON,
    add_projects,
    condition,
    listed,
    params,
    queried,
    rfis,
    rows_of,
)
from doubles.scripted_procore import ScriptedProcore, source


@pytest.fixture
def procore() -> ScriptedProcore:
    return ScriptedProcore({RFIS: rfis(250)})


@pytest.fixture
def executor(procore: ScriptedProcore) -> RecordExecutor:
    return RecordExecutor(procore, load_catalog())


async def test_totals_are_told_as_soon_as_they_are_known(executor: RecordExecutor) -> None:
    whole = await executor.list(params(), time.monotonic() + SOON)
    assert whole.total_items == 250
    filtered = await queried(executor, conditions=[condition("status", "eq", "open")])
    before = filtered.total_items
    assert len(await rows_of(filtered)) == 125
    assert (before, filtered.total_items) == (None, 125)
    limited = await queried(executor, rowLimit=10)
    assert limited.total_items == 250
    assert len(await rows_of(limited)) == 10
    unknown = await queried(executor, rowLimit=10, conditions=[condition("status", "eq", "open")])
    await rows_of(unknown)
    assert unknown.total_items is None
    await whole.aclose()


async def test_total_of_one_page_counts_its_matches(procore: ScriptedProcore) -> None:
    procore.tables[RFIS] = rfis(9)
    executor = RecordExecutor(procore, load_catalog())
    stream = await queried(executor, conditions=[condition("status", "eq", "open")], rowLimit=2)
    assert stream.total_items == 4
    assert len(await rows_of(stream)) == 2


async def test_limit_stops_reading_and_cancels_pages_under_way(
    procore: ScriptedProcore, executor: RecordExecutor
) -> None:
    procore.tables[RFIS] = rfis(10_000)
    rows = await rows_of(
        await queried(executor, rowLimit=150, conditions=[condition("id", "gt", 0)])
    )
    assert len(rows) == 150
    assert len(procore.requests) < 8
    assert procore.running == 0


async def test_limit_reads_the_pages_that_it_needs_and_no_more(
    procore: ScriptedProcore, executor: RecordExecutor
) -> None:
    procore.tables[RFIS] = rfis(10_000)
    first = await queried(executor, rowLimit=150)
    assert len(await rows_of(first)) == 150
    assert procore.asked == [f"GET {RFIS} page={page} per_page=75" for page in (1, 2)]
    procore.requests.clear()
    more = await queried(executor, rowLimit=150, paging=first.paging)
    assert [row["id"] for row in await rows_of(more)] == list(range(151, 301))
    assert procore.asked == [f"GET {RFIS} page={page} per_page=75" for page in (3, 4)]


async def test_limit_over_many_small_lists_still_reads_several_at_once(
    procore: ScriptedProcore, executor: RecordExecutor
) -> None:
    projects = list(range(1, 41))
    add_projects(procore, *projects)
    for project in projects:
        path = f"/rest/v1.0/projects/{project}/rfis"
        procore.tables[path] = [{"id": project, "subject": "x", "status": "open"}]
    procore.latency = 0.01
    stream = await queried(executor, project=None, rowLimit=30)
    assert [row["id"] for row in await rows_of(stream)] == projects[:30]
    assert procore.most_running > 3
    assert len(procore.requests) < 40


async def test_small_limit_reads_a_small_page(
    procore: ScriptedProcore, executor: RecordExecutor
) -> None:
    assert len(await listed(executor, params(limit=7))) == 7
    assert procore.asked == [f"GET {RFIS} page=1 per_page=7"]
    assert await listed(executor, params(limit=0)) == []


async def test_order_reads_everything_first_and_tells_the_total(executor: RecordExecutor) -> None:
    stream = await queried(executor, orderBy="id", orderAscending=False, rowLimit=2)
    assert stream.total_items == 250
    assert [row["id"] for row in await rows_of(stream)] == [250, 249]
    by_status = await listed(executor, params(sort=("status", "-id"), limit=3))
    assert [(row["status"], row["id"]) for row in by_status] == [
        ("closed", 249),
        ("closed", 247),
        ("closed", 245),
    ]


@pytest.mark.parametrize("order", ["", "subject"])
@pytest.mark.parametrize("chosen", [[], [condition("status", "eq", "open")]])
async def test_paging_goes_through_everything_once(
    executor: RecordExecutor, order: str, chosen: list[object]
) -> None:
    whole = await rows_of(await queried(executor, conditions=chosen, orderBy=order))
    paged: list[dict[str, object]] = []
    cursor: str | None = None
    for _ in range(20):
        stream = await queried(
            executor, conditions=chosen, orderBy=order, rowLimit=37, paging=cursor
        )
        paged += await rows_of(stream)
        cursor = stream.paging
        if cursor is None:
            break
    assert paged == whole


async def test_paging_survives_records_added_at_the_front(
    procore: ScriptedProcore, executor: RecordExecutor
) -> None:
    chosen = [condition("id", "gt", 0)]
    first = await queried(executor, conditions=chosen, rowLimit=30)
    seen = [row["id"] for row in await rows_of(first)]
    procore.tables[RFIS].insert(0, {"id": 1000, "subject": "new"})
    again = await queried(executor, conditions=chosen, rowLimit=30, paging=first.paging)
    seen += [row["id"] for row in await rows_of(again)]
    assert seen == list(range(1, 61))


async def test_no_cursor_where_nothing_remains(executor: RecordExecutor) -> None:
    exact = await queried(executor, rowLimit=250)
    assert len(await rows_of(exact)) == 250
    assert exact.paging is None
    ordered = await queried(executor, rowLimit=250, orderBy="id")
    await rows_of(ordered)
    assert ordered.paging is None


async def test_cursor_into_a_list_that_is_gone_is_refused(
    procore: ScriptedProcore, executor: RecordExecutor
) -> None:
    add_projects(procore, 1, 2)
    first = await queried(executor, project=None, rowLimit=2)
    await rows_of(first)
    procore.tables["/rest/v1.1/projects"] = [{"id": 2}]
    with pytest.raises(InvalidRequestError, match="start again"):
        await queried(executor, project=None, rowLimit=2, paging=first.paging)


async def test_cursor_of_another_order_is_refused(executor: RecordExecutor) -> None:
    keys = Position.in_order([(0, Decimal(1))])
    by_id = Selection(resource=load_catalog().resource("rfis"), order=(Order(field="id"),))
    cursor = write_cursor(keys, by_id, source())
    with pytest.raises(InvalidRequestError, match="paging"):
        await queried(executor, orderBy="id", rowLimit=1, paging=cursor)


async def test_paging_goes_on_in_the_next_project(
    procore: ScriptedProcore, executor: RecordExecutor
) -> None:
    add_projects(procore, 1, 2, 3)
    seen = []
    cursor = None
    for _ in range(9):
        stream = await queried(executor, project=None, rowLimit=1, paging=cursor)
        seen += [row["id"] for row in await rows_of(stream)]
        cursor = stream.paging
    assert seen == [100, 101, 102, 200, 201, 202, 300, 301, 302]
    assert cursor is None


async def test_too_much_to_sort_is_refused(
    procore: ScriptedProcore, executor: RecordExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloud_connect_agent.procore.sorting._MAX_SORTED", 2000)
    procore.tables[RFIS] = rfis(3000)
    with pytest.raises(InvalidRequestError, match="too many to sort"):
        await queried(executor, orderBy="id")
    few = await queried(executor, orderBy="id", rowLimit=5)
    assert len(await rows_of(few)) == 5
    assert procore.running == 0


async def test_sorting_holds_no_more_than_the_limit_asks(
    procore: ScriptedProcore, executor: RecordExecutor
) -> None:
    procore.tables[RFIS] = rfis(3000)
    stream = await queried(executor, orderBy="id", orderAscending=False, rowLimit=3)
    assert [row["id"] for row in await rows_of(stream)] == [3000, 2999, 2998]
    assert stream.total_items == 3000
