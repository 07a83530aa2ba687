"""The catalogue's oddest resources against a Procore that was written without it."""

from collections.abc import AsyncIterator, Iterator
from decimal import Decimal

import pytest

from cloud_connect.calls import Environment, RecordParams, Source
from cloud_connect.errors import (
    InvalidRequestError,
    SourceRejectedError,
    UnsupportedOperationError,
)
from cloud_connect.query import Query
from cloud_connect_agent.procore.catalog import Direction, load_catalog
from cloud_connect_agent.procore.executor import RecordExecutor
from doubles.record_executor import Row, executor_at, rows_of, soon
from doubles.simulator_process import COMPANY, PROJECT, Simulator, simulator_process

SANDBOX = Environment.DEVELOPER_SANDBOX
CATALOG = load_catalog()
BOTH = tuple(Direction)
VARIANCE = "Total Variance (Over) / Under $"

# Where the records of a resource lie, if below records of another.
PARENTS = {
    "budget_view_id": "budget_views",
    "prime_contract_id": "prime_contracts",
}
PLAYED = (
    "budget_views",
    "budget_detail_rows",
    "budget_summary_rows",
    "budget",
    "budget_changes",
    "wbs_codes",
    "prime_contracts",
    "prime_contracts_v2",
    "prime_contract_line_items",
)
# What to create of each, and what to change of it then.
MADE: dict[str, tuple[Row, Row]] = {
    "budget_changes": ({"status": "draft", "title": "Glass"}, {"title": "Steel"}),
    "prime_contracts": (
        {"number": "PC-900", "title": "Quay", "contract_date": "2026-11-02"},
        {"title": "Pier"},
    ),
    "prime_contracts_v2": ({"number": "PC-901", "title": "Quay"}, {"title": "Pier"}),
    "prime_contract_line_items": (
        {"description": "Piles", "quantity": "4", "unit_cost": "250"},
        {"description": "Sheet piles"},
    ),
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
    async with executor_at(simulator, SANDBOX) as executor:
        yield executor


def params(resource: str, **more: object) -> RecordParams:
    source = Source(company_id=COMPANY, environment=SANDBOX, project_id=PROJECT)
    return RecordParams.model_validate({"source": source, "resource": resource, **more})


async def listed(executor: RecordExecutor, resource: str, **more: object) -> list[Row]:
    return await rows_of(await executor.list(params(resource, **more), soon()))


async def queried(
    executor: RecordExecutor, action: str, table: str, **members: object
) -> list[Row]:
    document = {"action": action, "info": {"name": table}, **members}
    source = params(table).source
    return await rows_of(await executor.query(source, Query.parse(document), soon()))


def condition(field: str, operator: str, value: object = None) -> Row:
    return {"arg1": {"name": field}, "operator": operator, "arg2": {"value": value}}


async def scope_of(executor: RecordExecutor, name: str) -> dict[str, str]:
    """The scope ids of a resource's records, from the first record above them."""
    scope: dict[str, str] = {}
    for part in CATALOG.resource(name).scope_fields:
        if part in PARENTS:
            above = (await listed(executor, PARENTS[part], scope=scope))[0]
            scope[part] = str(above["id"])
    return scope


@pytest.mark.parametrize("name", PLAYED)
async def test_every_resource_can_be_listed_and_shown(executor: RecordExecutor, name: str) -> None:
    resource = CATALOG.resource(name)
    scope = await scope_of(executor, name)
    rows = await listed(executor, name, scope=scope)
    assert rows
    unknown = {key for row in rows for key in row if not resource.knows(key, BOTH)}
    assert unknown == set() or resource.dynamic
    for part, value in scope.items():
        assert {str(row[part]) for row in rows} == {value}
    if not resource.single:
        assert len({row["id"] for row in rows}) == len(rows)
        assert {type(row["id"]) for row in rows} == {type(resource.id_type.typed("7"))}
    if resource.get is not None:
        record_id = str(rows[-1]["id"])
        shown = await executor.get(params(name, scope=scope, record_id=record_id), soon())
        assert shown["id"] == rows[-1]["id"]
        with pytest.raises(SourceRejectedError, match="no such record"):
            await executor.get(params(name, scope=scope, record_id="987654321"), soon())


@pytest.mark.parametrize("name", MADE)
async def test_records_are_created_changed_and_deleted(
    simulator: Simulator, executor: RecordExecutor, name: str
) -> None:
    new, change = MADE[name]
    scope = await scope_of(executor, name)
    made = await executor.create(params(name, scope=scope), new, soon())
    record_id = str(made["id"])
    one = params(name, scope=scope, record_id=record_id)
    changed = await executor.update(one, change, soon())
    assert changed["id"] == made["id"]
    again = await executor.get(one, soon())
    assert {field: again[field] for field in change} == change
    if CATALOG.resource(name).delete is not None:
        await executor.delete(one, soon())
        with pytest.raises(SourceRejectedError, match="no such record"):
            await executor.get(one, soon())
    counted = simulator.counters()
    assert not counted.get("wrong_company")
    assert not counted.get("missing_company_header")


async def test_columns_of_a_budget_are_fields_whatever_their_titles(
    executor: RecordExecutor,
) -> None:
    scope = await scope_of(executor, "budget_detail_rows")
    rows = await listed(executor, "budget_detail_rows", scope=scope)
    over = {row["id"] for row in rows if Decimal(str(row[VARIANCE])) < 0}
    assert 0 < len(over) < len(rows)
    chosen = [
        condition("budget_view_id", "eq", scope["budget_view_id"]),
        condition(VARIANCE, "lt", 0),
    ]
    names = ["cost_code", "% Complete", VARIANCE]
    found = await queried(executor, "select", "budget_detail_rows", conditions=chosen, fields=names)
    assert len(found) == len(over)
    assert all(set(row) == set(names) for row in found)
    assert all(Decimal(str(row[VARIANCE])) < 0 for row in found)


async def test_columns_of_another_view_are_no_fields(executor: RecordExecutor) -> None:
    (_, forecast) = await listed(executor, "budget_views")
    scope = {"budget_view_id": str(forecast["id"])}
    (row, *_) = await listed(executor, "budget_detail_rows", scope=scope)
    assert "Est. Cost at Completion" in row
    with pytest.raises(InvalidRequestError, match=r"no field “% Complete”"):
        await listed(executor, "budget_detail_rows", scope=scope, fields=["% Complete"])


async def test_rows_of_a_budget_need_their_view(executor: RecordExecutor) -> None:
    with pytest.raises(InvalidRequestError, match="“budget_view_id” is missing"):
        await listed(executor, "budget_detail_rows")


async def test_subtotals_of_a_budget_have_text_ids(executor: RecordExecutor) -> None:
    scope = await scope_of(executor, "budget_summary_rows")
    rows = await listed(executor, "budget_summary_rows", scope=scope)
    assert all(isinstance(row["id"], str) for row in rows)
    details = await listed(executor, "budget_detail_rows", scope=scope)
    whole = sum(Decimal(str(row[VARIANCE])) for row in details)
    assert sum(Decimal(str(row[VARIANCE])) for row in rows) == whole


async def test_budget_line_is_read_by_its_id_and_never_listed(executor: RecordExecutor) -> None:
    (code, *_) = await listed(executor, "wbs_codes")
    new: Row = {"wbs_code_id": code["id"], "original_budget_amount": 1200.5}
    made = await executor.create(params("budget_line_items"), new, soon())
    (found,) = await queried(
        executor, "select", "budget_line_items", conditions=[condition("id", "eq", made["id"])]
    )
    assert found["wbs_code"] == made["wbs_code"]
    with pytest.raises(UnsupportedOperationError, match="“budget_detail_rows”"):
        await listed(executor, "budget_line_items")
    one = params("budget_line_items", record_id=str(made["id"]))
    changed = await executor.update(one, {"original_budget_amount": 900}, soon())
    assert changed["original_budget_amount"] == 900
    await executor.delete(one, soon())
    with pytest.raises(SourceRejectedError, match="no such record"):
        await executor.get(one, soon())


async def test_budget_tells_whether_it_is_locked(executor: RecordExecutor) -> None:
    assert await listed(executor, "budget") == [{"locked": False, "project_id": PROJECT}]


async def test_generations_of_a_contract_are_the_same_contract(executor: RecordExecutor) -> None:
    first = await listed(executor, "prime_contracts")
    second = await listed(executor, "prime_contracts_v2")
    assert [str(row["id"]) for row in first] == [row["id"] for row in second]
    for old, new in zip(first, second, strict=True):
        vendor = old["vendor"]
        assert isinstance(vendor, dict)
        assert new["vendor_id"] == str(vendor["id"])
    chosen = [condition("id", "eq", second[0]["id"])]
    found = await queried(executor, "select", "prime_contracts_v2", conditions=chosen)
    assert [row["title"] for row in found] == [second[0]["title"]]
