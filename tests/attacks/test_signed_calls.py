"""A hostile relay and the signatures of its caller: it may pass them on, and nothing else."""

import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path

import pytest

from cloud_connect.call_signatures import SIGNATURE_HEADER, CallSignature, SignableCall, sign_call
from cloud_connect.calls import Operation
from cloud_connect.errors import Outcome
from cloud_connect.signing import SigningKey, to_text
from cloud_connect_agent.journal import Journal
from cloud_connect_agent.policy import Verb
from cloud_connect_agent.strong_calls import StrongCalls
from cloud_connect_agent.strong_modes import SignatureRules, StrongModes
from doubles.agent_bench import PARAMS, Answered, Bench, bench
from doubles.fake_procore import Reply

CONNECTOR = "conn_this"
KEY = SigningKey.generate()
STRANGER = SigningKey.generate()
BODY = b'{"subject":"A new door"}'
RFI = {"resource": "rfis", "scope": {"project_id": "12"}}
CREATE = SignableCall(operation=Operation.CREATE, params={**PARAMS, **RFI}, body=BODY)


def insisting(journal: Journal, *, require: str = "writes") -> StrongCalls:
    rules = SignatureRules.model_validate({"require": require, "keys": [to_text(KEY.public_key)]})
    return StrongCalls(journal, rules=lambda: StrongModes(signatures=rules), connector_id=CONNECTOR)


def opened(folder: Path) -> AbstractAsyncContextManager[Bench]:
    return bench(folder, strong=insisting)


@pytest.fixture
async def agent(tmp_path: Path) -> AsyncIterator[Bench]:
    async with opened(tmp_path) as made:
        yield made


def signed(
    call: SignableCall = CREATE,
    *,
    key: SigningKey = KEY,
    connector_id: str = CONNECTOR,
    ahead: float = 0.0,
) -> tuple[tuple[str, str], ...]:
    signature = sign_call(
        key, call, connector_id=connector_id, wall_clock=lambda: time.time() + ahead
    )
    return ((SIGNATURE_HEADER, signature.header()),)


def renumbered(headers: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    signature = CallSignature.parse(headers[0][1])
    return ((SIGNATURE_HEADER, replace(signature, nonce=bytes(16)).header()),)


async def create(agent: Bench, headers: tuple[tuple[str, str], ...], **more: object) -> Answered:
    params = {**RFI, **more}
    call_id = params.pop("call_id", None)
    body = params.pop("body", BODY)
    operation = params.pop("operation", Operation.CREATE)
    assert call_id is None or isinstance(call_id, str)
    assert isinstance(body, bytes)
    assert isinstance(operation, str)
    return await agent.call(operation, params, body, headers=headers, call_id=call_id)


def executed(agent: Bench) -> int:
    return sum(request.method != "GET" for request in agent.procore.api.seen)


@pytest.mark.catalogue("T109")
async def test_what_a_relay_makes_of_a_signed_call_is_not_carried_out(tmp_path: Path) -> None:
    async with opened(tmp_path) as agent:
        good = signed()
        attempts = {
            "altered body": await create(agent, good, body=b'{"subject":"No door"}'),
            "another method": await create(agent, good, operation=Operation.UPDATE, record_id="7"),
            "another company": await create(
                agent, good, source={"company_id": 99, "environment": "developer_sandbox"}
            ),
            "another call id": await create(agent, renumbered(good)),
            "expired": await create(agent, signed(ahead=-600)),
            "another connector's": await create(agent, signed(connector_id="conn_other")),
        }
        assert {name: one.problem.code for name, one in attempts.items()} == dict.fromkeys(
            attempts, "policy_denied"
        )
        assert {one.head.outcome for one in attempts.values()} == {Outcome.NOT_EXECUTED}
        assert executed(agent) == 0
        valid = await create(agent, good, call_id="call-first")
        assert valid.head.status == 201
        assert executed(agent) == 1
        replayed = await create(agent, good, call_id="call-second")
        assert replayed.problem.code == "policy_denied"
        assert "presented before, as call-first" in replayed.problem.detail
        same_id = await create(agent, good, call_id="call-first")
        assert same_id.head.replayed
        assert executed(agent) == 1
    async with opened(tmp_path) as agent:  # the number is used up for the next process, too
        again = await create(agent, good, call_id="call-third")
        assert again.problem.code == "policy_denied"
        assert executed(agent) == 0


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ((), "not signed by a key"),
        (signed(key=STRANGER), "by no key that is pinned"),
        (signed(ahead=3600), "longer than 300"),
    ],
)
async def test_a_write_that_nobody_known_has_signed_is_refused(
    agent: Bench, headers: tuple[tuple[str, str], ...], words: str
) -> None:
    answer = await create(agent, headers)
    assert answer.problem.code == "policy_denied"
    assert words in answer.problem.detail
    assert executed(agent) == 0


async def test_malformed_and_double_signatures_are_refused(agent: Bench) -> None:
    for headers in (((SIGNATURE_HEADER, "v1.nonsense"),), signed() + signed()):
        answer = await create(agent, headers)
        assert answer.problem.code == "invalid_request"
    assert executed(agent) == 0


async def test_reads_need_no_signature_where_only_writes_do(agent: Bench) -> None:
    assert (await agent.call(Operation.GET, {"resource": "rfis"})).head.status == 200
    assert (await agent.call(Operation.DRY_RUN, {**RFI, "verb": "create"}, b"{}")).problem.code == (
        "policy_denied"
    )


async def test_reads_need_one_where_the_policy_says_so(tmp_path: Path) -> None:
    async with bench(tmp_path, strong=lambda journal: insisting(journal, require="all")) as agent:
        read = SignableCall(operation=Operation.GET, params={**PARAMS, "resource": "rfis"})
        unsigned = await agent.call(Operation.GET, {"resource": "rfis"})
        assert unsigned.problem.code == "policy_denied"
        for _ in range(2):  # a read may come twice: it changes nothing
            answer = await agent.call(Operation.GET, {"resource": "rfis"}, headers=signed(read))
            assert answer.head.status == 200


async def test_a_raw_call_is_signed_with_the_headers_that_steer_procore(agent: Bench) -> None:
    params = {"method": "POST", "target": "rest/v1.0/rfis"}
    call = SignableCall(
        operation=Operation.PASSTHROUGH,
        params={**PARAMS, **params},
        headers=(("Content-Type", "application/json"), ("accept", "*/*")),
        body=BODY,
    )
    signature = signed(call)
    stripped = await agent.call(Operation.PASSTHROUGH, params, BODY, headers=signature)
    assert stripped.problem.code == "policy_denied"
    whole = (("content-type", "application/json"), *signature)
    answer = await agent.call(Operation.PASSTHROUGH, params, BODY, headers=whole)
    assert answer.head.status == 200
    assert executed(agent) == 1


async def test_a_number_whose_call_was_refused_may_be_presented_again(agent: Bench) -> None:
    headers = signed()
    agent.policy.refused.add(Verb.CREATE)
    assert (await create(agent, headers)).problem.code == "policy_denied"
    agent.policy.refused.clear()
    agent.procore.api.then(Reply(status=429, headers={"retry-after": "600"}))
    limited = await create(agent, headers)
    assert limited.problem.outcome is Outcome.NOT_EXECUTED
    assert (await create(agent, headers)).head.status in {201, 429}
