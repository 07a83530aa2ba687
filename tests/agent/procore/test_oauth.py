"""Signing in with the client-credentials grant, over real sockets."""

import asyncio
import time
from collections.abc import AsyncIterator
from urllib.parse import parse_qs

import pytest

from cloud_connect.errors import (
    ConfigurationError,
    SignInRequiredError,
    SourceUnavailableError,
    VaultLockedError,
)
from cloud_connect_agent.procore.oauth import Authenticator
from doubles.fake_procore import SANDBOX, FakeProcore, MemoryVault, Reply
from doubles.signing_in import Clocks, opened
from doubles.waiting import until

TOKEN_NAME = "procore-token/developer-sandbox"
INVALID_CLIENT = Reply(
    status=401,
    body={"error": "invalid_client", "error_description": "Client authentication failed"},
)


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
async def authenticator(
    procore: FakeProcore, vault: MemoryVault, clocks: Clocks
) -> AsyncIterator[Authenticator]:
    async with opened(procore, vault, clocks) as made:
        yield made


async def test_signing_in_sends_the_credentials_in_a_form(
    authenticator: Authenticator, procore: FakeProcore
) -> None:
    grant = await authenticator.sign_in(SANDBOX)
    (seen,) = procore.login.seen
    assert (seen.method, seen.target) == ("POST", "/oauth/token")
    assert seen.headers["content-type"] == "application/x-www-form-urlencoded"
    assert "authorization" not in seen.headers
    assert parse_qs(seen.body.decode()) == {
        "grant_type": ["client_credentials"],
        "client_id": ["app-1"],
        "client_secret": ["s3cret"],
    }
    assert (grant.environment, grant.grant) == (SANDBOX, "client-credentials")
    assert (grant.client_id, grant.state) == ("app-1", "ready")
    assert grant.expires_at is not None
    assert grant.expires_at.timestamp() == pytest.approx(time.time() + 5400, abs=5)


async def test_the_token_is_durable_before_it_is_used(
    procore: FakeProcore, vault: MemoryVault, clocks: Clocks
) -> None:
    class Refusing(MemoryVault):
        async def put(self, name: str, value: bytes) -> None:
            raise OSError(name, len(value))

    broken = Refusing()
    broken.secrets = vault.secrets
    async with opened(procore, broken, clocks) as authenticator:
        with pytest.raises(OSError, match=TOKEN_NAME):
            await authenticator.sign_in(SANDBOX)
    assert TOKEN_NAME not in vault.secrets


async def test_renewed_token_of_an_app_is_used_though_the_disk_is_full(
    authenticator: Authenticator, procore: FakeProcore, vault: MemoryVault, clocks: Clocks
) -> None:
    """The app gets another one if it is lost, and reads go on meanwhile."""

    class Full(MemoryVault):
        async def put(self, name: str, value: bytes) -> None:
            raise VaultLockedError(f"No space left for {name}, {len(value)} bytes.")

    await authenticator.sign_in(SANDBOX)
    full = Full()
    full.secrets = vault.secrets
    async with opened(procore, full, clocks) as other:
        clocks.advance(6000)
        asked = len(procore.login.seen)
        for _ in range(2):
            assert (await other.token(SANDBOX)).header == b"Bearer token-2"
        assert len(procore.login.seen) == asked + 1


async def test_another_process_goes_on_with_the_stored_token(
    authenticator: Authenticator, procore: FakeProcore, vault: MemoryVault, clocks: Clocks
) -> None:
    await authenticator.sign_in(SANDBOX)
    async with opened(procore, vault, clocks) as other:
        token = await other.token(SANDBOX)
    assert token.header == b"Bearer token-1"
    assert procore.tokens == 1
    assert "token-1" not in repr(token)


async def test_nobody_signed_in_is_a_sentence_with_the_command(
    authenticator: Authenticator,
) -> None:
    with pytest.raises(SignInRequiredError, match="procore login --environment developer-sandbox"):
        await authenticator.token(SANDBOX)


async def test_no_app_is_a_sentence_with_the_command(
    authenticator: Authenticator, vault: MemoryVault
) -> None:
    vault.secrets.clear()
    with pytest.raises(SignInRequiredError, match="procore app --environment developer-sandbox"):
        await authenticator.sign_in(SANDBOX)
    assert await authenticator.grants() == []


async def test_damaged_credentials_are_told(
    authenticator: Authenticator, vault: MemoryVault
) -> None:
    vault.secrets["procore-app/developer-sandbox"] = b"{"
    with pytest.raises(SignInRequiredError, match="damaged"):
        await authenticator.sign_in(SANDBOX)


