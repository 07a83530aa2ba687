"""Comments, topics and lines of the second generation: what hangs on other records."""

from collections.abc import AsyncIterator, Iterator

import pytest

from cloud_connect.calls import Environment, RecordParams, Source
from cloud_connect.errors import (
    InvalidRequestError,
    SourceRejectedError,
    UnsupportedOperationError,
)
from cloud_connect.query import Query
from cloud_connect_agent.procore.executor import RecordExecutor
from doubles.record_executor import Row, executor_at, rows_of, soon
from doubles.simulator_process import COMPANY, PROJECT, Simulator, simulator_process

SANDBOX = Environment.DEVELOPER_SANDBOX


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with simulator_process("--environment", SANDBOX.flag) as made:
        yield made


@pytest.fixture
async def executor(simulator: Simulator) -> AsyncIterator[RecordExecutor]:
    async with executor_at(simulator, SANDBOX) as made:
        yield made


def params(resource: str, **more: object) -> RecordParams:
    source = Source(company_id=COMPANY, environment=SANDBOX, project_id=PROJECT)
    return RecordParams.model_validate({"source": source, "resource": resource, **more})


async def listed(executor: RecordExecutor, resource: str, **more: object) -> list[Row]:
    return await rows_of(await executor.list(params(resource, **more), soon()))


def condition(field: str, operator: str, value: object) -> Row:
    return {"arg1": {"name": field}, "operator": operator, "arg2": {"value": value}}


async def chosen(executor: RecordExecutor, table: str, field: str, value: object) -> list[Row]:
    conditions = [condition(field, "eq", value)]
    query = Query.parse({"action": "select", "info": {"name": table}, "conditions": conditions})
    return await rows_of(await executor.query(params(table).source, query, soon()))


def author_of(comment: Row) -> object:
    author = comment["created_by"]
    assert isinstance(author, dict)
    return author["id"]


async def test_comment_on_a_task_is_written_found_and_moves_the_task(
    executor: RecordExecutor,
) -> None:
    task = next(row for row in await listed(executor, "task_items") if row["status"] != "closed")
    new: Row = {"task_item_id": str(task["id"]), "comment": "Glass is in", "status": "closed"}
    made = await executor.create(params("task_item_comments"), new, soon())
    assert (made["task_item_id"], made["comment"]) == (task["id"], "Glass is in")
    again = await executor.get(params("task_items", record_id=str(task["id"])), soon())
    assert again["status"] == "closed"
    everything = await listed(executor, "task_item_comments")
    of_task = await chosen(executor, "task_item_comments", "task_item_id", task["id"])
    assert made["id"] in {row["id"] for row in of_task}
    assert of_task == [row for row in everything if row["task_item_id"] == task["id"]]
    author = author_of(of_task[0])
    mine = await chosen(executor, "task_item_comments", "created_by.id", author)
    assert mine == [row for row in everything if author_of(row) == author]
    one = params("task_item_comments", record_id=str(made["id"]))
    assert (await executor.update(one, {"comment": "It is"}, soon()))["comment"] == "It is"
    await executor.delete(one, soon())
    left = await chosen(executor, "task_item_comments", "task_item_id", task["id"])
    assert made["id"] not in {row["id"] for row in left}
    with pytest.raises(SourceRejectedError, match="no such record"):
        await executor.get(one, soon())


async def test_comment_on_no_task_is_refused_by_name(executor: RecordExecutor) -> None:
    with pytest.raises(SourceRejectedError, match=r"new task comment.*“task_item”"):
        await executor.create(params("task_item_comments"), {"task_item_id": 1}, soon())


async def test_response_log_says_and_sets_the_status_of_its_observation(
    executor: RecordExecutor,
) -> None:
    first, second, *_ = await listed(executor, "observations")
    scope = {"item_id": str(first["id"])}
    new: Row = {"comment": "Mended", "status": "ready_for_review"}
    made = await executor.create(params("observation_response_logs", scope=scope), new, soon())
    assert (made["item_id"], made["status"]) == (first["id"], "Ready For Review")
    seen = await executor.get(params("observations", record_id=str(first["id"])), soon())
    assert seen["status"] == "ready_for_review"
    logs = await listed(executor, "observation_response_logs", scope=scope)
    assert {row["item_id"] for row in logs} == {first["id"]}
    assert logs[-1]["comment"] == "Mended"
    one = params("observation_response_logs", scope=scope, record_id=str(made["id"]))
    assert (await executor.get(one, soon()))["id"] == made["id"]
    elsewhere = one.model_copy(update={"scope": {"item_id": str(second["id"])}})
    with pytest.raises(SourceRejectedError, match="no such record"):
        await executor.get(elsewhere, soon())
    without = await executor.create(
        params("observation_response_logs", scope=scope), {"comment": "Thanks"}, soon()
    )
    assert without["status"] == "Ready For Review"


