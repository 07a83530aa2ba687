"""Whatever shape Procore gives a list: the answer is what reading everything would give.

Text ids behind ``data``, groups, columns that no catalogue lists, several projects; each with
every filter and order that can be sent along, and also where Procore ignores the filters
or the order.
"""

import asyncio
import time
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, timedelta
from decimal import Decimal
from itertools import groupby

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud_connect.query import Query
from cloud_connect_agent.procore.catalog import Catalog, Resource, load_catalog
from cloud_connect_agent.procore.executor import RecordExecutor
from doubles.listing_procore import ListingProcore
from doubles.plain_reading import NOW, TODAY, Key, Row, holds, in_order, written
from doubles.scripted_procore import COMPANY, source

PROJECTS = [5001, 562949953421399]
FIELDS = """
subject = "string out"
status = "string out"
amount = "money out"
due_date = "date out"
updated_at = "datetime out"
private = "boolean out"
"""
HEAD = """
name = "things"
text = "Things"
desc = "Some things"
icon = "fa fa-cube"
level = "project"
scope = ["project_id"]
"""
KEYED = """
[list]
version = "v2.0"
path = "/companies/{company_id}/projects/{project_id}/things"
pager = "link"
sorts = ["updated_at", "due_date"]
[[list.filters]]
field = "updated_at"
kind = "since"
parameters = ["filters[updated_at][gt]"]
[[list.filters]]
field = "due_date"
kind = "dates"
parameters = ["filters[due_date]"]
[get]
version = "v2.0"
path = "/companies/{company_id}/projects/{project_id}/things/{id}"
[fields]
id = "key out"
"""
NUMBERED = """
[list]
version = "v1.0"
path = "/projects/{project_id}/things"
pager = "link"
sorts = ["id", "updated_at", "due_date"]
sort_style = "attribute"
[[list.filters]]
field = "id"
kind = "many"
parameters = ["filters[id][]"]
[[list.filters]]
field = "status"
kind = "one"
parameters = ["filters[status]"]
values = ["open", "closed"]
[get]
version = "v1.0"
path = "/projects/{project_id}/things/{id}"
[fields]
id = "integer out"
"""
GROUPED = """
[list]
version = "v1.1"
path = "/projects/{project_id}/things"
pager = "link"
unwrap = "groups:things"
[fields]
id = "integer out"
"""
COLUMNS = """
dynamic = true
[list]
version = "v1.0"
path = "/projects/{project_id}/things"
pager = "link"
[fields]
line = "integer out"
"""
TITLES = {
    "subject": "Cost Code (Full)",
    "status": "% Complete",
    "amount": "Total Variance (Over) / Under $",
    "due_date": "Est. Start",
    "updated_at": "Last Update [UTC]",
    "private": "Locked?",
}


def grouped(rows: list[Row]) -> object:
    """Meetings come so: groups with a title, each holding some."""
    runs = groupby(rows, key=lambda row: row["status"])
    made = [{"id": 1, "title": str(status), "things": list(run)} for status, run in runs]
    return made[0] if len(made) == 1 else made


def _without(row: Row, name: str) -> Row:
    return {key: value for key, value in row.items() if key != name}


@dataclass(frozen=True)
class Shape:
    """One way in which Procore has a list.

    Attributes:
        names: What it calls the fields.
        wrap: What it makes of a page.
    """

    table: str
    path: str
    id_of: Callable[[int], object]
    names: dict[str, str]
    wrap: Callable[[list[Row]], object] = list

    @property
    def resource(self) -> Resource:
        fields = "" if self.names else FIELDS
        return Resource.model_validate(tomllib.loads(HEAD + self.table + fields))

    @property
    def id_name(self) -> str:
        return "line" if self.names else "id"

    def called(self, name: str) -> str:
        return self.id_name if name == "id" else self.names.get(name, name)

    def condition(self, tree: Row) -> Row:
        """A condition under the names and ids of this shape."""
        if "conditions" in tree:
            parts = tree["conditions"]
            assert isinstance(parts, list)
            return {**tree, "conditions": [self.condition(part) for part in parts]}
        arg1, arg2 = tree["arg1"], tree["arg2"]
        assert isinstance(arg1, dict)
        assert isinstance(arg2, dict)
        value = arg2["value"]
        if arg1["name"] == "id":
            many = isinstance(value, list)
            numbers = value if many else [value]
            ids = [written(self.id_of(number)) for number in numbers]
            value = ids if many else ids[0]
        return {
            **tree,
            "arg1": {"name": self.called(arg1["name"])},
            "arg2": {"value": value},
        }


