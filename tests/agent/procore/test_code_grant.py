"""The authorization-code grant: redeeming, refreshing once, and refusing foreign people."""

import asyncio
import json
from collections.abc import AsyncIterator
from urllib.parse import parse_qs, urlsplit

import pytest

from cloud_connect.errors import (
    SignInRequiredError,
    SourceUnavailableError,
    VaultLockedError,
)
from cloud_connect_agent.procore.grants.accounts import Account
from cloud_connect_agent.procore.grants.authorization import OOB_URI
from cloud_connect_agent.procore.oauth import Authenticator
from cloud_connect_agent.settings import AccountSettings
from doubles.fake_procore import SANDBOX, FakeProcore, MemoryVault, Reply, until
from doubles.rotating_login import REFUSED, RotatingLogin
from doubles.signing_in import Clocks, opened

NAME = "procore-token/developer-sandbox"
DEFAULT = Account(environment=SANDBOX)
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


async def sign_in(authenticator: Authenticator, code: str = "code-1", **more: object) -> None:
    account = authenticator.accounts.named(SANDBOX, "default")
    company = more.get("company_id")
    authorization = await authenticator.authorize(
        account,
        redirect_uri=OOB_URI,
        remote=bool(more.get("remote")),
        company_id=company if isinstance(company, int) else None,
    )
    await authenticator.redeem(authorization, code)


def stored(vault: MemoryVault) -> dict[str, object]:
    found: dict[str, object] = json.loads(vault.secrets[NAME])
    return found


async def test_the_authorize_url_has_state_and_challenge_but_no_secret(
    authenticator: Authenticator, procore: FakeProcore
) -> None:
    one = await authenticator.authorize(DEFAULT, redirect_uri="http://localhost:17633/callback")
    other = await authenticator.authorize(DEFAULT, redirect_uri="http://localhost:17633/callback")
    url = urlsplit(one.url)
    query = parse_qs(url.query)
    assert f"{url.scheme}://{url.netloc}{url.path}" == f"{procore.login.url}/oauth/authorize"
    assert query["client_id"] == ["app-1"]
    assert query["redirect_uri"] == ["http://localhost:17633/callback"]
    assert query["response_type"] == ["code"]
    assert len(query["state"][0]) == 43  # 256 bits
    assert query["state"] != parse_qs(urlsplit(other.url).query)["state"]
    assert query["code_challenge_method"] == ["S256"]
    assert one.verifier not in one.url
    assert one.verifier not in repr(one)
    assert one.state not in repr(one)


async def test_a_code_becomes_a_grant_of_the_person_who_approved(
    authenticator: Authenticator, login: RotatingLogin, vault: MemoryVault
) -> None:
    await sign_in(authenticator)
    assert login.forms[0]["grant_type"] == "authorization_code"
    assert login.forms[0]["redirect_uri"] == OOB_URI
    assert len(login.forms[0]["code_verifier"]) == 43
    (grant,) = await authenticator.grants()
    assert (grant.grant, grant.state, grant.login) == (
        "authorization-code",
        "ready",
        "ann@example.com",
    )
    assert (await authenticator.token(SANDBOX)).header == b"Bearer access-1"
    assert stored(vault)["refresh_token"] == "refresh-1"


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
    renewed = await asyncio.gather(*[authenticator.renew(SANDBOX, rejected) for _ in range(50)])
    assert {token.header for token in renewed} == {b"Bearer access-2"}
    assert login.presented["refresh-1"] == 1


async def test_a_second_rejection_in_a_row_is_no_matter_of_the_token(
    authenticator: Authenticator, login: RotatingLogin, clocks: Clocks
) -> None:
    await sign_in(authenticator)
    second = await authenticator.renew(SANDBOX, await authenticator.token(SANDBOX))
    assert await authenticator.renew(SANDBOX, second) is second
    assert login.issued == 2
    clocks.advance(61)
    assert (await authenticator.renew(SANDBOX, second)).header == b"Bearer access-3"


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
        await authenticator.renew(SANDBOX, token)
    for _ in range(3):
        with pytest.raises(SignInRequiredError, match="is not known"):
            await authenticator.renew(SANDBOX, token)
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


async def test_a_vault_that_cannot_take_the_new_pair_gets_it_later(
    procore: FakeProcore, clocks: Clocks, login: RotatingLogin
) -> None:
    class Full(MemoryVault):
        full = False

        async def put(self, name: str, value: bytes) -> None:
            if self.full and b"refresh-2" in value:
                raise VaultLockedError("No space left.")
            await super().put(name, value)

    vault = Full()
    vault.store_app()
    async with opened(procore, vault, clocks) as authenticator:
        await sign_in(authenticator)
        clocks.advance(6000)
        vault.full = True
        with pytest.raises(VaultLockedError, match="No space"):
            await authenticator.token(SANDBOX)
        vault.full = False
        assert (await authenticator.token(SANDBOX)).header == b"Bearer access-2"
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


