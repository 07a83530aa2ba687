"""Signing a PC in through the relay, as its dispatcher sees it."""

import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from cloud_connect.calls import Operation
from cloud_connect_agent.policy import Verb
from cloud_connect_agent.procore.scheduler import Grant
from doubles.agent_bench import Answered, Bench, bench
from doubles.fake_procore import SANDBOX, SOURCE, Reply
from doubles.rotating_login import RotatingLogin

CALLBACK = "https://relay.example.com/oauth/callback"


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench(tmp_path) as made:
        yield made


@pytest.fixture
def login(desk: Bench) -> RotatingLogin:
    return RotatingLogin().on(desk.procore)


async def begin(desk: Bench, redirect_uri: str = CALLBACK) -> Answered:
    return await desk.call(Operation.AUTHORIZE, {"redirect_uri": redirect_uri})


async def state(desk: Bench) -> str:
    answered = await begin(desk)
    url = str(json.loads(answered.body)["authorize_url"])
    return parse_qs(urlsplit(url).query)["state"][0]


async def redeem(desk: Bench, state: str, code: str = "code-1", **more: Any) -> Answered:
    body = json.dumps({"code": code, "state": state}).encode()
    return await desk.call(Operation.REDEEM, None, body, **more)


def problem(answered: Answered) -> tuple[str, str]:
    assert answered.head.problem is not None
    return answered.head.problem.code, answered.head.problem.detail


async def test_the_relay_gets_an_address_and_nothing_that_redeems(desk: Bench) -> None:
    answered = await begin(desk)
    assert list(json.loads(answered.body)) == ["authorize_url"]
    assert b"s3cret" not in answered.body
    assert b"verifier" not in answered.body
    (pending,) = desk.dispatcher._authorizing._pending.values()
    assert pending.authorization.verifier.encode() not in answered.body


async def test_a_code_that_comes_back_signs_the_pc_in(desk: Bench, login: RotatingLogin) -> None:
    answered = await redeem(desk, await state(desk))
    assert json.loads(answered.body)["login"] == "ann@example.com"
    assert login.forms[-1]["redirect_uri"] == CALLBACK
    token = await desk.client.authenticator.token(SANDBOX, SOURCE.company_id)
    assert token.header == b"Bearer access-1"
    assert token.header.removeprefix(b"Bearer ") not in answered.body
    assert b"refresh" not in answered.body


async def test_a_company_that_refused_is_asked_again_after_a_sign_in(
    desk: Bench, login: RotatingLogin
) -> None:
    del login
    grant = Grant(SANDBOX, "app", SOURCE.company_id)
    for _ in range(8):
        desk.client.circuits.answered(grant, b"/rest/v1.0/me", 401)
    assert desk.client.circuits.open_ones() != []
    await redeem(desk, await state(desk))
    assert desk.client.circuits.open_ones() == []


async def test_a_repeated_request_of_the_relay_spends_the_code_once(
    desk: Bench, login: RotatingLogin
) -> None:
    known = await state(desk)
    first = await redeem(desk, known)
    second = await redeem(desk, known)
    assert first.body == second.body
    assert login.presented["code-1"] == 1
    assert problem(await redeem(desk, known, "code-2"))[0] == "invalid_request"
    assert login.presented["code-2"] == 0


@pytest.mark.parametrize("made_up", ["x" * 43, "ü", ""])
async def test_a_state_that_was_not_begun_here_redeems_nothing(
    desk: Bench, login: RotatingLogin, made_up: str
) -> None:
    await begin(desk)
    assert problem(await redeem(desk, made_up))[0] == "invalid_request"
    assert not login.presented


async def test_a_state_of_another_company_redeems_nothing(
    desk: Bench, login: RotatingLogin
) -> None:
    known = await state(desk)
    other = SOURCE.model_copy(update={"company_id": 1}).model_dump(mode="json")
    answered = await desk.call(
        Operation.REDEEM,
        {"source": other},
        json.dumps({"code": "code-1", "state": known}).encode(),
    )
    assert problem(answered)[0] == "invalid_request"
    assert not login.presented


@pytest.mark.catalogue("T120")
async def test_a_hostile_relay_cannot_bring_another_person_in(
    desk: Bench, login: RotatingLogin
) -> None:
    await redeem(desk, await state(desk))
    login.login, login.user_id = "eve@example.com", 8
    code, detail = problem(await redeem(desk, await state(desk), "code-2"))
    assert code == "sign_in_required"
    assert "eve@example.com signed in" in detail
    assert login.revoked == ["access-2", "refresh-2"]
    (grant,) = await desk.client.authenticator.grants()
    assert grant.login == "ann@example.com"


async def test_an_attempt_ends_after_ten_minutes(tmp_path: Path) -> None:
    ahead = [0.0]
    async with bench(tmp_path, clock=lambda: time.monotonic() + ahead[0]) as desk:
        login = RotatingLogin().on(desk.procore)
        known = await state(desk)
        ahead[0] = 601
        assert "ten minutes" in problem(await redeem(desk, known))[1]
        assert not login.presented
        assert not desk.dispatcher._authorizing._pending


async def test_attempts_are_bounded(desk: Bench) -> None:
    for _ in range(64):
        await begin(desk)
    assert problem(await begin(desk))[0] == "quota_exceeded"


@pytest.mark.parametrize(
    "redirect_uri",
    [
        "http://relay.example.com/oauth/callback",
        "https://relay.example.com/other",
        "https://user@relay.example.com/oauth/callback",
        "https://relay.example.com/oauth/callback?x=1",
        "javascript:/oauth/callback",
        "https://[/oauth/callback",
    ],
)
async def test_a_code_is_not_sent_to_odd_addresses(desk: Bench, redirect_uri: str) -> None:
    assert problem(await begin(desk, redirect_uri))[0] == "invalid_request"


async def test_plain_http_is_for_a_relay_on_this_pc(desk: Bench) -> None:
    assert (await begin(desk, "http://127.0.0.1:8080/oauth/callback")).head.status == 200


async def test_the_policy_decides_whose_company_may_be_signed_in(
    desk: Bench, login: RotatingLogin
) -> None:
    known = await state(desk)
    desk.policy.refused.add(Verb.TEST)
    assert problem(await begin(desk))[0] == "policy_denied"
    assert problem(await redeem(desk, known))[0] == "policy_denied"
    assert not login.presented


async def test_the_administrator_can_switch_it_off(tmp_path: Path) -> None:
    async with bench(tmp_path, settings={"remote_authorize": False}) as desk:
        code, detail = problem(await begin(desk))
        assert code == "policy_denied"
        assert "procore login --environment developer-sandbox --grant auth" in detail


async def test_a_slow_procore_ends_the_call_and_not_the_sign_in(
    desk: Bench, login: RotatingLogin
) -> None:
    known = await state(desk)

    def slow(seen: Any) -> Reply:
        reply = login._login(seen)
        reply.delay = 0.3
        return reply

    desk.procore.login.then(slow)
    code, _ = problem(await redeem(desk, known, deadline_ms=100))
    assert code == "deadline_exceeded"
    assert json.loads((await redeem(desk, known)).body)["login"] == "ann@example.com"
    assert login.presented["code-1"] == 1
