"""An order that Procore can make: no more is read than the limit asks, and nothing is lost."""

import time
import tomllib
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from cloud_connect.query import Query
from cloud_connect_agent.procore.catalog import Catalog, Resource
from cloud_connect_agent.procore.executor import RecordExecutor
from cloud_connect_agent.procore.rowstream import RowStream
from doubles.listing_procore import ListingProcore
from doubles.plain_reading import Row
from doubles.scripted_procore import source

PATH = "/rest/v1.0/projects/5001/things"
THINGS = Resource.model_validate(
    tomllib.loads("""
name = "things"
text = "Things"
desc = "Some things"
icon = "fa fa-cube"
level = "project"
scope = ["project_id"]
[list]
version = "v1.0"
path = "/projects/{project_id}/things"
pager = "link"
per_page = 10
sorts = ["number", "due_date", "title"]
[fields]
id = "integer out"
number = "integer out"
due_date = "date out"
title = "string out"
""")
)


def things(count: int, **fields: object) -> list[Row]:
    """Things numbered backwards, so that Procore's own order is not the one asked for."""
    return [
        {"id": n, "number": count - n, "due_date": None, "title": f"T{n}", **fields}
        for n in range(1, count + 1)
    ]


def procore(rows: list[Row]) -> ListingProcore:
    return ListingProcore({PATH: rows})


async def first(server: ListingProcore, **members: object) -> tuple[list[object], RowStream]:
    """The ids of an answer's first part."""
    executor = RecordExecutor(server, Catalog({"things": THINGS}))
    query = Query.parse({"action": "select", "info": {"name": "things"}, **members})
    async with await executor.query(source(), query, time.monotonic() + 20) as stream:
        return [row["id"] async for row in stream], stream


async def test_the_latest_few_of_many_are_read_in_a_page_or_two() -> None:
    server = procore(things(500))
    ids, stream = await first(server, orderBy="number", orderAscending=False, rowLimit=5)
    assert ids == [1, 2, 3, 4, 5]
    assert dict(server.requests[0].query)["sort"] == "-number"
    assert len(server.requests) <= 4  # the other end for a proof, and a page ahead meanwhile
    assert stream.total_items == 500
    assert stream.paging


@pytest.mark.parametrize("blanks_first", [False, True])
async def test_equals_across_pages_come_by_id_whatever_procore_makes_of_them(
    *, blanks_first: bool
) -> None:
    rows = things(35, due_date="2026-11-24")
    rows += [{**row, "id": int(str(row["id"])) + 100, "due_date": None} for row in things(15)]
    server = replace(procore(rows), blanks_first=blanks_first)
    ids: list[object] = []
    paging = None
    for _ in range(30):
        more, stream = await first(server, orderBy="due_date", rowLimit=4, paging=paging)
        ids += more
        paging = stream.paging
        if paging is None:
            break
    assert ids == [*range(1, 36), *range(101, 116)]


async def test_order_that_procore_does_not_keep_is_made_here_and_told_once() -> None:
    server = replace(procore(things(60)), deaf_to_order=True)
    executor = RecordExecutor(server, Catalog({"things": THINGS}))
    members = {"info": {"name": "things"}, "orderBy": "number", "rowLimit": 3}
    with capture_logs() as logs:
        for _ in range(2):
            query = Query.parse({"action": "select", **members})
            async with await executor.query(source(), query, time.monotonic() + 20) as stream:
                assert [row["id"] async for row in stream] == [60, 59, 58]
            assert stream.total_items == 60
    told = [entry for entry in logs if entry["event"] == "procore_sort_ignored"]
    assert [entry["resource"] for entry in told] == ["things"]


@pytest.mark.parametrize("down", [False, True])
async def test_page_that_is_in_order_by_chance_does_not_end_the_reading(*, down: bool) -> None:
    numbers = [*range(11, 21), *range(11)]
    if down:
        numbers = [100 - number for number in numbers]
    rows: list[Row] = [{"id": n, "number": number} for n, number in enumerate(numbers)]
    server = replace(procore(rows), deaf_to_order=True)
    ids, stream = await first(server, orderBy="number", orderAscending=not down, rowLimit=3)
    assert ids == [10, 11, 12]
    assert stream.total_items == 21


async def test_order_is_proven_once_by_the_other_end_of_the_list() -> None:
    server = procore(things(500))
    executor = RecordExecutor(server, Catalog({"things": THINGS}))
    asked, sent = [], []
    for down in (True, False, True):
        query = Query.parse(
            {
                "action": "select",
                "info": {"name": "things"},
                "orderBy": "number",
                "orderAscending": not down,
                "rowLimit": 5,
            }
        )
        server.requests.clear()
        async with await executor.query(source(), query, time.monotonic() + 20) as stream:
            ids = [row["id"] async for row in stream]
        assert ids == ([1, 2, 3, 4, 5] if down else [500, 499, 498, 497, 496])
        sent.append(len(server.requests))
        asked.append({dict(request.query)["sort"] for request in server.requests})
    assert asked == [{"-number", "number"}, {"number"}, {"-number"}]
    assert max(sent[1:]) <= 2


async def test_list_of_one_page_needs_no_proof() -> None:
    server = procore(things(10))
    await first(server, orderBy="number", rowLimit=3)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "members",
    [
        {"orderBy": "title", "rowLimit": 2},
        {"orderBy": "number"},
        {"orderBy": "id", "rowLimit": 2},
    ],
    ids=["text", "without a limit", "a field that Procore cannot sort by"],
)
async def test_order_that_procore_cannot_make_as_we_do_is_not_asked_for(
    members: dict[str, object],
) -> None:
    server = procore(things(30))
    await first(server, **members)
    assert all("sort" not in dict(request.query) for request in server.requests)


async def test_conditions_are_met_before_the_limit_counts() -> None:
    server = procore(things(2_000))
    wanted: dict[str, object] = {
        "arg1": {"name": "id"},
        "operator": "le",
        "arg2": {"value": 1950},
    }
    ids, stream = await first(server, orderBy="number", rowLimit=3, conditions=[wanted])
    assert ids == [1950, 1949, 1948]
    assert stream.total_items is None
    assert len(server.requests) < 60


async def test_records_without_ids_that_are_equal_are_delivered_as_often_as_they_are() -> None:
    rows: list[Row] = [{"number": n // 4} for n in range(17)]
    server = procore(rows)
    numbers: list[object] = []
    paging = None
    executor = RecordExecutor(server, Catalog({"things": THINGS}))
    for _ in range(20):
        query = Query.parse(
            {
                "action": "select",
                "info": {"name": "things"},
                "orderBy": "number",
                "rowLimit": 3,
                "paging": paging,
            }
        )
        async with await executor.query(source(), query, time.monotonic() + 20) as stream:
            numbers += [row["number"] async for row in stream]
        paging = stream.paging
        if paging is None:
            break
    assert numbers == [row["number"] for row in rows]
