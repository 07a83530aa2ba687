"""The login host: struggling, refusing, revoking."""

from collections.abc import AsyncIterator

import pytest

from cloud_connect.errors import (
    SourceUnavailableError,
)
from cloud_connect_agent.procore.oauth import Authenticator
from doubles.fake_procore import SANDBOX, FakeProcore, MemoryVault, Reply
from doubles.signing_in import Clocks, opened

TOKEN_NAME = "procore-token/developer-sandbox"


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
async def authenticator(
    procore: FakeProcore, vault: MemoryVault, clocks: Clocks
) -> AsyncIterator[Authenticator]:
    async with opened(procore, vault, clocks) as made:
        yield made


@pytest.mark.parametrize(
    "failure",
    [
        Reply(status=500, body=b"oops"),
        Reply(status=429, body=b"slow down", headers={"retry-after": "0"}),
        Reply(status=503, body=b"<html>", headers={"content-type": "text/html"}),
        Reply(drop=True),
    ],
)
async def test_a_struggling_login_host_is_asked_again(
    authenticator: Authenticator, procore: FakeProcore, failure: Reply
) -> None:
    procore.login.then(failure, failure)
    assert (await authenticator.sign_in(SANDBOX)).state == "ready"
    assert len(procore.login.seen) == 3


@pytest.mark.parametrize(
    ("replies", "words"),
    [
        ([Reply(status=500, body=b"oops")] * 3, "answered 500: oops"),
        ([Reply(drop=True)] * 3, "broke off"),
        ([Reply(status=429, body=b"later", headers={"retry-after": "600"})], "answered 429"),
        ([Reply(status=403, body={"message": "blocked."})], r"answered 403: blocked\.$"),
        ([Reply(body={"token": "x"})], "without a token"),
        ([Reply(body={"access_token": "a b"})], "without a token"),
    ],
)
async def test_no_verdict_is_no_sign_in_problem(
    authenticator: Authenticator, procore: FakeProcore, replies: list[Reply], words: str
) -> None:
    procore.login.then(*replies)
    with pytest.raises(SourceUnavailableError, match=words):
        await authenticator.sign_in(SANDBOX)
    assert len(procore.login.seen) == len(replies)


async def test_a_revocation_that_fails_is_told_and_the_grant_is_gone(
    authenticator: Authenticator, procore: FakeProcore, vault: MemoryVault
) -> None:
    await authenticator.sign_in(SANDBOX)
    procore.login.then(Reply(status=404, body={"message": "nowhere"}))
    with pytest.raises(SourceUnavailableError, match="forgotten here"):
        await authenticator.sign_out(SANDBOX)
    assert TOKEN_NAME not in vault.secrets


async def test_the_login_host_tells_how_long_a_token_holds(
    authenticator: Authenticator, procore: FakeProcore
) -> None:
    await authenticator.sign_in(SANDBOX)
    assert await authenticator.seconds_left(SANDBOX) == 5312
    procore.login.then(Reply(body=b"?"), Reply(body={"expires_in_seconds": "x"}))
    assert await authenticator.seconds_left(SANDBOX) is None
    assert await authenticator.seconds_left(SANDBOX) is None
    procore.login.then(Reply(status=401, body={"error": "invalid_token"}), Reply(drop=True))
    with pytest.raises(SourceUnavailableError, match="401"):
        await authenticator.seconds_left(SANDBOX)
    with pytest.raises(SourceUnavailableError, match="broke off"):
        await authenticator.seconds_left(SANDBOX)
