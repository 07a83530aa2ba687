"""The tables of projects against the simulator: made, changed, deleted, moved and counted."""

from collections.abc import AsyncIterator, Iterator

import pytest

from cloud_connect.calls import Environment, RecordParams, Source
from cloud_connect.errors import (
    InvalidRequestError,
    SourceRejectedError,
    UnsupportedOperationError,
)
from cloud_connect.query import Query
from cloud_connect_agent.procore.catalog import load_catalog
from cloud_connect_agent.procore.executor import RecordExecutor
from cloud_connect_agent.procore.rowstream import RowStream
from doubles.record_executor import Row, executor_at, rows_of, soon
from doubles.simulator_process import COMPANY, PROJECT, Simulator, simulator_process

SANDBOX = Environment.DEVELOPER_SANDBOX
CATALOG = load_catalog()
DAY = "2026-11-02"

# What to create of each table, and what to change of it then.
MADE: dict[str, tuple[Row, Row]] = {
    "departments": ({"name": "Survey"}, {"origin_id": "D-9"}),
    "offices": ({"name": "Quay office", "city": "Cork"}, {"city": "Cobh"}),
    "project_types": ({"name": "Piers"}, {"name": "Harbours"}),
    "project_stages": ({"name": "Dredging"}, {"category": "completed"}),
    "project_regions": ({"name": "East"}, {"name": "West"}),
    "programs": ({"name": "Canals"}, {"website": "https://canals.example"}),
    "locations": ({"node_name": "Roof garden"}, {"node_name": "Terrace"}),
    "distribution_groups": ({"name": "Architects"}, {"name": "Engineers"}),
    "checklist_lists": (
        {"list_template_id": "9", "inspection_date": DAY, "status": "open"},
        {"description": "Again on Friday"},
    ),
    "incidents": (
        {"title": "Fall", "event_date": "2026-11-02T09:00:00Z", "injuries": [{"description": "x"}]},
        {"recordable": True},
    ),
    "task_items": ({"title": "Order glass", "due_date": DAY}, {"status": "closed"}),
    "coordination_issues": ({"title": "Pipe meets beam", "priority": "high"}, {"due_date": DAY}),
    "coordination_issues_v2": ({"title": "Pipe meets wall"}, {"priority": "low"}),
    "meetings": (
        {"position": 1, "starts_at": f"{DAY}T09:00:00Z", "ends_at": f"{DAY}T10:00:00Z"},
        {"title": "Kick-off", "description": "Who does what"},
    ),
    "forms": (
        {"name": "Permit 9", "description": "Crane", "fillable_pdf": "x"},
        {"description": "Crane 2"},
    ),
    "weather_logs": ({"date": DAY, "is_weather_delay": 1}, {"sky": "Fog"}),
    "weather_logs_v1_1": ({"date": DAY, "time": "14:30"}, {"sky": "Rain"}),
    "accident_logs": ({"date": DAY, "time_hour": 9, "time_minute": "5"}, {"comments": "Slip"}),
    "call_logs": ({"date": DAY, "subject_to": "Office"}, {"description": "Late"}),
    "delay_logs": ({"date": DAY, "start_time": "08:00"}, {"delay_type": "Weather"}),
    "delivery_logs": ({"date": DAY, "time_hour": 9, "time_minute": 0}, {"contents": "Sand"}),
    "dumpster_logs": ({"date": DAY, "quantity_removed": 2}, {"comments": "Full"}),
    "equipment_logs": ({"date": DAY, "hours_operating": "6.5"}, {"notes": "Crane"}),
    "inspection_logs": (
        {"date": DAY, "start_hour": 9, "start_minute": 0, "end_hour": 10, "end_minute": 0},
        {"inspector_name": "Doyle"},
    ),
    "plan_revision_logs": ({"date": DAY, "title": "A-101"}, {"revision": "B"}),
    "productivity_logs": ({"date": DAY, "line_item_id": 7}, {"notes": "Slow"}),
    "quantity_logs": ({"date": DAY, "quantity": 12}, {"unit": "m"}),
    "safety_violation_logs": (
        {"date": DAY, "time_hour": 9, "time_minute": 0},
        {"subject": "No helmet"},
    ),
    "visitor_logs": (
        {"date": DAY, "begin_hour": 9, "begin_minute": 0, "end_hour": 10, "end_minute": 0},
        {"subject": "Council"},
    ),
    "waste_logs": ({"date": DAY, "time_hour": 9, "time_minute": 0}, {"material": "Brick"}),
    "work_logs": ({"date": DAY, "workers": "4"}, {"resource_name": "Masons"}),
}


