"""``Idempotency-Token`` goes out where Procore honours it, and says which repeat is one."""

from collections.abc import AsyncIterator, Iterator

import pytest

from cloud_connect.calls import Environment, RecordParams, Source
from cloud_connect_agent.procore.catalog import load_catalog
from cloud_connect_agent.procore.catalog.describing import operations_of
from cloud_connect_agent.procore.executor import RecordExecutor
from doubles.record_executor import Row, executor_at, rows_of, soon
from doubles.simulator_process import COMPANY, PROJECT, Simulator, simulator_process

SANDBOX = Environment.DEVELOPER_SANDBOX
SEED = "5eed" * 4
GROUP: Row = {"name": "Surveyors"}


@pytest.fixture(scope="module")
def shared_simulator() -> Iterator[Simulator]:
    with simulator_process("--environment", SANDBOX.flag) as made:
        yield made


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


def tokens(simulator: Simulator) -> list[object]:
    return [entry["idempotency_token"] for entry in simulator.ledger()]


def test_operations_that_honour_it_are_those_that_procore_documents() -> None:
    assert {
        (resource.name, verb)
        for resource in load_catalog()
        for verb, endpoint in operations_of(resource)
        if endpoint.idempotent
    } == {
        ("distribution_groups", "create"),
        ("distribution_groups", "update"),
        ("drawing_uploads", "create"),
    }


async def test_repeat_of_a_call_makes_one_record_and_another_call_another(
    simulator: Simulator, executor: RecordExecutor
) -> None:
    groups = params("distribution_groups", seed=SEED)
    made = await executor.create(groups, GROUP, soon())
    again = await executor.create(groups, GROUP, soon())
    assert again["id"] == made["id"]
    others = params("distribution_groups", seed="6eed" * 4)
    other = await executor.create(others, GROUP, soon())
    assert other["id"] != made["id"]
    changed = await executor.create(groups, {"name": "Engineers"}, soon())
    assert changed["id"] not in {made["id"], other["id"]}
    sent = tokens(simulator)
    assert len(sent) == len(set(sent)) == 3
    assert not any(SEED in str(token) for token in sent)


async def test_records_of_one_call_that_are_alike_are_two(
    simulator: Simulator, executor: RecordExecutor
) -> None:
    groups = params("distribution_groups", seed=SEED)
    made = [
        [row["id"] for row in await rows_of(await executor.create_many(
            groups, [GROUP, GROUP], soon(), ceiling=None
        ))]
        for _ in range(2)
    ]  # fmt: skip
    assert made[0] == made[1]
    assert len(set(made[0])) == 2
    assert len(tokens(simulator)) == 2


async def test_call_without_a_key_and_operation_without_the_promise_send_none(
    simulator: Simulator, executor: RecordExecutor
) -> None:
    await executor.create(params("distribution_groups"), GROUP, soon())
    await executor.create(params("departments", seed=SEED), {"name": "Survey"}, soon())
    assert tokens(simulator) == [None, None]