@pytest.mark.parametrize("status", [400, 401])
@pytest.mark.parametrize(
    ("error", "words"),
    [("invalid_client", "wrong or belongs"), ("unsupported_grant_type", "the grant was refused")],
)
async def test_refused_credentials_need_a_person(
    authenticator: Authenticator, procore: FakeProcore, status: int, error: str, words: str
) -> None:
    procore.login.then(Reply(status=status, body={"error": error, "error_description": "Bad one"}))
    with pytest.raises(SignInRequiredError, match=words) as caught:
        await authenticator.sign_in(SANDBOX)
    assert "Bad one" in caught.value.message
    assert "s3cret" not in caught.value.message
    assert len(procore.login.seen) == 1


async def test_a_refusal_is_not_repeated_at_once(
    authenticator: Authenticator, procore: FakeProcore, clocks: Clocks
) -> None:
    await authenticator.sign_in(SANDBOX)
    clocks.advance(6000)
    procore.login.then(INVALID_CLIENT)
    for _ in range(3):
        with pytest.raises(SignInRequiredError):
            await authenticator.token(SANDBOX)
    assert len(procore.login.seen) == 2
    (grant,) = await authenticator.grants()
    assert grant.state == "sign_in_required"
    clocks.advance(31)
    assert (await authenticator.token(SANDBOX)).header == b"Bearer token-2"
    (grant,) = await authenticator.grants()
    assert grant.state == "ready"


async def test_a_token_is_renewed_after_four_fifths_of_its_life(
    authenticator: Authenticator, procore: FakeProcore, clocks: Clocks
) -> None:
    await authenticator.sign_in(SANDBOX)
    clocks.advance(5400 * 0.79)
    assert (await authenticator.token(SANDBOX)).header == b"Bearer token-1"
    clocks.advance(5400 * 0.02)
    assert (await authenticator.token(SANDBOX)).header == b"Bearer token-2"
    assert procore.tokens == 2


async def test_an_ageing_token_is_used_while_it_cannot_be_renewed(
    authenticator: Authenticator, procore: FakeProcore, clocks: Clocks
) -> None:
    await authenticator.sign_in(SANDBOX)
    clocks.advance(5400 * 0.9)
    procore.login.then(INVALID_CLIENT)
    assert (await authenticator.token(SANDBOX)).header == b"Bearer token-1"
    (grant,) = await authenticator.grants()
    assert grant.state == "at_risk"
    assert (await authenticator.token(SANDBOX)).header == b"Bearer token-1"
    assert len(procore.login.seen) == 2  # and not asked again at once


async def test_sleep_ends_a_token_although_the_monotonic_clock_stood(
    authenticator: Authenticator, clocks: Clocks
) -> None:
    await authenticator.sign_in(SANDBOX)
    clocks.wall += 6000
    assert (await authenticator.token(SANDBOX)).header == b"Bearer token-2"


async def test_a_wall_clock_set_back_does_not_lengthen_a_token(
    authenticator: Authenticator, clocks: Clocks
) -> None:
    await authenticator.sign_in(SANDBOX)
    clocks.now += 6000
    clocks.wall -= 3600
    assert (await authenticator.token(SANDBOX)).header == b"Bearer token-2"


async def test_many_callers_cause_one_renewal(
    authenticator: Authenticator, procore: FakeProcore
) -> None:
    await authenticator.sign_in(SANDBOX)
    rejected = await authenticator.token(SANDBOX)
    renewed = await asyncio.gather(*[authenticator.renew(rejected) for _ in range(100)])
    assert {token.header for token in renewed} == {b"Bearer token-2"}
    assert (await authenticator.renew(rejected)).header == b"Bearer token-2"
    assert procore.tokens == 2


async def test_a_cancelled_caller_loses_no_token(
    authenticator: Authenticator, procore: FakeProcore, vault: MemoryVault
) -> None:
    await authenticator.sign_in(SANDBOX)
    rejected = await authenticator.token(SANDBOX)
    procore.login.then(Reply(body={"access_token": "late"}, delay=0.1))
    task = asyncio.create_task(authenticator.renew(rejected))
    await until(lambda: len(procore.login.seen) == 2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: b"late" in vault.secrets[TOKEN_NAME])
    assert (await authenticator.token(SANDBOX)).header == b"Bearer late"


async def test_closing_ends_a_renewal_under_way(
    procore: FakeProcore, vault: MemoryVault, clocks: Clocks
) -> None:
    procore.login.then(Reply(delay=30))
    async with opened(procore, vault, clocks) as authenticator:
        task = asyncio.create_task(authenticator.sign_in(SANDBOX))
        await until(lambda: len(procore.login.seen) == 1)
    with pytest.raises(SourceUnavailableError, match="stopping"):
        await task


async def test_what_the_block_raises_comes_out_as_it_is(
    procore: FakeProcore, vault: MemoryVault, clocks: Clocks
) -> None:
    with pytest.raises(ConfigurationError):
        async with opened(procore, vault, clocks):
            raise ConfigurationError("as it is")


