import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request, Response

from cloud_connect.errors import CloudConnectError, ConfigurationError
from cloud_connect.handshake_messages import enrol_challenge_transcript
from cloud_connect.join_token import JoinToken, JoinTokenError
from cloud_connect.signing import SigningKey, to_bytes, to_text
from cloud_connect_agent.enrol import (
    Enroller,
    EnrolmentRefusedError,
    Machine,
    RelayUnreachableError,
)
from cloud_connect_agent.identity import AgentKeys, Generation
from cloud_connect_agent.tls import client_context
from doubles.certificates import Authority
from doubles.link_bench import (
    Relay,
    run_agent,
    serve_app,
    serve_enrolment,
    serve_raw,
    serve_relay,
)

MACHINE = Machine(name="site office", machine="pc-1", os="Linux", version="1")
RELAY_KEY = SigningKey(bytes(range(32)))


@dataclass
class MemoryVault:
    secrets: dict[str, bytes] = field(default_factory=dict)

    async def get(self, name: str) -> bytes | None:
        return self.secrets.get(name)

    async def put(self, name: str, value: bytes) -> None:
        self.secrets[name] = value

    async def delete(self, name: str) -> None:
        self.secrets.pop(name, None)


@dataclass
class Pc:
    """A PC that wants to enrol."""

    folder: Path
    vault: MemoryVault = field(default_factory=MemoryVault)

    @property
    def keys(self) -> AgentKeys:
        return AgentKeys(self.vault)

    @property
    def generation(self) -> Generation:
        return Generation(self.folder / "generation")

    def enroller(self, url: str, **more: Any) -> Enroller:
        more.setdefault("tls", client_context())
        return Enroller(url, keys=self.keys, generation=self.generation, **more)


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
    send = enroller._send

    async def lose(client: httpx.AsyncClient, path: str, **more: Any) -> httpx.Response:
        answer = await send(client, path, **more)
        if path == "/api/enrol":
            raise RelayUnreachableError("lost")
        return answer

    with monkeypatch.context() as patched:
        patched.setattr(enroller, "_send", lose)
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
    with pytest.raises(EnrolmentRefusedError):
        await pc.enroller(url).enrol(expired.reveal(), MACHINE)
    assert (await pc.keys.load()).public_key == before.public_key
    await pc.keys.forget()
    assert pc.vault.secrets == {}


async def says(pc: Pc, url: str, token: JoinToken | str, **more: Any) -> CloudConnectError:
    text = token if isinstance(token, str) else token.reveal()
    with pytest.raises(CloudConnectError) as caught:
        await pc.enroller(url, **more).enrol(text, MACHINE)
    error = caught.value
    assert error.message.endswith(".")
    assert "\n" not in error.message
    if not isinstance(token, str):
        assert token.secret not in error.message
    return error


async def test_used_expired_and_revoked_tokens_are_refused_in_a_sentence(
    pc: Pc, relay: Relay, url: str
) -> None:
    used = await relay.token()
    await pc.enroller(url).enrol(used.reveal(), MACHINE)
    assert "used already" in (await says(pc, url, used)).message
    expired = await relay.token(expires_in=-1)
    assert "expired" in (await says(pc, url, expired)).message
    group = await relay.token(group="east")
    with pytest.raises(EnrolmentRefusedError, match="east"):
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
            pc, f"http://127.0.0.1:{port}", await relay.token(), timeout=httpx.Timeout(0.1)
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


class FakeRelay:
    """A relay that proves itself and then does as it is told."""

    def __init__(self) -> None:
        self.app = FastAPI()
        self.key = RELAY_KEY
        self.signer = RELAY_KEY
        self.answer: tuple[int, Any] = (201, {})
        self.enrolment: dict[str, Any] = {}
        self.token = JoinToken.make(token_id="jt_a", relay_public_key=RELAY_KEY.public_key)
        self.saw: list[str] = []
        self.app.post("/api/enrol/challenge")(self.challenge)
        self.app.post("/api/enrol")(self.enrol)

    async def challenge(self, request: Request) -> dict[str, str]:
        body = await request.json()
        nonce = bytes(40)
        transcript = enrol_challenge_transcript(
            relay_id="rel_a",
            token_id=body["token_id"],
            agent_nonce=to_bytes(body["agent_nonce"]),
            nonce=nonce,
        )
        return {
            "relay_id": "rel_a",
            "relay_public_key": to_text(self.key.public_key),
            "nonce": to_text(nonce),
            "signature": to_text(self.signer.sign(transcript)),
        }

    async def enrol(self, request: Request) -> Response:
        body = await request.json()
        self.saw.append(body["token"])
        status, answer = self.answer
        if answer == {}:
            answer = {
                "connector_id": "con_a",
                "key_id": SigningKey.generate().key_id,
                "relay_id": "rel_a",
                "relay_public_key": to_text(self.key.public_key),
                "tunnel_url": "ws://127.0.0.1:1/tunnel",
                "generation": 0,
                **self.enrolment,
            }
        content = answer if isinstance(answer, str) else json.dumps(answer)
        return Response(content, status_code=status, media_type="application/json")


