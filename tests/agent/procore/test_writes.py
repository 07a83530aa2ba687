"""Changing records: what goes out to Procore, and what is refused before it does."""

import time
from typing import Any

import pytest

from cloud_connect.calls import RecordParams
from cloud_connect.errors import (
    CloudConnectError,
    InvalidRequestError,
    Outcome,
    OutcomeUnknownError,
    RateLimitedError,
    SourceRejectedError,
    UnsupportedOperationError,
)
from cloud_connect.query import Query
from cloud_connect_agent.procore.catalog import load_catalog
from cloud_connect_agent.procore.drafts import insert_target
from cloud_connect_agent.procore.executor import RecordExecutor
from cloud_connect_agent.procore.messages import ApiRequest
from cloud_connect_agent.procore.rowstream import RowStream
from doubles.scripted_procore import COMPANY, PROJECT, ScriptedProcore, source

RFIS = f"/rest/v1.0/projects/{PROJECT}/rfis"
PUNCH = "/rest/v1.1/punch_items"
SOON = 30.0


@pytest.fixture
def procore() -> ScriptedProcore:
    rows: list[dict[str, object]] = [
        {"id": number, "name": f"Door {number}", "priority": "low", "reference": None}
        for number in range(1, 6)
    ]
    return ScriptedProcore({f"{PUNCH}?project_id={PROJECT}": rows, RFIS: [{"id": 7}]})


@pytest.fixture
def executor(procore: ScriptedProcore) -> RecordExecutor:
    return RecordExecutor(procore, load_catalog())


def params(
    resource: str = "punch_items", *, project: int | None = PROJECT, **more: object
) -> RecordParams:
    return RecordParams.model_validate(
        {"source": source(project=project), "resource": resource, **more}
    )


def condition(field: str, operator: str, value: object = None) -> dict[str, object]:
    return {"arg1": {"name": field}, "operator": operator, "arg2": {"value": value}}


async def carried_out(
    executor: RecordExecutor,
    action: str,
    *,
    table: str = "punch_items",
    project: int | None = PROJECT,
    **members: object,
) -> RowStream:
    query = Query.parse({"action": action, "info": {"name": table}, **members})
    return await executor.query(source(project=project), query, time.monotonic() + SOON)


async def rows_of(stream: RowStream) -> list[dict[str, object]]:
    async with stream:
        return [row async for row in stream]


async def test_created_record_comes_back_with_its_id(
    procore: ScriptedProcore, executor: RecordExecutor
) -> None:
    row = await executor.create(params(), {"name": "Door"}, time.monotonic() + SOON)
    assert row == {"id": 999, "name": "Door", "project_id": PROJECT}
    (request,) = procore.requests
    assert request.json == {"project_id": PROJECT, "punch_item": {"name": "Door"}}


async def test_own_date_field_that_a_record_showed_takes_only_dates(
    procore: ScriptedProcore, executor: RecordExecutor
) -> None:
    shown = {"custom_field_7": {"data_type": "datetime", "value": None}}
    procore.tables[RFIS] = [{"id": 7, "custom_fields": shown}]
    await rows_of(await carried_out(executor, "select", table="rfis"))
    members: dict[str, Any] = {
        "conditions": [condition("id", "eq", 7)],
        "mappings": {"custom_field_7": "soon"},
    }
    with pytest.raises(InvalidRequestError, match="“custom_field_7” must be a time"):
        await carried_out(executor, "update", table="rfis", **members)
    with pytest.raises(InvalidRequestError, match="“custom_field_7” must be a time"):
        await executor.update(
            params("rfis", record_id="7"), {"custom_field_7": "soon"}, time.monotonic() + SOON
        )
    with pytest.raises(InvalidRequestError, match="“custom_field_7” must be a time"):
        await executor.create_many(
            params("rfis"),
            [{"subject": "x", "custom_field_7": "soon"}],
            time.monotonic() + SOON,
            ceiling=None,
        )
    assert procore.written == []