@pytest.fixture(scope="module")
def shared_simulator() -> Iterator[Simulator]:
    with simulator_process("--environment", SANDBOX.flag) as simulator:
        yield simulator


@pytest.fixture
def simulator(shared_simulator: Simulator) -> Simulator:
    shared_simulator.state(reset=True)
    return shared_simulator


@pytest.fixture
async def executor(simulator: Simulator) -> AsyncIterator[RecordExecutor]:
    async with executor_at(simulator, SANDBOX) as made:
        yield made


def params(resource: str, **more: object) -> RecordParams:
    source = Source(company_id=COMPANY, environment=SANDBOX, project_id=PROJECT)
    return RecordParams.model_validate({"source": source, "resource": resource, **more})


async def listed(executor: RecordExecutor, resource: str, **more: object) -> list[Row]:
    return await rows_of(await executor.list(params(resource, **more), soon()))


async def queried(
    executor: RecordExecutor, action: str, table: str, **members: object
) -> RowStream:
    document = {"action": action, "info": {"name": table}, **members}
    return await executor.query(params(table).source, Query.parse(document), soon())


def condition(field: str, operator: str, value: object = None) -> Row:
    return {"arg1": {"name": field}, "operator": operator, "arg2": {"value": value}}


async def new_record(executor: RecordExecutor, name: str) -> tuple[Row, Row]:
    new, change = MADE[name]
    if name == "forms":
        template = (await listed(executor, "form_templates"))[0]
        new = {**new, "form_template_id": template["id"]}
    return new, change


@pytest.mark.parametrize("name", MADE)
async def test_records_are_created_changed_and_deleted(
    simulator: Simulator, executor: RecordExecutor, name: str
) -> None:
    new, change = await new_record(executor, name)
    made = await executor.create(params(name), new, soon())
    one = params(name, record_id=str(made["id"]))
    assert type(made["id"]) is type(CATALOG.resource(name).id_type.typed("7"))
    changed = await executor.update(one, change, soon())
    assert changed["id"] == made["id"]
    again = await executor.get(one, soon())
    assert {field: again[field] for field in change} == change
    chosen = [condition("id", "eq", made["id"])]
    (found,) = await rows_of(await queried(executor, "select", name, conditions=chosen))
    assert found["id"] == made["id"]
    await executor.delete(one, soon())
    with pytest.raises(SourceRejectedError, match="no such record"):
        await executor.get(one, soon())
    counted = simulator.counters()
    assert not counted.get("wrong_company")
    assert not counted.get("missing_company_header")


async def test_both_versions_of_coordination_issues_are_the_same_issues(
    executor: RecordExecutor,
) -> None:
    first = await listed(executor, "coordination_issues")
    second = await listed(executor, "coordination_issues_v2")
    assert [str(row["id"]) for row in first] == [row["id"] for row in second]
    (high,) = {"high"} & {str(row["priority"]) for row in first}
    chosen = [condition("priority", "eq", high)]
    found = await rows_of(
        await queried(executor, "select", "coordination_issues_v2", conditions=chosen)
    )
    assert [row["id"] for row in found] == [str(r["id"]) for r in first if r["priority"] == high]


async def test_correspondence_lies_below_its_kind(executor: RecordExecutor) -> None:
    kinds = await listed(executor, "generic_tools")
    scope = {"generic_tool_id": str(kinds[0]["id"])}
    new: Row = {"title": "Late steel", "due_date": DAY, "cost_impact.status": "tbd"}
    made = await executor.create(params("generic_tool_items", scope=scope), new, soon())
    assert made["generic_tool_id"] == kinds[0]["id"]
    assert made["cost_impact"] == {"status": "tbd", "value": None}
    mine = await listed(executor, "generic_tool_items", scope=scope)
    everything = await listed(executor, "correspondence_type_items")
    assert made["id"] in {row["id"] for row in mine}
    assert {row["id"] for row in mine} < {row["id"] for row in everything}
    with pytest.raises(UnsupportedOperationError, match="“generic_tool_items”"):
        await executor.update(
            params("correspondence_type_items", record_id=str(made["id"])), {"title": "x"}, soon()
        )
    one = params("generic_tool_items", scope=scope, record_id=str(made["id"]))
    assert (await executor.update(one, {"title": "Late"}, soon()))["title"] == "Late"
    await executor.delete(one, soon())
    assert made["id"] not in {
        row["id"] for row in await listed(executor, "generic_tool_items", scope=scope)
    }