async def test_other_credentials_take_effect_after_a_reload(
    authenticator: Authenticator, procore: FakeProcore, vault: MemoryVault
) -> None:
    await authenticator.sign_in(SANDBOX)
    vault.store_app(client_secret="another")
    authenticator.reload()
    assert (await authenticator.token(SANDBOX)).header == b"Bearer token-2"
    assert parse_qs(procore.login.seen[-1].body.decode())["client_secret"] == ["another"]
    vault.store_app(client_id="app-2", client_secret="another")
    authenticator.reload()
    (grant,) = await authenticator.grants()
    assert (grant.client_id, grant.state, grant.expires_at) == ("app-2", "sign_in_required", None)
    assert (await authenticator.token(SANDBOX)).stored.client_id == "app-2"
    (grant,) = await authenticator.grants()
    assert (grant.state, grant.expires_at is None) == ("ready", False)


async def test_a_change_is_noticed_without_a_reload_too(
    authenticator: Authenticator, vault: MemoryVault, clocks: Clocks
) -> None:
    await authenticator.sign_in(SANDBOX)
    vault.store_app(client_secret="another")
    clocks.advance(6)
    assert (await authenticator.token(SANDBOX)).header == b"Bearer token-2"


async def test_a_login_by_another_process_takes_effect(
    authenticator: Authenticator, procore: FakeProcore, vault: MemoryVault, clocks: Clocks
) -> None:
    with pytest.raises(SignInRequiredError):
        await authenticator.token(SANDBOX)
    async with opened(procore, vault, clocks) as command_line:
        await command_line.sign_in(SANDBOX)
    assert (await authenticator.token(SANDBOX)).header == b"Bearer token-1"
    assert procore.tokens == 1


async def test_a_token_of_another_process_is_taken_instead_of_a_renewal(
    authenticator: Authenticator, procore: FakeProcore, vault: MemoryVault, clocks: Clocks
) -> None:
    await authenticator.sign_in(SANDBOX)
    rejected = await authenticator.token(SANDBOX)
    async with opened(procore, vault, clocks) as other:
        await other.renew(await other.token(SANDBOX))
    assert (await authenticator.renew(rejected)).header == b"Bearer token-2"
    assert procore.tokens == 2


async def test_signing_out_revokes_and_forgets(
    authenticator: Authenticator, procore: FakeProcore, vault: MemoryVault
) -> None:
    await authenticator.sign_in(SANDBOX)
    await authenticator.sign_out(SANDBOX)
    seen = procore.login.seen[-1]
    assert seen.target == "/oauth/revoke"
    assert parse_qs(seen.body.decode())["token"] == ["token-1"]
    assert TOKEN_NAME not in vault.secrets
    with pytest.raises(SignInRequiredError, match="procore login"):
        await authenticator.token(SANDBOX)
    (grant,) = await authenticator.grants()
    assert grant.state == "no_grant"
    await authenticator.sign_out(SANDBOX)  # again: nothing to do
    assert len(procore.login.seen) == 2


async def test_a_damaged_token_counts_as_none(
    authenticator: Authenticator, vault: MemoryVault
) -> None:
    vault.secrets[TOKEN_NAME] = b"[]"
    with pytest.raises(SignInRequiredError, match="procore login"):
        await authenticator.token(SANDBOX)


async def test_an_app_whose_token_keeps_dying_gets_another_each_time(
    authenticator: Authenticator, procore: FakeProcore
) -> None:
    await authenticator.sign_in(SANDBOX)
    token = await authenticator.token(SANDBOX)
    for _ in range(3):
        token = await authenticator.renew(token)
    assert token.header == b"Bearer token-4"
    assert procore.tokens == 4


async def test_a_reading_that_is_overtaken_does_not_bring_an_old_token_back(
    procore: FakeProcore, clocks: Clocks
) -> None:
    class Slow(MemoryVault):
        held: asyncio.Event | None = None

        async def get(self, name: str) -> bytes | None:
            found = await super().get(name)
            if name == TOKEN_NAME and self.held is not None:
                held, self.held = self.held, None
                await held.wait()
            return found

    vault = Slow()
    vault.store_app()
    async with opened(procore, vault, clocks) as authenticator:
        await authenticator.sign_in(SANDBOX)
        rejected = await authenticator.token(SANDBOX)
        clocks.advance(6)
        vault.held = held = asyncio.Event()
        reading = asyncio.create_task(authenticator.token(SANDBOX))
        await until(lambda: vault.held is None)
        renewed = await authenticator.renew(rejected)
        held.set()
        assert (await reading).header == renewed.header == b"Bearer token-2"
        assert (await authenticator.token(SANDBOX)).header == b"Bearer token-2"
