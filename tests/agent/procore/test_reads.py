"""Reading records: what is asked of Procore and what comes back."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from cloud_connect.calls import Filter
from cloud_connect.errors import (
    InvalidRequestError,
    SourceRejectedError,
    SourceUnavailableError,
)
from cloud_connect_agent.procore.catalog import load_catalog
from cloud_connect_agent.procore.executor import RecordExecutor
from cloud_connect_agent.procore.messages import ApiRequest
from doubles.record_calls import (
    RFIS,
    SOON,
    add_projects,
    condition,
    listed,
    params,
    queried,
    rfis,
    rows_of,
)
from doubles.scripted_procore import COMPANY, PROJECT, ScriptedProcore, source


@pytest.fixture
def procore() -> ScriptedProcore:
    return ScriptedProcore({RFIS: rfis(250)})


@pytest.fixture
def executor(procore: ScriptedProcore) -> RecordExecutor:
    return RecordExecutor(procore, load_catalog())


async def test_list_is_whole_flat_and_names_its_project(
    procore: ScriptedProcore, executor: RecordExecutor
) -> None:
    rows = await listed(executor, params())
    assert [row["id"] for row in rows] == list(range(1, 251))
    assert rows[0] == {"id": 1, "subject": "RFI 1", "status": "closed", "project_id": PROJECT}
    assert [line.split("page=")[1] for line in procore.asked] == ["1 per_", "2 per_", "3 per_"]


async def test_first_row_is_there_before_other_pages(
    procore: ScriptedProcore, executor: RecordExecutor
) -> None:
    procore.failures = lambda request: (
        None if ("page", "1") in request.query else SourceUnavailableError("down")
    )
    stream = await executor.list(params(), time.monotonic() + SOON)
    async with stream:
        assert (await anext(stream))["id"] == 1
        with pytest.raises(SourceUnavailableError):
            await rows_of(stream)


async def test_ten_thousand_records_come_by_as_many_pages_at_once_as_are_allowed() -> None:
    procore = ScriptedProcore({RFIS: rfis(10_000)}, latency=0.05)
    executor = RecordExecutor(procore, load_catalog())
    rows = await listed(executor, params())
    assert len(rows) == 10_000
    assert len(procore.requests) == 100
    assert 24 <= procore.most_running <= 32


async def test_fields_project_and_repeat(executor: RecordExecutor) -> None:
    stream = await queried(executor, fields=["subject", "id", "subject"], rowLimit=1)
    assert await rows_of(stream) == [{"subject": "RFI 1", "id": 1}]


async def test_search_box_filters_by_what_is_typed(executor: RecordExecutor) -> None:
    typed = {"filter": "rfi 24", "filterBy": "subject", "filterMode": "startswith"}
    rows = await rows_of(await queried(executor, **typed))
    assert [row["id"] for row in rows] == [24, *range(240, 250)]


async def test_without_a_project_every_visible_one_is_read(
    procore: ScriptedProcore, executor: RecordExecutor
) -> None:
    add_projects(procore, 1, 2, 3)
    rows = await listed(executor, params(project=None))
    assert [(row["project_id"], row["id"]) for row in rows] == [
        (project, project * 100 + row) for project in (1, 2, 3) for row in range(3)
    ]
    assert "filters[by_status]=All" in procore.asked[0]
    some = await listed(executor, params(project=None, filters=[Filter(field="id", value="201")]))
    assert [row["project_id"] for row in some] == [2]


async def test_same_record_in_two_projects_is_two_rows(
    procore: ScriptedProcore, executor: RecordExecutor
) -> None:
    procore.tables["/rest/v1.1/projects"] = [{"id": 1}, {"id": 2}]
    for project in (1, 2):
        procore.tables[f"/rest/v1.0/projects/{project}/users"] = [{"id": 7, "name": "Ada"}]
    rows = await listed(executor, params("project_users", project=None))
    assert [row["project_id"] for row in rows] == [1, 2]
    ordered = await listed(executor, params("project_users", project=None, sort=("name",), limit=1))
    assert len(ordered) == 1


async def test_projects_that_hide_their_tool_are_passed_over(
    procore: ScriptedProcore, executor: RecordExecutor
) -> None:
    add_projects(procore, 1, 2)
    del procore.tables["/rest/v1.0/projects/1/rfis"]
    assert len(await listed(executor, params(project=None))) == 3
    del procore.tables["/rest/v1.0/projects/2/rfis"]
    with pytest.raises(SourceRejectedError, match="404"):
        await listed(executor, params(project=None))


async def test_project_that_was_asked_for_is_never_passed_over(executor: RecordExecutor) -> None:
    with pytest.raises(SourceRejectedError, match="404"):
        await listed(executor, params(scope={"project_id": "77"}))


async def test_id_is_read_by_itself(procore: ScriptedProcore, executor: RecordExecutor) -> None:
    rows = await rows_of(await queried(executor, conditions=[condition("id", "in", "7,9,9999")]))
    assert [row["id"] for row in rows] == [7, 9]
    assert procore.asked == [f"GET {RFIS}/{one}" for one in (7, 9, 9999)]
    procore.failures = lambda _: SourceRejectedError("Procore answered 403: no.", status=403)
    with pytest.raises(SourceRejectedError):
        await queried(executor, conditions=[condition("id", "eq", 7)])


async def test_record_is_shown_by_id(procore: ScriptedProcore, executor: RecordExecutor) -> None:
    row = await executor.get(params(record_id="7"), time.monotonic() + SOON)
    assert (row["id"], row["project_id"]) == (7, PROJECT)
    with pytest.raises(SourceRejectedError, match="no such record") as refused:
        await executor.get(params(record_id="9999"), time.monotonic() + SOON)
    assert refused.value.body == {"message": "Resource not found."}
    with pytest.raises(InvalidRequestError, match="by its id"):
        await executor.get(params(), time.monotonic() + SOON)
    procore.tables["/rest/v1.0/companies"] = [{"id": COMPANY, "name": "Harbour"}]
    company = await executor.get(
        params("companies", record_id=str(COMPANY)), time.monotonic() + SOON
    )
    assert company == {"id": COMPANY, "name": "Harbour"}


async def test_me_is_one_row(procore: ScriptedProcore, executor: RecordExecutor) -> None:
    procore.answers["GET", "/rest/v1.0/me"] = {"id": 1, "login": "a@b.c", "name": " Agent"}
    assert await listed(executor, params("me")) == [{"id": 1, "login": "a@b.c", "name": " Agent"}]
    assert procore.asked == [f"GET /rest/v1.0/me company_id={COMPANY}"]


async def test_folder_tree_is_two_tables(
    procore: ScriptedProcore, executor: RecordExecutor
) -> None:
    procore.answers["GET", "/rest/v1.0/folders"] = {
        "id": 1,
        "name": "Root",
        "folders": [{"id": 2, "name": "Plans", "files": [{"id": 3, "name": "a.pdf"}]}],
        "files": [],
    }
    folders = await listed(executor, params("folders"))
    assert [(row["id"], row["parent_id"], row["project_id"]) for row in folders] == [
        (1, None, PROJECT),
        (2, 1, PROJECT),
    ]
    assert [(row["id"], row["parent_id"]) for row in await listed(executor, params("files"))] == [
        (3, 2)
    ]


async def test_ids_stay_whole_numbers_whatever_their_size(procore: ScriptedProcore) -> None:
    procore.tables[RFIS] = [{"id": 562949953421312 + n, "subject": "x"} for n in range(3)]
    executor = RecordExecutor(procore, load_catalog())
    stream = await queried(executor, conditions=[condition("id", "gt", "562949953421312")])
    rows = await rows_of(stream)
    assert [row["id"] for row in rows] == [562949953421313, 562949953421314]
    assert all(type(row["id"]) is int for row in rows)


@pytest.mark.parametrize(
    "members",
    [
        {"fields": ["subjekt"]},
        {"orderBy": "subjekt"},
        {"conditions": [condition("subjekt", "eq", 1)]},
        {"filter": "x", "filterBy": "subjekt"},
    ],
)
async def test_unknown_field_is_named_before_the_first_row(
    procore: ScriptedProcore, executor: RecordExecutor, members: dict[str, object]
) -> None:
    with pytest.raises(InvalidRequestError, match="RFIs have no field “subjekt”"):
        await queried(executor, **members)
    assert procore.running == 0


async def test_field_that_records_show_is_known_from_then_on(
    procore: ScriptedProcore, executor: RecordExecutor
) -> None:
    procore.tables[RFIS] = rfis(3, brand_new={"x": 1})
    rows = await rows_of(await queried(executor, fields=["brand_new.x"]))
    assert rows == [{"brand_new.x": 1}] * 3
    procore.tables[RFIS] = []
    assert await rows_of(await queried(executor, fields=["brand_new.x"])) == []
    tree = await executor.tree(source(), time.monotonic() + SOON)
    assert "brand_new" in str(tree)


async def test_name_below_a_known_field_is_judged_by_records(
    procore: ScriptedProcore, executor: RecordExecutor
) -> None:
    wanted = {"fields": ["location.code"]}
    procore.tables[RFIS] = rfis(2, location=None)
    assert await rows_of(await queried(executor, **wanted)) == [{"location.code": None}] * 2
    procore.tables[RFIS] = []
    assert await rows_of(await queried(executor, **wanted)) == []
    procore.tables[RFIS] = rfis(2, location={"id": 1, "name": "Roof"})
    with pytest.raises(InvalidRequestError, match=r"“location\.code”"):
        await queried(executor, **wanted)
    procore.tables[RFIS] = rfis(2, location={"id": 1, "code": None})
    assert len(await rows_of(await queried(executor, **wanted))) == 2


async def test_unknown_table_is_named(executor: RecordExecutor) -> None:
    with pytest.raises(InvalidRequestError, match="“rfi”"):
        await queried(executor, info={"name": "rfi"})
    with pytest.raises(InvalidRequestError, match="“gadgets”"):
        await executor.list(params("gadgets"), time.monotonic() + SOON)


async def test_pages_of_a_running_answer_have_time_of_their_own(
    procore: ScriptedProcore, executor: RecordExecutor
) -> None:
    stream = await executor.list(params(), time.monotonic() + 0.5)
    await rows_of(stream)
    first, *others = procore.deadlines
    assert first < time.monotonic() + 1
    assert all(later > time.monotonic() + 50 for later in others)


async def test_closing_a_stream_early_leaves_nothing_running(
    procore: ScriptedProcore, executor: RecordExecutor
) -> None:
    procore.tables[RFIS] = rfis(5000)
    stream = await executor.list(params(), time.monotonic() + SOON)
    procore.latency = 60.0
    assert (await anext(stream))["id"] == 1
    await asyncio.sleep(0.01)
    await stream.aclose()
    await stream.aclose()
    assert procore.running == 0
    assert [row async for row in as_rows(stream.batches())] == []


async def as_rows(
    batches: AsyncIterator[list[dict[str, object]]],
) -> AsyncIterator[dict[str, object]]:
    async for batch in batches:
        for row in batch:
            yield row


async def test_rows_come_in_batches_too(executor: RecordExecutor) -> None:
    async with await executor.list(params(), time.monotonic() + SOON) as stream:
        assert [len(batch) async for batch in stream.batches()] == [100, 100, 50]


async def test_daily_logs_are_read_with_dates(
    procore: ScriptedProcore, executor: RecordExecutor
) -> None:
    path = f"/rest/v1.0/projects/{PROJECT}/notes_logs"
    procore.tables[path] = [{"id": 1, "date": "2026-11-01"}, {"id": 2, "date": "2026-11-02"}]
    chosen = [Filter(field="date", value="2026-11-02")]
    rows = await listed(executor, params("notes_logs", filters=chosen))
    assert [row["id"] for row in rows] == [2]
    assert "start_date=2026-11-02 end_date=2026-11-02" in procore.asked[0]
    assert len(await listed(executor, params("notes_logs"))) == 2
    assert "start_date=2000-01-01" in procore.asked[1]


async def test_empty_selection_asks_nothing(
    procore: ScriptedProcore, executor: RecordExecutor
) -> None:
    stream = await queried(executor, conditions=[condition("project_id", "eq", "none")])
    assert stream.total_items == 0
    assert await rows_of(stream) == []
    assert procore.requests == []


async def test_failure_of_the_first_page_is_raised_at_once(
    procore: ScriptedProcore, executor: RecordExecutor
) -> None:
    def fail(_: ApiRequest) -> SourceUnavailableError:
        return SourceUnavailableError("down")

    procore.failures = fail
    with pytest.raises(SourceUnavailableError):
        await listed(executor, params())
    with pytest.raises(SourceUnavailableError):
        await listed(executor, params(project=None))
