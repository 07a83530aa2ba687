"""Whatever the data and the query: the answer is what reading everything would give.

Procore is played by a server that really applies the filters it is sent; the expected answer
comes from an evaluator of its own that sees neither filters nor pages.
"""

import asyncio
import time
from datetime import UTC, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud_connect.query import Query
from cloud_connect_agent.procore.catalog import load_catalog
from cloud_connect_agent.procore.executor import RecordExecutor
from doubles.listing_procore import ListingProcore
from doubles.plain_reading import NOW, TODAY, Row, holds, in_order, written
from doubles.record_calls import RFIS
from doubles.scripted_procore import source

TEXTS = st.sampled_from(["Door", "door west", "Window", "", "7", "007", "a*b"])
STATUSES = st.sampled_from(["open", "closed", "draft", None])
DAYS = st.integers(-20, 20).map(lambda n: TODAY + timedelta(days=n))
MOMENTS = st.integers(-400, 400).map(lambda n: NOW + timedelta(hours=n))
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "subject": st.none() | TEXTS,
            "status": STATUSES,
            "due_date": st.none() | DAYS,
            "updated_at": MOMENTS,
            "private": st.booleans(),
        }
    ),
    max_size=25,
)


def leaf(field: str, operator: str, value: object) -> Row:
    return {"arg1": {"name": field}, "operator": operator, "arg2": {"value": value}}


def one(
    field: str, operators: list[str], values: st.SearchStrategy[object]
) -> st.SearchStrategy[Row]:
    return st.builds(leaf, st.just(field), st.sampled_from(operators), values)


ORDERS = ["eq", "ne", "lt", "le", "gt", "ge"]
LEAVES = st.one_of(
    one("id", [*ORDERS, "contains"], st.integers(1, 26) | st.integers(1, 26).map(str)),
    one("id", ["in", "notin"], st.lists(st.integers(1, 26), max_size=8)),
    one("status", ["eq", "ne"], st.sampled_from(["open", "OPEN", "closed", "odd"])),
    one("status", ["isblank", "isnotblank"], st.none()),
    one("subject", ["eq", "ne"], st.sampled_from(["door", "7", "x"])),
    one(
        "subject",
        ["contains", "notcontains", "startswith", "endswith"],
        st.sampled_from(["o", "D"]),
    ),
    one("subject", ["matches"], st.sampled_from(["d*", "*o?", "do?r*", "?", "*"])),
    one("due_date", ["eq", "ne", "lt", "ge", "isbefore", "isafter"], DAYS.map(str)),
    one("due_date", ["istoday", "isbeforetoday", "isaftertoday"], st.none()),
    one("updated_at", ["lt", "ge"], MOMENTS.map(written)),
    one("updated_at", ["inlastdays", "innextdays"], st.integers(0, 9)),
    one("private", ["eq", "ne"], st.booleans() | st.sampled_from(["true", "False"])),
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.builds(
        lambda group, parts: {"group": group, "conditions": parts},
        st.sampled_from(["and", "or"]),
        st.lists(inner, min_size=1, max_size=3),
    ),
    max_leaves=5,
)
SORTS = st.none() | st.sampled_from(
    ["id", "subject", "status", "due_date", "updated_at", "private"]
)


async def answer(
    executor: RecordExecutor, document: Row
) -> tuple[list[Row], int | None, list[Row]]:
    """The rows, the total, and the rows of all further pages."""
    pages: list[list[Row]] = []
    total = None
    cursor: str | None = None
    while len(pages) < 60:
        query = Query.parse({**document, "paging": cursor})
        async with await executor.query(source(), query, time.monotonic() + 30) as stream:
            pages.append([row async for row in stream])
        total = stream.total_items if cursor is None else total
        cursor = stream.paging
        if cursor is None:
            break
    return pages[0], total, [row for page in pages[1:] for row in page]


QUERIES = st.fixed_dictionaries(
    {
        "conditions": st.lists(TREES, max_size=1),
        "orderBy": SORTS,
        "orderAscending": st.booleans(),
        "rowLimit": st.none() | st.integers(0, 12),
    }
)


@pytest.mark.slow
@settings(max_examples=150)
@given(data=ROWS, query=QUERIES, size=st.sampled_from([1, 3, 10, 100]), deaf=st.booleans())
def test_answers_are_what_reading_everything_would_give(
    *, data: list[Row], query: Row, size: int, deaf: bool
) -> None:
    typed: list[Row] = [{"id": number, **row} for number, row in enumerate(data, 1)]
    sent = [{name: written(value) for name, value in row.items()} for row in typed]
    procore = ListingProcore({RFIS: sent}, size=size, deaf_to_order=deaf)
    executor = RecordExecutor(procore, load_catalog(), now=lambda: NOW, zone=UTC)
    conditions, sort, limit = query["conditions"], query["orderBy"], query["rowLimit"]
    assert isinstance(conditions, list)
    wanted = [row for row in typed if all(holds(tree, row) for tree in conditions)]
    assert sort is None or isinstance(sort, str)
    wanted = in_order(wanted, sort, ascending=bool(query["orderAscending"]), ties=["id"])
    ids = [row["id"] for row in wanted]
    document: Row = {"action": "select", "info": {"name": "rfis"}, **query}
    rows, total, others = asyncio.run(answer(executor, document))
    assert total in {None, len(ids)}
    if isinstance(limit, int):
        assert [row["id"] for row in rows] == ids[:limit]
        assert limit == 0 or [row["id"] for row in (*rows, *others)] == ids
    else:
        assert [row["id"] for row in rows] == ids
        assert (total, others) == (len(ids), [])
