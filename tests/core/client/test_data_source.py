"""Calls as a caller's program makes them, and the requests that leave."""

import httpx
import pytest

from cloud_connect.client import CloudConnect, DataSource, Filter, Outcome, RelayUnreachableError
from cloud_connect.errors import (
    BodyTooLargeError,
    ConfigurationError,
    InternalError,
    InvalidRequestError,
    NotFoundError,
    PolicyDeniedError,
    RateLimitedError,
    RemoteProtocolError,
    SourceUnavailableError,
    UnauthorizedError,
)
from doubles.scripted_relay import BrokenOff, ScriptedRelay, problem


@pytest.fixture
def source(client: CloudConnect) -> DataSource:
    return client.data_source("ds_1")


async def test_rows_come_as_they_are_read(relay: ScriptedRelay, source: DataSource) -> None:
    relay.then(httpx.Response(200, content=b'{"id":1}\n{"id":2}\n{"id":3}'))
    rows = source.list(
        "rfis",
        filters={"status": "open", "private": True},
        sort=["-created_at"],
        fields=["id", "status"],
        limit=3,
        project_id=12,
    )
    assert [row["id"] async for row in rows] == [1, 2, 3]
    assert relay.last.url.path == "/api/datasources/ds_1/records/rfis"
    assert dict(relay.last.url.params) == {
        "project_id": "12",
        "filter[status][eq]": "open",
        "filter[private][eq]": "true",
        "sort": "-created_at",
        "fields": "id,status",
        "limit": "3",
    }
    assert relay.last.headers["accept"] == "application/x-ndjson"
    assert relay.last.headers["authorization"] == "Bearer cck_test_key"
    assert relay.last.headers["cloud-connect-deadline-ms"] == "5000"
    assert "idempotency-key" not in relay.last.headers


async def test_conditions_have_operators(relay: ScriptedRelay, source: DataSource) -> None:
    relay.then(httpx.Response(200, content=b""))
    conditions = [
        Filter(field="id", operator="gt", value="7"),
        Filter(field="x", operator="isblank"),
    ]
    assert [row async for row in source.list("rfis", filters=conditions)] == []
    assert dict(relay.last.url.params) == {"filter[id][gt]": "7", "filter[x][isblank]": ""}


async def test_one_record_is_read(relay: ScriptedRelay, source: DataSource) -> None:
    relay.tells({"id": 7})
    assert await source.get("rfis", 7, fields=["id"], project_id=12) == {"id": 7}
    assert relay.last.url.path.endswith("/records/rfis/7")
    assert dict(relay.last.url.params) == {"project_id": "12", "fields": "id"}
    relay.tells({"id": 8})
    await source.get("projects", "8")
    assert not relay.last.url.query


async def test_writes_make_a_key_each_and_take_one(
    relay: ScriptedRelay, source: DataSource
) -> None:
    for _ in range(5):
        relay.tells({"id": 7})
    await source.create("rfis", {"subject": "x"}, project_id=12)
    assert (relay.last.method, relay.last.content) == ("POST", b'{"subject":"x"}')
    await source.create_many("rfis", [{"subject": "x"}], project_id=12)
    assert relay.last.content == b'[{"subject":"x"}]'
    await source.update("rfis", 7, {"subject": "y"}, project_id=12)
    assert (relay.last.method, relay.last.headers["content-type"]) == ("PATCH", "application/json")
    await source.delete("rfis", 7, project_id=12)
    assert (relay.last.method, relay.last.content) == ("DELETE", b"")
    await source.create("rfis", {}, key="mine")
    keys = [request.headers["idempotency-key"] for request in relay.requests]
    assert len(set(keys)) == 5
    assert keys[-1] == "mine"


async def test_queries_read_write_and_rehearse(relay: ScriptedRelay, source: DataSource) -> None:
    query = {"info": {"name": "rfis"}}
    relay.tells({"success": True, "items": [{"id": 1}], "paging": "next"}, **{"total-items": "9"})
    found = await source.query({"action": "select", **query})
    assert (found.items, found.total_items, found.paging) == (({"id": 1},), 9, "next")
    assert "idempotency-key" not in relay.last.headers
    relay.tells({"success": True, "message": "1 record.", "items": []})
    rehearsed = await source.query({"action": "insert", "dryRun": True, **query})
    assert rehearsed.message == "1 record."
    assert "idempotency-key" not in relay.last.headers
    relay.tells({"success": True, "items": []})
    await source.query({"action": "insert", **query}, key="mine")
    assert relay.last.headers["idempotency-key"] == "mine"


