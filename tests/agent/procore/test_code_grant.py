"""The authorization-code grant: redeeming a code, and refusing foreign people."""

from collections.abc import AsyncIterator
from urllib.parse import parse_qs, urlsplit

import pytest

from cloud_connect.errors import SignInRequiredError, SourceUnavailableError
from cloud_connect_agent.procore.grants.accounts import Account
from cloud_connect_agent.procore.grants.authorization import OOB_URI
from cloud_connect_agent.procore.oauth import Authenticator
from cloud_connect_agent.settings import AccountSettings
from doubles.fake_procore import SANDBOX, FakeProcore, MemoryVault, Reply
from doubles.rotating_login import GRANT_NAME as NAME
from doubles.rotating_login import RotatingLogin, stored
from doubles.rotating_login import sign_in_by_code as sign_in
from doubles.signing_in import Clocks, opened

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
    command = r"only `cloud-connect procore login .*--grant authorization-code`"
    with pytest.raises(SignInRequiredError, match=command):
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


@pytest.mark.parametrize("reply", [LOST, Reply(status=500, body=b"oops.")])
async def test_a_code_whose_answer_is_lost_is_not_sent_again(
    authenticator: Authenticator, procore: FakeProcore, reply: Reply
) -> None:
    procore.login.then(reply)
    with pytest.raises(SourceUnavailableError, match=r"[^.]\. The code may be used up .* again"):
        await sign_in(authenticator)
    assert len(procore.login.seen) == 1


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


@pytest.mark.parametrize("client_id", [None, "app-2"], ids=["no-app", "another-app"])
async def test_signing_out_says_that_procore_was_not_told_without_the_app_of_the_grant(
    authenticator: Authenticator,
    login: RotatingLogin,
    vault: MemoryVault,
    *,
    client_id: str | None,
) -> None:
    await sign_in(authenticator)
    del vault.secrets[f"procore-app/{SANDBOX.flag}"]
    if client_id is not None:
        vault.store_app(client_id=client_id)
    with pytest.raises(SourceUnavailableError, match=r"not told to revoke .* app app-1"):
        await authenticator.sign_out(SANDBOX)
    assert NAME not in vault.secrets
    assert not login.revoked


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
