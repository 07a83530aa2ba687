"""A company's metadata as the executor keeps it: read, versioned, held against its use."""

import asyncio
from pathlib import Path

import pytest

from cloud_connect.calls import RecordParams
from cloud_connect.errors import (
    SourceUnavailableError,
)
from cloud_connect_agent.procore.catalog import load_catalog
from cloud_connect_agent.procore.executor import RecordExecutor
from doubles.company_fields import (
    DEFINITIONS,
    SETS,
    Row,
    company_with_fields,
    drift_items,
    effort,
    executor_of,
    field_set,
    fields_of,
    soon,
)
from doubles.record_calls import RFIS, condition, listed, params, queried, rows_of
from doubles.scripted_procore import ScriptedProcore, source


@pytest.fixture
def procore() -> ScriptedProcore:
    return company_with_fields()


def files_in(folder: Path) -> list[Path]:
    return [file for file in folder.iterdir() if file.suffix == ".json"]


async def test_custom_fields_of_the_company_stand_in_the_tree(procore: ScriptedProcore) -> None:
    fields = [one for one in await fields_of(executor_of(procore)) if "7" in str(one["name"])]
    assert [(one["name"], one["text"], one["type"], one["inout"]) for one in fields] == [
        ("custom_field_7", "Effort", "number", "IMPORT"),
        ("custom_field_7", "Effort", "number", "EXPORT"),
    ]
    into, out = fields
    assert into["required"] is True
    assert into["desc"] == "One of the company's field sets requires it"
    assert "required" not in out


async def test_field_of_the_catalogue_that_a_field_set_requires_is_marked(
    procore: ScriptedProcore,
) -> None:
    fields = {
        str(one["name"]): one
        for one in await fields_of(executor_of(procore))
        if one["inout"] == "IMPORT"
    }
    assert fields["location_id"]["required"] is True
    assert fields["distribution_ids"]["required"] is True
    assert fields["subject"]["required"] is True
    assert fields["subject"]["desc"] == "Procore needs it for a new record"
    assert fields["due_date"]["required"] is False


async def test_definitions_are_asked_for_once_until_a_refresh(procore: ScriptedProcore) -> None:
    executor = executor_of(procore)
    await executor.tree(source(), soon())
    async with asyncio.TaskGroup() as tasks:
        for _ in range(5):
            tasks.create_task(executor.tree(source(), soon()))
    assert len(procore.requests) == 3
    await executor.tree(source(), soon(), refresh=True)
    assert len(procore.requests) == 6


@pytest.mark.parametrize(("seconds", "asked"), [(0.0, 3), (60.0, 1)])
async def test_settings_say_for_how_long_definitions_are_used_again(
    procore: ScriptedProcore, seconds: float, asked: int
) -> None:
    executor = RecordExecutor(procore, load_catalog(), tree_cache_seconds=lambda: seconds)
    for _ in range(3):
        await executor.tree(source(), soon())
    assert len(procore.requests) == 3 * asked


async def test_used_field_that_the_company_retires_is_told(procore: ScriptedProcore) -> None:
    executor = executor_of(procore)
    first = await executor.drift(source(), soon())
    assert (first["version"], first["previous_version"], first["items"]) == (1, None, [])
    await rows_of(await queried(executor, fields=["id", "custom_field_7"]))
    await listed(executor, params(fields=["custom_field_7"], sort=["-id"]))
    procore.tables[SETS] = [field_set()]
    procore.tables[DEFINITIONS] = []
    assert await drift_items(executor, refresh=False) == []  # nobody asked Procore since
    report = await executor.drift(source(), soon(), refresh=True)
    assert (report["version"], report["previous_version"]) == (2, 1)
    assert str(report["taken_at"]).endswith("Z")
    items = report["items"]
    assert isinstance(items, list)
    (item,) = items
    assert (item["resource"], item["field"], item["kind"]) == ("rfis", "custom_field_7", "gone")
    assert item["used_by_queries"] == 2
    assert "custom_field_7" not in {one["name"] for one in await fields_of(executor)}


async def test_field_that_changes_its_type_is_told(procore: ScriptedProcore) -> None:
    executor = executor_of(procore)
    await executor.tree(source(), soon())
    await rows_of(await queried(executor, conditions=[condition("custom_field_7", "gt", 1)]))
    procore.tables[SETS] = [field_set(custom_field_7=effort(data_type="string"))]
    (item,) = await drift_items(executor)
    assert item["kind"] == "type_changed"


async def test_company_that_stops_telling_has_lost_no_field(procore: ScriptedProcore) -> None:
    executor = executor_of(procore)
    await executor.tree(source(), soon())
    await rows_of(await queried(executor, fields=["custom_field_7"]))
    procore.failures = lambda request: (
        SourceUnavailableError("Away.") if "companies" in request.path else None
    )
    assert await drift_items(executor) == []
    assert "custom_field_7" in {one["name"] for one in await fields_of(executor)}


