"""Calls as a relay sees them: answered, refused, bounded."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cloud_connect.calls import Operation
from cloud_connect.echo import EchoParams
from cloud_connect.errors import (
    Outcome,
    SourceRejectedError,
    SourceUnavailableError,
)
from cloud_connect_agent.policy import Verb
from doubles.agent_bench import Bench, bench
from doubles.fake_procore import Reply
from doubles.waiting import until

RFIS = {"resource": "rfis"}


@pytest.fixture
async def agent(tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench(tmp_path) as made:
        yield made


async def test_a_record_is_one_document(agent: Bench) -> None:
    answer = await agent.call(Operation.GET, RFIS)
    assert answer.head.status == 200
    assert answer.head.headers == (("content-type", "application/json"),)
    assert answer.head.outcome is Outcome.COMPLETED
    assert answer.json == {"id": 1}


async def test_a_list_is_a_row_a_line(agent: Bench) -> None:
    answer = await agent.call(Operation.LIST, RFIS)
    assert answer.body == b'{"id":1}\n{"id":2}\n'
    assert answer.head.headers == (("content-type", "application/x-ndjson"),)
    assert answer.trailers is not None
    assert (answer.trailers.total_items, answer.trailers.paging) == (2, "next")
    assert answer.trailers.outcome is Outcome.COMPLETED
    assert answer.trailers.hops["agent"] >= 0


async def test_long_batches_go_out_in_pieces(agent: Bench) -> None:
    agent.executor.batches = [[{"id": number, "text": "x" * 1000} for number in range(500)]]
    answer = await agent.call(Operation.LIST, RFIS)
    assert answer.body.count(b"\n") == 500


async def test_rows_that_break_off_say_why_behind_them(agent: Bench) -> None:
    agent.executor.broken_off = SourceUnavailableError("Procore went away.")
    answer = await agent.call(Operation.LIST, RFIS)
    assert answer.body == b'{"id":1}\n{"id":2}\n'
    assert answer.trailers is not None
    assert answer.trailers.problem is not None
    assert answer.trailers.problem.detail == "Procore went away."


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({}, EchoParams()),
        ({"held_seconds": 60}, EchoParams(held_seconds=60.0)),
        ({"held_seconds": "soon"}, EchoParams()),
        ({"draining": True}, EchoParams(draining=True)),
    ],
)
async def test_an_echo_tells_how_calls_are_kept_away(
    tmp_path: Path, params: dict[str, object], said: EchoParams
) -> None:
    heard: list[EchoParams] = []
    async with bench(tmp_path, echoed=heard.append) as agent:
        agent.paused = True
        assert (await agent.call(Operation.ECHO, params)).head.status == 200
    assert heard == [said]


async def test_a_query_reads_rows(agent: Bench) -> None:
    answer = await agent.call(Operation.QUERY, {}, query("select"))
    assert answer.body.count(b"\n") == 2


async def test_the_tree_and_the_test_are_documents(agent: Bench) -> None:
    assert (await agent.call(Operation.TREE)).json == {"items": [{"name": "rfis"}]}
    assert (await agent.call(Operation.TREE, {"refresh": True})).json["items"] == [
        {"name": "fresh"}
    ]
    assert (await agent.call(Operation.DRIFT)).json == {"version": 1, "items": []}
    assert (await agent.call(Operation.DRIFT, {"refresh": True})).json["version"] == 2
    report = (await agent.call(Operation.TEST)).json
    assert report["success"] is False
    assert "step 3" in report["message"]
    verbs = [access.verb for access in agent.policy.asked]
    assert verbs == [Verb.READ, Verb.READ, Verb.READ, Verb.READ, Verb.TEST]


async def test_procores_answer_comes_along_with_a_rejection(agent: Bench) -> None:
    agent.procore.api.then(Reply(status=422, body={"errors": {"subject": ["can't be blank"]}}))
    answer = await agent.call(Operation.CREATE, RFIS, b"{}")
    assert answer.problem.code == "source_rejected"
    assert answer.problem.status == answer.head.status == 422
    assert answer.problem.source == {"errors": {"subject": ["can't be blank"]}}
    assert answer.head.outcome is Outcome.COMPLETED


async def test_a_large_rejection_is_cut(agent: Bench) -> None:
    agent.executor.failure = SourceRejectedError(
        "x" * 9000, status=400, body={"message": "y" * 9000}
    )
    answer = await agent.call(Operation.GET, RFIS)
    assert len(answer.problem.detail) <= 2001
    assert len(answer.problem.source) <= 4096
    agent.executor.failure = SourceRejectedError("x", status=400, body={"odd": object()})
    assert (await agent.call(Operation.GET, RFIS)).problem.source is None


@pytest.mark.parametrize(
    ("operation", "params", "body", "words"),
    [
        (Operation.GET, {"resource": "Not A Name"}, None, "resource"),
        (Operation.GET, {"resource": "rfis", "source": {"company_id": -1}}, None, "company_id"),
        (Operation.CREATE, RFIS, b"{", "not valid JSON"),
        (Operation.CREATE, RFIS, b"[]", "hold some"),
        (Operation.CREATE, RFIS, b"7", "must be a JSON object"),
        (Operation.UPDATE, RFIS, b"[]", "must be a JSON object"),
        (Operation.DRY_RUN, RFIS, None, "verb"),
        (Operation.DRY_RUN, {**RFIS, "verb": "update"}, b"[]", "must be a JSON object"),
        (Operation.QUERY, {}, b"{", ""),
        (Operation.PASSTHROUGH, {"method": "TRACE", "target": "rest/v1.0/me"}, None, "method"),
    ],
)
async def test_what_is_malformed_is_named(
    agent: Bench, operation: str, params: dict[str, object], body: bytes | None, words: str
) -> None:
    answer = await agent.call(operation, params, body)
    assert answer.problem.code == "invalid_request"
    assert answer.head.outcome is Outcome.NOT_EXECUTED
    assert words in answer.problem.detail
    assert not agent.procore.api.seen


@pytest.mark.parametrize("operation", ["nonsense", "report"])
async def test_an_unknown_operation_is_refused(agent: Bench, operation: str) -> None:
    assert (await agent.call(operation)).problem.code == "unsupported_operation"


@pytest.mark.parametrize(
    ("operation", "params", "body"),
    [
        (Operation.CREATE, RFIS, b"{}"),
        (Operation.UPDATE, RFIS, b"{}"),
        (Operation.DELETE, RFIS, None),
        (Operation.QUERY, {}, b""),
        (Operation.GET, RFIS, None),
        (Operation.LIST, RFIS, None),
        (Operation.TEST, {}, None),
        (Operation.TREE, {}, None),
        (Operation.DRIFT, {}, None),
        (Operation.CREATE, RFIS, b'[{"a":1},{"a":2}]'),
        (Operation.DRY_RUN, {**RFIS, "verb": "delete"}, None),
        (Operation.QUERY_DRY_RUN, {}, b""),
        (Operation.PASSTHROUGH, {"method": "GET", "target": "rest/v1.0/me"}, None),
        (Operation.PASSTHROUGH, {"method": "POST", "target": "rest/v1.0/me"}, b"{}"),
    ],
)
async def test_what_the_policy_refuses_is_not_sent(
    agent: Bench, operation: str, params: dict[str, object], body: bytes | None
) -> None:
    agent.policy.refused = set(Verb)
    answer = await agent.call(operation, params, query("insert") if body == b"" else body)
    assert answer.problem.code == "policy_denied"
    assert answer.problem.detail == "Because the test says so. (rule rule-1)"
    assert not agent.procore.api.seen
    assert await agent.journal.find("call-1") is None


async def test_a_paused_connector_refuses_all_but_its_journal(agent: Bench) -> None:
    await agent.call(Operation.CREATE, RFIS, b"{}", call_id="one")
    agent.paused = True
    assert (await agent.call(Operation.GET, RFIS)).problem.code == "connector_paused"
    answer = await agent.call(Operation.JOURNAL, {"call_id": "one"})
    assert answer.head.outcome is Outcome.COMPLETED


async def test_too_many_calls_are_refused(tmp_path: Path) -> None:
    async with bench(tmp_path, max_open=1) as agent:
        agent.procore.api.then(Reply(delay=0.2))
        first = await agent.start(Operation.GET, RFIS)
        await until(lambda: len(agent.procore.api.seen) == 1)
        answer = await agent.call(Operation.GET, RFIS)
        assert answer.problem.code == "quota_exceeded"
        assert answer.problem.retry_after == 1.0
        asked = await agent.call(Operation.JOURNAL, {"call_id": "one"})
        assert asked.problem.code == "not_found", "what it tells is of that call"
        assert (await agent.finish(first)).head.status == 200


async def test_a_bug_is_told_without_its_details(
    agent: Bench, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    agent.executor.failure = ZeroDivisionError("secret detail")
    for operation in (Operation.GET, Operation.CREATE):
        answer = await agent.call(operation, RFIS, b"{}")
        assert answer.problem.code == "internal_error"
        assert "secret" not in answer.problem.detail
    assert "secret detail" in caplog.text + capsys.readouterr().out


async def test_the_deadline_ends_a_read(agent: Bench) -> None:
    agent.procore.api.then(Reply(delay=5))
    answer = await agent.call(Operation.GET, RFIS, deadline_ms=100)
    assert answer.problem.code == "deadline_exceeded"
    assert answer.head.outcome is Outcome.NOT_EXECUTED
    await until(lambda: agent.procore.api.open == 0)


async def test_a_read_ends_with_its_caller(agent: Bench) -> None:
    agent.procore.api.then(Reply(delay=5))
    exchange = await agent.start(Operation.GET, RFIS)
    await until(lambda: len(agent.procore.api.seen) == 1)
    await agent.hang_up(exchange)
    await until(lambda: agent.procore.api.open == 0)
    await agent.dispatcher.idle()
    assert agent.dispatcher.in_flight == 0


async def test_a_body_over_the_limit_is_refused(
    agent: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloud_connect_agent.reply._MAX_BODY", 10)
    answer = await agent.call(Operation.CREATE, RFIS, b'{"a":"0123456789"}')
    assert answer.problem.code == "payload_too_large"


async def test_a_body_that_stops_coming_is_given_up(
    agent: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloud_connect_agent.reply._BODY_STALL", 0.05)
    answer = await agent.call(Operation.CREATE, RFIS, b"{", end=False)
    assert answer.problem.code == "deadline_exceeded"


def query(action: str) -> bytes:
    extra = b'"mappings":{"subject":"x"}' if action == "insert" else b'"fields":["id"]'
    return b'{"action":"%s","info":{"name":"rfis"},%s}' % (action.encode(), extra)