async def test_record_may_carry_its_ids_as_ordinary_fields(
    procore: ScriptedProcore, executor: RecordExecutor
) -> None:
    record: dict[str, object] = {"name": "Door", "project_id": "77", "company_id": COMPANY}
    row = await executor.create(params(project=None), record, time.monotonic() + SOON)
    assert row["project_id"] == 77
    assert procore.requests[0].json == {"project_id": 77, "punch_item": {"name": "Door"}}
    changed = await executor.update(
        params(record_id="3"),
        {"id": 3, "name": "x", "project_id": PROJECT},
        time.monotonic() + SOON,
    )
    assert changed == {"id": 3, "name": "x", "project_id": PROJECT}


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"name": "x", "project_id": 77}, "“project_id” of the record"),
        ({"name": "x", "company_id": 1}, "company"),
        ({"name": "x", "id": 4}, "“id” of the record"),
        ({"nam": "x"}, "“nam”"),
        ({}, "nothing to write"),
        ({"project_id": PROJECT, "id": 3}, "nothing to write"),
    ],
)
async def test_record_that_contradicts_the_request_is_refused(
    procore: ScriptedProcore, executor: RecordExecutor, record: dict[str, object], said: str
) -> None:
    with pytest.raises(InvalidRequestError, match=said):
        await executor.update(params(record_id="3"), record, time.monotonic() + SOON)
    assert procore.requests == []


async def test_write_without_a_project_is_refused(
    procore: ScriptedProcore, executor: RecordExecutor
) -> None:
    with pytest.raises(InvalidRequestError, match="“project_id” is missing"):
        await executor.create(params(project=None), {"name": "x"}, time.monotonic() + SOON)
    with pytest.raises(InvalidRequestError, match="“rfi_id” is missing"):
        await executor.create(params("rfi_replies"), {"body": "x"}, time.monotonic() + SOON)
    with pytest.raises(InvalidRequestError, match="by its id"):
        await executor.delete(params(), time.monotonic() + SOON)
    assert procore.requests == []


async def test_record_is_changed_and_deleted_by_id(
    procore: ScriptedProcore, executor: RecordExecutor
) -> None:
    await executor.update(params(record_id="3"), {"name": "New"}, time.monotonic() + SOON)
    assert await executor.delete(params(record_id="3"), time.monotonic() + SOON) == {}
    assert procore.asked == [f"PATCH {PUNCH}/3", f"DELETE {PUNCH}/3 project_id={PROJECT}"]


async def test_verb_that_procore_lacks_is_refused_with_a_hint(executor: RecordExecutor) -> None:
    with pytest.raises(UnsupportedOperationError, match="cannot be deleted"):
        await executor.delete(params("rfis", record_id="7"), time.monotonic() + SOON)
    chosen = [condition("id", "eq", 7)]
    with pytest.raises(UnsupportedOperationError, match="“active” to false"):
        await carried_out(executor, "delete", table="projects", conditions=chosen)


async def test_inserted_row_is_the_answer(
    procore: ScriptedProcore, executor: RecordExecutor
) -> None:
    pairs = [
        {"left": {"value": "Door"}, "right": {"name": "subject"}},
        {"left": {"value": "Which?"}, "right": {"name": "question.body"}},
    ]
    stream = await carried_out(executor, "create", table="rfis", mappings=pairs, fields=["subject"])
    assert stream.total_items == 1
    assert await rows_of(stream) == [
        {
            "id": 999,
            "subject": "Door",
            "question": {"body": "Which?"},
            "project_id": PROJECT,
        }
    ]
    assert procore.written[0].json == {"rfi": {"subject": "Door", "question": {"body": "Which?"}}}


