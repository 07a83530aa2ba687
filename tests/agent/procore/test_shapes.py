"""Lists that are not bare arrays of numbered records are read as if they were."""

import time
import tomllib

import pytest
from structlog.testing import capture_logs

from cloud_connect.calls import Operation, RecordParams
from cloud_connect.errors import (
    CloudConnectError,
    InvalidRequestError,
    SourceRejectedError,
    SourceUnavailableError,
    UnsupportedOperationError,
)
from cloud_connect.query import Query
from cloud_connect_agent.procore.catalog import Catalog, Resource, load_catalog
from cloud_connect_agent.procore.executor import RecordExecutor
from cloud_connect_agent.procore.messages import ApiRequest
from doubles.record_calls import RFIS, add_projects, condition, rfis, rows_of
from doubles.scripted_procore import COMPANY, ScriptedProcore, source

HEAD = """
text = "Things"
desc = "Some things"
icon = "fa fa-cube"
level = "project"
"""
TABLES = """
[rows]
scope = ["project_id"]
dynamic = true
list = { version = "v1.0", path = "/rows", query = ["project_id"] }
fields = { id = "integer out", biller = "reference out" }

[counts]
scope = ["project_id"]
fields = { id = "integer out", count = "integer out", log_date = "date out" }
[counts.list]
version = "v1.1"
path = "/projects/{project_id}/counts"
[[counts.list.filters]]
field = "log_date"
kind = "day"
parameters = ["log_date"]
echo = true

[lines]
scope = ["project_id"]
get = { version = "v1.1", path = "/lines/{id}", query = ["project_id"] }
missing = { list = "Lines cannot be listed in Procore; read the rows of a view." }
fields = { id = "integer out", amount = "money out" }

[activities]
scope = ["company_id", "schedule_id"]
text_scope = ["schedule_id"]
list = { version = "v2.0", path = "/companies/{company_id}/schedules/{schedule_id}/activities" }
get = { version = "v2.0", path = "/companies/{company_id}/schedules/{schedule_id}/activities/{id}" }
create = { version = "v2.0", path = "/x", body = ["schedule_id"] }
fields = { id = "key out", name = "string both" }

[plan]
scope = ["project_id"]
single = true
list = { version = "v1.0", path = "/projects/{project_id}/plan" }
update = { version = "v1.0", path = "/projects/{project_id}/plan" }
fields = { locked = "boolean both" }
"""
CATALOG = Catalog(
    {
        name: Resource.model_validate({"name": name, **tomllib.loads(HEAD), **table})
        for name, table in tomllib.loads(TABLES).items()
    }
)
COLUMN = "Total Variance (Over) / Under $"
BUDGET: list[dict[str, object]] = [
    {"id": 1, "% Complete": "12.5", COLUMN: "-100.00", "Est. Cost": "9.00", "biller": {"id": 3}},
    {"id": 2, "% Complete": None, COLUMN: "20.00", "Est. Cost": "10.00", "biller": None},
]


@pytest.fixture
def procore() -> ScriptedProcore:
    return ScriptedProcore()


@pytest.fixture
def executor(procore: ScriptedProcore) -> RecordExecutor:
    return RecordExecutor(procore, CATALOG)


async def select(executor: RecordExecutor, name: str, **members: object) -> list[dict[str, object]]:
    action = members.pop("action", "select")
    query = Query.parse({"action": action, "info": {"name": name}, **members})
    return await rows_of(await executor.query(source(), query, time.monotonic() + 20))


def params(resource: str, **more: object) -> RecordParams:
    return RecordParams.model_validate({"source": source(), "resource": resource, **more})


@pytest.mark.parametrize(
    ("name", "path", "body"),
    [
        ("rows", "/rest/v1.0/rows", [1, 2]),
        ("rows", "/rest/v1.0/rows", {"errors": ["Later."]}),
        ("rows", "/rest/v1.0/rows", "Later."),
        ("rows", "/rest/v1.0/rows", 7),
        ("plan", "/rest/v1.0/projects/5001/plan", {"message": "Later."}),
        ("plan", "/rest/v1.0/projects/5001/plan", {"error": {"code": 1}, "locked": True}),
    ],
)
async def test_answer_that_is_no_list_of_records_is_not_taken_for_one(
    procore: ScriptedProcore, executor: RecordExecutor, name: str, path: str, body: object
) -> None:
    procore.answers["GET", path] = body
    with pytest.raises(SourceUnavailableError, match="not what it documents for things"):
        await select(executor, name)


async def test_record_that_is_shown_as_something_else_is_no_record(
    procore: ScriptedProcore, executor: RecordExecutor
) -> None:
    procore.answers["GET", "/rest/v1.1/lines/7"] = {"status": "later"}
    with pytest.raises(SourceUnavailableError, match="not what it documents for things"):
        await executor.get(params("lines", record_id="7"), time.monotonic() + 20)


