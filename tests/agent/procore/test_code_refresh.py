"""Refreshing a code grant: one presentation, durable before use, a second only at the end."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from cloud_connect.errors import (
    SignInRequiredError,
    SourceUnavailableError,
    VaultLockedError,
)
from cloud_connect_agent.procore.oauth import Authenticator
from doubles.fake_procore import SANDBOX, FakeProcore, MemoryVault, Reply
from doubles.rotating_login import GRANT_NAME as NAME
from doubles.rotating_login import REFUSED, RotatingLogin, stored
from doubles.rotating_login import sign_in_by_code as sign_in
from doubles.signing_in import Clocks, opened
from doubles.waiting import until

LOST = Reply(drop=True)


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
def login(procore: FakeProcore) -> RotatingLogin:
    return RotatingLogin().on(procore)


@pytest.fixture
async def authenticator(
    procore: FakeProcore, vault: MemoryVault, clocks: Clocks, login: RotatingLogin
) -> AsyncIterator[Authenticator]:
    assert login
    async with opened(procore, vault, clocks) as made:
        yield made


async def test_the_new_pair_is_durable_before_its_access_token_is_used(
    authenticator: Authenticator, vault: MemoryVault, clocks: Clocks
) -> None:
    await sign_in(authenticator)
    vault.history.clear()
    clocks.advance(5400 * 0.81)
    assert (await authenticator.token(SANDBOX)).header == b"Bearer access-2"
    kept = [json.loads(value) for _, value in vault.history]
    assert [(one["phase"], one["refresh_token"]) for one in kept] == [
        ("refreshing", "refresh-1"),
        ("settled", "refresh-2"),
    ]
    (grant,) = await authenticator.grants()
    assert (grant.state, grant.login) == ("ready", "ann@example.com")


async def test_fifty_rejections_of_one_token_cause_one_refresh(
    authenticator: Authenticator, login: RotatingLogin
) -> None:
    await sign_in(authenticator)
    rejected = await authenticator.token(SANDBOX)
    renewed = await asyncio.gather(*[authenticator.renew(rejected) for _ in range(50)])
    assert {token.header for token in renewed} == {b"Bearer access-2"}
    assert login.presented["refresh-1"] == 1


@pytest.mark.catalogue("T112")
async def test_two_hundred_calls_at_an_ended_token_cause_one_refresh(
    authenticator: Authenticator, login: RotatingLogin, clocks: Clocks
) -> None:
    await sign_in(authenticator)
    clocks.advance(6000)
    tokens = await asyncio.gather(*[authenticator.token(SANDBOX) for _ in range(200)])
    assert {token.header for token in tokens} == {b"Bearer access-2"}
    assert login.presented["refresh-1"] == 1


async def test_a_second_rejection_in_a_row_is_no_matter_of_the_token(
    authenticator: Authenticator, login: RotatingLogin, clocks: Clocks
) -> None:
    await sign_in(authenticator)
    second = await authenticator.renew(await authenticator.token(SANDBOX))
    assert await authenticator.renew(second) is second
    assert login.issued == 2
    clocks.advance(61)
    assert (await authenticator.renew(second)).header == b"Bearer access-3"


async def test_a_refresh_that_never_went_out_costs_nothing(
    procore: FakeProcore, vault: MemoryVault, clocks: Clocks, login: RotatingLogin
) -> None:
    async with opened(procore, vault, clocks) as authenticator:
        await sign_in(authenticator)
    clocks.advance(6000)
    url, procore.login.url = procore.login.url, "http://127.0.0.1:9"
    async with opened(procore, vault, clocks) as authenticator:
        for _ in range(3):
            with pytest.raises(SourceUnavailableError, match="refused the connection"):
                await authenticator.token(SANDBOX)
    procore.login.url = url
    assert stored(vault)["phase"] == "settled"
    async with opened(procore, vault, clocks) as authenticator:
        assert (await authenticator.token(SANDBOX)).header == b"Bearer access-2"
    assert login.presented["refresh-1"] == 1


@pytest.mark.parametrize(
    "fault",
    [
        LOST,
        Reply(status=500, body={"error": "boom"}),
        Reply(status=429, headers={"retry-after": "1"}),
        Reply(status=401, body={"error": "invalid_client"}),
        Reply(body={"access_token": "half"}, cut=5),
        Reply(body=b"<html>"),
    ],
    ids=["dropped", "500", "429", "invalid-client", "cut", "no-token"],
)
async def test_a_lost_answer_is_not_repeated_before_the_access_token_ends(
    authenticator: Authenticator,
    login: RotatingLogin,
    vault: MemoryVault,
    clocks: Clocks,
    fault: Reply,
) -> None:
    await sign_in(authenticator)
    clocks.advance(5400 * 0.85)
    login.faults.append(fault)
    for _ in range(3):
        assert (await authenticator.token(SANDBOX)).header == b"Bearer access-1"
        clocks.advance(31)
    assert login.presented["refresh-1"] == 1
    (grant,) = await authenticator.grants()
    assert grant.state == "at_risk"
    assert stored(vault)["phase"] == "refreshing"
    clocks.advance(5400)
    for _ in range(5):
        with pytest.raises(SignInRequiredError, match="procore login --environment dev"):
            await authenticator.token(SANDBOX)
        clocks.advance(60)
    assert login.presented["refresh-1"] == 2
    (grant,) = await authenticator.grants()
    assert grant.state == "sign_in_required"


async def test_a_request_that_never_arrived_is_rescued_by_the_second_attempt(
    authenticator: Authenticator, login: RotatingLogin, vault: MemoryVault, clocks: Clocks
) -> None:
    await sign_in(authenticator)
    clocks.advance(6000)
    login.faults.append(LOST)
    login.reaches = False
    with pytest.raises(SourceUnavailableError):
        await authenticator.token(SANDBOX)
    assert (await authenticator.token(SANDBOX)).header == b"Bearer access-2"
    assert login.presented["refresh-1"] == 2
    assert stored(vault)["phase"] == "settled"


async def test_two_lost_answers_need_a_person(
    authenticator: Authenticator, login: RotatingLogin, clocks: Clocks
) -> None:
    await sign_in(authenticator)
    clocks.advance(6000)
    login.faults += [LOST, LOST]
    for _ in range(2):
        with pytest.raises(SourceUnavailableError):
            await authenticator.token(SANDBOX)
    for _ in range(3):
        with pytest.raises(SignInRequiredError, match="cannot be renewed"):
            await authenticator.token(SANDBOX)
    assert login.presented["refresh-1"] == 2


async def test_a_rejected_token_in_doubt_waits_for_its_end(
    authenticator: Authenticator, login: RotatingLogin, clocks: Clocks
) -> None:
    await sign_in(authenticator)
    token = await authenticator.token(SANDBOX)
    login.faults.append(LOST)
    with pytest.raises(SourceUnavailableError):
        await authenticator.renew(token)
    for _ in range(3):
        with pytest.raises(SignInRequiredError, match="is not known"):
            await authenticator.renew(token)
    assert login.presented["refresh-1"] == 1
    clocks.advance(6000)
    with pytest.raises(SignInRequiredError, match="no longer accepts"):
        await authenticator.token(SANDBOX)
    assert login.presented["refresh-1"] == 2


@pytest.mark.parametrize("status", [400, 401])
async def test_invalid_grant_ends_the_attempts_also_after_a_restart(
    procore: FakeProcore, vault: MemoryVault, clocks: Clocks, login: RotatingLogin, status: int
) -> None:
    async with opened(procore, vault, clocks) as authenticator:
        await sign_in(authenticator)
        clocks.advance(5400 * 0.9)
        login.faults.append(Reply(status=status, body=REFUSED.body))
        assert (await authenticator.token(SANDBOX)).header == b"Bearer access-1"
        (grant,) = await authenticator.grants()
        assert grant.state == "sign_in_required"  # the token in use still holds
    async with opened(procore, vault, clocks) as authenticator:
        assert (await authenticator.token(SANDBOX)).header == b"Bearer access-1"
        clocks.advance(5400)
        for _ in range(3):
            with pytest.raises(SignInRequiredError):
                await authenticator.token(SANDBOX)
    assert login.presented["refresh-1"] == 1


@pytest.mark.parametrize(("phase", "times"), [("refreshing", 1), ("last_attempt", 0)])
async def test_a_mark_of_a_dead_process_allows_what_is_left(
    procore: FakeProcore,
    vault: MemoryVault,
    clocks: Clocks,
    *,
    login: RotatingLogin,
    phase: str,
    times: int,
) -> None:
    async with opened(procore, vault, clocks) as authenticator:
        await sign_in(authenticator)
    vault.secrets[NAME] = json.dumps({**stored(vault), "phase": phase}).encode()
    async with opened(procore, vault, clocks) as authenticator:
        assert (await authenticator.token(SANDBOX)).header == b"Bearer access-1"
        (grant,) = await authenticator.grants()
        assert grant.state == "at_risk"
        clocks.advance(5400 * 0.9)
        assert (await authenticator.token(SANDBOX)).header == b"Bearer access-1"
        assert login.presented["refresh-1"] == 0
        clocks.advance(5400)
        if times:
            assert (await authenticator.token(SANDBOX)).header == b"Bearer access-2"
        else:
            with pytest.raises(SignInRequiredError):
                await authenticator.token(SANDBOX)
    assert login.presented["refresh-1"] == times


class Full(MemoryVault):
    """A vault without space for the pair that the first refresh brings, while it is *full*."""

    full = True

    async def put(self, name: str, value: bytes) -> None:
        if self.full and b"refresh-2" in value:
            raise VaultLockedError("No space left.")
        await super().put(name, value)


async def test_a_vault_that_cannot_take_the_new_pair_gets_it_later(
    procore: FakeProcore, clocks: Clocks, login: RotatingLogin
) -> None:
    vault = Full()
    vault.store_app()
    async with opened(procore, vault, clocks) as authenticator:
        await sign_in(authenticator)
        clocks.advance(6000)
        with pytest.raises(VaultLockedError, match="No space"):
            await authenticator.token(SANDBOX)
        vault.full = False
        assert (await authenticator.token(SANDBOX)).header == b"Bearer access-2"
        assert stored(vault)["refresh_token"] == "refresh-2"
    assert login.presented["refresh-1"] == 1


async def test_a_pair_that_replaces_a_rejected_token_is_kept_once_the_vault_takes_it(
    procore: FakeProcore, clocks: Clocks, login: RotatingLogin
) -> None:
    vault = Full()
    vault.store_app()
    async with opened(procore, vault, clocks) as authenticator:
        await sign_in(authenticator)
        rejected = await authenticator.token(SANDBOX)
        with pytest.raises(VaultLockedError, match="No space"):
            await authenticator.renew(rejected)
        vault.full = False
        renewed = await authenticator.renew(rejected)
        assert renewed.header == b"Bearer access-2"
        assert stored(vault)["refresh_token"] == "refresh-2"
    assert login.presented["refresh-1"] == 1


async def test_stopping_begins_no_refresh_and_lets_one_that_is_out_end(
    procore: FakeProcore, vault: MemoryVault, clocks: Clocks, login: RotatingLogin
) -> None:
    async with opened(procore, vault, clocks) as authenticator:
        await sign_in(authenticator)
        clocks.advance(5400 * 0.9)
        authenticator.wind_down()
        assert (await authenticator.token(SANDBOX)).header == b"Bearer access-1"
        assert login.presented["refresh-1"] == 0
    clocks.advance(6000)
    procore.login.then(lambda seen: slow(login._login(seen)))
    async with opened(procore, vault, clocks) as authenticator:
        waiting = asyncio.create_task(authenticator.token(SANDBOX))
        await until(lambda: login.presented["refresh-1"] == 1)
        authenticator.wind_down()
    assert (await waiting).header == b"Bearer access-2"
    assert stored(vault)["refresh_token"] == "refresh-2"


def slow(reply: Reply) -> Reply:
    reply.delay = 0.1
    return reply


async def test_stopping_at_once_leaves_the_mark(
    procore: FakeProcore, vault: MemoryVault, clocks: Clocks, login: RotatingLogin
) -> None:
    async with opened(procore, vault, clocks) as authenticator:
        await sign_in(authenticator)
        clocks.advance(6000)
        login.faults.append(Reply(delay=30))
        waiting = asyncio.create_task(authenticator.token(SANDBOX))
        await until(lambda: login.presented["refresh-1"] == 1)
        authenticator.wind_down(urgent=True)
    with pytest.raises(SourceUnavailableError, match="stopping"):
        await waiting
    assert stored(vault)["phase"] == "refreshing"


async def test_stopping_does_not_wait_for_another_process(
    procore: FakeProcore, vault: MemoryVault, clocks: Clocks, login: RotatingLogin
) -> None:
    async with opened(procore, vault, clocks) as authenticator:
        await sign_in(authenticator)
        clocks.advance(6000)
        vault.holders = 1  # another process refreshes, and takes its time
        waiting = asyncio.create_task(authenticator.token(SANDBOX))
        await until(lambda: vault.reads > 4)
        authenticator.wind_down()
    with pytest.raises(SourceUnavailableError, match="stopping"):
        await waiting
    assert login.presented["refresh-1"] == 0
    assert stored(vault)["phase"] == "settled"