async def test_condition_or_mapping_says_where_an_insert_goes(
    procore: ScriptedProcore, executor: RecordExecutor
) -> None:
    there = [condition("project_id", "eq", "77")]
    await carried_out(executor, "insert", project=None, mappings={"name": "x"}, conditions=there)
    mapped = {"name": "x", "project_id": 78}
    await carried_out(executor, "insert", mappings=mapped)
    sent = [request.json for request in procore.written]
    assert [body["project_id"] for body in sent if isinstance(body, dict)] == [77, 78]
    with pytest.raises(InvalidRequestError, match="project_id"):
        await carried_out(executor, "insert", project=None, mappings={"name": "x"})
    with pytest.raises(InvalidRequestError, match="project_id"):
        await carried_out(executor, "insert", mappings=mapped, conditions=there)


async def test_text_ids_of_an_inserts_conditions_stay_the_text_that_they_are(
    executor: RecordExecutor,
) -> None:
    query = Query.parse(
        {
            "action": "insert",
            "info": {"name": "prime_contract_line_items_v2"},
            "mappings": {"description": "x"},
            "conditions": [condition("prime_contract_id", "eq", "01J9ABC")],
        }
    )
    (access,) = executor.accesses_of_query(source(), query)
    assert access.resource == "prime_contract_line_items_v2"
    target = insert_target(
        load_catalog().resource("prime_contract_line_items_v2"),
        query.condition,
        query.mappings,
        source(),
    )
    assert target["prime_contract_id"] == "01J9ABC"


async def test_update_changes_the_one_record_that_matches(
    procore: ScriptedProcore, executor: RecordExecutor
) -> None:
    stream = await carried_out(
        executor,
        "update",
        mappings={"reference": "A-1"},
        conditions=[condition("name", "eq", "door 3")],
    )
    assert await rows_of(stream) == [
        {
            "id": 3,
            "name": "Door 3",
            "priority": "low",
            "reference": "A-1",
            "project_id": PROJECT,
        }
    ]
    assert stream.message is None
    (request,) = procore.written
    assert (request.method, request.path) == ("PATCH", f"{PUNCH}/3")
    assert request.json == {"project_id": PROJECT, "punch_item": {"reference": "A-1"}}


async def test_delete_answers_with_what_is_gone(
    procore: ScriptedProcore, executor: RecordExecutor
) -> None:
    stream = await carried_out(executor, "remove", conditions=[condition("id", "eq", 3)])
    assert [row["id"] for row in await rows_of(stream)] == [3]
    assert [request.method for request in procore.written] == ["DELETE"]


async def test_nothing_that_matches_is_said(
    procore: ScriptedProcore, executor: RecordExecutor
) -> None:
    stream = await carried_out(executor, "delete", conditions=[condition("id", "eq", 99)])
    assert stream.message == "No record matches."
    assert (stream.total_items, await rows_of(stream)) == (0, [])
    assert procore.written == []


async def test_many_records_are_changed_only_if_that_is_said(
    procore: ScriptedProcore, executor: RecordExecutor
) -> None:
    mappings, chosen = {"reference": "A"}, [condition("id", "lt", 4)]
    with pytest.raises(InvalidRequestError, match=r"more than one .* nothing was changed"):
        await carried_out(executor, "update", mappings=mappings, conditions=chosen)
    assert procore.written == []
    stream = await carried_out(
        executor, "update", multiple=True, mappings=mappings, conditions=chosen
    )
    assert [row["id"] for row in await rows_of(stream)] == [1, 2, 3]
    assert [request.path for request in procore.written] == [f"{PUNCH}/{n}" for n in (1, 2, 3)]


