import asyncio
import json
from typing import Any

import httpx
import pytest

from cloud_connect.calls import Operation
from cloud_connect.errors import Outcome
from cloud_connect.exchange import Exchange
from cloud_connect.tunnel import ResponseHead, Trailers
from doubles.call_relay import CallRelay
from doubles.scripted_agent import ScriptedAgent, hang, problem, row_lines

SELECT = {"action": "select", "info": {"name": "rfis"}}
INSERT = {"action": "insert", "info": {"name": "rfis"}, "mappings": {"subject": "New"}}


def refusing(head: ResponseHead) -> Any:
    async def act(exchange: Exchange, _: bytes) -> None:
        await exchange.send_head(head, end_stream=True)

    return act


def telling(body: bytes) -> Any:
    async def act(exchange: Exchange, _: bytes) -> None:
        await exchange.send_head(ResponseHead(status=200))
        await exchange.send(body, end_stream=True)

    return act


def shown(answer: httpx.Response) -> Any:
    """What the form's user sees of an answer; the rest is for programs."""
    return {name: value for name, value in answer.json().items() if name != "data"}


def failed_at(step: str, message: str) -> dict[str, Any]:
    """A test that its agent did not begin, or not finish."""
    steps = [{"step": 0, "name": step, "status": "FAIL", "message": message}]
    return {"success": False, "message": message, "steps": steps}


async def status_of(relay: CallRelay, base: str) -> tuple[str, str]:
    told = (await relay.api.get(base)).json()
    return told["status"], told["message"]


async def test_succeeded_test_makes_the_data_source_ready(relay: CallRelay) -> None:
    _, base = await relay.ready()
    before = (await relay.api.get(base)).json()
    answer = await relay.api.post(f"{base}/test")
    told = answer.json()
    assert answer.status_code == 200
    assert told["success"] is True
    assert told["message"] == "Connection test succeeded"
    assert told["steps"][0]["status"] == "PASS"
    after = (await relay.api.get(base)).json()
    assert after["status"] == "ready"
    assert after["modified"] == before["modified"]


async def test_failed_test_says_why_and_shows_it(relay: CallRelay) -> None:
    failed = {"success": False, "message": "Company 5 is not connected.", "steps": []}
    agent, base = await relay.ready(
        ScriptedAgent(script={Operation.TEST: telling(json.dumps(failed).encode())})
    )
    answer = await relay.api.post(f"{base}/test")
    assert (answer.status_code, answer.json()) == (200, failed)
    assert await status_of(relay, base) == ("test failed", "Company 5 is not connected.")
    agent.script.clear()
    await relay.api.post(f"{base}/test")
    assert (await status_of(relay, base))[0] == "ready"


async def test_refused_test_fails_with_the_reason(relay: CallRelay) -> None:
    head = problem("sign_in_required", "Sign in to Procore on the PC.", status=409)
    _, base = await relay.ready(ScriptedAgent(script={Operation.TEST: refusing(head)}))
    answer = await relay.api.post(f"{base}/test")
    assert answer.status_code == 200
    assert shown(answer) == failed_at("Connector", "Sign in to Procore on the PC.")
    assert await status_of(relay, base) == ("test failed", "Sign in to Procore on the PC.")


async def test_test_without_a_connector_fails_with_a_sentence(relay: CallRelay) -> None:
    base = await relay.datasource(await relay.enrol())
    answer = await relay.api.post(f"{base}/test")
    assert answer.status_code == 200
    told = answer.json()
    assert "No connector is connected" in told["message"]
    assert shown(answer) == failed_at("Connector", told["message"])
    assert (await status_of(relay, base))[0] == "test failed"


@pytest.mark.parametrize("action", ["test", "tree", "query"])
async def test_incomplete_data_source_is_told_what_it_lacks(relay: CallRelay, action: str) -> None:
    base = await relay.datasource(title="", settings={})
    answer = await relay.api.post(f"{base}/{action}", json=SELECT)
    assert answer.status_code == 200
    message = (
        "The data source is incomplete: it lacks a name, the Procore company id, the Procore"
        " environment and a connector."
    )
    failed = failed_at("Details", message) if action == "test" else None
    assert shown(answer) == (failed or {"success": False, "message": message})
    assert (await status_of(relay, base))[0] == "incomplete"


