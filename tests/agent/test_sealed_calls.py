"""Sealed calls at the connector: opened, held to what stands outside, answered inside."""

import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest

from cloud_connect.calls import Operation
from cloud_connect.errors import JournalUnavailableError, Outcome, SourceUnavailableError
from cloud_connect.sealing import (
    SEALED_TYPE,
    AnswerOpener,
    Part,
    SealedHead,
    SealingKey,
    seal_request,
)
from cloud_connect.tunnel import Problem
from cloud_connect_agent.journal import Journal
from cloud_connect_agent.strong_calls import StrongCalls
from cloud_connect_agent.strong_modes import SealingRules, StrongModes
from doubles.agent_bench import PARAMS, Answered, Bench, bench
from doubles.fake_procore import Reply

CONNECTOR = "conn_this"
KEY = SealingKey.generate()
RFIS = {"resource": "rfis"}
BODY = b'{"subject":"A new door"}'
SEALED_HEADERS = (("content-type", SEALED_TYPE),)


@dataclass
class Caller:
    """Seals calls, and opens what comes back."""

    agent: Bench
    key: SealingKey = field(default_factory=SealingKey.generate)
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(32))

    def seal(
        self, operation: str, body: bytes = b"", *, writes: bool = False, **more: object
    ) -> bytes:
        head = {
            "operation": operation,
            "params": {**PARAMS, **RFIS},
            "answer_key": self.key.public_key,
            "secret": self.secret,
            "expires_at": int(time.time()) + 60,
            **more,
        }
        return seal_request(
            SealedHead.model_validate(head),
            body,
            connector_id=CONNECTOR,
            connector_key=KEY.public_key,
            writes=writes,
        )

    async def call(
        self, operation: str, body: bytes = b"", *, writes: bool = False, **more: object
    ) -> Answered:
        sealed = self.seal(operation, body, writes=writes, **more)
        return await self.agent.call(Operation.SEALED, {"writes": writes}, sealed)

    def open(self, answer: Answered) -> tuple[dict[str, Any], bytes, dict[str, Any]]:
        """Return the head, the body and the trailers inside."""
        opener = AnswerOpener(self.key, self.secret, connector_id=CONNECTOR)
        parts = opener.feed(answer.body)
        opener.close()
        assert parts[0][0] is Part.HEAD
        body = b"".join(data for part, data in parts if part is Part.DATA)
        return orjson.loads(parts[0][1]), body, orjson.loads(parts[-1][1])

    def problem(self, answer: Answered) -> Problem:
        """Return the refusal inside, of which nothing stands outside."""
        assert answer.head.problem is None
        assert answer.head.headers == SEALED_HEADERS
        return Problem.model_validate(self.open(answer)[0]["problem"])


def taking(journal: Journal, *, sealing: str = "none") -> StrongCalls:
    rules = StrongModes(sealing=SealingRules.model_validate({"require": sealing}))
    return StrongCalls(journal, rules=lambda: rules, connector_id=CONNECTOR, key=KEY)


