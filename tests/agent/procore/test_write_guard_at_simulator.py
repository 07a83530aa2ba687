"""Dry runs, many creations and a company's own fields against the simulator."""

from collections.abc import AsyncIterator, Iterator

import pytest

from cloud_connect.calls import Environment, Operation, RecordParams, Source
from cloud_connect.errors import OutcomeUnknownError, PolicyDeniedError
from cloud_connect.query import Query
from cloud_connect_agent.policy import Ceiling
from cloud_connect_agent.procore.executor import RecordExecutor
from doubles.record_executor import Row, executor_at, rows_of, soon
from doubles.simulator_process import COMPANY, PROJECT, Simulator, simulator_process

SANDBOX = Environment.DEVELOPER_SANDBOX
SOURCE = Source(company_id=COMPANY, environment=SANDBOX, project_id=PROJECT)
NUMBER = "custom_field_49418"


@pytest.fixture(scope="module")
def shared_simulator() -> Iterator[Simulator]:
    with simulator_process("--environment", SANDBOX.flag, "--rows", "punch_items=40") as simulator:
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
    return RecordParams.model_validate({"source": SOURCE, "resource": resource, **more})


def written(simulator: Simulator) -> list[str]:
    return [
        one["method"]
        for one in simulator.requests()
        if one["method"] != "GET" and one["path"].startswith("/rest/")
    ]


async def run(
    executor: RecordExecutor, *, ceiling: Ceiling | None = None, **members: object
) -> tuple[list[Row], str | None]:
    query = Query.parse({"info": {"name": "punch_items"}, **members})
    stream = await executor.query(SOURCE, query, soon(), ceiling=ceiling)
    return await rows_of(stream), stream.message


def condition(field: str, operator: str, value: object) -> Row:
    return {"arg1": {"name": field}, "operator": operator, "arg2": {"value": value}}


async def test_dry_run_tells_what_the_same_change_then_does(
    simulator: Simulator, executor: RecordExecutor
) -> None:
    everything, _ = await run(executor, action="select")
    chosen = [condition("id", "in", [row["id"] for row in everything[:3]])]
    told, message = await run(
        executor, action="delete", conditions=chosen, multiple=True, dryRun=True
    )
    assert message == "3 records would be deleted; nothing was written."
    assert written(simulator) == []
    again, _ = await run(executor, action="select")
    assert len(again) == len(everything)
    done, _ = await run(executor, action="delete", conditions=chosen, multiple=True)
    assert [row["id"] for row in done] == [row["id"] for row in told]
    assert written(simulator) == ["DELETE"] * 3


async def test_ceiling_holds_before_the_first_write(
    simulator: Simulator, executor: RecordExecutor
) -> None:
    with pytest.raises(PolicyDeniedError, match="at most 10 records"):
        await run(
            executor,
            ceiling=Ceiling(records=10, rule="small"),
            action="update",
            conditions=[condition("id", "gt", 0)],
            mappings={"name": "x"},
            multiple=True,
        )
    assert written(simulator) == []


async def test_dry_run_of_one_record_shows_it(
    simulator: Simulator, executor: RecordExecutor
) -> None:
    (first, *_), _ = await run(executor, action="select")
    where = params("punch_items", record_id=str(first["id"]))
    stream = await executor.dry_run(
        Operation.UPDATE, where, [{"name": "New"}], soon(), ceiling=None
    )
    (row,) = await rows_of(stream)
    assert (row["id"], row["name"]) == (first["id"], first["name"])
    assert written(simulator) == []


async def test_many_cost_codes_are_one_sync_with_a_result_for_each(
    simulator: Simulator, executor: RecordExecutor
) -> None:
    records: list[Row] = [{"code": f"9{number:02}", "name": f"C{number}"} for number in range(20)]
    records[7] = {"code": "", "name": "Nameless"}
    stream = await executor.create_many(params("cost_codes"), records, soon(), ceiling=None)
    rows = await rows_of(stream)
    assert written(simulator) == ["PATCH"]
    assert [row["index"] for row in rows] == list(range(20))
    assert [row["status"] for row in rows if row["index"] != 7] == ["created"] * 19
    assert rows[7]["status"] == "failed"
    assert "blank" in str(rows[7]["error"])
    for place in (0, 19):
        record = rows[place]["record"]
        assert isinstance(record, dict)
        assert (record["code"], record["project_id"]) == (records[place]["code"], PROJECT)


async def test_many_punch_items_go_out_singly(
    simulator: Simulator, executor: RecordExecutor
) -> None:
    records: list[Row] = [{"name": "A"}, {"name": ""}, {"name": "C"}]
    stream = await executor.create_many(params("punch_items"), records, soon(), ceiling=None)
    rows = await rows_of(stream)
    assert [row["status"] for row in rows] == ["created", "failed", "created"]
    assert written(simulator) == ["POST"] * 3


async def test_sync_whose_answer_is_lost_is_of_unknown_outcome(
    simulator: Simulator, executor: RecordExecutor
) -> None:
    simulator.fault("drop", path="/cost_codes/sync$", times=1, after_execute=True)
    records: list[Row] = [{"code": "901", "name": "A"}, {"code": "902", "name": "B"}]
    with pytest.raises(OutcomeUnknownError):
        await executor.create_many(params("cost_codes"), records, soon(), ceiling=None)
    assert written(simulator) == ["PATCH"]


async def test_custom_fields_of_the_company_stand_in_the_tree(executor: RecordExecutor) -> None:
    found = {
        field["name"]: field
        for field in await _fields(executor, "rfis")
        if field["inout"] == "IMPORT"
    }
    assert found[NUMBER]["text"] != NUMBER
    assert found["subject"]["required"] is True
    assert NUMBER not in {field["name"] for field in await _fields(executor, "vendors")}


async def test_retired_custom_field_that_was_used_is_told(
    simulator: Simulator, executor: RecordExecutor
) -> None:
    await executor.tree(SOURCE, soon())
    await run(executor, action="select", fields=["id", NUMBER])
    assert (await executor.drift(SOURCE, soon(), refresh=True))["items"] == []
    simulator.state(companies=[{"id": COMPANY, "retired_custom_fields": [49418]}])
    report = await executor.drift(SOURCE, soon(), refresh=True)
    items = report["items"]
    assert isinstance(items, list)
    assert [(item["resource"], item["field"], item["kind"]) for item in items] == [
        ("punch_items", NUMBER, "gone")
    ]
    assert NUMBER not in {field["name"] for field in await _fields(executor, "punch_items")}


async def test_used_custom_field_of_another_type_is_told(
    simulator: Simulator, executor: RecordExecutor
) -> None:
    await executor.tree(SOURCE, soon())
    await run(executor, action="select", conditions=[condition(NUMBER, "contains", "N")])
    simulator.state(companies=[{"id": COMPANY, "retyped_custom_fields": {"49418": "decimal"}}])
    items = (await executor.drift(SOURCE, soon(), refresh=True))["items"]
    assert isinstance(items, list)
    assert [(item["resource"], item["field"], item["kind"]) for item in items] == [
        ("punch_items", NUMBER, "type_changed")
    ]
    (field, _) = [one for one in await _fields(executor, "punch_items") if one["name"] == NUMBER]
    assert field["type"] == "number"


async def _fields(executor: RecordExecutor, table: str) -> list[Row]:
    for group in await executor.tree(SOURCE, soon()):
        nodes = group["nodes"]
        assert isinstance(nodes, list)
        for node in nodes:
            if node["name"] == table:
                return list(node["fields"])
    raise AssertionError(table)