async def test_result_of_a_test_does_not_outlive_an_edit(relay: CallRelay) -> None:
    release = asyncio.Event()

    async def slowly(exchange: Exchange, _: bytes) -> None:
        await release.wait()
        await telling(b'{"success":true,"message":"x"}')(exchange, b"")

    agent, base = await relay.ready(ScriptedAgent(script={Operation.TEST: slowly}))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(relay.api.post(f"{base}/test"))
        await agent.arrived.wait()
        await relay.api.put(base, json={"settings": {"companyId": "9", "environment": "live"}})
        release.set()
    assert (await status_of(relay, base))[0] == "incomplete"


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"success":"perhaps"}', b'{"message":"x"}'])
async def test_nonsense_of_an_agent_is_a_sentence(relay: CallRelay, body: bytes) -> None:
    script = {Operation.TEST: telling(body), Operation.TREE: telling(body)}
    _, base = await relay.ready(ScriptedAgent(script=script))
    for action in ("test", "tree"):
        answer = await relay.api.post(f"{base}/{action}")
        assert answer.status_code == 200
        message = "The connector's answer is not understood."
        failed = failed_at("Connector", message) if action == "test" else None
        assert shown(answer) == (failed or {"success": False, "message": message})


async def test_tree_is_passed_on(relay: CallRelay) -> None:
    _, base = await relay.ready()
    answer = await relay.api.post(f"{base}/tree")
    assert answer.json() == {"success": True, "message": "", "items": [{"name": "rfis"}]}


async def test_small_select_is_answered_whole_with_its_total(relay: CallRelay) -> None:
    agent, base = await relay.ready()
    answer = await relay.api.post(f"{base}/query", json=SELECT)
    assert answer.status_code == 200
    assert set(answer.json()) == {"success", "items"}
    assert [row["id"] for row in answer.json()["items"]] == [0, 1, 2]
    assert answer.headers["total-items"] == "3"
    assert "Total-Items" in answer.headers["access-control-expose-headers"]
    assert int(answer.headers["content-length"]) == len(answer.content)
    (heard,) = agent.calls
    assert json.loads(heard.body) == SELECT
    record = await relay.record(answer.headers["cloud-connect-call-id"])
    assert (record.operation, record.resource, record.rows) == ("query", "rfis", 3)
    assert record.idempotency_key is None


async def test_paging_is_there_while_more_remains(relay: CallRelay) -> None:
    async def page(exchange: Exchange, _: bytes) -> None:
        await exchange.send_head(ResponseHead(status=200, total_items=90))
        await exchange.send(row_lines(2))
        await exchange.send_trailers(Trailers(paging='more"', total_items=None))

    _, base = await relay.ready(ScriptedAgent(script={Operation.QUERY: page}))
    answer = await relay.api.post(f"{base}/query", json=SELECT)
    assert answer.json()["paging"] == 'more"'
    assert answer.headers["total-items"] == "90"


@pytest.mark.parametrize("failing", [False, True])
async def test_long_select_streams_and_never_ends_early_unseen(
    relay: CallRelay, *, failing: bool
) -> None:
    async def many(exchange: Exchange, _: bytes) -> None:
        await exchange.send_head(ResponseHead(status=200))
        for start in range(0, 12_000, 1000):
            await exchange.send(row_lines(1000, start=start))
        failure = problem("source_unavailable").problem if failing else None
        await exchange.send_trailers(Trailers(problem=failure, paging="next"))

    _, base = await relay.ready(ScriptedAgent(script={Operation.QUERY: many}))
    if failing:
        with pytest.raises(httpx.RemoteProtocolError):
            await relay.api.post(f"{base}/query", json=SELECT)
        return
    answer = await relay.api.post(f"{base}/query", json=SELECT)
    assert "content-length" not in answer.headers
    told = answer.json()
    assert told["success"] is True
    assert [row["id"] for row in told["items"]] == list(range(12_000))
    assert told["paging"] == "next"
    record = await relay.record(answer.headers["cloud-connect-call-id"])
    assert record.rows == 12_000


