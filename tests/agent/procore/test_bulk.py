"""Many creations in one call: what goes out, and what is told of each."""

import time

import pytest

from cloud_connect.calls import Operation
from cloud_connect.errors import (
    CloudConnectError,
    ConfigurationError,
    InvalidRequestError,
    Outcome,
    OutcomeUnknownError,
    PolicyDeniedError,
    RateLimitedError,
    SourceRejectedError,
    SourceUnavailableError,
)
from cloud_connect.query import Query
from cloud_connect_agent.policy import Ceiling, Verb
from cloud_connect_agent.procore.catalog import Catalog, Sync, load_catalog
from cloud_connect_agent.procore.executor import RecordExecutor
from cloud_connect_agent.procore.messages import ApiRequest
from cloud_connect_agent.procore.rowstream import RowStream
from doubles.record_calls import SOON, params, rows_of
from doubles.scripted_procore import PROJECT, ScriptedProcore, source

SYNC = Sync(version="v1.0", path="/cost_codes/sync", body=("project_id",))
SYNC_PATH = "/rest/v1.0/cost_codes/sync"
SEED = "0123456789abcdef"
Record = dict[str, object]


def catalog(sync: Sync | None) -> Catalog:
    tables = {one.name: one for one in load_catalog()}
    tables["cost_codes"] = tables["cost_codes"].model_copy(update={"sync": sync})
    return Catalog(tables)


@pytest.fixture
def procore() -> ScriptedProcore:
    return ScriptedProcore()


def executor_of(procore: ScriptedProcore, sync: Sync | None = None) -> RecordExecutor:
    return RecordExecutor(procore, catalog(sync))


def codes(count: int) -> list[Record]:
    return [{"code": str(number), "name": f"Code {number}"} for number in range(count)]


async def created(
    executor: RecordExecutor,
    records: list[Record],
    *,
    ceiling: Ceiling | None = None,
    seed: str | None = None,
    project: int | None = PROJECT,
) -> RowStream:
    where = params("cost_codes", project=project, seed=seed)
    return await executor.create_many(where, records, time.monotonic() + SOON, ceiling=ceiling)


def entities(*records: Record, first: int = 1) -> dict[str, object]:
    made = [{"id": first + place, **record} for place, record in enumerate(records)]
    return {"entities": made, "errors": []}


def fail_on(procore: ScriptedProcore, failures: dict[str, CloudConnectError]) -> None:
    def fail(request: ApiRequest) -> CloudConnectError | None:
        body = request.json
        record = body.get("cost_code") if isinstance(body, dict) else None
        return failures.get(str(record["code"])) if isinstance(record, dict) else None

    procore.failures = fail


async def test_records_without_a_sync_go_out_one_after_another(procore: ScriptedProcore) -> None:
    stream = await created(executor_of(procore), codes(3))
    assert stream.message == "Of 3 records: 3 created."
    assert not stream.unclear
    rows = await rows_of(stream)
    assert [(row["index"], row["id"], row["status"]) for row in rows] == [
        (0, 999, "created"),
        (1, 999, "created"),
        (2, 999, "created"),
    ]
    assert rows[1]["record"] == {
        "id": 999,
        "code": "1",
        "name": "Code 1",
        "project_id": PROJECT,
    }
    assert [request.method for request in procore.written] == ["POST"] * 3


async def test_refused_record_does_not_hold_up_the_others(procore: ScriptedProcore) -> None:
    said = {"errors": {"code": ["taken"]}}
    taken = SourceRejectedError("Procore answered 422: code: taken.", status=422, body=said)
    fail_on(procore, {"1": taken})
    stream = await created(executor_of(procore), codes(3))
    rows = await rows_of(stream)
    assert [row["status"] for row in rows] == ["created", "failed", "created"]
    assert rows[1]["error"] == "Procore answered 422: code: taken."
    assert rows[1]["source"] == said
    assert stream.message == "Of 3 records: 2 created, 1 failed."


async def test_refusal_that_is_about_all_of_them_ends_the_call(procore: ScriptedProcore) -> None:
    forbidden = SourceRejectedError("Procore answered 403: no.", status=403)
    fail_on(procore, {"0": forbidden})
    with pytest.raises(SourceRejectedError):
        await created(executor_of(procore), codes(3))
    assert len(procore.written) == 1
    fail_on(procore, {"1": forbidden})
    rows = await rows_of(await created(executor_of(procore), codes(3)))
    assert [row["status"] for row in rows] == ["created", "failed", "not_executed"]