@pytest.fixture
def fake() -> FakeRelay:
    return FakeRelay()


async def test_relay_without_the_pinned_key_never_sees_the_token(pc: Pc, fake: FakeRelay) -> None:
    fake.signer = SigningKey.generate()
    async with serve_app(fake.app) as url:
        error = await says(pc, url, fake.token)
    assert "could not prove" in error.message
    assert fake.saw == []


@pytest.mark.parametrize(
    ("enrolment", "what"),
    [
        ({}, "contradicts"),
        ({"relay_id": "rel_b"}, "contradicts"),
        ({"relay_public_key": to_text(bytes(32))}, "contradicts"),
        ({"tunnel_url": "ws://relay.example.com/tunnel"}, "tunnel address"),
        ({"generation": -1}, "does not understand"),
    ],
)
async def test_answer_that_contradicts_the_proof_is_not_believed(
    pc: Pc, fake: FakeRelay, enrolment: dict[str, Any], what: str
) -> None:
    fake.enrolment = enrolment
    async with serve_app(fake.app) as url:
        assert what in (await says(pc, url, fake.token)).message
    with pytest.raises(ConfigurationError):
        await pc.keys.load()


@pytest.mark.parametrize(
    ("status", "body", "kind", "what"),
    [
        (500, "oops", RelayUnreachableError, "same join token"),
        (403, {"detail": "Enough\u001b[31m\nconnectors."}, EnrolmentRefusedError, "Enough [31m"),
        (403, {"detail": ""}, EnrolmentRefusedError, "refused"),
        (429, "no json", EnrolmentRefusedError, "refused"),
        (201, "x" * 70_000, RelayUnreachableError, "no relay"),
    ],
)
async def test_refusals_are_shown_as_one_clean_line(
    pc: Pc, fake: FakeRelay, *, status: int, body: Any, kind: type[Exception], what: str
) -> None:
    fake.answer = (status, body)
    async with serve_app(fake.app) as url:
        error = await says(pc, url, fake.token)
    assert isinstance(error, kind)
    assert what in error.message
    assert "\u001b" not in error.message


@pytest.mark.parametrize(
    ("status", "headers", "body", "what"),
    [
        (200, {}, "<html>", "no relay"),
        (404, {}, "nothing", "status 404"),
        (302, {"location": "https://login.example.com"}, "", "redirects"),
        (200, {}, {"nonce": "!"}, "no relay"),
    ],
)
async def test_other_web_server_is_no_relay(
    pc: Pc, fake: FakeRelay, *, status: int, headers: dict[str, str], body: Any, what: str
) -> None:
    app = FastAPI()

    @app.post("/api/enrol/challenge")
    def answer() -> Response:
        content = body if isinstance(body, str) else json.dumps(body)
        return Response(content, status_code=status, headers=headers)

    async with serve_app(app) as url:
        error = await says(pc, url, fake.token)
    assert isinstance(error, RelayUnreachableError)
    assert what in error.message


@pytest.mark.parametrize(
    ("sign_in", "issue", "what"),
    [
        ((200, {"access_token": "t"}), (201, {"token": "ccj1.made"}), "ccj1.made"),
        ((400, {"error": "invalid_grant"}), (201, {}), "user and password"),
        ((200, {"access_token": "t"}), (403, {"detail": "No such right."}), "No such right."),
        ((200, {}), (201, {}), "does not understand"),
    ],
)
async def test_administrator_gets_a_join_token_with_a_password(
    pc: Pc, sign_in: tuple[int, Any], issue: tuple[int, Any], what: str
) -> None:
    app = FastAPI()
    saw: list[Any] = []

    @app.post("/Token")
    async def token(request: Request) -> Response:
        saw.append((await request.body()).decode())
        return Response(json.dumps(sign_in[1]), status_code=sign_in[0])

    @app.post("/api/enrolment-tokens")
    async def made(request: Request) -> Response:
        saw.append((request.headers["authorization"], await request.json()))
        return Response(json.dumps(issue[1]), status_code=issue[0])

    async with serve_app(app) as url:
        enroller = pc.enroller(url)
        try:
            said = await enroller.request_token("admin", "pass word", group="east")
        except EnrolmentRefusedError as exc:
            said = exc.message
    assert what in said
    assert "pass word" not in said
    assert saw[0] == "grant_type=password&username=admin&password=pass+word"
    assert saw[1:] in ([], [("Bearer t", {"group": "east"})])


def test_machine_describes_itself() -> None:
    here = Machine.here(name="a", version="1")
    assert here.machine
    assert here.os
    assert (here.name, here.version) == ("a", "1")