async def test_versions_and_use_outlive_the_process(
    procore: ScriptedProcore, tmp_path: Path
) -> None:
    first = executor_of(procore, tmp_path)
    await first.tree(source(), soon())
    await rows_of(await queried(first, fields=["custom_field_7"]))
    await first.metadata.flush()
    procore.tables[SETS] = [field_set()]
    procore.tables[DEFINITIONS] = []
    second = executor_of(procore, tmp_path)
    await rows_of(await queried(second, fields=["custom_field_7"]))
    report = await second.drift(source(), soon())
    assert (report["version"], report["previous_version"]) == (2, 1)
    items = report["items"]
    assert isinstance(items, list)
    assert [item["used_by_queries"] for item in items] == [2]


async def test_label_outlives_the_process_and_a_company_that_does_not_tell(
    procore: ScriptedProcore, tmp_path: Path
) -> None:
    await executor_of(procore, tmp_path).tree(source(), soon())
    procore.failures = lambda _: SourceUnavailableError("Away.")
    fields = await fields_of(executor_of(procore, tmp_path))
    assert {one["text"] for one in fields if one["name"] == "custom_field_7"} == {"Effort"}


async def test_nothing_new_is_not_written(procore: ScriptedProcore, tmp_path: Path) -> None:
    executor = executor_of(procore, tmp_path)
    await executor.tree(source(), soon())
    (file,) = files_in(tmp_path)
    file.unlink()
    await executor.tree(source(), soon())
    await executor.metadata.flush()
    assert files_in(tmp_path) == []
    await rows_of(await queried(executor, fields=["id"]))
    await executor.metadata.flush()
    assert len(files_in(tmp_path)) == 1


async def test_use_is_kept_every_now_and_then(
    procore: ScriptedProcore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloud_connect_agent.procore.metadata.keeper._KEEP_SECONDS", 0.01)
    executor = executor_of(procore, tmp_path)
    await rows_of(await queried(executor, fields=["id"]))
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        keeping = tasks.create_task(executor.metadata.keep())
        while not files_in(tmp_path):
            await asyncio.sleep(0.01)
        keeping.cancel()


async def test_custom_field_that_records_stop_showing_is_gone_in_the_end(
    procore: ScriptedProcore,
) -> None:
    del procore.tables[SETS]
    shown: Row = {"custom_field_9": {"data_type": "string", "value": "x"}}
    procore.tables[RFIS] = [{"id": 1, "subject": "A", "custom_fields": shown}]
    executor = executor_of(procore)
    await listed(executor, params(fields=["custom_field_9"]))
    assert await drift_items(executor) == []
    other: Row = {"custom_field_10": {"data_type": "string", "value": "x"}}
    procore.tables[RFIS] = [{"id": 1, "subject": "A", "custom_fields": other}]
    for _ in range(19):
        await listed(executor, params())
    assert await drift_items(executor) == []
    await listed(executor, params())
    assert [item["field"] for item in await drift_items(executor)] == ["custom_field_9"]


async def test_new_label_is_shown_without_a_new_version(procore: ScriptedProcore) -> None:
    executor = executor_of(procore)
    before = await executor.drift(source(), soon())
    procore.tables[SETS] = [field_set(custom_field_7=effort(label="Hours"))]
    fields = await fields_of(executor, refresh=True)
    assert {one["text"] for one in fields if one["name"] == "custom_field_7"} == {"Hours"}
    assert (await executor.drift(source(), soon()))["version"] == before["version"]


async def test_custom_field_that_the_company_lacks_is_not_listed_for_what_records_show(
    procore: ScriptedProcore,
) -> None:
    shown: Row = {"custom_field_9": {"data_type": "string", "value": "x"}}
    procore.tables[RFIS] = [{"id": 1, "subject": "A", "custom_fields": shown}]
    executor = executor_of(procore)
    await listed(executor, params())
    assert "custom_field_9" not in {one["name"] for one in await fields_of(executor)}
    procore.tables[DEFINITIONS].append({"id": 9, "label": "Nine", "data_type": "string"})
    fields = await fields_of(executor, refresh=True)
    assert "custom_field_9" in {one["name"] for one in fields}


async def test_tree_is_made_when_something_has_changed(procore: ScriptedProcore) -> None:
    executor = executor_of(procore)
    first = await executor.tree(source(), soon())
    assert await executor.tree(source(), soon()) is first
    assert await executor.tree(source(), soon(), refresh=True) is first
    procore.tables[SETS] = [field_set(custom_field_7=effort(required=False))]
    second = await executor.tree(source(), soon(), refresh=True)
    assert second is not first
    for company in range(1, 5):
        await executor.tree(source().model_copy(update={"company_id": company}), soon())
    again = await executor.tree(source(), soon())
    assert again is not second
    assert again == second


async def test_custom_field_of_a_table_that_cannot_be_written_only_comes_out(
    procore: ScriptedProcore,
) -> None:
    procore.tables[SETS] = [{"class_name": "Commitment", "fields": {"custom_field_7": effort()}}]
    fields = await fields_of(executor_of(procore), "commitments")
    assert [one["inout"] for one in fields if one["name"] == "custom_field_7"] == ["EXPORT"]


async def test_companies_are_kept_apart_and_bounded(procore: ScriptedProcore) -> None:
    executor = executor_of(procore)
    await executor.tree(source(), soon())
    for company in range(1, 300):
        other = source().model_copy(update={"company_id": company})
        wanted = RecordParams(source=other, resource="rfis", scope={"project_id": "1"})
        executor.metadata.note_use(other, wanted.resource, ["subject"])
    assert len(executor.metadata._companies) == 200