async def test_lost_answer_is_told_and_nothing_more_is_sent(procore: ScriptedProcore) -> None:
    fail_on(procore, {"1": OutcomeUnknownError("The answer was lost.")})
    stream = await created(executor_of(procore), codes(4))
    rows = await rows_of(stream)
    assert [row["status"] for row in rows] == [
        "created",
        "unknown",
        "not_executed",
        "not_executed",
    ]
    assert stream.unclear
    assert stream.message == "Of 4 records: 1 created, 1 of unknown outcome, 2 not executed."
    assert len(procore.written) == 2


async def test_limit_that_outlasts_the_call_leaves_the_rest_undone(
    procore: ScriptedProcore,
) -> None:
    fail_on(procore, {"1": RateLimitedError("Wait.")})
    stream = await created(executor_of(procore), codes(3))
    rows = await rows_of(stream)
    assert [row["status"] for row in rows] == ["created", "not_executed", "not_executed"]
    assert rows[1]["error"] == "Wait."
    assert not stream.unclear


async def test_failure_of_the_first_record_is_the_calls(procore: ScriptedProcore) -> None:
    fail_on(procore, {"0": OutcomeUnknownError("The answer was lost.")})
    with pytest.raises(OutcomeUnknownError):
        await created(executor_of(procore), codes(3))
    assert len(procore.written) == 1


async def test_malformed_record_keeps_all_of_them_back(procore: ScriptedProcore) -> None:
    records: list[Record] = [*codes(2), {"cod": "x"}]
    for sync in (None, SYNC):
        with pytest.raises(InvalidRequestError, match=r"Record 2: .*“cod”"):
            await created(executor_of(procore, sync), records)
    with pytest.raises(InvalidRequestError, match=r"Record 0: .*“project_id” is missing"):
        await created(executor_of(procore), codes(1), project=None)
    assert procore.requests == []


async def test_ceiling_keeps_all_of_them_back(procore: ScriptedProcore) -> None:
    two = Ceiling(records=2, rule="small")
    for sync in (None, SYNC):
        with pytest.raises(PolicyDeniedError, match=r"at most 2 records.*\(rule small\)") as denied:
            await created(executor_of(procore, sync), codes(3), ceiling=two)
        assert denied.value.outcome is Outcome.NOT_EXECUTED
    assert procore.requests == []


async def test_more_than_can_go_out_singly_are_refused(procore: ScriptedProcore) -> None:
    with pytest.raises(InvalidRequestError, match="at most 1000"):
        await created(executor_of(procore), codes(1001))
    assert procore.requests == []
    await created(executor_of(procore, SYNC), codes(1001))
    assert len(procore.written) == 2


async def test_many_records_go_out_in_one_sync(procore: ScriptedProcore) -> None:
    records = codes(3)
    procore.answers["PATCH", SYNC_PATH] = entities(*records)
    stream = await created(executor_of(procore, SYNC), records)
    rows = await rows_of(stream)
    assert [(row["index"], row["id"], row["status"]) for row in rows] == [
        (0, 1, "created"),
        (1, 2, "created"),
        (2, 3, "created"),
    ]
    (request,) = procore.written
    assert request.json == {"project_id": PROJECT, "updates": records}


async def test_single_record_stays_a_plain_creation(procore: ScriptedProcore) -> None:
    await created(executor_of(procore, SYNC), codes(1))
    assert [request.method for request in procore.written] == ["POST"]


async def test_failures_inside_a_sync_are_told_by_record(procore: ScriptedProcore) -> None:
    records = codes(3)
    errors = [{**records[1], "errors": {"code": ["has been taken"]}}]
    procore.answers["PATCH", SYNC_PATH] = {**entities(records[0]), "errors": errors}
    stream = await created(executor_of(procore, SYNC), records)
    rows = await rows_of(stream)
    assert [row["status"] for row in rows] == ["created", "failed", "unknown"]
    assert rows[1]["error"] == "Procore refused the cost code: “code” has been taken."
    assert rows[1]["source"] == {"errors": {"code": ["has been taken"]}}
    assert stream.unclear


async def test_sync_is_cut_at_what_one_request_takes(procore: ScriptedProcore) -> None:
    small = SYNC.model_copy(update={"max_items": 2})
    records = codes(5)
    await created(executor_of(procore, small), records)
    sent = [request.json for request in procore.written]
    assert [len(body["updates"]) for body in sent if isinstance(body, dict)] == [2, 2, 1]