async def test_record_by_itself_is_a_list_of_one(
    procore: ScriptedProcore, executor: RecordExecutor
) -> None:
    procore.answers["GET", "/rest/v1.0/projects/5001/plan"] = {"locked": True}
    (row,) = await select(executor, "plan")
    assert row["locked"] is True
    procore.answers["GET", "/rest/v1.0/rows"] = {"Est. Cost": "9.00"}
    (row,) = await select(executor, "rows")
    assert row["Est. Cost"] == "9.00"


async def test_columns_of_a_budget_are_fields(
    procore: ScriptedProcore, executor: RecordExecutor
) -> None:
    procore.tables["/rest/v1.0/rows?project_id=5001"] = BUDGET
    over = await select(
        executor,
        "rows",
        fields=["% Complete", "Est. Cost"],
        conditions=[condition(COLUMN, "lt", 0)],
    )
    assert over == [{"% Complete": "12.5", "Est. Cost": "9.00"}]
    equal = await select(executor, "rows", conditions=[condition(COLUMN, "eq", "20")])
    assert [row["id"] for row in equal] == [2]
    ordered = await select(executor, "rows", orderBy="Est. Cost", orderAscending=False)
    assert [row["id"] for row in ordered] == [2, 1]


async def test_column_that_no_row_has_is_refused_by_name(
    procore: ScriptedProcore, executor: RecordExecutor
) -> None:
    procore.tables["/rest/v1.0/rows?project_id=5001"] = BUDGET
    with pytest.raises(InvalidRequestError, match="no field “Cost to Date”"):
        await select(executor, "rows", fields=["Cost to Date"])
    procore.tables["/rest/v1.0/rows?project_id=5001"] = []
    assert await select(executor, "rows", fields=["Cost to Date"]) == []


async def test_column_is_looked_for_where_the_first_rows_are(
    procore: ScriptedProcore, executor: RecordExecutor
) -> None:
    procore.tables["/rest/v1.0/rows?project_id=5001"] = []
    procore.tables["/rest/v1.0/rows?project_id=5002"] = BUDGET
    where = [condition("project_id", "in", [5001, 5002])]
    with pytest.raises(InvalidRequestError, match="no field “Cost to Date”"):
        await select(executor, "rows", fields=["Cost to Date"], conditions=where)
    found = await select(executor, "rows", fields=["% Complete"], conditions=where)
    assert found == [{"% Complete": "12.5"}, {"% Complete": None}]


async def test_columns_that_were_seen_are_offered(
    procore: ScriptedProcore, executor: RecordExecutor
) -> None:
    procore.tables["/rest/v1.0/rows?project_id=5001"] = BUDGET
    await select(executor, "rows")
    tree = str(await executor.tree(source(), time.monotonic() + 20))
    assert COLUMN in tree


async def test_day_that_was_asked_for_is_a_field_of_what_comes(
    procore: ScriptedProcore, executor: RecordExecutor
) -> None:
    path = "/rest/v1.1/projects/5001/counts"
    procore.answers["GET", path] = [{"count": 3}]
    rows = await select(executor, "counts", conditions=[condition("log_date", "eq", "2026-11-24")])
    assert rows == [{"log_date": "2026-11-24", "count": 3, "project_id": 5001}]
    assert procore.asked == [f"GET {path} log_date=2026-11-24"]
    with pytest.raises(InvalidRequestError, match="“log_date” equals one date"):
        await select(executor, "counts")


async def test_records_that_cannot_be_listed_are_read_by_id(
    procore: ScriptedProcore, executor: RecordExecutor
) -> None:
    procore.answers["GET", "/rest/v1.1/lines/7"] = {"id": 7, "amount": "1.00"}
    line = {"id": 7, "amount": "1.00", "project_id": 5001}
    assert await executor.get(params("lines", record_id="7"), time.monotonic() + 20) == line
    chosen = await select(executor, "lines", conditions=[condition("id", "in", [7, 8])])
    assert chosen == [line]
    with pytest.raises(UnsupportedOperationError, match="read the rows of a view"):
        await select(executor, "lines")
    with pytest.raises(UnsupportedOperationError, match="read the rows of a view"):
        await select(executor, "lines", conditions=[condition("amount", "eq", 1)])
    many = [condition("id", "in", list(range(1, 60)))]
    with pytest.raises(InvalidRequestError, match="too many to read one by one"):
        await select(executor, "lines", conditions=many)


def test_reading_by_id_needs_no_list_to_be_allowed(executor: RecordExecutor) -> None:
    (access,) = executor.accesses(Operation.GET, params("lines", record_id="7"))
    assert access.resource == "lines"
    with pytest.raises(UnsupportedOperationError):
        executor.accesses(Operation.LIST, params("lines"))


