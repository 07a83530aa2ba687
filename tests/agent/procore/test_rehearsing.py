"""Dry runs: they tell what a write would do, and never do it."""

import time

import pytest

from cloud_connect.calls import Operation
from cloud_connect.errors import (
    InvalidRequestError,
    SourceRejectedError,
    UnsupportedOperationError,
)
from cloud_connect.query import Query
from cloud_connect_agent.policy import Ceiling, Verb
from cloud_connect_agent.procore.catalog import load_catalog
from cloud_connect_agent.procore.executor import RecordExecutor
from cloud_connect_agent.procore.rowstream import RowStream
from doubles.record_calls import SOON, condition, params, rows_of
from doubles.scripted_procore import COMPANY, PROJECT, ScriptedProcore, source

PUNCH = "/rest/v1.1/punch_items"
THREE = Ceiling(records=3, rule="small")


@pytest.fixture
def procore() -> ScriptedProcore:
    rows: list[dict[str, object]] = [
        {"id": number, "name": f"Door {number}", "priority": "low"} for number in range(1, 6)
    ]
    return ScriptedProcore({f"{PUNCH}?project_id={PROJECT}": rows})


@pytest.fixture
def executor(procore: ScriptedProcore) -> RecordExecutor:
    return RecordExecutor(procore, load_catalog())


async def rehearsed(
    executor: RecordExecutor,
    action: str,
    *,
    ceiling: Ceiling | None = None,
    table: str = "punch_items",
    **members: object,
) -> RowStream:
    query = Query.parse({"action": action, "info": {"name": table}, "dryRun": True, **members})
    return await executor.query(source(), query, time.monotonic() + SOON, ceiling=ceiling)


@pytest.mark.parametrize(
    ("action", "verb"), [("update", "changed"), ("delete", "deleted"), ("remove", "deleted")]
)
async def test_change_is_told_and_not_made(
    procore: ScriptedProcore, executor: RecordExecutor, action: str, verb: str
) -> None:
    stream = await rehearsed(
        executor,
        action,
        conditions=[condition("id", "lt", 3)],
        mappings={"name": "x"} if action == "update" else None,
        multiple=True,
    )
    assert stream.message == f"2 records would be {verb}; nothing was written."
    assert stream.total_items == 2
    assert [row["name"] for row in await rows_of(stream)] == ["Door 1", "Door 2"]
    assert procore.written == []


async def test_fields_and_limit_choose_what_is_shown_and_not_what_is_counted(
    executor: RecordExecutor,
) -> None:
    stream = await rehearsed(
        executor,
        "delete",
        conditions=[condition("id", "gt", 1)],
        fields=["name", "priority"],
        rowLimit=2,
        multiple=True,
    )
    assert stream.message == "4 records would be deleted; nothing was written."
    assert stream.total_items == 4
    place = {"project_id": PROJECT, "priority": "low"}
    assert await rows_of(stream) == [
        {"id": 2, "name": "Door 2", **place},
        {"id": 3, "name": "Door 3", **place},
    ]
    new = await rehearsed(
        executor, "insert", records=[{"name": "A"}, {"name": "B"}], fields=["name"], rowLimit=1
    )
    assert new.total_items == 2
    assert await rows_of(new) == [{"project_id": PROJECT, "name": "A"}]


async def test_limit_of_none_shows_nothing_and_counts(executor: RecordExecutor) -> None:
    stream = await rehearsed(
        executor, "delete", conditions=[condition("id", "gt", 1)], rowLimit=0, multiple=True
    )
    assert stream.total_items == 4
    assert await rows_of(stream) == []


async def test_field_to_show_that_no_record_has_is_refused(executor: RecordExecutor) -> None:
    chosen = [condition("id", "eq", 1)]
    with pytest.raises(InvalidRequestError, match="“nmae”"):
        await rehearsed(executor, "delete", conditions=chosen, fields=["nmae"])
    nothing = [condition("id", "eq", 99)]
    none = await rehearsed(executor, "delete", conditions=nothing, fields=["nmae"])
    assert none.total_items == 0


async def test_one_record_and_none_are_told_as_such(executor: RecordExecutor) -> None:
    one = await rehearsed(executor, "delete", conditions=[condition("id", "eq", 1)])
    assert one.message == "1 record would be deleted; nothing was written."
    none = await rehearsed(executor, "delete", conditions=[condition("id", "eq", 99)])
    assert none.message == "No record matches; nothing was written."
    assert none.total_items == 0


