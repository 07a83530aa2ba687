import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from cloud_connect.errors import ConfigurationError
from cloud_connect.join_token import JoinToken, JoinTokenError
from cloud_connect.signing import to_text
from cloud_connect_agent.relay_api import RelayApi, RelayRefusedError, RelayUnreachableError
from cloud_connect_agent.tls import client_context
from doubles.certificates import Authority
from doubles.enrolling_pc import MACHINE, RELAY_KEY, Pc, says
from doubles.link_bench import Relay, run_agent, serve_enrolment, serve_raw, serve_relay


@pytest.fixture
def pc(tmp_path: Path) -> Pc:
    (tmp_path / "pc").mkdir()
    return Pc(tmp_path / "pc")


@pytest.fixture
async def relay(tmp_path: Path) -> AsyncIterator[Relay]:
    async with serve_relay(tmp_path) as relay:
        yield relay


@pytest.fixture
async def url(relay: Relay) -> AsyncIterator[str]:
    async with serve_enrolment(relay) as url:
        yield url


async def test_enrolled_pc_can_connect(pc: Pc, relay: Relay, url: str) -> None:
    token = await relay.token(group="east", policy_class="read-only")
    enrolment = await pc.enroller(url + "/").enrol(token.reveal(), MACHINE)
    assert enrolment.policy_class == "read-only"
    assert enrolment.group == "east"
    assert enrolment.relay_public_key == to_text(relay.identity.public_key)
    assert await pc.generation.read() == 0
    key = await pc.keys.load()
    assert key.key_id == enrolment.key_id
    async with run_agent(
        relay, pc.folder, key=key, connector_id=enrolment.connector_id, url=enrolment.tunnel_url
    ) as agent:
        await agent.health.until("connected")


async def test_lost_answer_leads_to_the_same_connector(
    pc: Pc, relay: Relay, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = (await relay.token()).reveal()
    enroller = pc.enroller(url)
    post = RelayApi.post

    async def lose(relay_api: RelayApi, path: str, **more: Any) -> httpx.Response:
        answer = await post(relay_api, path, **more)
        if path == "/api/enrol":
            raise RelayUnreachableError("lost")
        return answer

    with monkeypatch.context() as patched:
        patched.setattr(RelayApi, "post", lose)
        with pytest.raises(RelayUnreachableError):
            await enroller.enrol(token, MACHINE)
    (listed,) = await relay.tenant.connectors.list()
    enrolment = await enroller.enrol(token, MACHINE)
    assert enrolment.connector_id == listed.id
    assert len(await relay.tenant.connectors.list()) == 1


async def test_failed_enrolment_leaves_the_old_identity(pc: Pc, relay: Relay, url: str) -> None:
    await pc.enroller(url).enrol((await relay.token()).reveal(), MACHINE)
    before = await pc.keys.load()
    expired = await relay.token(expires_in=-1)
    with pytest.raises(RelayRefusedError):
        await pc.enroller(url).enrol(expired.reveal(), MACHINE)
    assert (await pc.keys.load()).public_key == before.public_key
    await pc.keys.forget()
    assert pc.vault.secrets == {}


async def test_used_expired_and_revoked_tokens_are_refused_in_a_sentence(
    pc: Pc, relay: Relay, url: str
) -> None:
    used = await relay.token()
    await pc.enroller(url).enrol(used.reveal(), MACHINE)
    assert "used already" in (await says(pc, url, used)).message
    expired = await relay.token(expires_in=-1)
    assert "expired" in (await says(pc, url, expired)).message
    group = await relay.token(group="east")
    with pytest.raises(RelayRefusedError, match="east"):
        await pc.enroller(url).enrol(group.reveal(), MACHINE, group="west")


async def test_mistyped_token_never_leaves_the_pc(pc: Pc) -> None:
    error = await says(pc, "http://127.0.0.1:9", "ccj1.jt_a.b.c.d")
    assert isinstance(error, JoinTokenError)


@pytest.mark.parametrize(
    ("address", "what"),
    [
        ("http://relay.example.com", "loopback"),
        ("ftp://127.0.0.1", "https://"),
        ("relay.example.com", "https://"),
        ("http://user:secret@127.0.0.1", "user name"),
    ],
)
async def test_address_that_must_not_be_used_is_named(pc: Pc, address: str, what: str) -> None:
    with pytest.raises(ConfigurationError, match=what) as caught:
        pc.enroller(address)
    assert "secret" not in caught.value.message


async def test_relay_that_is_down_is_unreachable(pc: Pc, relay: Relay) -> None:
    error = await says(pc, "http://127.0.0.1:9", await relay.token())
    assert isinstance(error, RelayUnreachableError)
    assert "127.0.0.1:9" in error.message


async def test_name_that_nobody_knows_is_said(pc: Pc, relay: Relay) -> None:
    error = await says(pc, "https://relay.invalid", await relay.token())
    assert "name" in error.message


async def test_relay_that_does_not_answer_is_given_up(pc: Pc, relay: Relay) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del writer
        await reader.read(-1)

    async with serve_raw(silent) as port:
        error = await says(
            pc, f"http://127.0.0.1:{port}", await relay.token(), step_timeout=httpx.Timeout(0.1)
        )
    assert "in time" in error.message


async def test_token_of_another_relay_is_not_shown_to_this_one(
    pc: Pc, relay: Relay, url: str
) -> None:
    token = JoinToken.make(token_id="jt_a", relay_public_key=RELAY_KEY.public_key)
    error = await says(pc, url, token)
    assert "another relay" in error.message
    assert "not sent" in error.message
    assert await relay.tenant.connectors.list() == ()


async def test_certificate_that_is_not_trusted_is_said(
    pc: Pc, relay: Relay, tmp_path: Path
) -> None:
    authority = Authority.make()
    certificate, key = authority.issue(tmp_path, "localhost")
    tls = {"ssl_certfile": str(certificate), "ssl_keyfile": str(key)}
    async with serve_enrolment(relay, **tls) as url:
        error = await says(pc, url, await relay.token())
        assert "not trusted" in error.message
        assert "--ca" in error.message
        trusting = client_context(authority.trusted(tmp_path))
        await pc.enroller(url, tls=trusting).enrol((await relay.token()).reveal(), MACHINE)
        plain = url.replace("https", "http")
        assert isinstance(await says(pc, plain, await relay.token()), RelayUnreachableError)


async def test_plain_server_behind_an_https_address_is_said(pc: Pc, relay: Relay, url: str) -> None:
    error = await says(pc, url.replace("http", "https"), await relay.token())
    assert "TLS" in error.message