async def test_topic_is_written_and_read_with_its_meeting(executor: RecordExecutor) -> None:
    meeting = (await listed(executor, "meetings"))[0]
    scope = {"meeting_id": str(meeting["id"])}
    new: Row = {"title": "Cranes", "due_date": "2026-12-01T10:00:00Z"}
    made = await executor.create(params("meeting_topics", scope=scope), new, soon())
    one = params("meeting_topics", scope=scope, record_id=str(made["id"]))
    await executor.update(one, {"minutes": "Agreed", "status": "Closed"}, soon())
    shown = await executor.get(params("meetings", record_id=str(meeting["id"])), soon())
    categories = shown["meeting_categories"]
    assert isinstance(categories, list)
    topics = {topic["id"]: topic for topic in categories[0]["meeting_topic"]}
    found = topics[made["id"]]
    assert (found["title"], found["due_date"], found["minutes"], found["status"]) == (
        "Cranes", "2026-12-01", "Agreed", "Closed",
    )  # fmt: skip


async def test_topics_that_are_never_shown_are_changed_by_their_ids(
    executor: RecordExecutor,
) -> None:
    meeting = (await listed(executor, "meetings"))[1]
    scope = {"meeting_id": str(meeting["id"])}
    made = [
        await executor.create(params("meeting_topics", scope=scope), {"title": title}, soon())
        for title in ("Cranes", "Lifts")
    ]

    async def update(*conditions: Row, **more: object) -> list[Row]:
        query = Query.parse(
            {
                "action": "update",
                "info": {"name": "meeting_topics"},
                "conditions": list(conditions),
                "mappings": {"status": "Closed"},
                **more,
            }
        )
        return await rows_of(await executor.query(params("rfis").source, query, soon()))

    of_meeting = condition("meeting_id", "eq", meeting["id"])
    (rehearsed,) = await update(of_meeting, condition("id", "eq", made[0]["id"]), dryRun=True)
    assert (rehearsed["id"], "status" in rehearsed) == (made[0]["id"], False)
    (changed,) = await update(of_meeting, condition("id", "eq", str(made[0]["id"])))
    assert (changed["id"], changed["title"], changed["status"]) == (
        made[0]["id"], "Cranes", "Closed",
    )  # fmt: skip
    both = condition("id", "in", [row["id"] for row in made])
    with pytest.raises(InvalidRequestError, match="“multiple”"):
        await update(of_meeting, both)
    others = await update(of_meeting, both, condition("id", "ne", made[0]["id"]), multiple=True)
    assert [row["title"] for row in others] == ["Lifts"]
    with pytest.raises(InvalidRequestError, match="“meeting_id” is missing"):
        await update(condition("id", "eq", made[0]["id"]))
    with pytest.raises(UnsupportedOperationError, match="Topics cannot be listed"):
        await update(of_meeting, condition("title", "eq", "Lifts"))
    with pytest.raises(UnsupportedOperationError, match="Topics cannot be listed"):
        await chosen(executor, "meeting_topics", "meeting_id", meeting["id"])
    with pytest.raises(SourceRejectedError, match="meeting topic 1"):
        await update(of_meeting, condition("id", "eq", 1))


async def test_line_items_of_the_second_generation_are_the_same_with_ids_as_text(
    executor: RecordExecutor,
) -> None:
    contract = (await listed(executor, "prime_contracts"))[0]
    scope = {"prime_contract_id": str(contract["id"])}
    code = (await listed(executor, "wbs_codes"))[0]
    new: Row = {"wbs_code_id": code["id"], "amount": "12.5", "description": "Survey"}
    made = await executor.create(params("prime_contract_line_items_v2", scope=scope), new, soon())
    first = await listed(executor, "prime_contract_line_items", scope=scope)
    second = await listed(executor, "prime_contract_line_items_v2", scope=scope)
    assert [str(row["id"]) for row in first] == [row["id"] for row in second]
    assert made["id"] in {row["id"] for row in second}
    one = params("prime_contract_line_items_v2", scope=scope, record_id=made["id"])
    changed = await executor.update(one, {"description": "Levelling"}, soon())
    assert (changed["description"], changed["amount"]) == ("Levelling", "12.50")
    await executor.delete(one, soon())
    assert len(await listed(executor, "prime_contract_line_items", scope=scope)) == len(first) - 1