def text_id(number: int) -> Key:
    """Digits, ULIDs and UUIDs stand side by side, and some differ in case alone."""
    return Key(
        [f"{number}", f"01J9{number}", f"aB-{number % 7}c{number}", f"AB-{number}"][number % 4]
    )


SHAPES = {
    "keyed": Shape(
        table=KEYED,
        path=f"/rest/v2.0/companies/{COMPANY}/projects/%s/things",
        id_of=text_id,
        names={},
        wrap=lambda rows: {"data": rows},
    ),
    "numbered": Shape(
        table=NUMBERED,
        path="/rest/v1.0/projects/%s/things",
        id_of=lambda number: 9007199254740993 + number,
        names={},
    ),
    "grouped": Shape(
        table=GROUPED,
        path="/rest/v1.1/projects/%s/things",
        id_of=lambda number: number,
        names={},
        wrap=grouped,
    ),
    "columns": Shape(
        table=COLUMNS,
        path="/rest/v1.0/projects/%s/things",
        id_of=lambda number: number,
        names=TITLES,
    ),
}

# Close together, so that equals and the ends of ranges meet often.
DAYS = st.integers(-3, 3).map(lambda n: TODAY + timedelta(days=n))
MOMENTS = st.integers(-40, 40).map(lambda n: NOW + timedelta(hours=n))
MONEY = st.integers(-2, 2).map(lambda n: Decimal(n) / 2)
RECORDS = st.fixed_dictionaries(
    {
        "project": st.sampled_from([*PROJECTS, *PROJECTS[:1] * 3]),
        "subject": st.sampled_from(["Door", "door west", "Window", "", "a*b", None]),
        "status": st.sampled_from(["open", "closed", "draft", None]),
        "amount": st.none() | MONEY,
        "due_date": st.none() | DAYS,
        "updated_at": MOMENTS,
        "private": st.booleans(),
    }
)
ROWS = st.lists(RECORDS, max_size=5) | st.lists(RECORDS, min_size=12, max_size=25)


def leaf(field: str, operator: str, value: object) -> Row:
    return {"arg1": {"name": field}, "operator": operator, "arg2": {"value": value}}


def one(field: str, operators: str, values: st.SearchStrategy[object]) -> st.SearchStrategy[Row]:
    return st.builds(leaf, st.just(field), st.sampled_from(operators.split()), values)


