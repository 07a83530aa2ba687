"""The catalogue against the simulator: a Procore written from the documentation, not from it."""

from collections.abc import AsyncIterator, Iterator

import pytest

from cloud_connect.calls import Environment, RecordParams, Source
from cloud_connect.errors import (
    InvalidRequestError,
    SourceRejectedError,
)
from cloud_connect.query import Query
from cloud_connect_agent.procore.catalog import Direction, load_catalog
from cloud_connect_agent.procore.executor import RecordExecutor
from cloud_connect_agent.procore.rowstream import RowStream
from doubles.record_executor import Row, executor_at, rows_of, soon
from doubles.simulator_process import (
    COMPANY,
    LARGE_COMPANY,
    PROJECT,
    Simulator,
    simulator_process,
)

SANDBOX = Environment.DEVELOPER_SANDBOX
CATALOG = load_catalog()

# What to create of each resource, in which order, and what to change of it then.
MADE: dict[str, tuple[Row, Row]] = {
    "projects": ({"name": "Quay"}, {"city": "Cork"}),
    "company_users": (
        {"last_name": "Byrne", "email_address": "byrne@harbour.example"},
        {"job_title": "Foreman"},
    ),
    "project_users": (
        {"last_name": "Doyle", "email_address": "doyle@harbour.example"},
        {"job_title": "Foreman"},
    ),
    "vendors": ({"name": "Glass Ltd"}, {"city": "Cork"}),
    "project_vendors": ({"name": "Steel Ltd"}, {"city": "Cork"}),
    "submittals": ({"number": "900", "title": "Door"}, {"title": "Gate"}),
    "punch_items": ({"name": "Door", "due": "2026-12-01"}, {"due_date": "2026-12-02"}),
    "folders": ({"name": "Pictures"}, {"name": "Plans"}),
    "image_categories": ({"name": "Roof"}, {"name": "Walls"}),
    "notes_logs": ({"comment": "Rain", "date": "2026-11-02"}, {"comment": "Snow"}),
    "manpower_logs": ({"num_workers": "4", "num_hours": 8, "date": "2026-11-02"}, {"notes": "x"}),
    "purchase_order_contracts": ({"number": "PO-900", "title": "Glass"}, {"title": "Steel"}),
    "cost_codes": ({"code": "900", "name": "Glass"}, {"name": "Steel"}),
}


# What the simulator does not play, or another test looks at.
NOT_PLAYED = {
    "company_bid_packages", "bid_packages", "bids", "budget", "budget_changes",
    "budget_detail_rows", "budget_summary_rows", "budget_views", "calendar_items",
    "change_order_packages", "change_order_requests", "commitment_change_orders",
    "commitment_contracts", "commitments", "company_timecard_entries", "direct_cost_line_items",
    "direct_costs", "drawing_areas", "drawing_disciplines", "drawing_revisions", "drawing_sets",
    "drawings", "equipment_register", "line_item_types", "managed_equipment",
    "potential_change_order_line_items", "potential_change_orders", "prime_change_orders",
    "prime_contract_line_items", "prime_contract_line_items_v2", "prime_contracts",
    "prime_contracts_v2", "purchase_order_contract_line_items", "schedule", "schedule_activities",
    "schedules", "specification_section_divisions", "specification_section_revisions",
    "specification_sections", "specification_sets", "specification_uploads", "sub_jobs", "tasks",
    "timecard_entries", "wbs_codes", "webhook_deliveries", "webhook_hooks", "webhook_triggers",
    "work_order_contract_line_items", "work_order_contracts",
}  # fmt: skip
# Listed for one day only, and listed when there is something in it.
LISTED_ELSEWHERE = {
    "daily_log_counts", "daily_log_headers", "generic_tool_items", "inactive_vendors",
    "recycled_rfis",
}  # fmt: skip
PLAYED = [
    resource.name
    for resource in CATALOG
    if resource.list_ and resource.name not in NOT_PLAYED | LISTED_ELSEWHERE
]


def at(company: int = COMPANY, project: int | None = PROJECT) -> Source:
    return Source(company_id=company, environment=SANDBOX, project_id=project)


