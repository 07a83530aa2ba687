"""Who signed in: what Procore may answer, and what the agent makes of it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from cloud_connect.errors import (
    CloudConnectError,
    SignInRequiredError,
    SourceUnavailableError,
    VaultLockedError,
)
from cloud_connect_agent.procore.grants.authorization import OOB_URI
from cloud_connect_agent.procore.grants.identity import IdentityHost
from cloud_connect_agent.procore.oauth import Authenticator
from cloud_connect_agent.procore.transport import Origin, Timeouts
from cloud_connect_agent.settings import AccountSettings
from cloud_connect_agent.tls import client_context
from cloud_connect_agent.vault import DamagedSecretError
from doubles.fake_procore import SANDBOX, FakeProcore, MemoryVault, Reply, Seen
from doubles.rotating_login import GRANT_NAME, RotatingLogin, sign_in_by_code, stored
from doubles.signing_in import Clocks, opened


@pytest.fixture
def login(procore: FakeProcore) -> RotatingLogin:
    return RotatingLogin().on(procore)


@pytest.fixture
async def authenticator(
    procore: FakeProcore, vault: MemoryVault, login: RotatingLogin
) -> AsyncIterator[Authenticator]:
    assert login
    async with opened(procore, vault, Clocks()) as made:
        yield made


@pytest.fixture
async def host(procore: FakeProcore) -> AsyncIterator[IdentityHost]:
    origin = Origin(procore.api.url, client_context(), timeouts=Timeouts())
    yield IdentityHost(origin, user_agent="test")
    await origin.aclose()


@pytest.mark.parametrize(
    ("reply", "kind", "words"),
    [
        (Reply(status=401, body={"message": "No"}), SignInRequiredError, "who signed in: No"),
        (Reply(status=403, body={"errors": ["App"]}), SignInRequiredError, "App"),
        (Reply(status=429, body={"message": "Slow"}), SourceUnavailableError, "429"),
        (Reply(status=502, body=b"<html>"), SourceUnavailableError, "502"),
        (Reply(body=b"<html>"), SourceUnavailableError, "not JSON"),
        (Reply(body=[1]), SourceUnavailableError, "does not say who"),
        (Reply(drop=True), SourceUnavailableError, "sent none"),
    ],
    ids=["401", "403", "429", "502", "no-json", "no-object", "dropped"],
)
async def test_a_person_whom_procore_does_not_name_is_not_let_in(
    authenticator: Authenticator,
    procore: FakeProcore,
    vault: MemoryVault,
    login: RotatingLogin,
    *,
    reply: Reply,
    kind: type[CloudConnectError],
    words: str,
) -> None:
    procore.api.then(reply)
    with pytest.raises(kind, match=words):
        await sign_in_by_code(authenticator)
    assert GRANT_NAME not in vault.secrets
    assert login.revoked == ["access-1", "refresh-1"]


async def test_a_login_host_that_revokes_nothing_does_not_hide_the_refusal(
    authenticator: Authenticator, procore: FakeProcore, login: RotatingLogin
) -> None:
    def answer(seen: Seen) -> Reply:
        if seen.target.endswith("/oauth/revoke"):
            return Reply(status=400, body={"error": "boom"})
        return login._login(seen)

    procore.login.default = answer
    procore.api.then(Reply(status=403, body={"message": "No"}))
    with pytest.raises(SignInRequiredError, match="who signed in"):
        await sign_in_by_code(authenticator)


async def test_a_person_without_a_login_is_known_by_their_id(
    authenticator: Authenticator, login: RotatingLogin
) -> None:
    login.login = ""
    await sign_in_by_code(authenticator)
    await sign_in_by_code(authenticator, "code-2", remote=True, company_id=8089)
    login.user_id = 8
    with pytest.raises(SignInRequiredError, match="whose login Procore does not tell"):
        await sign_in_by_code(authenticator, "code-3", remote=True, company_id=8089)


async def test_companies_are_looked_for_on_every_page(
    host: IdentityHost, procore: FakeProcore
) -> None:
    pages = {
        "1": Reply(body=[{"id": 1}, {"name": "odd"}], headers={"link": '<x?page=2>; rel="next"'}),
        "2": Reply(body=[{"id": 2}], headers={"link": '<x?page=1>; rel="prev"'}),
    }
    procore.api.default = lambda seen: pages[seen.target.rpartition("=")[2]]
    assert await host.unseen("t", [2, 1]) is None
    assert await host.unseen("t", [1, 3, 2]) == 3
    assert await host.unseen("t", []) is None


async def test_a_list_that_ignores_the_page_ends(host: IdentityHost, procore: FakeProcore) -> None:
    procore.api.default = lambda _: Reply(body=[{"id": 1}])
    assert await host.unseen("t", [9]) == 9
    assert len(procore.api.seen) == 2


async def test_a_damaged_grant_is_replaced(procore: FakeProcore, login: RotatingLogin) -> None:
    class Damaged(MemoryVault):
        async def get(self, name: str) -> bytes | None:
            if name == GRANT_NAME and self.secrets.get(name) == b"damaged":
                raise DamagedSecretError("The vault's file is damaged.")
            return await super().get(name)

    vault = Damaged()
    vault.store_app()
    vault.secrets[GRANT_NAME] = b"damaged"
    async with opened(procore, vault, Clocks()) as authenticator:
        with pytest.raises(DamagedSecretError):
            await authenticator.token(SANDBOX)
        await authenticator.sign_in(SANDBOX)
        assert (await authenticator.token(SANDBOX)).header == b"Bearer access-1"
    assert login.issued == 1


async def test_of_two_people_who_sign_in_at_once_through_the_relay_one_is_trusted(
    authenticator: Authenticator, procore: FakeProcore, vault: MemoryVault, login: RotatingLogin
) -> None:
    both_asked = asyncio.Event()
    asked: list[str] = []

    async def answer(seen: Seen) -> Reply:
        if seen.target != "/rest/v1.0/me":
            return login._api(seen)
        asked.append(seen.headers["authorization"].removeprefix("Bearer access-"))
        if len(asked) == 2:
            both_asked.set()
        await both_asked.wait()
        number = int(seen.headers["authorization"][-1])
        return Reply(body={"id": number, "login": f"person-{number}@example.com"})

    procore.api.default = answer
    ends = await asyncio.gather(
        *[
            sign_in_by_code(authenticator, code, remote=True, company_id=8089)
            for code in ("code-1", "code-2")
        ],
        return_exceptions=True,
    )
    (refusal,) = [end for end in ends if end is not None]
    assert isinstance(refusal, SignInRequiredError)
    kept = stored(vault)
    lost = 3 - int(str(kept["user_id"]))
    assert f"but person-{lost}@example.com signed in" in refusal.message
    assert kept["access_token"] == f"access-{kept['user_id']}"
    assert login.revoked == [f"access-{lost}", f"refresh-{lost}"]


async def test_tokens_that_the_vault_cannot_judge_are_revoked(
    procore: FakeProcore, login: RotatingLogin
) -> None:
    class Locked(MemoryVault):
        async def get(self, name: str) -> bytes | None:
            if name == GRANT_NAME and login.issued:
                raise VaultLockedError("The vault is locked.")
            return await super().get(name)

    vault = Locked()
    vault.store_app()
    async with opened(procore, vault, Clocks()) as authenticator:
        with pytest.raises(VaultLockedError):
            await sign_in_by_code(authenticator)
    assert GRANT_NAME not in vault.secrets
    assert login.revoked == ["access-1", "refresh-1"]


async def test_who_is_expected_is_read_when_the_code_comes_back(
    procore: FakeProcore, vault: MemoryVault, login: RotatingLogin
) -> None:
    expected = AccountSettings(login="boss@example.com")
    async with opened(procore, vault, Clocks(), default=expected) as authenticator:
        account = authenticator.accounts.named(SANDBOX, "default")
        begun = await authenticator.authorize(account, redirect_uri=OOB_URI)
        begun = replace(begun, account=replace(account, login=None))  # before it was set
        with pytest.raises(SignInRequiredError, match=r"is for boss@example\.com, but ann"):
            await authenticator.redeem(begun, "code-1")
    assert GRANT_NAME not in vault.secrets
    assert login.revoked == ["access-1", "refresh-1"]


async def test_an_account_shows_that_its_app_is_gone(
    authenticator: Authenticator, vault: MemoryVault
) -> None:
    await sign_in_by_code(authenticator)
    del vault.secrets["procore-app/developer-sandbox"]
    authenticator.reload()
    (grant,) = await authenticator.grants()
    assert grant.state == "sign_in_required"


async def test_a_grant_without_a_refresh_token_ends_with_its_access_token(
    procore: FakeProcore, vault: MemoryVault, login: RotatingLogin
) -> None:
    def without(seen: Seen) -> Reply:
        reply = login._login(seen)
        reply.body.pop("refresh_token", None)
        return reply

    procore.login.default = without
    clocks = Clocks()
    async with opened(procore, vault, clocks) as authenticator:
        await sign_in_by_code(authenticator)
        clocks.advance(5400 * 0.9)
        assert (await authenticator.token(SANDBOX)).header == b"Bearer access-1"
        clocks.advance(5400)
        with pytest.raises(SignInRequiredError, match="cannot be renewed"):
            await authenticator.token(SANDBOX)
        (grant,) = await authenticator.grants()
        assert grant.state == "sign_in_required"
    assert login.issued == 1


async def test_a_server_that_rotates_no_refresh_token_keeps_the_old_one(
    procore: FakeProcore, vault: MemoryVault, login: RotatingLogin
) -> None:
    clocks = Clocks()
    async with opened(procore, vault, clocks) as authenticator:
        await sign_in_by_code(authenticator)
        procore.login.then(Reply(body={"access_token": "plain", "expires_in": 5400}))
        clocks.advance(6000)
        assert (await authenticator.token(SANDBOX)).header == b"Bearer plain"
        clocks.advance(6000)
        assert (await authenticator.token(SANDBOX)).header == b"Bearer access-2"
    assert login.presented["refresh-1"] == 1


async def test_a_renewal_by_another_process_is_taken_over(
    procore: FakeProcore, vault: MemoryVault, login: RotatingLogin
) -> None:
    clocks = Clocks()
    async with (
        opened(procore, vault, clocks) as one,
        opened(procore, vault, clocks) as other,
    ):
        await sign_in_by_code(one)
        rejected = await other.token(SANDBOX)
        assert (await one.renew(await one.token(SANDBOX))).header == b"Bearer access-2"
        assert (await other.renew(rejected)).header == b"Bearer access-2"
        await one.sign_out(SANDBOX)
        clocks.advance(6000)
        with pytest.raises(SignInRequiredError, match="Nobody has signed in"):
            await other.token(SANDBOX)
    assert login.presented["refresh-1"] == 1


async def test_a_pair_that_could_not_be_kept_gives_way_to_a_new_sign_in(
    procore: FakeProcore, login: RotatingLogin
) -> None:
    class Full(MemoryVault):
        full = False

        async def put(self, name: str, value: bytes) -> None:
            if self.full and b"refresh-2" in value:
                raise DamagedSecretError("No space left.")
            await super().put(name, value)

    vault, clocks = Full(), Clocks()
    vault.store_app()
    async with (
        opened(procore, vault, clocks) as daemon,
        opened(procore, vault, clocks) as command_line,
    ):
        await sign_in_by_code(daemon)
        clocks.advance(6000)
        vault.full = True
        with pytest.raises(DamagedSecretError, match="No space"):
            await daemon.token(SANDBOX)
        await sign_in_by_code(command_line, "code-2")
        clocks.advance(6000)
        assert (await daemon.token(SANDBOX)).header == b"Bearer access-4"
    assert login.presented["refresh-3"] == 1


async def test_an_account_without_an_app_of_its_own_has_the_default_ones(
    procore: FakeProcore, vault: MemoryVault, login: RotatingLogin
) -> None:
    assert login
    async with opened(procore, vault, Clocks(), site=AccountSettings()) as authenticator:
        grant = await authenticator.sign_in(SANDBOX, account="site")
        assert (grant.account, grant.client_id) == ("site", "app-1")
