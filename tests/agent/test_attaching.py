"""Hanging an uploaded file on a record."""

from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest

from cloud_connect.calls import Operation
from cloud_connect.errors import Outcome
from cloud_connect_agent.policy import Verb
from doubles.agent_bench import Answered, Bench, bench
from doubles.fake_procore import Reply


@pytest.fixture
async def agent(tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench(tmp_path) as made:
        yield made


def code(answer: Answered) -> str:
    assert answer.problem is not None
    return str(answer.problem.code)


ATTACH = {"resource": "punch_items", "record_id": "7", "upload": "01UUID"}


async def test_attaching_is_a_write_that_is_done_once(agent: Bench) -> None:
    agent.procore.api.default = lambda _: Reply(body={"id": 7})
    for turn in range(2):
        answer = await agent.call(Operation.ATTACH, ATTACH, call_id="call-x")
        assert (answer.head.status, answer.json) == (200, {"id": 7})
        assert answer.head.replayed is bool(turn)
    (seen,) = agent.procore.api.seen
    assert (seen.method, orjson.loads(seen.body)) == ("PATCH", {"upload_ids": ["01UUID"]})
    other = await agent.call(Operation.ATTACH, {**ATTACH, "upload": "01Y"}, call_id="call-x")
    assert code(other) == "idempotency_mismatch"


async def test_attaching_needs_the_right_to_change_the_record(agent: Bench) -> None:
    agent.policy.refused = {Verb.UPDATE}
    assert code(await agent.call(Operation.ATTACH, ATTACH)) == "policy_denied"
    answer = await agent.call(Operation.ATTACH, {**ATTACH, "resource": "folders"})
    assert code(answer) == "unsupported_operation"
    for resource in ("observation_response_logs", "specification_uploads"):
        params = {"filename": "a.pdf", "resource": resource}
        answer = await agent.call(Operation.UPLOAD, params, b"never taken in")
        assert code(answer) == "unsupported_operation"
    answer = await agent.call(Operation.ATTACH, {**ATTACH, "upload": "../x"})
    assert code(answer) == "invalid_request"
    assert agent.procore.api.seen == []


async def test_attaching_is_never_repeated_whatever_the_relay_says_of_it(agent: Bench) -> None:
    agent.procore.api.default = lambda _: Reply(status=500, body={})
    first = await agent.call(Operation.ATTACH, ATTACH, call_id="call-x")
    assert first.head.outcome is Outcome.UNKNOWN
    sent = len(agent.procore.api.seen)
    again = await agent.call(Operation.ATTACH, {**ATTACH, "again": True}, call_id="call-x")
    assert code(again) == "unsupported_operation"
    assert len(agent.procore.api.seen) == sent