async def test_records_of_several_projects_go_out_by_project(procore: ScriptedProcore) -> None:
    projects = [7, 8, 7]
    records = [
        {**record, "project_id": project}
        for record, project in zip(codes(3), projects, strict=True)
    ]
    executor = executor_of(procore, SYNC)
    rows = await rows_of(await created(executor, records, project=None))
    sent = [request.json for request in procore.written]
    assert [
        (body["project_id"], len(body["updates"])) for body in sent if isinstance(body, dict)
    ] == [(7, 2), (8, 1)]
    assert [row["index"] for row in rows] == [0, 1, 2]


async def test_sync_that_fails_later_tells_what_was_done(procore: ScriptedProcore) -> None:
    small = SYNC.model_copy(update={"max_items": 2})
    records = codes(6)

    def fail(request: ApiRequest) -> CloudConnectError | None:
        body = request.json
        third = isinstance(body, dict) and body["updates"][0]["code"] == "2"
        return OutcomeUnknownError("Lost.") if third else None

    procore.failures = fail
    procore.answers["PATCH", SYNC_PATH] = entities(*records[:2])
    rows = await rows_of(await created(executor_of(procore, small), records))
    assert [row["status"] for row in rows] == [
        "created",
        "created",
        "unknown",
        "unknown",
        "not_executed",
        "not_executed",
    ]


async def test_lost_sync_is_repeated_where_that_finds_what_it_made(
    procore: ScriptedProcore,
) -> None:
    safe = SYNC.model_copy(update={"safe_for_create": True})
    records = codes(2)
    procore.answers["PATCH", SYNC_PATH] = entities(
        *({**one, "origin_id": f"cc-{SEED}-{place}"} for place, one in enumerate(records))
    )
    procore.failures = lambda _: None if len(procore.written) > 1 else OutcomeUnknownError("Lost.")
    rows = await rows_of(await created(executor_of(procore, safe), records, seed=SEED))
    assert [row["status"] for row in rows] == ["created", "created"]
    first, second = procore.written
    assert first.json == second.json
    procore.failures = lambda _: OutcomeUnknownError("Lost.")
    with pytest.raises(OutcomeUnknownError):
        await created(executor_of(procore, safe), records)
    assert len(procore.written) == 3


async def test_insert_of_a_query_takes_several_records(procore: ScriptedProcore) -> None:
    query = Query.parse({"action": "insert", "info": {"name": "cost_codes"}, "records": codes(2)})
    executor = executor_of(procore)
    stream = await executor.query(source(), query, time.monotonic() + SOON)
    assert [row["status"] for row in await rows_of(stream)] == ["created", "created"]
    one = Ceiling(records=1, rule="small")
    with pytest.raises(PolicyDeniedError):
        await executor.query(source(), query, time.monotonic() + SOON, ceiling=one)


def test_creations_touch_each_project_once(procore: ScriptedProcore) -> None:
    records = [{**one, "project_id": 7 + place % 2} for place, one in enumerate(codes(4))]
    accesses = executor_of(procore).accesses_of_records(params("cost_codes", project=None), records)
    assert [(one.verb, one.project_id) for one in accesses] == [(Verb.CREATE, 7), (Verb.CREATE, 8)]
    query = Query.parse({"action": "insert", "info": {"name": "cost_codes"}, "records": records})
    assert executor_of(procore).accesses_of_query(source(project=None), query) == accesses


def test_record_that_may_be_there_already_needs_leave_to_change_it(
    procore: ScriptedProcore,
) -> None:
    records = [{**one, "origin_id": "x"} for one in codes(2)]
    with_sync = executor_of(procore, SYNC).accesses_of_records(params("cost_codes"), records)
    assert [one.verb for one in with_sync] == [Verb.CREATE, Verb.UPDATE]
    without = executor_of(procore).accesses_of_records(params("cost_codes"), records)
    assert [one.verb for one in without] == [Verb.CREATE]


SAFE = SYNC.model_copy(update={"safe_for_create": True})
ORIGIN = f"cc-{SEED}-0"


async def test_keyed_create_of_a_safe_resource_is_an_upsert(procore: ScriptedProcore) -> None:
    procore.answers["PATCH", SYNC_PATH] = entities({"id": 5, "code": "0", "origin_id": ORIGIN})
    procore.failures = lambda _: None if len(procore.written) > 2 else OutcomeUnknownError("Lost.")
    executor = executor_of(procore, SAFE)
    assert executor.upserts("cost_codes")
    where = params("cost_codes", seed=SEED)
    made = await executor.create(where, codes(1)[0], time.monotonic() + SOON)
    assert (made["id"], made["project_id"]) == (5, PROJECT)
    assert len(procore.written) == 3
    for request in procore.written:
        assert (request.method, request.path) == ("PATCH", SYNC_PATH)
        assert isinstance(request.json, dict)
        assert [one["origin_id"] for one in request.json["updates"]] == [ORIGIN]