async def test_a_query_that_is_refused_in_the_platforms_shape_raises(
    relay: ScriptedRelay, source: DataSource
) -> None:
    data = {"code": "policy_denied", "outcome": "not_executed", "status": 403, "call_id": "call_1"}
    relay.tells({"success": False, "message": "No.", "data": data})
    with pytest.raises(PolicyDeniedError, match=r"No\.") as refused:
        await source.query({"action": "select", "info": {"name": "rfis"}})
    assert (refused.value.call_id, refused.value.status) == ("call_1", 403)
    relay.tells({"success": False, "message": "Unknown action."})
    with pytest.raises(InternalError, match="Unknown action") as odd:
        await source.query({"action": "read", "info": {"name": "rfis"}})
    assert odd.value.retry_safe
    relay.tells({"success": False})
    with pytest.raises(InternalError, match="answered 400"):
        await source.query({"action": "read", "info": {"name": "rfis"}})


async def test_the_connection_is_tested_and_described(
    relay: ScriptedRelay, source: DataSource
) -> None:
    relay.tells({"success": False, "message": "DNS fails.", "steps": [{"step": 1}]})
    report = await source.test()
    assert (report.success, report.message, report.steps) == (False, "DNS fails.", ({"step": 1},))
    relay.tells({"success": True})
    assert (await source.test()).message == ""
    relay.tells({"success": True, "items": [{"name": "rfis"}]})
    assert await source.tree(refresh=True) == ({"name": "rfis"},)
    assert dict(relay.last.url.params) == {"refresh": "true"}


@pytest.mark.parametrize("document", [[], "x", {"success": True, "items": 7}])
async def test_an_answer_of_another_shape_is_refused(
    relay: ScriptedRelay, source: DataSource, document: object
) -> None:
    relay.tells(document)
    with pytest.raises(RemoteProtocolError):
        await source.tree()


async def test_an_answer_that_is_no_json_is_refused(
    relay: ScriptedRelay, source: DataSource
) -> None:
    relay.then(httpx.Response(200, content=b"<html>"))
    with pytest.raises(RemoteProtocolError, match="no JSON"):
        await source.get("rfis", 7)


@pytest.mark.parametrize(("resource", "record_id"), [("../x", 1), ("rfis", "7/../8"), ("a b", 1)])
async def test_names_that_would_leave_their_place_are_refused(
    relay: ScriptedRelay, source: DataSource, resource: str, record_id: str
) -> None:
    with pytest.raises(InvalidRequestError):
        await source.get(resource, record_id)
    assert not relay.requests


async def test_what_is_no_json_is_not_sent(relay: ScriptedRelay, source: DataSource) -> None:
    with pytest.raises(InvalidRequestError, match="as JSON"):
        await source.create("rfis", {"subject": object()})
    assert not relay.requests


async def test_a_failure_says_what_is_certain_and_when_to_come_back(
    relay: ScriptedRelay, source: DataSource
) -> None:
    relay.then(
        problem(
            429,
            "rate_limited",
            "not_executed",
            call_id="call_9",
            connector="conn_1",
            headers={"retry-after": "30"},
        )
    )
    with pytest.raises(RateLimitedError) as refused:
        await source.create("rfis", {})
    error = refused.value
    assert (error.retry_safe, error.retry_after, error.call_id) == (True, 30.0, "call_9")
    assert error.connector_id == "conn_1"


async def test_an_address_that_sends_elsewhere_is_no_resource_without_rows(
    relay: ScriptedRelay, source: DataSource
) -> None:
    elsewhere = httpx.Response(302, headers={"location": "https://login.example"}, content=b"")
    relay.then(elsewhere, elsewhere)
    with pytest.raises(ConfigurationError, match="own address"):
        [row async for row in source.list("rfis")]
    with pytest.raises(ConfigurationError):
        await source.create("rfis", {})
    assert len(relay.requests) == 2


async def test_a_read_has_no_effect_that_could_be_in_doubt(
    relay: ScriptedRelay, source: DataSource
) -> None:
    relay.then(httpx.Response(502, content=b"<html>Bad gateway"))
    with pytest.raises(RelayUnreachableError, match="502") as raised:
        await source.get("rfis", 7)
    assert raised.value.retry_safe
    relay.then(httpx.Response(500, content=b"<html>Oh"))
    with pytest.raises(InternalError, match="500"):
        await source.get("rfis", 7)