@pytest.fixture
async def agent(tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench(tmp_path, strong=taking) as made:
        yield made


@pytest.fixture
def caller(agent: Bench) -> Caller:
    return Caller(agent)


def executed(agent: Bench) -> int:
    return sum(request.method != "GET" for request in agent.procore.api.seen)


async def test_rows_come_sealed_with_what_is_told_behind_them(agent: Bench, caller: Caller) -> None:
    agent.executor.batches = [[{"id": number, "text": "x" * 1000} for number in range(200)]]
    answer = await caller.call(Operation.LIST)
    head, body, trailers = caller.open(answer)
    assert body.count(b"\n") == 200
    assert head["status"] == answer.head.status == 200
    assert (trailers["total_items"], trailers["paging"]) == (2, "next")
    assert answer.trailers is not None
    assert (answer.trailers.total_items, answer.trailers.paging) == (None, None)
    assert answer.trailers.outcome is Outcome.COMPLETED
    assert b"xxx" not in answer.body


async def test_rows_that_break_off_say_why_inside(agent: Bench, caller: Caller) -> None:
    agent.executor.broken_off = SourceUnavailableError("Procore went away.")
    answer = await caller.call(Operation.LIST)
    assert answer.trailers is not None
    assert answer.trailers.problem is None
    assert caller.open(answer)[2]["problem"]["detail"] == "Procore went away."


async def test_a_raw_answer_comes_sealed_to_its_end(agent: Bench, caller: Caller) -> None:
    agent.procore.api.then(Reply(body={"id": 7}))
    params = {**PARAMS, "method": "GET", "target": "rest/v1.0/me"}
    answer = await caller.call(Operation.PASSTHROUGH, params=params)
    assert orjson.loads(caller.open(answer)[1]) == {"id": 7}


async def test_a_write_is_answered_and_kept_so_that_the_relay_cannot_read_it(
    agent: Bench, caller: Caller
) -> None:
    agent.procore.api.then(Reply(status=201, body={"id": 7, "subject": "A new door"}))
    answer = await caller.call(Operation.CREATE, BODY, writes=True)
    assert caller.open(answer)[0]["status"] == answer.head.status == 201
    asked = await agent.call(Operation.JOURNAL, {"call_id": "call-1"})
    assert asked.head.headers == SEALED_HEADERS
    assert asked.head.outcome is Outcome.COMPLETED
    assert b"door" not in asked.body
    head, body, _ = caller.open(asked)
    assert head["status"] == 201
    assert b"door" in body
    entry = await agent.journal.find("call-1")
    assert entry is not None
    assert b"door" not in (entry.head or b"") + (entry.body or b"")


async def test_a_long_raw_answer_to_a_write_is_streamed_sealed_and_not_kept(
    agent: Bench, caller: Caller
) -> None:
    agent.procore.api.then(Reply(status=201, body={"text": "x" * 600_000}))
    params = {**PARAMS, "method": "POST", "target": "rest/v1.0/rfis"}
    answer = await caller.call(Operation.PASSTHROUGH, BODY, writes=True, params=params)
    assert len(caller.open(answer)[1]) > 600_000
    assert b"xxxx" not in answer.body
    entry = await agent.journal.find("call-1")
    assert entry is not None
    assert entry.body is None
    assert b"xxxx" not in (entry.head or b"")


async def test_reads_go_on_where_the_journal_takes_no_writes(
    agent: Bench, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(_: Journal, nonce: str, call_id: str) -> None:
        raise JournalUnavailableError(f"No room for {nonce} of {call_id}.")

    monkeypatch.setattr(Journal, "claim", full)
    query = b'{"action":"select","info":{"name":"rfis"}}'
    answer = await caller.call(Operation.QUERY, query, writes=True, params=PARAMS)
    assert caller.open(answer)[0]["status"] == 200
    refused = await caller.call(Operation.CREATE, BODY, writes=True)
    assert caller.problem(refused).code == "journal_unavailable"
    assert executed(agent) == 0


async def test_a_sealed_write_that_comes_again_is_not_carried_out_again(
    agent: Bench, caller: Caller
) -> None:
    sealed = caller.seal(Operation.CREATE, BODY, writes=True)
    first = await agent.call(Operation.SEALED, {"writes": True}, sealed, call_id="a")
    again = await agent.call(Operation.SEALED, {"writes": True}, sealed, call_id="a")
    assert caller.open(again)[1] == caller.open(first)[1]
    assert again.head.replayed
    other = await agent.call(Operation.SEALED, {"writes": True}, sealed, call_id="b")
    assert caller.problem(other).code == "policy_denied"
    assert executed(agent) == 1


async def test_another_sealed_call_under_the_same_id_does_not_get_the_answer(
    agent: Bench, caller: Caller
) -> None:
    sealed = caller.seal(Operation.CREATE, BODY, writes=True)
    await agent.call(Operation.SEALED, {"writes": True}, sealed, call_id="a")
    relay = Caller(agent)  # that has guessed what was inside
    guess = relay.seal(Operation.CREATE, BODY, writes=True)
    answer = await agent.call(Operation.SEALED, {"writes": True}, guess, call_id="a")
    assert relay.problem(answer).code == "idempotency_mismatch"


async def test_a_refusal_of_procore_is_told_and_kept_inside(agent: Bench, caller: Caller) -> None:
    agent.procore.api.then(Reply(status=422, body={"errors": {"subject": ["is a canary"]}}))
    answer = await caller.call(Operation.CREATE, BODY, writes=True)
    assert caller.problem(answer).code == "source_rejected"
    assert answer.head.status == 422
    told = await agent.call(Operation.JOURNAL, {"call_id": "call-1"})
    assert told.head.problem is None
    assert b"canary" not in told.body


async def test_what_is_sealed_as_a_read_cannot_write(agent: Bench, caller: Caller) -> None:
    answer = await caller.call(Operation.CREATE, BODY)
    assert caller.problem(answer).code == "policy_denied"
    assert answer.head.outcome is Outcome.NOT_EXECUTED
    told_otherwise = await agent.call(
        Operation.SEALED, {"writes": True}, caller.seal(Operation.CREATE, BODY)
    )
    assert told_otherwise.problem.code == "invalid_request"
    assert executed(agent) == 0


@pytest.mark.parametrize(
    ("inside", "code"),
    [
        ({"operation": Operation.JOURNAL}, "unsupported_operation"),
        ({"operation": Operation.SEALED}, "unsupported_operation"),
        ({"operation": Operation.UPLOAD}, "unsupported_operation"),
        ({"params": {"source": {"company_id": 99, "environment": "live"}}}, "invalid_request"),
        ({"params": {"source": {"company_id": "x"}}}, "invalid_request"),
        ({"expires_at": 0}, "policy_denied"),
        ({"expires_at": 2**40}, "policy_denied"),
    ],
)
async def test_what_cannot_be_inside_is_refused_outside(
    caller: Caller, inside: dict[str, Any], code: str
) -> None:
    answer = await caller.call(**{"operation": Operation.GET.value, **inside})
    assert answer.problem.code == code
    assert answer.head.outcome is Outcome.NOT_EXECUTED


async def test_what_is_not_sealed_to_this_connector_is_refused(
    agent: Bench, caller: Caller
) -> None:
    for body in (b"", b"\x01" + bytes(100), caller.seal(Operation.GET)[:-1]):
        answer = await agent.call(Operation.SEALED, {"writes": False}, body)
        assert answer.problem.code == "invalid_request"


async def test_a_connector_without_a_key_takes_no_sealed_calls(tmp_path: Path) -> None:
    async with bench(tmp_path) as agent:
        answer = await agent.call(Operation.SEALED, {"writes": False}, b"x")
        assert answer.problem.code == "unsupported_operation"


async def test_calls_must_be_sealed_where_the_policy_says_so(tmp_path: Path) -> None:
    async with bench(tmp_path, strong=lambda journal: taking(journal, sealing="all")) as agent:
        plain = await agent.call(Operation.GET, RFIS)
        assert "not sealed" in plain.problem.detail
        caller = Caller(agent)
        assert caller.open(await caller.call(Operation.GET))[0]["status"] == 200


async def test_what_the_relay_says_of_a_call_is_not_taken_from_inside(
    agent: Bench, caller: Caller
) -> None:
    params = {**PARAMS, **RFIS, "again": True, "replay_only": True, "seed": "0" * 32}
    answer = await caller.call(Operation.CREATE, BODY, writes=True, params=params)
    assert caller.open(answer)[0]["status"] == 201
    assert executed(agent) == 1
