"""Calls for records as a relay sees them: dry runs, many creations, ceilings."""

from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest

from cloud_connect.calls import Operation
from cloud_connect.errors import Outcome, SourceUnavailableError
from cloud_connect_agent.policy import Ceiling, Verb
from doubles.agent_bench import Bench, bench

RFIS = {"resource": "rfis"}
TWO = b'[{"subject":"A"},{"subject":"B"}]'
INSERT = {"action": "insert", "info": {"name": "rfis"}, "mappings": {"subject": "A"}}


@pytest.fixture
async def agent(tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench(tmp_path) as made:
        yield made


async def test_list_of_records_is_created_with_a_result_for_each(agent: Bench) -> None:
    agent.executor.last_status = "failed"
    answer = await agent.call(Operation.CREATE, RFIS, TWO, call_id="one")
    assert (answer.head.status, answer.head.outcome) == (200, Outcome.COMPLETED)
    assert answer.head.total_items == 2
    assert answer.json == {
        "items": [{"index": 0, "status": "created"}, {"index": 1, "status": "failed"}],
        "count": 2,
        "failed": 1,
    }
    again = await agent.call(Operation.CREATE, RFIS, TWO, call_id="one")
    assert again.head.replayed
    assert again.json == answer.json
    assert [seen.method for seen in agent.procore.api.seen] == ["POST"]


async def test_record_of_unknown_outcome_leaves_the_call_unknown(agent: Bench) -> None:
    agent.executor.last_status = "unknown"
    answer = await agent.call(Operation.CREATE, RFIS, TWO, call_id="one")
    assert (answer.head.status, answer.head.outcome) == (200, Outcome.UNKNOWN)
    assert answer.json["failed"] == 1
    known = await agent.call(Operation.JOURNAL, {"call_id": "one"})
    assert known.head.outcome is Outcome.UNKNOWN
    assert known.json == answer.json


@pytest.mark.parametrize(
    ("verb", "body", "records"),
    [
        ("create", b'{"subject":"A"}', 1),
        ("create", TWO, 2),
        ("update", b'{"subject":"A"}', 1),
        ("delete", None, 0),
    ],
)
async def test_dry_run_is_answered_without_a_write(
    agent: Bench, verb: str, body: bytes | None, records: int
) -> None:
    answer = await agent.call(Operation.DRY_RUN, {**RFIS, "verb": verb}, body, call_id="one")
    assert answer.json == {
        "dryRun": True,
        "count": 1,
        "message": "Nothing was written.",
        "items": [{"would": f"records.{verb}", "records": records}],
    }
    assert answer.head.outcome is Outcome.COMPLETED
    assert await agent.journal.find("one") is None
    assert [seen.method for seen in agent.procore.api.seen] == ["GET"]
    assert [access.verb for access in agent.policy.asked] == [Verb.READ, Verb(verb)]


@pytest.mark.parametrize("refused", [Verb.READ, Verb.UPDATE])
async def test_dry_run_needs_leave_for_the_write_and_the_read(agent: Bench, refused: Verb) -> None:
    agent.policy.refused = {refused}
    answer = await agent.call(Operation.DRY_RUN, {**RFIS, "verb": "update"}, b"{}")
    assert answer.problem.code == "policy_denied"
    assert not agent.procore.api.seen


@pytest.mark.parametrize(
    ("operation", "more"), [(Operation.QUERY, {"dryRun": True}), (Operation.QUERY_DRY_RUN, {})]
)
async def test_query_is_rehearsed_on_either_way(
    agent: Bench, operation: Operation, more: dict[str, object]
) -> None:
    body = orjson.dumps({**INSERT, **more})
    answer = await agent.call(operation, {}, body, call_id="one")
    assert answer.head.message == "1 record would be created."
    assert answer.head.total_items == 1
    assert answer.body == b'{"id":1}\n'
    assert await agent.journal.find("one") is None
    assert not agent.procore.api.seen


async def test_failure_of_a_dry_run_is_told(agent: Bench) -> None:
    agent.executor.failure = SourceUnavailableError("Procore is away.")
    answer = await agent.call(Operation.DRY_RUN, {**RFIS, "verb": "delete"})
    assert answer.problem.code == "source_unavailable"
    assert answer.problem.outcome is Outcome.NOT_EXECUTED


async def test_ceiling_of_the_policy_reaches_whatever_writes(agent: Bench) -> None:
    agent.policy.ceiling = Ceiling(records=7, rule="small")
    for operation, params, body in (
        (Operation.CREATE, RFIS, TWO),
        (Operation.DRY_RUN, {**RFIS, "verb": "create"}, TWO),
        (Operation.QUERY, {"seed": "0123456789abcdef"}, orjson.dumps(INSERT)),
    ):
        agent.executor.ceiling = None
        await agent.call(operation, params, body)
        assert agent.executor.ceiling == agent.policy.ceiling
    assert agent.executor.seed == "0123456789abcdef"