@pytest.fixture(scope="module")
def shared_simulator() -> Iterator[Simulator]:
    arguments = ("--environment", SANDBOX.flag, "--rows", "rfis=450")
    with simulator_process(*arguments) as simulator:
        yield simulator


@pytest.fixture
def simulator(shared_simulator: Simulator) -> Simulator:
    shared_simulator.state(reset=True)
    return shared_simulator


@pytest.fixture
async def executor(simulator: Simulator) -> AsyncIterator[RecordExecutor]:
    async with executor_at(simulator, SANDBOX) as executor:
        yield executor


def params(resource: str, *, source: Source | None = None, **more: object) -> RecordParams:
    return RecordParams.model_validate({"source": source or at(), "resource": resource, **more})


async def listed(
    executor: RecordExecutor, resource: str, *, source: Source | None = None, **more: object
) -> list[Row]:
    return await rows_of(await executor.list(params(resource, source=source, **more), soon()))


async def queried(
    executor: RecordExecutor, action: str, table: str, **members: object
) -> RowStream:
    document = {"action": action, "info": {"name": table}, **members}
    return await executor.query(at(), Query.parse(document), soon())


def condition(field: str, operator: str, value: object = None) -> Row:
    return {"arg1": {"name": field}, "operator": operator, "arg2": {"value": value}}


async def scope_of(executor: RecordExecutor, name: str) -> dict[str, str]:
    holders = {
        "rfi_replies": ("rfi_id", "rfis"),
        "observation_response_logs": ("item_id", "observations"),
    }
    if name not in holders:
        return {}
    scope_id, holder = holders[name]
    (found,) = await listed(executor, holder, limit=1)
    return {scope_id: str(found["id"])}


@pytest.mark.parametrize("name", PLAYED)
async def test_every_resource_can_be_listed_and_shown(executor: RecordExecutor, name: str) -> None:
    resource = CATALOG.resource(name)
    scope = await scope_of(executor, name)
    stream = await executor.list(params(name, scope=scope), soon())
    rows = await rows_of(stream)
    assert rows
    assert stream.total_items == len(rows)
    assert len({row["id"] for row in rows}) == len(rows)
    unknown = {key for row in rows for key in row if not resource.knows(key, tuple(Direction))}
    assert unknown == set()
    shown = await executor.get(params(name, scope=scope, record_id=str(rows[-1]["id"])), soon())
    assert shown["id"] == rows[-1]["id"]
    assert all(shown[field] == rows[-1][field] for field in resource.scope_fields)
    with pytest.raises(SourceRejectedError, match="no such record"):
        await executor.get(params(name, scope=scope, record_id="987654321"), soon())


@pytest.mark.parametrize("name", MADE)
async def test_records_are_created_changed_and_deleted(
    simulator: Simulator, executor: RecordExecutor, name: str
) -> None:
    new, change = MADE[name]
    made = await executor.create(params(name), new, soon())
    record_id = str(made["id"])
    changed = await executor.update(params(name, record_id=record_id), change, soon())
    assert changed["id"] == made["id"]
    again = await executor.get(params(name, record_id=record_id), soon())
    for field, value in change.items():
        assert again[field] == value
    if CATALOG.resource(name).delete is not None:
        assert await executor.delete(params(name, record_id=record_id), soon()) == {}
        with pytest.raises(SourceRejectedError, match="no such record"):
            await executor.get(params(name, record_id=record_id), soon())
    counted = simulator.counters()
    assert not counted.get("wrong_company")
    assert not counted.get("missing_company_header")


async def test_rfi_lives_from_question_to_answer(executor: RecordExecutor) -> None:
    (user, *_) = await listed(executor, "project_users")
    question: Row = {
        "subject": "Which door?",
        "question.body": "The west one?",
        "rfi_manager_id": str(user["id"]),
        "assignee_ids": [user["id"]],
    }
    (rfi,) = await rows_of(await queried(executor, "insert", "rfis", mappings=question))
    scope = {"rfi_id": str(rfi["id"])}
    reply = await executor.create(params("rfi_replies", scope=scope), {"body": "Yes"}, soon())
    assert (reply["rfi_id"], reply["project_id"]) == (rfi["id"], PROJECT)
    assert [row["id"] for row in await listed(executor, "rfi_replies", scope=scope)] == [
        reply["id"]
    ]
    chosen = [condition("id", "eq", str(rfi["id"]))]
    closing = {"accepted": "true"}
    closed = await queried(executor, "update", "rfis", mappings=closing, conditions=chosen)
    assert [row["status"] for row in await rows_of(closed)] == ["closed"]