async def test_another_person_than_the_configured_one_is_refused_and_revoked(
    procore: FakeProcore, vault: MemoryVault, clocks: Clocks, login: RotatingLogin
) -> None:
    expected = AccountSettings(login="Ann@Example.com")
    async with opened(procore, vault, clocks, default=expected) as authenticator:
        await sign_in(authenticator)
        before = vault.secrets[NAME]
        login.login = "eve@example.com"
        with pytest.raises(SignInRequiredError, match=r"eve@example\.com signed in"):
            await sign_in(authenticator, "code-2")
    assert vault.secrets[NAME] == before
    assert login.revoked == ["access-2", "refresh-2"]


async def test_a_person_who_does_not_see_the_company_is_refused(
    procore: FakeProcore, vault: MemoryVault, clocks: Clocks, login: RotatingLogin
) -> None:
    bound = AccountSettings(companies=(8089, 9000))
    async with opened(procore, vault, clocks, default=bound) as authenticator:
        with pytest.raises(SignInRequiredError, match="does not see company 9000"):
            await sign_in(authenticator)
        login.companies.append(9000)
        await sign_in(authenticator, "code-2")
    assert login.revoked == ["access-1", "refresh-1"]


async def test_through_the_relay_only_the_person_known_here_may_sign_in(
    authenticator: Authenticator, login: RotatingLogin, vault: MemoryVault
) -> None:
    await sign_in(authenticator, remote=True, company_id=8089)  # nobody was known: trusted
    before = vault.secrets[NAME]
    login.login, login.user_id = "eve@example.com", 8
    with pytest.raises(SignInRequiredError, match="only `cloud-connect procore login`"):
        await sign_in(authenticator, "code-2", remote=True, company_id=8089)
    assert vault.secrets[NAME] == before
    await sign_in(authenticator, "code-3")  # on the PC it may be another one
    (grant,) = await authenticator.grants()
    assert grant.login == "eve@example.com"


async def test_through_the_relay_a_person_has_to_see_the_company(
    authenticator: Authenticator, login: RotatingLogin, vault: MemoryVault
) -> None:
    login.companies = [1]
    with pytest.raises(SignInRequiredError, match="does not see company 8089"):
        await sign_in(authenticator, remote=True, company_id=8089)
    assert NAME not in vault.secrets


async def test_a_used_code_is_refused(authenticator: Authenticator) -> None:
    await sign_in(authenticator)
    with pytest.raises(SignInRequiredError, match="Grant is dead"):
        await sign_in(authenticator)


async def test_signing_out_revokes_both_tokens(
    authenticator: Authenticator, login: RotatingLogin, vault: MemoryVault
) -> None:
    await sign_in(authenticator)
    await authenticator.sign_out(SANDBOX)
    assert login.revoked == ["access-1", "refresh-1"]
    assert NAME not in vault.secrets


async def test_a_new_secret_of_the_app_keeps_the_grant_and_another_app_ends_it(
    authenticator: Authenticator, login: RotatingLogin, vault: MemoryVault, clocks: Clocks
) -> None:
    await sign_in(authenticator)
    vault.store_app(client_secret="rolled")
    authenticator.reload()
    assert (await authenticator.token(SANDBOX)).header == b"Bearer access-1"
    clocks.advance(6000)
    assert (await authenticator.token(SANDBOX)).header == b"Bearer access-2"
    assert login.forms[-1]["client_secret"] == "rolled"
    vault.store_app(client_id="app-2")
    authenticator.reload()
    with pytest.raises(SignInRequiredError):
        await authenticator.token(SANDBOX)
    assert login.presented["refresh-2"] == 0


async def test_accounts_serve_the_companies_that_are_bound_to_them(
    procore: FakeProcore, vault: MemoryVault, clocks: Clocks, login: RotatingLogin
) -> None:
    acme = AccountSettings(companies=(8089,))
    async with opened(procore, vault, clocks, acme=acme) as authenticator:
        await authenticator.sign_in(SANDBOX)
        authorization = await authenticator.authorize(
            authenticator.accounts.named(SANDBOX, "acme"), redirect_uri=OOB_URI
        )
        await authenticator.redeem(authorization, "code-1")
        assert (await authenticator.token(SANDBOX, 8089)).header == b"Bearer access-2"
        assert (await authenticator.token(SANDBOX, 1)).header == b"Bearer access-1"
        ready = authenticator.ready(SANDBOX, 8089)
        assert ready is not None
        assert ready.header == b"Bearer access-2"
        found = [(one.account, one.grant, one.state) for one in await authenticator.grants()]
        assert found == [
            ("default", "client-credentials", "ready"),
            ("acme", "authorization-code", "ready"),
        ]
        await authenticator.sign_out(SANDBOX, account="acme")
        assert (await authenticator.token(SANDBOX, 1)).header == b"Bearer access-1"
        with pytest.raises(SignInRequiredError, match="--account acme"):
            await authenticator.token(SANDBOX, 8089)
    assert "procore-token/developer-sandbox.acme" not in vault.secrets
    assert login.issued == 2