@pytest.mark.parametrize(
    ("action", "members", "said"),
    [
        ("update", {"mappings": {"name": "x"}}, "No conditions"),
        ("delete", {}, "No conditions"),
        ("delete", {"conditions": [{"conditions": []}]}, "No conditions"),
        ("delete", {"filter": "Door", "filterBy": "name"}, "No conditions"),
        ("delete", {"conditions": [condition("reference", "eq", "")]}, "“reference” has no value"),
        ("delete", {"conditions": [condition("id", "notin", [])]}, "“id” has no value"),
        ("update", {"conditions": [condition("id", "eq", 1)]}, "nothing to write"),
        ("insert", {}, "nothing to write"),
        ("insert", {"mappings": {"nam": "x"}}, "“nam”"),
        ("update", {"mappings": {"nam": 1}, "conditions": [condition("id", "eq", 1)]}, "“nam”"),
        ("update", {"mappings": {"id": 9}, "conditions": [condition("id", "eq", 1)]}, "“id”"),
        ("delete", {"conditions": [condition("nam", "eq", "x")]}, "“nam”"),
        ("delete", {"conditions": [condition("priority", "contains")]}, "has no value"),
        ("delete", {"table": "gadgets", "conditions": [condition("id", "eq", 1)]}, "“gadgets”"),
        (
            "delete",
            {"project": None, "conditions": [condition("id", "eq", 1)]},
            "“project_id” is missing",
        ),
    ],
)
async def test_change_that_is_not_meant_well_is_refused(
    procore: ScriptedProcore,
    executor: RecordExecutor,
    action: str,
    members: dict[str, object],
    said: str,
) -> None:
    with pytest.raises(InvalidRequestError) as refusal:
        await carried_out(executor, action, **members)  # type: ignore[arg-type]  # by name
    assert said in refusal.value.message
    assert refusal.value.outcome is Outcome.NOT_EXECUTED
    assert procore.written == []


async def test_blank_may_be_asked_for_outright(
    procore: ScriptedProcore, executor: RecordExecutor
) -> None:
    chosen = [condition("reference", "isblank"), condition("id", "eq", 3)]
    await carried_out(executor, "delete", conditions=chosen)
    assert len(procore.written) == 1


async def test_too_many_matches_are_refused(
    procore: ScriptedProcore, executor: RecordExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloud_connect_agent.procore.extent.MAX_CHANGED", 3)
    chosen = [condition("id", "gt", 0)]
    with pytest.raises(InvalidRequestError, match="more than 3"):
        await carried_out(executor, "delete", conditions=chosen, multiple=True)
    assert procore.written == []


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (SourceRejectedError("Procore answered 422: no.", status=422), SourceRejectedError),
        (RateLimitedError("Wait."), OutcomeUnknownError),
    ],
)
async def test_failure_half_way_says_how_far_it_came(
    procore: ScriptedProcore,
    executor: RecordExecutor,
    error: CloudConnectError,
    kind: type[CloudConnectError],
) -> None:
    def fail(request: ApiRequest) -> CloudConnectError | None:
        return error if request.path == f"{PUNCH}/2" else None

    procore.failures = fail
    chosen = [condition("id", "gt", 0)]
    with pytest.raises(kind) as failure:
        await carried_out(executor, "delete", conditions=chosen, multiple=True)
    assert failure.value.message.startswith("1 of 5 records were deleted; then it failed: ")
    assert failure.value.outcome is not Outcome.NOT_EXECUTED
    assert len(procore.written) == 2


async def test_failure_of_the_first_write_is_passed_on_as_it_is(
    procore: ScriptedProcore, executor: RecordExecutor
) -> None:
    limited = RateLimitedError("Wait.", retry_after=3)
    procore.failures = lambda request: limited if request.writes else None
    with pytest.raises(RateLimitedError) as failure:
        await carried_out(executor, "delete", conditions=[condition("id", "eq", 1)])
    assert failure.value is limited


async def test_answer_without_a_body_is_the_record_as_it_was_read(
    procore: ScriptedProcore, executor: RecordExecutor
) -> None:
    procore.answers["PATCH", f"{PUNCH}/3"] = {}
    stream = await carried_out(
        executor, "update", mappings={"name": "x"}, conditions=[condition("id", "eq", 3)]
    )
    assert [row["id"] for row in await rows_of(stream)] == [3]


async def test_answer_without_a_body_keeps_the_id_of_the_record(
    procore: ScriptedProcore, executor: RecordExecutor
) -> None:
    procore.answers["PATCH", f"{PUNCH}/3"] = {}
    changed = await executor.update(params(record_id="3"), {"name": "x"}, time.monotonic() + SOON)
    assert changed == {"id": 3, "project_id": PROJECT}