async def test_text_ids_lead_to_records_letter_by_letter(
    procore: ScriptedProcore, executor: RecordExecutor
) -> None:
    path = f"/rest/v2.0/companies/{COMPANY}/schedules/01J9aB/activities"
    shown = {"data": {"id": "007", "name": "Pour"}}
    procore.answers["GET", f"{path}/007"] = shown
    scope = {"schedule_id": "01J9aB"}
    found = await executor.get(
        params("activities", record_id="007", scope=scope), time.monotonic() + 20
    )
    assert found == {"id": "007", "name": "Pour", "schedule_id": "01J9aB"}
    where = [condition("schedule_id", "eq", "01J9aB")]
    procore.answers["GET", path] = {"data": [{"id": "A"}, {"id": "a"}, {"id": "7"}, {"id": "07"}]}
    six = [condition("id", "in", ["A", 7, "x1", "x2", "x3", "x4"]), *where]
    assert [row["id"] for row in await select(executor, "activities", conditions=six)] == ["A", "7"]
    procore.requests.clear()
    nobody = [condition("id", "eq", None), *where]
    assert await select(executor, "activities", conditions=nobody) == []
    assert procore.requests == []
    with pytest.raises(InvalidRequestError, match="“schedule_id” must be an id of letters"):
        await executor.list(params("activities", scope={"schedule_id": "a/b"}), 20)


async def test_text_ids_are_sent_as_text(
    procore: ScriptedProcore, executor: RecordExecutor
) -> None:
    await executor.create(params("activities", scope={"schedule_id": "01J9"}), {"name": "Pour"}, 20)
    assert procore.written[0].json == {"schedule_id": "01J9", "name": "Pour"}


async def test_only_record_of_its_place_has_no_id_in_its_path(
    procore: ScriptedProcore, executor: RecordExecutor
) -> None:
    path = "/rest/v1.0/projects/5001/plan"
    procore.answers["GET", path] = {"locked": False}
    procore.answers["PATCH", path] = {"locked": True}
    assert await select(executor, "plan") == [{"locked": False, "project_id": 5001}]
    changed = await select(
        executor,
        "plan",
        action="update",
        conditions=[condition("project_id", "eq", 5001)],
        mappings={"locked": True},
    )
    assert changed == [{"locked": True, "project_id": 5001}]
    assert [request.path for request in procore.written] == [path]


async def test_what_procore_makes_of_page_size_and_filters_is_told_once() -> None:
    procore = ScriptedProcore({RFIS: rfis(50)}, most=20)
    executor = RecordExecutor(procore, load_catalog())
    with capture_logs() as logs:
        for _ in range(2):
            opened = await select(executor, "rfis", conditions=[condition("status", "eq", "open")])
            assert len(opened) == 25
    told = [(entry["event"], entry["resource"]) for entry in logs]
    assert told == [("procore_page_size_clamped", "rfis"), ("procore_filter_ignored", "rfis")]


def _too_large(request: ApiRequest) -> CloudConnectError | None:
    if int(dict(request.query).get("per_page", "0")) <= 20:
        return None
    return SourceRejectedError("Procore answered 400: per_page must be at most 20", status=400)


async def test_page_size_that_procore_refuses_is_made_smaller() -> None:
    procore = ScriptedProcore({RFIS: rfis(50)}, failures=_too_large)
    executor = RecordExecutor(procore, load_catalog())
    with capture_logs() as logs:
        for order in (None, "id"):
            assert len(await select(executor, "rfis", orderBy=order)) == 50
    told = [(entry["event"], entry["resource"]) for entry in logs]
    assert told == [("procore_page_size_refused", "rfis")]


@pytest.mark.parametrize("taken", [1, 10, 15, 37, 40])
async def test_page_size_that_procore_refuses_from_some_day_on_loses_no_place(taken: int) -> None:
    procore = ScriptedProcore({RFIS: rfis(50)})
    executor = RecordExecutor(procore, load_catalog())
    # Filtered, so that pages are whole ones.
    chosen = [condition("subject", "contains", "RFI")]
    members = {"action": "select", "info": {"name": "rfis"}, "conditions": chosen}
    query = Query.parse({**members, "rowLimit": taken})
    async with await executor.query(source(), query, time.monotonic() + 20) as stream:
        before = [row["id"] async for row in stream]
    assert stream.paging
    procore.failures = _too_large
    query = Query.parse({**members, "paging": stream.paging})
    after = await rows_of(await executor.query(source(), query, time.monotonic() + 20))
    assert [*before, *(row["id"] for row in after)] == list(range(1, 51))


async def test_page_size_that_is_refused_for_projects_is_made_smaller_there() -> None:
    procore = ScriptedProcore(failures=_too_large)
    add_projects(procore, *range(11, 36))
    executor = RecordExecutor(procore, load_catalog())
    query = Query.parse({"action": "select", "info": {"name": "rfis"}})
    everywhere = source(project=None)
    rows = await rows_of(await executor.query(everywhere, query, time.monotonic() + 20))
    assert len(rows) == 75


async def test_other_refusals_are_not_taken_for_one_of_the_page_size() -> None:
    refusal = SourceRejectedError("Procore answered 400: no.", status=400)
    procore = ScriptedProcore({RFIS: rfis(50)}, failures=lambda _: refusal)
    with pytest.raises(SourceRejectedError, match="no"):
        await select(RecordExecutor(procore, load_catalog()), "rfis")
    assert len(procore.requests) == 1
