"""Writes as a relay sees them: journaled, outliving, never run twice."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cloud_connect.calls import Operation
from cloud_connect.errors import (
    CloudConnectError,
    JournalUnavailableError,
    Outcome,
    OutcomeUnknownError,
    RateLimitedError,
    SourceRejectedError,
)
from cloud_connect_agent.journal import JournalState
from doubles.agent_bench import Bench, bench
from doubles.fake_procore import Reply
from doubles.waiting import until

RFIS = {"resource": "rfis"}
CREATED = Reply(status=201, body={"id": 7})


@pytest.fixture
async def agent(tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench(tmp_path) as made:
        yield made


@pytest.mark.parametrize(
    ("operation", "method", "status"),
    [
        (Operation.CREATE, "POST", 201),
        (Operation.UPDATE, "PATCH", 200),
        (Operation.DELETE, "DELETE", 200),
    ],
)
async def test_a_write_is_carried_out_and_journaled(
    agent: Bench, operation: str, method: str, status: int
) -> None:
    agent.procore.api.then(CREATED)
    answer = await agent.call(operation, RFIS, b'{"subject":"x"}', call_id="one")
    assert (answer.head.status, answer.json) == (status, {"id": 7})
    assert agent.procore.api.seen[0].method == method
    entry = await agent.journal.find("one")
    assert entry is not None
    assert (entry.state, entry.outcome) == (JournalState.DONE, Outcome.COMPLETED)
    assert (entry.status, entry.body) == (status, b'{"id":7}')


async def test_the_intent_is_on_disk_before_the_first_byte(agent: Bench) -> None:
    async def look(_: object) -> Reply:
        entry = await agent.journal.find("one")
        assert entry is not None
        return Reply(body={"state": entry.state.value})

    agent.procore.api.then(look)
    assert (await agent.call(Operation.CREATE, RFIS, b"{}", call_id="one")).json == {
        "state": "intent"
    }


async def test_reads_leave_the_journal_alone(agent: Bench) -> None:
    await agent.call(Operation.GET, RFIS, call_id="one")
    await agent.raw("GET", "rest/v1.0/me", call_id="two")
    assert await agent.journal.find("one") is None
    assert await agent.journal.find("two") is None


async def test_a_repeated_call_is_answered_from_the_journal(agent: Bench) -> None:
    agent.procore.api.then(CREATED)
    first = await agent.call(Operation.CREATE, RFIS, b'{"a":1}', call_id="one")
    again = await agent.call(Operation.CREATE, RFIS, b'{"a":1}', call_id="one")
    assert not first.head.replayed
    assert again.head.replayed
    assert (again.head.status, again.body) == (first.head.status, first.body)
    assert len(agent.procore.api.seen) == 1


async def test_a_repeated_failure_is_answered_from_the_journal(agent: Bench) -> None:
    agent.procore.api.then(Reply(drop=True))
    first = await agent.call(Operation.CREATE, RFIS, b"{}", call_id="one")
    again = await agent.call(Operation.CREATE, RFIS, b"{}", call_id="one")
    assert first.problem.code == again.problem.code == "outcome_unknown"
    assert again.head.replayed
    assert again.head.outcome is Outcome.UNKNOWN
    assert len(agent.procore.api.seen) == 1


@pytest.mark.parametrize("body", [b'{"a":2}', b"{}"])
async def test_a_call_id_with_another_body_is_a_mismatch(agent: Bench, body: bytes) -> None:
    await agent.call(Operation.CREATE, RFIS, b'{"a":1}', call_id="one")
    answer = await agent.call(Operation.CREATE, RFIS, body, call_id="one")
    assert answer.problem.code == "idempotency_mismatch"
    answer = await agent.call(Operation.UPDATE, RFIS, b'{"a":1}', call_id="one")
    assert answer.problem.code == "idempotency_mismatch"
    assert len(agent.procore.api.seen) == 1


async def test_urgency_is_no_difference(agent: Bench) -> None:
    await agent.call(Operation.CREATE, {**RFIS, "interactive": False}, b"{}", call_id="one")
    answer = await agent.call(Operation.CREATE, RFIS, b"{}", call_id="one")
    assert answer.head.replayed


async def test_a_call_that_runs_is_joined(agent: Bench) -> None:
    agent.procore.api.then(Reply(status=201, body={"id": 7}, delay=0.2))
    first = await agent.start(Operation.CREATE, RFIS, b"{}", call_id="one")
    await until(lambda: len(agent.procore.api.seen) == 1)
    other = await agent.call(Operation.CREATE, RFIS, b'{"b":1}', call_id="one")
    assert other.problem.code == "idempotency_mismatch"
    looked_up = await agent.call(Operation.JOURNAL, {"call_id": "one"})
    assert (looked_up.head.status, looked_up.head.outcome) == (202, None)
    again = await agent.call(Operation.CREATE, RFIS, b"{}", call_id="one")
    only = await agent.call(Operation.CREATE, {**RFIS, "replay_only": True}, b"{}", call_id="one")
    assert again.head.replayed
    assert only.head.replayed
    assert again.body == (await agent.finish(first)).body == b'{"id":7}'
    assert len(agent.procore.api.seen) == 1


async def test_fifty_at_once_execute_once(agent: Bench) -> None:
    calls = [agent.call(Operation.CREATE, RFIS, b"{}", call_id="one") for _ in range(50)]
    answers = await asyncio.gather(*calls)
    assert {answer.head.status for answer in answers} == {201}
    assert sum(not answer.head.replayed for answer in answers) == 1
    assert len(agent.procore.api.seen) == 1


async def test_replay_only_executes_nothing(agent: Bench) -> None:
    params = {**RFIS, "replay_only": True}
    answer = await agent.call(Operation.CREATE, params, b"{}", call_id="one")
    assert answer.problem.code == "not_found"
    assert not answer.head.replayed
    assert not agent.procore.api.seen
    await agent.call(Operation.CREATE, RFIS, b"{}", call_id="one")
    answer = await agent.call(Operation.CREATE, params, b"{}", call_id="one")
    assert answer.head.replayed
    assert answer.json == {"id": 1}


async def test_the_journal_can_be_asked(agent: Bench) -> None:
    asked: list[tuple[dict[str, object], Outcome]] = [
        ({"age_ms": 1}, Outcome.NOT_EXECUTED),
        ({}, Outcome.UNKNOWN),  # nobody knows whether the journal reaches back so far
    ]
    for age, outcome in asked:
        answer = await agent.call(Operation.JOURNAL, {"call_id": "one", **age})
        assert (answer.problem.code, answer.problem.outcome) == ("not_found", outcome)
    assert answer.head.outcome is None
    agent.procore.api.then(Reply(drop=True), CREATED)
    await agent.call(Operation.CREATE, RFIS, b"{}", call_id="one")
    await agent.call(Operation.CREATE, RFIS, b"{}", call_id="two")
    assert (await agent.call(Operation.JOURNAL, {"call_id": "one"})).head.outcome is Outcome.UNKNOWN
    answer = await agent.call(Operation.JOURNAL, {"call_id": "two"})
    assert (answer.head.outcome, answer.head.status) == (Outcome.COMPLETED, 201)
    assert answer.json == {"id": 7}


async def test_a_started_write_outlives_its_caller(agent: Bench) -> None:
    agent.procore.api.then(Reply(status=201, body={"id": 7}, delay=0.2))
    exchange = await agent.start(Operation.CREATE, RFIS, b"{}", call_id="one")
    await until(lambda: len(agent.procore.api.seen) == 1)
    await agent.hang_up(exchange)
    assert agent.dispatcher.in_flight == 1
    await agent.dispatcher.idle()
    entry = await agent.journal.find("one")
    assert entry is not None
    assert entry.outcome is Outcome.COMPLETED


async def test_a_started_write_outlives_its_deadline(agent: Bench) -> None:
    agent.procore.api.then(Reply(status=201, body={"id": 7}, delay=0.3))
    answer = await agent.call(Operation.CREATE, RFIS, b"{}", call_id="one", deadline_ms=100)
    assert answer.problem.code == "deadline_exceeded"
    assert answer.head.outcome is Outcome.UNKNOWN
    await agent.dispatcher.idle()
    answer = await agent.call(Operation.JOURNAL, {"call_id": "one"})
    assert answer.head.outcome is Outcome.COMPLETED


@pytest.mark.parametrize("hangs_up", [True, False], ids=["hang-up", "deadline"])
async def test_a_write_that_has_not_started_ends_with_its_caller(
    agent: Bench,
    hangs_up: bool,  # noqa: FBT001 - parameter of the table
) -> None:
    await agent.call(Operation.GET, RFIS)  # the limits are known then
    agent.procore.api.seen.clear()
    agent.procore.api.default = lambda _: Reply(status=201, delay=0.4)
    busy = [await agent.start(Operation.CREATE, RFIS, b"{}") for _ in range(8)]
    await until(lambda: len(agent.procore.api.seen) == 8)
    exchange = await agent.start(
        Operation.CREATE, RFIS, b"{}", call_id="late", deadline_ms=10_000 if hangs_up else 50
    )
    if hangs_up:
        await asyncio.sleep(0.05)
        await agent.hang_up(exchange)
    else:
        answer = await agent.finish(exchange)
        assert answer.problem.code == "deadline_exceeded"
        assert answer.head.outcome is Outcome.NOT_EXECUTED
    for other in busy:
        await agent.finish(other)
    await agent.dispatcher.idle()
    assert len(agent.procore.api.seen) == 8
    entry = await agent.journal.find("late")
    assert entry is not None
    assert entry.outcome is Outcome.NOT_EXECUTED


async def test_what_was_partly_carried_out_did_not_do_nothing(agent: Bench) -> None:
    agent.executor.writes = 2
    agent.procore.api.then(CREATED, Reply(status=429, headers={"retry-after": "60"}))
    answer = await agent.call(Operation.CREATE, RFIS, b"{}", call_id="one")
    assert answer.problem.code == "rate_limited"
    assert answer.problem.outcome is Outcome.UNKNOWN
    assert answer.head.outcome is Outcome.UNKNOWN


async def test_a_throttled_write_was_not_executed(agent: Bench) -> None:
    agent.executor.failure = RateLimitedError("Full.", retry_after=9.0)
    answer = await agent.call(Operation.CREATE, RFIS, b"{}", call_id="one")
    assert answer.head.outcome is Outcome.NOT_EXECUTED
    assert answer.problem.retry_after == 9.0


async def test_a_query_that_writes_is_a_write(agent: Bench) -> None:
    agent.procore.api.then(CREATED)
    first = await agent.call(Operation.QUERY, {}, query("insert"), call_id="one")
    again = await agent.call(Operation.QUERY, {}, query("insert"), call_id="one")
    assert first.body == again.body == b'{"id":7}\n'
    assert first.head.total_items == 1
    assert again.head.replayed
    assert len(agent.procore.api.seen) == 1


async def test_without_a_journal_nothing_is_written(
    agent: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise JournalUnavailableError("Disk full.")

    monkeypatch.setattr(agent.journal, "intend", broken)
    answer = await agent.call(Operation.CREATE, RFIS, b"{}", call_id="one")
    assert (answer.head.status, answer.problem.code) == (503, "journal_unavailable")
    assert answer.head.outcome is Outcome.NOT_EXECUTED
    assert "Disk full" in answer.problem.detail
    monkeypatch.setattr(agent.journal, "receive", broken)
    answer = await agent.call(Operation.CREATE, RFIS, b"{}", call_id="two")
    assert answer.head.outcome is Outcome.NOT_EXECUTED
    assert not agent.procore.api.seen
    monkeypatch.setattr(agent.journal, "find", broken)
    answer = await agent.call(Operation.JOURNAL, {"call_id": "two"})
    assert (answer.head.status, answer.head.outcome) == (503, None)


async def test_a_disk_that_fills_before_the_first_byte_leaves_the_write_not_executed(
    agent: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise JournalUnavailableError("Disk full.", outcome=Outcome.UNKNOWN)

    async def refused(*_: object, **__: object) -> None:
        raise JournalUnavailableError("Disk full.")

    monkeypatch.setattr(agent.journal, "intend", refused)
    monkeypatch.setattr(agent.journal, "finish", broken)
    answer = await agent.call(Operation.CREATE, RFIS, b"{}", call_id="one")
    assert answer.problem.code == "journal_unavailable"
    assert answer.head.outcome is Outcome.NOT_EXECUTED
    assert not agent.procore.api.seen


async def test_a_result_that_cannot_be_recorded_is_unknown(
    agent: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise JournalUnavailableError("Disk full.")

    monkeypatch.setattr(agent.journal, "finish", broken)
    answer = await agent.call(Operation.CREATE, RFIS, b"{}", call_id="one")
    assert answer.problem.code == "outcome_unknown"
    assert "Disk full" in answer.problem.detail
    answer = await agent.call(Operation.CREATE, RFIS, b"{}", call_id="one")
    assert answer.problem.code == "outcome_unknown"
    assert len(agent.procore.api.seen) == 1


async def test_a_restart_keeps_what_is_certain(tmp_path: Path) -> None:
    async with bench(tmp_path, linger=lambda: 0.0) as agent:
        agent.procore.api.then(Reply(delay=5))
        await agent.start(Operation.CREATE, RFIS, b"{}", call_id="started")
        await until(lambda: len(agent.procore.api.seen) == 1)
        await agent.journal.receive("received", operation="x", fingerprint="y")
    async with bench(tmp_path) as agent:
        answer = await agent.call(Operation.CREATE, RFIS, b"{}", call_id="started")
        assert answer.problem.code == "outcome_unknown"
        assert answer.head.replayed
        answer = await agent.call(Operation.JOURNAL, {"call_id": "received"})
        assert answer.head.outcome is Outcome.NOT_EXECUTED
        assert not agent.procore.api.seen


async def test_closing_waits_for_a_started_write(tmp_path: Path) -> None:
    async with bench(tmp_path) as agent:
        agent.procore.api.then(Reply(status=201, delay=0.2))
        exchange = await agent.start(Operation.CREATE, RFIS, b"{}", call_id="one")
        await until(lambda: len(agent.procore.api.seen) == 1)
        await agent.hang_up(exchange)
    async with bench(tmp_path) as agent:
        answer = await agent.call(Operation.JOURNAL, {"call_id": "one"})
        assert answer.head.outcome is Outcome.COMPLETED


async def test_a_bug_after_the_first_byte_is_unknown(
    agent: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = agent.executor._ask

    async def ask(*args: object) -> dict[str, object]:
        await original(*args)  # type: ignore[arg-type]
        raise ZeroDivisionError

    monkeypatch.setattr(agent.executor, "_ask", ask)
    answer = await agent.call(Operation.CREATE, RFIS, b"{}", call_id="one")
    assert answer.problem.code == "internal_error"
    assert answer.head.outcome is Outcome.UNKNOWN


async def test_an_error_that_is_unknown_stays_unknown(agent: Bench) -> None:
    agent.executor.failure = OutcomeUnknownError("Nobody knows.")
    answer = await agent.call(Operation.CREATE, RFIS, b"{}")
    assert answer.head.outcome is Outcome.UNKNOWN


def query(action: str) -> bytes:
    extra = b'"mappings":{"subject":"x"}' if action == "insert" else b'"fields":["id"]'
    return b'{"action":"%s","info":{"name":"rfis"},%s}' % (action.encode(), extra)


SEED = {"seed": "0123456789abcdef"}


async def test_upsert_of_unknown_outcome_is_carried_out_again_when_told_so(agent: Bench) -> None:
    agent.executor.upserted = {"rfis"}
    agent.executor.failure = OutcomeUnknownError("No answer came.")
    first = await agent.call(Operation.CREATE, {**RFIS, **SEED}, b"{}", call_id="one")
    assert first.head.outcome is Outcome.UNKNOWN
    agent.executor.failure = None
    same = await agent.call(Operation.CREATE, {**RFIS, **SEED}, b"{}", call_id="one")
    assert (same.head.outcome, same.head.replayed) == (Outcome.UNKNOWN, True)
    agent.procore.api.then(CREATED)
    again = {**RFIS, **SEED, "again": True}
    told = await agent.call(Operation.CREATE, again, b"{}", call_id="one")
    assert (told.head.outcome, told.head.status) == (Outcome.COMPLETED, 201)
    agent.executor.failure = OutcomeUnknownError("Must not be asked.")
    replayed = await agent.call(Operation.CREATE, again, b"{}", call_id="one")
    assert (replayed.json, replayed.head.replayed) == ({"id": 7}, True)
    entry = await agent.journal.find("one")
    assert entry is not None
    assert (entry.state, entry.outcome) == (JournalState.DONE, Outcome.COMPLETED)


@pytest.mark.parametrize(
    "failure",
    [
        RateLimitedError("Later.", retry_after=1),
        SourceRejectedError("origin_id has already been taken", status=422),
    ],
)
async def test_repeat_that_was_not_carried_out_leaves_the_first_one_in_doubt(
    agent: Bench, failure: CloudConnectError
) -> None:
    agent.executor.upserted = {"rfis"}
    agent.executor.failure = failure
    again = {**RFIS, **SEED, "again": True}
    answer = await agent.call(Operation.CREATE, again, b"{}", call_id="one")
    assert answer.head.outcome is Outcome.UNKNOWN
    entry = await agent.journal.find("one")
    assert entry is not None
    assert entry.outcome is Outcome.UNKNOWN


async def test_repeat_of_what_is_no_upsert_is_refused(agent: Bench) -> None:
    agent.executor.upserted = {"vendors"}
    asked = [
        (Operation.CREATE, {**RFIS, **SEED, "again": True}),
        (Operation.CREATE, {"resource": "vendors", "again": True}),
        (Operation.UPDATE, {"resource": "vendors", **SEED, "again": True}),
    ]
    for operation, params in asked:
        answer = await agent.call(operation, params, b"{}", call_id="one")
        assert answer.head.problem is not None
        assert answer.head.problem.code == "unsupported_operation"
    assert agent.procore.api.seen == []