async def test_rows_that_break_off_raise_behind_those_that_came(
    relay: ScriptedRelay, source: DataSource
) -> None:
    relay.then(httpx.Response(200, stream=BrokenOff(b'{"id":1}\n{"id"')))
    rows = source.list("rfis")
    assert await anext(rows) == {"id": 1}
    with pytest.raises(SourceUnavailableError, match="broke off"):
        await anext(rows)


async def test_what_is_too_long_is_refused(
    relay: ScriptedRelay, source: DataSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloud_connect.client.data_source._MAX_LINE_BYTES", 5)
    relay.then(httpx.Response(200, content=b'{"id":1234567}'))
    with pytest.raises(RemoteProtocolError, match="too long"):
        await anext(source.list("rfis"))
    monkeypatch.setattr("cloud_connect.client.wire._MAX_WHOLE_BYTES", 5)
    relay.then(httpx.Response(200, content=b'{"id":1234567}'))
    with pytest.raises(BodyTooLargeError):
        await source.get("rfis", 7)


async def test_a_relay_that_cannot_be_reached_is_said_to_be(
    relay: ScriptedRelay, source: DataSource
) -> None:
    relay.then(httpx.ConnectError("refused"))
    with pytest.raises(RelayUnreachableError, match="ConnectError") as gone:
        await source.get("rfis", 7)
    assert gone.value.outcome is Outcome.NOT_EXECUTED  # a read


async def test_a_write_whose_answer_makes_no_sense_may_have_been_done(
    relay: ScriptedRelay, source: DataSource
) -> None:
    relay.then(httpx.Response(201, content=b"<html>"))
    with pytest.raises(RemoteProtocolError) as odd:
        await source.create("rfis", {})
    assert odd.value.outcome is Outcome.UNKNOWN
    relay.tells([])
    with pytest.raises(RemoteProtocolError) as odd:
        await source.query({"action": "insert", "info": {"name": "rfis"}})
    assert not odd.value.retry_safe


RECORD = {"call_id": "call_1", "state": "x", "operation": "query", "final": True}


async def test_a_query_of_unknown_outcome_is_looked_up_as_any_write(
    relay: ScriptedRelay, source: DataSource
) -> None:
    data = {"code": "outcome_unknown", "outcome": "unknown", "status": 502, "call_id": "call_1"}
    relay.tells({"success": False, "message": "Nobody knows.", "data": data})
    relay.tells({**RECORD, "outcome": "completed"})
    relay.tells({"success": True, "items": [{"id": 7}]})
    made = await source.query({"action": "insert", "info": {"name": "rfis"}}, key="k")
    assert made.items == ({"id": 7},)
    assert [request.method for request in relay.requests] == ["POST", "GET", "POST"]


async def test_an_answer_that_is_out_of_reach_is_no_record(
    relay: ScriptedRelay, source: DataSource
) -> None:
    told = {"call_id": "call_1", "outcome": "completed", "status": 201, "body_available": False}
    relay.tells(told, **{"idempotency-replayed": "true"})
    with pytest.raises(NotFoundError, match="carried out before") as raised:
        await source.create("rfis", {}, key="k")
    assert raised.value.outcome is Outcome.COMPLETED


async def test_a_key_that_was_revoked_is_said_at_once_in_every_shape(
    relay: ScriptedRelay, source: DataSource
) -> None:
    relay.then(httpx.Response(401, json={"Message": "Authorization has been denied."}))
    with pytest.raises(UnauthorizedError, match="expired or revoked") as refused:
        await source.query({"action": "insert", "info": {"name": "rfis"}})
    assert refused.value.outcome is Outcome.NOT_EXECUTED
    assert len(relay.requests) == 1


@pytest.mark.parametrize("key", ["k\n", " k", "k\u00e4", "k" * 256, "a\x00b"])
async def test_a_key_that_cannot_be_sent_is_refused_before_anything_is(
    relay: ScriptedRelay, source: DataSource, key: str
) -> None:
    for write in (
        source.create("rfis", {}, key=key),
        source.query({"action": "insert", "info": {"name": "rfis"}}, key=key),
    ):
        with pytest.raises(InvalidRequestError, match="key"):
            await write
    assert not relay.requests