async def test_what_would_be_refused_is_counted_all_the_same(
    procore: ScriptedProcore, executor: RecordExecutor
) -> None:
    chosen = [condition("id", "gt", 0)]
    single = await rehearsed(executor, "delete", conditions=chosen)
    assert single.total_items == 5
    assert single.message is not None
    assert "would be refused" in single.message
    assert "“multiple”" in single.message
    above = await rehearsed(executor, "delete", conditions=chosen, multiple=True, ceiling=THREE)
    assert above.total_items == 5
    assert above.message == (
        "5 records would be deleted, but that would be refused: The policy on this PC lets "
        "one call change at most 3 records. Nothing was deleted. (rule small)"
    )
    assert procore.written == []


async def test_more_matches_than_a_change_may_have_are_told_as_such(
    procore: ScriptedProcore, executor: RecordExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("extent", "rehearsing"):
        monkeypatch.setattr(f"cloud_connect_agent.procore.{module}.MAX_CHANGED", 3)
    chosen = [condition("id", "gt", 0)]
    stream = await rehearsed(executor, "delete", conditions=chosen, multiple=True)
    assert stream.message is not None
    assert stream.message.startswith("More than 3 records would be deleted, but that would be ")
    assert stream.total_items is None  # the others were not counted
    new = await rehearsed(executor, "insert", records=[{"name": str(place)} for place in range(4)])
    assert "one by one" in (new.message or "")
    assert procore.written == []


async def test_new_record_is_told_as_it_would_be_sent(
    procore: ScriptedProcore, executor: RecordExecutor
) -> None:
    record = {"name": "Door", "due": "2026-12-01T10:00:00Z", "private": "true"}
    stream = await rehearsed(executor, "insert", mappings=record)
    (row,) = await rows_of(stream)
    assert stream.message == "1 record would be created; nothing was written."
    assert row["project_id"] == PROJECT
    assert (row["name"], row["due"], row["private"]) == ("Door", "2026-12-01", True)
    assert procore.written == []


async def test_new_records_are_held_against_the_ceiling(executor: RecordExecutor) -> None:
    stream = await rehearsed(
        executor, "insert", records=[{"name": str(place)} for place in range(4)], ceiling=THREE
    )
    assert stream.total_items == 4
    assert "at most 3 records" in (stream.message or "")


async def test_what_the_company_asks_for_besides_is_told(
    procore: ScriptedProcore, executor: RecordExecutor
) -> None:
    wanted = {"required": True, "visible": True}
    fields = {"name": wanted, "due": wanted, "location": wanted, "custom_field_7": wanted}
    procore.tables[f"/rest/v1.0/companies/{COMPANY}/configurable_field_sets"] = [
        {"class_name": "PunchItem", "fields": {**fields, "nothing_we_know": wanted}}
    ]
    stream = await rehearsed(executor, "insert", mappings={"name": "Door", "due": "2026-12-01"})
    assert stream.message == (
        "1 record would be created; nothing was written. One of the company's field sets asks for "
        "“custom_field_7”, “location_id” as well."
    )
    full = {"name": "Door", "due": "2026-12-01", "location_id": 1, "custom_field_7": "x"}
    stream = await rehearsed(executor, "insert", mappings=full)
    assert stream.message == "1 record would be created; nothing was written."


async def test_field_sets_of_the_project_speak_for_its_own_records_only(
    procore: ScriptedProcore, executor: RecordExecutor
) -> None:
    def asks_for(name: str) -> list[dict[str, object]]:
        return [{"class_name": "PunchItem", "fields": {name: {"required": True}}}]

    procore.tables[f"/rest/v1.0/companies/{COMPANY}/configurable_field_sets"] = asks_for("due")
    procore.tables[f"/rest/v1.0/projects/{PROJECT}/configurable_field_sets"] = asks_for("priority")
    here = await rehearsed(executor, "insert", mappings={"name": "Door"})
    assert "asks for “priority” as well" in (here.message or "")
    elsewhere = {"name": "Door", "project_id": PROJECT + 1}
    there = await rehearsed(executor, "insert", mappings=elsewhere)
    assert "asks for “due” as well" in (there.message or "")


async def test_what_procore_needs_is_named_and_left_to_its_judgement(
    executor: RecordExecutor,
) -> None:
    stream = await rehearsed(executor, "insert", table="rfis", mappings={"subject": "x"})
    assert stream.total_items == 1
    assert (stream.message or "").startswith("1 record would be created; nothing was written. ")
    assert "Procore needs “question.body”" in (stream.message or "")
    assert "of a new RFI." in (stream.message or "")


@pytest.mark.parametrize(
    ("action", "members", "said"),
    [
        ("insert", {"mappings": {"nam": "x"}}, "“nam”"),
        ("insert", {}, "nothing to write"),
        ("update", {"mappings": {"nam": 1}, "conditions": [condition("id", "eq", 1)]}, "“nam”"),
        ("update", {"conditions": [condition("id", "eq", 1)]}, "nothing to write"),
        ("delete", {}, "No conditions"),
        ("insert", {"records": [{"name": "x"}, {"nam": "x"}]}, "Record 1: .*“nam”"),
    ],
)
async def test_write_that_cannot_be_meant_is_refused(
    executor: RecordExecutor, action: str, members: dict[str, object], said: str
) -> None:
    with pytest.raises(InvalidRequestError, match=said):
        await rehearsed(executor, action, **members)  # type: ignore[arg-type]  # by name


async def test_verb_that_procore_lacks_is_refused(executor: RecordExecutor) -> None:
    with pytest.raises(UnsupportedOperationError):
        await rehearsed(executor, "delete", table="rfis", conditions=[condition("id", "eq", 1)])


async def test_change_by_id_shows_the_record_as_it_is(
    procore: ScriptedProcore, executor: RecordExecutor
) -> None:
    deadline = time.monotonic() + SOON
    where = params("punch_items", record_id="3")
    update = await executor.dry_run(
        Operation.UPDATE, where, [{"name": "New"}], deadline, ceiling=None
    )
    assert update.message == "1 record would be changed; nothing was written."
    assert [row["name"] for row in await rows_of(update)] == ["Door 3"]
    delete = await executor.dry_run(Operation.DELETE, where, (), deadline, ceiling=None)
    assert delete.message == "1 record would be deleted; nothing was written."
    create = await executor.dry_run(
        Operation.CREATE,
        params("punch_items"),
        [{"name": "A"}, {"name": "B"}],
        deadline,
        ceiling=None,
    )
    assert create.message == "2 records would be created; nothing was written."
    assert procore.written == []


async def test_change_by_id_is_checked_before_the_record_is_read(
    procore: ScriptedProcore, executor: RecordExecutor
) -> None:
    deadline = time.monotonic() + SOON
    where = params("punch_items", record_id="3")
    with pytest.raises(InvalidRequestError, match="“nam”"):
        await executor.dry_run(Operation.UPDATE, where, [{"nam": 1}], deadline, ceiling=None)
    with pytest.raises(InvalidRequestError, match="by its id"):
        await executor.dry_run(Operation.DELETE, params("punch_items"), (), deadline, ceiling=None)
    assert procore.requests == []
    with pytest.raises(SourceRejectedError, match="no such record"):
        await executor.dry_run(
            Operation.DELETE, params("punch_items", record_id="99"), (), deadline, ceiling=None
        )


async def test_change_by_id_of_what_procore_does_not_show_is_told_too(
    procore: ScriptedProcore, executor: RecordExecutor
) -> None:
    deadline = time.monotonic() + SOON
    where = params("meeting_topics", record_id="3", scope={"meeting_id": "9"})
    update = await executor.dry_run(
        Operation.UPDATE, where, [{"title": "New"}], deadline, ceiling=None
    )
    assert update.message == "1 record would be changed; nothing was written."
    assert await rows_of(update) == [{"id": 3, "project_id": PROJECT, "meeting_id": 9}]
    assert procore.requests == []


def test_dry_run_needs_leave_to_read_and_to_write(executor: RecordExecutor) -> None:
    accesses = executor.accesses_of_dry_run(
        Operation.UPDATE, params("punch_items", record_id="3"), [{"name": "x"}]
    )
    assert [one.verb for one in accesses] == [Verb.READ, Verb.UPDATE]
    made = executor.accesses_of_dry_run(Operation.CREATE, params("punch_items"), [{"name": "x"}])
    assert [one.verb for one in made] == [Verb.CREATE]
