"""Every filter and order that is sent along leaves the answer what reading everything gives.

The simulator applies Procore's filters by itself; it shares no table with the catalogue.
"""

import time
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import UTC, datetime

import pytest

from cloud_connect.calls import Environment, Operation, RecordParams, Source
from cloud_connect.query import Condition, Group, Operator, Query
from cloud_connect_agent.procore.catalog import FilterKind, Resource, ServerFilter, load_catalog
from cloud_connect_agent.procore.executor import RecordExecutor
from cloud_connect_agent.procore.filters import predicate
from cloud_connect_agent.procore.rows import Path
from cloud_connect_agent.procore.values import Calendar
from doubles.record_executor import Row, executor_at, rows_of
from doubles.simulator_process import COMPANY, PROJECT, Simulator, simulator_process

SANDBOX = Environment.DEVELOPER_SANDBOX
HERE = Source(company_id=COMPANY, environment=SANDBOX, project_id=PROJECT)
PLAYED = [
    resource
    for resource in load_catalog()
    if resource.list_ is not None
    if resource.name != "specification_section_revisions"  # its division cannot be left out
    if resource.scope_fields in {(), ("project_id",)}
    if all(spec.kind is not FilterKind.DAY for spec in resource.list_.filters)
]
ORDERS = [
    pytest.param(resource.name, field, id=f"{resource.name}-{field}")
    for resource in PLAYED
    for field in resource.needed(Operation.LIST).sorts
]
FILTERS = [
    pytest.param(resource, spec, id=f"{resource.name}-{spec.field}-{spec.kind}")
    for resource in PLAYED
    for spec in resource.needed(Operation.LIST).filters
]


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with simulator_process("--environment", SANDBOX.flag) as simulator:
        yield simulator


@pytest.fixture(scope="module")
def whole() -> dict[str, list[Row] | None]:
    """What all of a resource is, once it was read; ``None`` if it is not played."""
    return {}


@pytest.fixture
async def executor(simulator: Simulator) -> AsyncIterator[RecordExecutor]:
    async with executor_at(simulator, SANDBOX) as executor:
        yield executor


def conditions_for(spec: ServerFilter, rows: list[Row]) -> list[Condition]:
    """Some that are met by some of the rows."""
    found = (Path(spec.field).of(row) for row in rows)
    values = [one for value in found for one in (value if isinstance(value, list) else [value])]
    plain = dict.fromkeys(
        value for value in values if isinstance(value, (str, int)) and value != ""
    )
    if not plain:
        return []
    first, *others = [*plain][:3]
    if spec.kind in {FilterKind.ONE, FilterKind.MANY}:
        several = ",".join(map(str, (first, *others)))
        return [
            Condition.of(spec.field, Operator.EQ, first),
            Condition.of(spec.field, Operator.IN, several),
            Condition.of(spec.field, Operator.NE, first),
        ]
    return [
        Condition.of(spec.field, Operator.GE, first),
        Condition.of(spec.field, Operator.LT, first),
        Condition.of(spec.field, Operator.EQ, first),
    ]


@pytest.mark.parametrize(("resource", "spec"), FILTERS)
async def test_answer_is_what_reading_everything_would_give(
    resource: Resource,
    spec: ServerFilter,
    executor: RecordExecutor,
    whole: dict[str, list[Row] | None],
) -> None:
    params = RecordParams(source=HERE, resource=resource.name)
    if resource.name not in whole:
        whole[resource.name] = await rows_of(await executor.list(params, time.monotonic() + 30))
    rows = whole[resource.name] or []
    calendar = Calendar(now=datetime.now(UTC))
    for condition in conditions_for(spec, rows):
        tree = Group(conditions=(condition,))
        meets = predicate(tree, resource.type_of, calendar)
        asked = Query.parse(
            {
                "action": "select",
                "info": {"name": resource.name},
                "conditions": [condition.model_dump(mode="json")],
            }
        )
        stream = await executor.query(HERE, asked, time.monotonic() + 30)
        found = await rows_of(stream)
        assert [_key(row) for row in found] == [_key(row) for row in rows if meets(row)], condition


@pytest.mark.parametrize(("name", "field"), ORDERS)
async def test_few_in_order_are_those_that_come_first_of_all(
    name: str, field: str, executor: RecordExecutor
) -> None:
    for ascending in (True, False):
        document: Row = {
            "action": "select",
            "info": {"name": name},
            "orderBy": field,
            "orderAscending": ascending,
        }
        found = []
        for limit in (None, 3):
            query = Query.parse({**document, "rowLimit": limit})
            stream = await executor.query(HERE, query, time.monotonic() + 30)
            found.append([_key(row) for row in await rows_of(stream)])
        assert found[1] == found[0][:3]


def _key(row: Mapping[str, object]) -> object:
    return row.get("id", row)
