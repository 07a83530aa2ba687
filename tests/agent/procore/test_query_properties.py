"""Whatever the data and the query: the answer is what reading everything would give.

Procore is played by a server that really applies the filters it is sent; the expected answer
comes from an evaluator of its own that sees neither filters nor pages.
"""

import asyncio
import time
from datetime import UTC, date, datetime, timedelta
from fnmatch import fnmatchcase

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloud_connect.calls import Source
from cloud_connect.query import Query
from cloud_connect_agent.procore.catalog import load_catalog
from cloud_connect_agent.procore.executor import RecordExecutor
from cloud_connect_agent.procore.messages import ApiRequest, ApiResponse
from doubles.scripted_procore import source

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
TODAY = NOW.date()
Row = dict[str, object]

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


def written(value: object) -> object:
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%SZ")
    return str(value) if isinstance(value, date) else value


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


class FilteringProcore:
    """RFIs of one project, with the filters that Procore documents for them."""

    def __init__(self, rows: list[Row], *, size: int) -> None:
        self.rows = rows
        self.size = size

    async def request(
        self, request: ApiRequest, *, source: Source, deadline: float, interactive: bool = True
    ) -> ApiResponse:
        del source, deadline, interactive
        await asyncio.sleep(0)
        last = request.path.rpartition("/")[2]
        if last.isdigit():
            return ApiResponse(
                status=200,
                headers={},
                json=next((dict(row) for row in self.rows if row["id"] == int(last)), None),
            )
        query = dict(request.query)
        rows = [row for row in self.rows if self._passes(row, request)]
        page, size = int(query["page"]), min(self.size, int(query["per_page"]))
        more = page * size < len(rows)
        return ApiResponse(
            status=200,
            headers={
                "total": str(len(rows)),
                "per-page": str(size),
                "link": '<x>; rel="next"' if more else "",
            },
            json=[dict(row) for row in rows[(page - 1) * size : page * size]],
        )

    @staticmethod
    def _passes(row: Row, request: ApiRequest) -> bool:
        ids = [int(value) for name, value in request.query if name == "filters[id][]"]
        if ids and row["id"] not in ids:
            return False
        for name, value in request.query:
            if name == "filters[status]" and row["status"] != value:
                return False
            if name == "filters[updated_at]":
                first, _, last = value.partition("...")
                if not first <= str(row["updated_at"]) <= last:
                    return False
        return True


def expected(tree: Row, row: Row) -> bool:
    """Whether a row, in Python's own types, meets a condition: the plain reading of it."""
    if "conditions" in tree:
        parts = tree["conditions"]
        assert isinstance(parts, list)
        joined = [expected(part, row) for part in parts]
        return all(joined) if tree["group"] == "and" else any(joined)
    arg1, arg2, operator = tree["arg1"], tree["arg2"], str(tree["operator"])
    assert isinstance(arg1, dict)
    assert isinstance(arg2, dict)
    return leaf_holds(operator, row[arg1["name"]], arg2["value"])


def leaf_holds(operator: str, value: object, operand: object) -> bool:
    if operator in {"ne", "notin", "notcontains", "isblank"}:
        asked = {"ne": "eq", "notin": "in", "notcontains": "contains", "isblank": "isnotblank"}
        return not leaf_holds(asked[operator], value, operand)
    if value is None or value == "":
        return False
    if operator == "isnotblank":
        return True
    if isinstance(value, bool):
        return value == (operand if isinstance(operand, bool) else operand == "true")
    if operator == "in":
        assert isinstance(operand, list)
        return value in operand
    if operator in {"contains", "startswith", "endswith", "matches"}:
        return text_holds(operator, str(value).lower(), str(operand).lower())
    day = value.date() if isinstance(value, datetime) else value
    if isinstance(day, date) and operator.endswith(("today", "days")):
        return day_holds(operator, day, operand)
    return order_holds(operator, value, operand)


def text_holds(operator: str, text: str, operand: str) -> bool:
    if operator == "matches":
        return fnmatchcase(text, operand)
    return {
        "contains": operand in text,
        "startswith": text.startswith(operand),
        "endswith": text.endswith(operand),
    }[operator]


def day_holds(operator: str, day: date, operand: object) -> bool:
    away = (day - TODAY).days
    span = operand if isinstance(operand, int) else 0
    return {
        "istoday": away == 0,
        "isbeforetoday": away < 0,
        "isaftertoday": away > 0,
        "inlastdays": -span <= away <= 0,
        "innextdays": 0 <= away <= span,
    }[operator]


def order_holds(operator: str, value: object, operand: object) -> bool:
    if isinstance(value, datetime):
        left, right = written(value), operand
    elif isinstance(value, int):
        return number_holds(operator, value, int(str(operand)))
    else:
        left, right = str(value).lower(), str(operand).lower()
    assert isinstance(left, str)
    assert isinstance(right, str)
    return {
        "eq": left == right,
        "lt": left < right,
        "ge": left >= right,
        "isbefore": left < right,
        "isafter": left > right,
    }[operator]


def number_holds(operator: str, value: int, operand: int) -> bool:
    return {
        "eq": value == operand,
        "lt": value < operand,
        "le": value <= operand,
        "gt": value > operand,
        "ge": value >= operand,
    }[operator]


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


def sort_value(row: Row, field: str) -> tuple[int, object]:
    value = row[field]
    if value is None or value == "":
        return (2, "")
    if isinstance(value, str) and value.isdigit():
        return (0, int(value))
    return (1, value.lower()) if isinstance(value, str) else (0, value)


QUERIES = st.fixed_dictionaries(
    {
        "conditions": st.lists(TREES, max_size=1),
        "orderBy": SORTS,
        "orderAscending": st.booleans(),
        "rowLimit": st.none() | st.integers(0, 12),
    }
)


@pytest.mark.slow
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=ROWS, query=QUERIES, size=st.sampled_from([1, 3, 10, 100]))
def test_answers_are_what_reading_everything_would_give(
    data: list[Row], query: Row, size: int
) -> None:
    typed: list[Row] = [{"id": number, **row} for number, row in enumerate(data, 1)]
    sent = [{name: written(value) for name, value in row.items()} for row in typed]
    procore = FilteringProcore(sent, size=size)
    executor = RecordExecutor(procore, load_catalog(), now=lambda: NOW, zone=UTC)
    conditions, sort, limit = query["conditions"], query["orderBy"], query["rowLimit"]
    assert isinstance(conditions, list)
    wanted = [row for row in typed if all(expected(tree, row) for tree in conditions)]
    if isinstance(sort, str):
        blank = [row for row in wanted if sort_value(row, sort)[0] == 2]
        rest = [row for row in wanted if sort_value(row, sort)[0] != 2]
        rest.sort(key=lambda row: sort_value(row, sort), reverse=not query["orderAscending"])
        wanted = ties_by_id(rest, sort) + blank
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


def ties_by_id(rows: list[Row], sort: str) -> list[Row]:
    """Among equal values the smaller id comes first, whichever way the order goes."""
    runs: list[list[Row]] = []
    for row in rows:
        if runs and sort_value(runs[-1][0], sort) == sort_value(row, sort):
            runs[-1].append(row)
        else:
            runs.append([row])
    return [row for run in runs for row in sorted(run, key=lambda row: int(str(row["id"])))]