LEAVES = st.one_of(
    one("id", "eq ne", st.integers(1, 26)),
    one("id", "in notin", st.lists(st.integers(1, 26), max_size=8)),
    one("status", "eq ne", st.sampled_from(["open", "OPEN", "closed", "odd"])),
    one("status", "isblank isnotblank", st.none()),
    one("subject", "contains notcontains startswith endswith", st.sampled_from(["o", "D"])),
    one("subject", "matches", st.sampled_from(["d*", "*o?", "do?r*"])),
    one("amount", "eq ne lt le gt ge", MONEY.map(written) | MONEY.map(float)),
    one("due_date", "eq ne lt ge isbefore isafter", DAYS.map(str)),
    one("due_date", "istoday isbeforetoday isaftertoday", st.none()),
    one("updated_at", "lt le gt ge", MOMENTS.map(written)),
    one("updated_at", "inlastdays innextdays", st.integers(0, 2)),
    one("private", "eq ne", st.booleans()),
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
NAMES = ["id", "subject", "status", "amount", "due_date", "updated_at", "private"]
QUERIES = st.fixed_dictionaries(
    {
        "tree": st.none() | TREES,
        "order": st.sampled_from([None, *NAMES, "due_date", "due_date", "due_date"]),
        "ascending": st.booleans(),
        "limit": st.none() | st.integers(1, 6),
        "fields": st.lists(st.sampled_from(NAMES), unique=True, max_size=3),
        "projects": st.sampled_from([[], PROJECTS[:1], PROJECTS[:1], PROJECTS]),
    }
)
PROCORES = st.builds(
    ListingProcore,
    lists=st.just({}),
    size=st.sampled_from([1, 3, 10, 100]),
    deaf=st.booleans(),
    deaf_to_order=st.booleans(),
    link=st.booleans(),
    total=st.booleans(),
    blanks_first=st.booleans(),
)


async def answered(executor: RecordExecutor, document: Row) -> tuple[list[Row], int | None]:
    """The rows of all pages, each no longer than its limit, and the total told at first."""
    rows: list[Row] = []
    total: int | None = None
    cursor: str | None = None
    limit = document["rowLimit"]
    for number in range(60):
        query = Query.parse({**document, "paging": cursor})
        async with await executor.query(source(project=None), query, time.monotonic() + 30) as one:
            page = [row async for row in one]
        assert limit is None or len(page) <= int(str(limit))
        rows += page
        total = one.total_items if number == 0 else total
        cursor = one.paging
        if cursor is None:
            return rows, total
    raise AssertionError("the answer does not end")


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@settings(max_examples=80)
@given(data=ROWS, query=QUERIES, procore=PROCORES)
def test_answers_are_what_reading_everything_would_give(
    shape: Shape, data: list[Row], query: Row, procore: ListingProcore
) -> None:
    typed: list[Row] = []
    for number, row in enumerate(data, 1):
        project = row["project"]
        fields = {shape.called(name): row[name] for name in NAMES if name != "id"}
        typed.append({"project_id": project, shape.id_name: shape.id_of(number), **fields})
    typed.sort(key=lambda row: PROJECTS.index(int(str(row["project_id"]))))
    wire = [{name: written(value) for name, value in row.items()} for row in typed]
    lists = {
        shape.path % project: [
            _without(row, "project_id") for row in wire if row["project_id"] == project
        ]
        for project in PROJECTS
    }
    lists["/rest/v1.1/projects"] = [{"id": project} for project in PROJECTS]
    server = replace(procore, lists=lists, wrap=shape.wrap, requests=[])
    catalog = Catalog({"things": shape.resource, "projects": load_catalog().resource("projects")})
    executor = RecordExecutor(server, catalog, now=lambda: NOW, zone=UTC)

    conditions = [] if query["tree"] is None else [shape.condition(_row(query["tree"]))]
    wanted = [row for row in typed if all(holds(tree, row) for tree in conditions)]
    if query["projects"]:
        conditions.append(leaf("project_id", "in", query["projects"]))
        wanted = [row for row in wanted if row["project_id"] in _list(query["projects"])]
    order = None if query["order"] is None else shape.called(str(query["order"]))
    ties = ["project_id"] if shape.names else ["id", "project_id"]
    ascending = bool(query["ascending"])
    wanted = in_order(wanted, order, ascending=ascending, ties=ties)
    names = [shape.called(str(name)) for name in _list(query["fields"])]
    document: Row = {
        "action": "select",
        "info": {"name": "things"},
        "conditions": conditions,
        "fields": names,
        "orderBy": order,
        "orderAscending": ascending,
        "rowLimit": query["limit"],
    }
    rows, total = asyncio.run(answered(executor, document))
    expected = [{name: written(value) for name, value in row.items()} for row in wanted]
    if names:
        expected = [{name: row[name] for name in names} for row in expected]
    assert rows == expected
    assert total in {None, len(expected)}


def _row(value: object) -> Row:
    assert isinstance(value, dict)
    return value


def _list(value: object) -> list[object]:
    assert isinstance(value, list)
    return value