async def test_failure_among_the_first_rows_is_a_sentence(relay: CallRelay) -> None:
    async def break_off(exchange: Exchange, _: bytes) -> None:
        await exchange.send_head(ResponseHead(status=200))
        await exchange.send(row_lines(2))
        failure = problem("source_unavailable", "Procore went away.").problem
        await exchange.send_trailers(Trailers(problem=failure))

    _, base = await relay.ready(ScriptedAgent(script={Operation.QUERY: break_off}))
    answer = await relay.api.post(f"{base}/query", json=SELECT)
    assert answer.status_code == 200
    assert shown(answer) == {"success": False, "message": "Procore went away."}


@pytest.mark.parametrize(
    "code",
    [
        "policy_denied",
        "source_rejected",
        "invalid_request",
        "sign_in_required",
        "rate_limited",
        "connector_paused",
        "journal_unavailable",
        "not_found",
        "unsupported_operation",
        "outcome_unknown",
    ],
)
async def test_refusals_are_sentences_with_status_200(relay: CallRelay, code: str) -> None:
    head = problem(code, "Procore does not like that.", status=422)
    _, base = await relay.ready(ScriptedAgent(script={Operation.QUERY: refusing(head)}))
    for query in (SELECT, INSERT):
        answer = await relay.api.post(f"{base}/query", json=query)
        assert answer.status_code == 200
        assert shown(answer) == {"success": False, "message": "Procore does not like that."}
        assert answer.headers["cloud-connect-call-id"].startswith("call_")


async def test_unknown_outcome_is_told_to_programs_too(relay: CallRelay) -> None:
    head = problem("outcome_unknown", "No answer came.", outcome=Outcome.UNKNOWN)
    _, base = await relay.ready(ScriptedAgent(script={Operation.QUERY: refusing(head)}))
    answer = await relay.api.post(f"{base}/query", json=INSERT)
    call_id = answer.headers["cloud-connect-call-id"]
    assert (answer.status_code, answer.headers["should-retry"]) == (200, "false")
    assert "without an Idempotency-Key" in answer.json()["message"]
    told = answer.json()["data"]
    assert (told["code"], told["outcome"], told["retry_safe"]) == (
        "outcome_unknown",
        "unknown",
        False,
    )
    assert (told["call_id"], told["lookup"]) == (call_id, f"/api/calls/{call_id}")
    assert told["connector"] == relay.connected[0].live.connector_id


async def test_fault_of_ours_has_the_platforms_shape(relay: CallRelay) -> None:
    head = problem("internal_error", "The connector failed.", status=500)
    _, base = await relay.ready(ScriptedAgent(script={Operation.QUERY: refusing(head)}))
    answer = await relay.api.post(f"{base}/query", json=SELECT)
    assert (answer.status_code, answer.json()) == (500, {"Message": "An error has occurred."})


@pytest.mark.parametrize("action", ["insert", "update", "delete", "create", "remove", "INSERT "])
async def test_query_that_writes_is_recorded_as_a_write(relay: CallRelay, action: str) -> None:
    agent, base = await relay.ready()
    answer = await relay.api.post(f"{base}/query", json={**INSERT, "action": action})
    assert answer.json()["success"] is True
    assert answer.json()["items"][0]["id"] == 0
    call_id = answer.headers["cloud-connect-call-id"]
    assert agent.executed == {call_id: 1}
    assert (await relay.record(call_id)).dispatched_at is not None


async def test_query_with_a_key_runs_once(relay: CallRelay) -> None:
    agent, base = await relay.ready()
    header = {"Idempotency-Key": "q-1"}
    first = await relay.api.post(f"{base}/query", json=INSERT, headers=header)
    again = await relay.api.post(f"{base}/query", json=INSERT, headers=header)
    assert first.json() == again.json()
    assert again.headers["idempotency-replayed"] == "true"
    assert list(agent.executed.values()) == [1]
    other = await relay.api.post(f"{base}/query", json={**INSERT, "mappings": {}}, headers=header)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
    await relay.connected[0].lose()
    offline = await relay.api.post(f"{base}/query", json=INSERT, headers=header)
    assert offline.json()["success"] is True
    assert offline.json()["items"] == []
    assert "carried out before" in offline.json()["message"]


