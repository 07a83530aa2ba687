"""A hostile relay and the signatures of its caller: it may pass them on, and nothing else."""

import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from cloud_connect.call_signatures import SIGNATURE_HEADER, CallSignature, SignableCall, sign_call
from cloud_connect.calls import Operation
from cloud_connect.errors import Outcome
from cloud_connect.signing import SigningKey, to_text
from cloud_connect_agent.journal import Journal
from cloud_connect_agent.policy import PolicyClass, Verb
from cloud_connect_agent.strong_calls import StrongCalls
from cloud_connect_agent.strong_modes import SignatureRules, StrongModes
from doubles.agent_bench import PARAMS, Answered, Bench, bench
from doubles.fake_procore import Reply
from doubles.hostile_relay import CONNECTOR_ID, Answer, open_siege
from doubles.observing import until

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


def insist(home: Path) -> None:
    """Have the policy of a PC ask for signatures under writes."""
    policy = home / "policy.toml"
    keys = f'\n[signatures]\nrequire = "writes"\nkeys = ["{to_text(KEY.public_key)}"]\n'
    policy.write_text(policy.read_text() + keys)


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


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.catalogue("T109")
async def test_what_a_relay_makes_of_a_signed_call_is_not_carried_out(tmp_path: Path) -> None:
    async with open_siege(tmp_path, policy=PolicyClass.READ_WRITE) as siege:
        insist(siege.agent.home)
        scope = {"scope": {"project_id": str(siege.project_id)}}
        params = {"resource": "punch_items", **scope}
        body = orjson.dumps({"name": "the signed marker"})
        call = SignableCall(
            operation=Operation.CREATE, params={"source": siege.source, **params}, body=body
        )
        good = signed(call, connector_id=CONNECTOR_ID)
        other = {**siege.source, "company_id": siege.company_id + 1}

        async def executions() -> int:
            async with httpx.AsyncClient(trust_env=False) as client:
                url = f"{siege.simulator.ready['admin_url']}/ledger"
                items = (await client.get(url)).json()["items"]
            return sum(one["method"] not in {"GET", "HEAD"} for one in items)

        before = await executions()  # signing in is one, too
        async with siege.relay.session() as session:

            async def send(
                headers: tuple[tuple[str, str], ...],
                *,
                operation: str = Operation.CREATE,
                told: bytes = body,
                call_id: str | None = None,
                **more: Any,
            ) -> Answer:
                return await siege.call(
                    session, operation, {**params, **more}, told, headers=headers, call_id=call_id
                )

            rehearsal = {**params, "verb": "create"}
            known = signed(
                SignableCall(
                    operation=Operation.DRY_RUN,
                    params={"source": siege.source, **rehearsal},
                    body=body,
                ),
                connector_id=CONNECTOR_ID,
            )

            async def pinned() -> bool:
                told = await siege.call(session, Operation.DRY_RUN, rehearsal, body, headers=known)
                return told.status == 200

            await until(pinned, within=30, what="the agent reads its policy again")
            expired = signed(call, connector_id=CONNECTOR_ID, ahead=-600)
            attempts = {
                "altered body": await send(good, told=body.replace(b"the", b"a")),
                "another method": await send(good, operation=Operation.UPDATE, record_id="7"),
                "another company": await send(good, source=other),
                "another call id": await send(renumbered(good)),
                "expired": await send(expired),
                "another connector's": await send(signed(call, connector_id="conn_other")),
                "unsigned": await send(()),
            }
            codes = {name: one.problem and one.problem.code for name, one in attempts.items()}
            assert codes == dict.fromkeys(attempts, "policy_denied")
            assert await executions() == before
            valid = await send(good, call_id="call-first")
            assert valid.status == 201
            replayed = await send(good, call_id="call-second")
            assert replayed.problem is not None
            assert "presented before, as call-first" in replayed.problem.detail
            assert (await send(good, call_id="call-first")).status == 201  # its stored answer
            assert await executions() == before + 1
        await siege.agent.program.restart()
        async with siege.relay.session() as session:  # the next process knows the number, too
            again = await siege.call(session, Operation.CREATE, params, body, headers=good)
        assert again.status == 403
        assert await executions() == before + 1


async def test_a_number_is_used_up_for_the_next_process_too(tmp_path: Path) -> None:
    headers = signed()
    async with opened(tmp_path) as agent:
        assert (await create(agent, headers, call_id="call-first")).head.status == 201
    async with opened(tmp_path) as agent:
        again = await create(agent, headers, call_id="call-second")
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
    rehearsed = await agent.call(Operation.DRY_RUN, {**RFI, "verb": "create"}, b"{}")
    assert rehearsed.head.status == 200


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