async def test_day_of_the_daily_log_is_completed(executor: RecordExecutor) -> None:
    chosen = [condition("log_date", "eq", DAY)]
    (day,) = await rows_of(
        await queried(executor, "select", "daily_log_headers", conditions=chosen)
    )
    assert day["completed"] is False
    (done,) = await rows_of(
        await queried(
            executor,
            "update",
            "daily_log_headers",
            conditions=chosen,
            mappings={"completed": "true", "distributed": "false"},
        )
    )
    assert (done["id"], done["completed"]) == (day["id"], True)
    shown = await executor.get(params("daily_log_headers", record_id=str(day["id"])), soon())
    assert (shown["log_date"], shown["completed"]) == (DAY, True)
    with pytest.raises(InvalidRequestError, match="Say for which day"):
        await listed(executor, "daily_log_headers")


async def test_user_who_is_inactive_is_made_active_again(executor: RecordExecutor) -> None:
    (user, *others) = await listed(executor, "inactive_company_users")
    one = params("inactive_company_users", record_id=str(user["id"]))
    changed = await executor.update(one, {"is_active": True}, soon())
    assert changed["is_active"] is True
    assert len(await listed(executor, "inactive_company_users")) == len(others)


async def test_vendor_is_inactive_when_it_is_switched_off(executor: RecordExecutor) -> None:
    assert await listed(executor, "inactive_vendors") == []
    (vendor, *_) = await listed(executor, "vendors")
    one = params("vendors", record_id=str(vendor["id"]))
    await executor.update(one, {"is_active": "false"}, soon())
    assert [row["id"] for row in await listed(executor, "inactive_vendors")] == [vendor["id"]]


async def test_templates_for_company_tools_are_there_when_asked_for(
    executor: RecordExecutor,
) -> None:
    chosen = [condition("type", "eq", "company_tools")]
    found = await rows_of(
        await queried(executor, "select", "permission_templates", conditions=chosen)
    )
    assert [row["name"] for row in found] == ["Company administrator"]


async def test_rfi_goes_to_the_recycle_bin_and_comes_back(executor: RecordExecutor) -> None:
    (rfi,) = await listed(executor, "rfis", limit=1)
    chosen = [condition("id", "eq", rfi["id"])]
    await rows_of(await queried(executor, "delete", "recyclable_rfis", conditions=chosen))
    assert [row["id"] for row in await listed(executor, "recycled_rfis")] == [rfi["id"]]
    with pytest.raises(UnsupportedOperationError, match="“recyclable_rfis”"):
        await executor.delete(params("rfis", record_id=str(rfi["id"])), soon())
    await rows_of(await queried(executor, "delete", "recycled_rfis", conditions=chosen))
    assert await listed(executor, "recycled_rfis") == []
    back = await executor.get(params("rfis", record_id=str(rfi["id"])), soon())
    assert back["subject"] == rfi["subject"]


@pytest.mark.parametrize(
    ("table", "additions", "scope_id"),
    [
        ("project_users", "project_user_additions", "user_id"),
        ("project_vendors", "project_vendor_additions", "vendor_id"),
    ],
)
async def test_who_is_taken_off_a_project_can_be_added_again(
    executor: RecordExecutor, table: str, additions: str, scope_id: str
) -> None:
    everybody = await listed(executor, table)
    one = str(everybody[-1]["id"])
    assert await executor.delete(params(table, record_id=one), soon()) == {}
    assert len(await listed(executor, table)) == len(everybody) - 1
    await executor.create(params(additions, scope={scope_id: one}), {}, soon())
    assert {row["id"] for row in await listed(executor, table)} == {row["id"] for row in everybody}


async def test_daily_log_is_counted_for_one_day(executor: RecordExecutor) -> None:
    (log, *_) = await listed(executor, "manpower_logs")
    day = str(log["date"])
    chosen = [condition("log_date", "eq", day), condition("module_name", "eq", "manpower_logs")]
    (found,) = await rows_of(
        await queried(executor, "select", "daily_log_counts", conditions=chosen)
    )
    assert (found["count"], found["log_date"]) == (3, day)
    with pytest.raises(InvalidRequestError, match="Say for which day"):
        await listed(executor, "daily_log_counts")


async def test_what_the_connection_may_do_is_a_table(executor: RecordExecutor) -> None:
    for table in ("tool_permissions", "project_tool_permissions"):
        chosen = [condition("name", "eq", "rfi")]
        tools = await listed(executor, table)
        assert all(tool["user_access_level"] for tool in tools), table
        found = await rows_of(await queried(executor, "select", table, conditions=chosen))
        assert len(found) == sum(str(tool["name"]).lower() == "rfi" for tool in tools)


async def test_meetings_are_listed_without_their_groups(executor: RecordExecutor) -> None:
    meetings = await listed(executor, "meetings")
    assert all({"id", "title", "project_id"} <= set(meeting) for meeting in meetings)
    assert not any("meetings" in meeting for meeting in meetings)