async def test_observation_is_deleted_elsewhere(executor: RecordExecutor) -> None:
    (old, *_) = await listed(executor, "observations")
    kind = old["type"]
    assert isinstance(kind, dict)
    new: Row = {"name": "Loose rail", "type_id": kind["id"]}
    made = await executor.create(params("observations"), new, soon())
    chosen = [condition("id", "eq", made["id"])]
    gone = await rows_of(await queried(executor, "delete", "observations", conditions=chosen))
    assert [row["name"] for row in gone] == ["Loose rail"]
    assert await rows_of(await queried(executor, "select", "observations", conditions=chosen)) == []


async def test_procores_reasons_come_back(executor: RecordExecutor) -> None:
    with pytest.raises(SourceRejectedError) as refusal:
        await executor.create(params("punch_items"), {"description": "no name"}, soon())
    assert refusal.value.status in {400, 422}
    assert "name" in refusal.value.message


async def test_conditions_agree_with_reading_everything(executor: RecordExecutor) -> None:
    whole = await listed(executor, "rfis")
    assert len(whole) >= 450
    for status in {str(row["status"]) for row in whole}:
        chosen = [condition("status", "eq", status.upper())]
        found = await rows_of(await queried(executor, "select", "rfis", conditions=chosen))
        assert [row["id"] for row in found] == [r["id"] for r in whole if r["status"] == status]
    middle = sorted(str(row["updated_at"]) for row in whole)[len(whole) // 2]
    chosen = [condition("updated_at", "ge", middle)]
    found = await rows_of(await queried(executor, "select", "rfis", conditions=chosen))
    expected = {row["id"] for row in whole if str(row["updated_at"]) >= middle}
    assert {row["id"] for row in found} == expected


@pytest.mark.parametrize("ascending", [True, False])
@pytest.mark.parametrize(
    ("name", "field"),
    [("rfis", "due_date"), ("rfis", "created_at"), ("submittals", "due_date")],
)
async def test_few_in_order_are_those_that_come_first_of_all(
    executor: RecordExecutor, name: str, field: str, *, ascending: bool
) -> None:
    members = {"orderBy": field, "orderAscending": ascending}
    whole = await rows_of(await queried(executor, "select", name, **members))
    few = await rows_of(await queried(executor, "select", name, **members, rowLimit=7))
    assert [row["id"] for row in few] == [row["id"] for row in whole[:7]]


async def test_projects_of_any_status_are_listed(executor: RecordExecutor) -> None:
    projects = await listed(executor, "projects")
    inactive = [condition("active", "eq", value=False)]
    found = await rows_of(await queried(executor, "select", "projects", conditions=inactive))
    assert {row["id"] for row in found} == {row["id"] for row in projects if not row["active"]}


async def test_all_projects_of_a_large_company_are_read(executor: RecordExecutor) -> None:
    source = at(LARGE_COMPANY, project=None)
    rows = await listed(executor, "rfis", source=source)
    assert len({row["project_id"] for row in rows}) > 1
    assert all(type(row["id"]) is int and row["id"] >= 2**49 for row in rows)


async def test_daily_logs_of_a_day_are_only_that_days(executor: RecordExecutor) -> None:
    rows = await listed(executor, "notes_logs")
    day = str(rows[0]["date"])
    chosen = [condition("date", "eq", day)]
    found = await rows_of(await queried(executor, "select", "notes_logs", conditions=chosen))
    assert [row["id"] for row in found] == [row["id"] for row in rows if row["date"] == day]


async def test_unknown_field_is_named(executor: RecordExecutor) -> None:
    with pytest.raises(InvalidRequestError, match="“colour”"):
        await queried(executor, "select", "rfis", fields=["colour"])


async def test_app_that_is_not_connected_is_told_in_procores_words(
    executor: RecordExecutor,
) -> None:
    with pytest.raises(SourceRejectedError, match="not connected"):
        await listed(executor, "rfis", source=at(4343, project=None))