def test_single_upsert_by_an_id_of_its_own_needs_leave_to_change(procore: ScriptedProcore) -> None:
    record = {**codes(1)[0], "origin_id": "x"}
    where = params("cost_codes", seed=SEED)
    executor = executor_of(procore, SAFE)
    both = [Verb.CREATE, Verb.UPDATE]
    asked = executor.accesses(Operation.CREATE, where, record)
    assert [one.verb for one in asked] == both
    assert [one.verb for one in executor.accesses_of_records(where, [record])] == both
    query = {"action": "insert", "info": {"name": "cost_codes"}, "records": [record]}
    found = executor.accesses_of_query(where.source, Query.parse(query))
    assert [one.verb for one in found] == both
    plain = executor_of(procore, SYNC).accesses(Operation.CREATE, where, record)
    assert [one.verb for one in plain] == [Verb.CREATE]


async def test_upsert_whose_repeat_cannot_go_out_is_still_in_doubt(
    procore: ScriptedProcore,
) -> None:
    gone = SourceUnavailableError("Procore refused the connection.")
    procore.failures = lambda _: gone if len(procore.written) > 1 else OutcomeUnknownError("Lost.")
    where = params("cost_codes", seed=SEED)
    with pytest.raises(OutcomeUnknownError, match="Lost") as caught:
        await executor_of(procore, SAFE).create(where, codes(1)[0], time.monotonic() + SOON)
    assert caught.value.outcome is Outcome.UNKNOWN
    assert len(procore.written) == 2


async def test_upsert_that_procore_refuses_is_refused(procore: ScriptedProcore) -> None:
    refused = {"code": "0", "origin_id": ORIGIN, "errors": {"code": ["is taken"]}}
    procore.answers["PATCH", SYNC_PATH] = {"entities": [], "errors": [refused]}
    where = params("cost_codes", seed=SEED)
    with pytest.raises(SourceRejectedError, match="taken") as caught:
        await executor_of(procore, SAFE).create(where, codes(1)[0], time.monotonic() + SOON)
    assert caught.value.status == 422
    procore.failures = lambda _: SourceRejectedError("Locked.", status=409, body={"a": 1})
    with pytest.raises(SourceRejectedError, match="Locked") as caught:
        await executor_of(procore, SAFE).create(where, codes(1)[0], time.monotonic() + SOON)
    assert (caught.value.status, caught.value.body) == (409, {"a": 1})


@pytest.mark.parametrize("seed", [None, SEED])
async def test_create_is_a_plain_one_without_a_key_or_leave(
    procore: ScriptedProcore, seed: str | None
) -> None:
    procore.answers["POST", "/rest/v1.0/cost_codes"] = {"id": 5}
    executor = executor_of(procore, SYNC if seed else SAFE)
    where = params("cost_codes", seed=seed)
    assert (await executor.create(where, codes(1)[0], time.monotonic() + SOON))["id"] == 5
    assert [request.method for request in procore.written] == ["POST"]


def test_upserts_are_switched_on_where_procore_has_them() -> None:
    chosen = load_catalog().with_upserts(["vendors", "cost_codes"])
    assert set(chosen.upserts) == {"vendors", "cost_codes"}
    assert load_catalog().upserts == ()
    for name in ("rfis", "nonsense"):
        with pytest.raises(ConfigurationError, match=f"'{name}', which Procore cannot upsert"):
            load_catalog().with_upserts([name])


async def test_refusal_of_a_repeat_says_nothing_of_the_first_attempt(
    procore: ScriptedProcore,
) -> None:
    """It may have been carried out behind a gateway that gave up, and stand in the way now."""
    taken = SourceRejectedError("origin_id has already been taken", status=422)
    procore.failures = lambda _: taken if len(procore.written) > 1 else OutcomeUnknownError("Lost.")
    where = params("cost_codes", seed=SEED)
    with pytest.raises(OutcomeUnknownError, match="Lost"):
        await executor_of(procore, SAFE).create(where, codes(1)[0], time.monotonic() + SOON)
    procore.requests.clear()
    refused = {"code": "0", "origin_id": ORIGIN, "errors": {"origin_id": ["is taken"]}}
    procore.answers["PATCH", SYNC_PATH] = {"entities": [], "errors": [refused]}
    procore.failures = lambda _: None if len(procore.written) > 1 else OutcomeUnknownError("Lost.")
    with pytest.raises(OutcomeUnknownError):
        await executor_of(procore, SAFE).create(where, codes(1)[0], time.monotonic() + SOON)
    assert len(procore.written) == 2