@pytest.mark.parametrize("action", ["explode", "", None, 5])
async def test_unknown_action_is_named_and_goes_nowhere(relay: CallRelay, action: Any) -> None:
    agent, base = await relay.ready()
    answer = await relay.api.post(f"{base}/query", json={**SELECT, "action": action})
    assert answer.status_code == 200
    assert answer.json()["success"] is False
    assert f"“{action if isinstance(action, str) else ''}”" in answer.json()["message"]
    assert agent.heard == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"action":"select","action":"delete"}'])
async def test_malformed_query_is_a_problem(relay: CallRelay, body: bytes) -> None:
    agent, base = await relay.ready()
    answer = await relay.api.post(f"{base}/query", content=body)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    assert agent.heard == []


async def test_long_query_is_refused(relay: CallRelay) -> None:
    _, base = await relay.ready()
    answer = await relay.api.post(f"{base}/query", json={**SELECT, "filter": "x" * 1_100_000})
    assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")


async def test_scopes_are_by_action(relay: CallRelay) -> None:
    agent, base = await relay.ready()

    async def ask(path: str, scope: str, document: dict[str, Any]) -> int:
        key = await relay.store.key(scope)
        headers = {"Authorization": f"Bearer {key}"}
        answer = await relay.api.post(f"{base}/{path}", json=document, headers=headers)
        return answer.status_code

    assert await ask("query", "calls:read", SELECT) == 200
    assert await ask("query", "calls:write", INSERT) == 200
    assert await ask("query", "calls:read", INSERT) == 403
    assert await ask("query", "calls:write", SELECT) == 403
    assert await ask("query", "calls:test", SELECT) == 403
    assert await ask("test", "calls:test", {}) == 200
    assert await ask("test", "calls:read", {}) == 403
    assert await ask("tree", "calls:read", {}) == 200
    assert len(agent.executed) == 1


async def test_unknown_data_source_is_not_there(relay: CallRelay) -> None:
    for identifier in ("ds_0000000000000000", "nonsense", "%2e%2e"):
        for action in ("test", "tree", "query"):
            answer = await relay.api.post(f"/api/datasources/{identifier}/{action}", json=SELECT)
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_caller_without_a_credential_gets_the_platforms_words(relay: CallRelay) -> None:
    _, base = await relay.ready()
    answer = await relay.api.post(f"{base}/query", json=SELECT, headers={"Authorization": ""})
    assert answer.status_code == 401
    assert answer.json() == {"Message": "Authorization has been denied for this request."}


async def test_deadline_of_a_query_is_a_sentence(relay: CallRelay) -> None:
    agent, base = await relay.ready(ScriptedAgent(script={Operation.QUERY: hang}))
    answer = await relay.api.post(
        f"{base}/query", json=SELECT, headers={"Cloud-Connect-Deadline-Ms": "200"}
    )
    assert answer.status_code == 200
    assert answer.json()["success"] is False
    assert "deadline" in answer.json()["message"]
    record = await relay.record(agent.calls[0].head.call_id)
    assert (record.status, record.outcome) == (504, Outcome.NOT_EXECUTED)


async def test_failure_that_is_not_understood_can_be_looked_up_all_the_same(
    relay: CallRelay,
) -> None:
    head = problem("of_a_later_version", "?", status=500, outcome=Outcome.UNKNOWN)
    _, base = await relay.ready(ScriptedAgent(script={Operation.QUERY: refusing(head)}))
    answer = await relay.api.post(f"{base}/query", json=INSERT)
    assert (answer.status_code, answer.json()) == (500, {"Message": "An error has occurred."})
    assert answer.headers["should-retry"] == "false"
    assert "server-timing" in answer.headers
    call_id = answer.headers["cloud-connect-call-id"]
    assert (await relay.api.get(f"/api/calls/{call_id}")).json()["outcome"] == "unknown"
