import json
from pathlib import Path
from typing import Any, Final

import pytest

from cloud_connect.closing import CloseCode
from cloud_connect.errors import LocalProtocolError
from cloud_connect.handshake import AgentCredentials, AgentHandshake, RelayHandshake
from cloud_connect.handshake_messages import (
    MAX_MESSAGE_BYTES,
    CertificateCheck,
    Challenge,
    Confirm,
    HandshakeError,
    Hello,
    Welcome,
    connect_transcript,
    enrol_certificates_transcript,
    enrol_challenge_transcript,
    enrol_transcript,
    leave_transcript,
    rotate_transcript,
    tunnel_url_transcript,
    update_transcript,
    welcome_transcript,
)
from cloud_connect.join_token import JoinToken, fingerprint_of
from cloud_connect.signing import SigningKey, is_sound_public_key, to_bytes, to_text

VECTORS: Final[dict[str, Any]] = json.loads(
    (Path(__file__).parents[2] / "docs" / "handshake-vectors.json").read_text()
)
RELAY: Final = SigningKey(to_bytes(VECTORS["keys"]["relay"]["seed"]))
AGENT: Final = SigningKey(to_bytes(VECTORS["keys"]["agent"]["seed"]))
RELAY_ID: Final = "rel_0123456789abcdef"
CERTIFICATE: Final = bytes([0xC0]) * 32
TRANSCRIPTS: Final = {
    "enrol_challenge": enrol_challenge_transcript,
    "enrol": enrol_transcript,
    "leave": leave_transcript,
    "rotate": rotate_transcript,
    "connect": connect_transcript,
    "connect without TLS": connect_transcript,
    "welcome": welcome_transcript,
}
IDS: Final = {"relay_id", "connector_id", "key_id", "token_id"}


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def relay_side(clock: Clock | None = None, *, relay_id: str = RELAY_ID) -> RelayHandshake:
    return RelayHandshake(
        relay_id=relay_id, key=RELAY, clock=clock or Clock(), nonce=bytes([0xA0]) * 32
    )


def agent_side(
    *,
    key: SigningKey = AGENT,
    relay_key: bytes = RELAY.public_key,
    generation: int = 7,
    allow_intercepted: bool = False,
) -> AgentHandshake:
    return AgentHandshake(
        AgentCredentials(
            connector_id="con_0123456789abcdef",
            key=key,
            relay_id=RELAY_ID,
            relay_public_key=relay_key,
        ),
        generation=generation,
        certificate_hash=CERTIFICATE,
        instance="instance-1",
        allow_intercepted=allow_intercepted,
        nonce=bytes([0xB0]) * 32,
    )


@pytest.mark.parametrize("flag", [True, False])
def test_who_sits_in_between_cannot_change_whether_that_is_allowed(*, flag: bool) -> None:
    relay = relay_side()
    agent = agent_side(allow_intercepted=flag)
    hello = Hello.read(agent.receive_challenge(relay.challenge()))
    assert ("allow_intercepted" in hello.write()) is flag
    relay.receive_hello(hello.model_copy(update={"allow_intercepted": not flag}).write())
    with refusal(CloseCode.UNAUTHORIZED):
        relay.verify(AGENT.public_key)


def greeted(*, allow: bool, verdict: CertificateCheck) -> tuple[AgentHandshake, Welcome]:
    relay = relay_side()
    agent = agent_side(allow_intercepted=allow)
    relay.receive_hello(agent.receive_challenge(relay.challenge()))
    relay.verify(AGENT.public_key)
    return agent, Welcome.read(relay.welcome(generation=8, certificate=verdict, now=1.0))


@pytest.mark.parametrize("hidden", ["verified", "unverified"])
def test_who_sits_in_between_cannot_hide_it(hidden: str) -> None:
    agent, welcome = greeted(allow=True, verdict="intercepted")
    with refusal(CloseCode.UNAUTHORIZED):
        agent.receive_welcome(welcome.model_copy(update={"certificate": hidden}).write())


def test_agent_believes_a_relay_that_somebody_reads_along_and_leaves_unless_allowed() -> None:
    agent, welcome = greeted(allow=True, verdict="intercepted")
    assert agent.receive_welcome(welcome.write()).certificate == "intercepted"
    agent, welcome = greeted(allow=False, verdict="intercepted")
    with refusal(CloseCode.INTERCEPTED):
        agent.receive_welcome(welcome.write())


def refusal(close_code: CloseCode) -> Any:
    return pytest.raises(HandshakeError, check=lambda error: error.close_code is close_code)


@pytest.mark.parametrize("vector", VECTORS["transcripts"], ids=lambda vector: vector["name"])
def test_transcripts_and_signatures_are_the_published_ones(vector: dict[str, Any]) -> None:
    fields = {
        name: value
        if isinstance(value, int) or name in IDS
        else bytes.fromhex(value)
        if name == "transcript"
        else to_bytes(value)
        for name, value in vector["fields"].items()
    }
    transcript = TRANSCRIPTS[vector["name"]](**fields)  # type: ignore[operator]  # by its name
    assert transcript.hex() == vector["transcript"]
    key = RELAY if vector["signer"] == "relay" else AGENT
    assert to_text(key.sign(transcript)) == vector["signature"]


def test_keys_and_join_token_are_the_published_ones() -> None:
    keys, token = VECTORS["keys"], VECTORS["join_token"]
    assert to_text(RELAY.public_key) == keys["relay"]["public_key"]
    assert fingerprint_of(RELAY.public_key) == keys["relay"]["fingerprint"]
    assert AGENT.key_id == keys["agent"]["key_id"]
    parsed = JoinToken.parse(token["text"])
    assert (parsed.token_id, parsed.secret) == (token["token_id"], token["secret"])
    assert parsed.secret_hash().hex() == token["secret_sha256"]
    assert parsed.matches(RELAY.public_key)


@pytest.mark.parametrize("vector", VECTORS["refused_public_keys"], ids=lambda vector: vector["why"])
def test_unsound_public_keys_of_the_vectors_are_refused(vector: dict[str, str]) -> None:
    assert not is_sound_public_key(to_bytes(vector["public_key"]))


def test_whole_handshake_exchanges_the_published_messages() -> None:
    relay, agent = relay_side(), agent_side()
    challenge = relay.challenge()
    hello = agent.receive_challenge(challenge)
    assert relay.receive_hello(hello).connector_id == "con_0123456789abcdef"
    relay.verify(AGENT.public_key)
    welcome = relay.welcome(generation=8, certificate="verified", now=1795000000.0)
    assert agent.receive_welcome(welcome).generation == 8
    confirm = agent.confirm()
    relay.receive_confirm(confirm)
    assert relay.done
    assert agent.done
    sent = {
        "challenge": challenge,
        "hello": hello,
        "welcome": welcome,
        "confirm": confirm,
    }
    assert {name: json.loads(text) for name, text in sent.items()} == VECTORS["messages"]


def test_messages_of_a_later_version_may_say_more() -> None:
    for model in (Challenge, Hello, Welcome, Confirm):
        message = {**VECTORS["messages"][model.__name__.lower()], "later": True}
        assert model.read(json.dumps(message)) is not None


def hello_for(relay: RelayHandshake, agent: AgentHandshake) -> str:
    return agent.receive_challenge(relay.challenge())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("connector_id", "con_another"),
        ("key_id", "key_another"),
        ("nonce", to_text(bytes(32))),
        ("certificate_hash", to_text(bytes(32))),
        ("generation", 8),
        ("signature", to_text(bytes(64))),
    ],
)
def test_proof_covers_every_field(field: str, value: object) -> None:
    relay = relay_side()
    hello = json.loads(hello_for(relay, agent_side()))
    relay.receive_hello(json.dumps({**hello, field: value}))
    with refusal(CloseCode.UNAUTHORIZED):
        relay.verify(AGENT.public_key)


def test_proof_by_another_key_is_refused() -> None:
    relay = relay_side()
    relay.receive_hello(hello_for(relay, agent_side(key=SigningKey.generate())))
    with refusal(CloseCode.UNAUTHORIZED):
        relay.verify(AGENT.public_key)


def test_captured_hello_is_worthless_on_another_socket() -> None:
    captured = hello_for(relay_side(), agent_side())
    relay = RelayHandshake(relay_id=RELAY_ID, key=RELAY)
    relay.challenge()
    relay.receive_hello(captured)
    with refusal(CloseCode.UNAUTHORIZED):
        relay.verify(AGENT.public_key)


def test_captured_hello_is_worthless_at_another_relay() -> None:
    captured = hello_for(relay_side(), agent_side())
    relay = relay_side(relay_id="rel_another")
    relay.challenge()
    with refusal(CloseCode.UNAUTHORIZED):
        relay.receive_hello(captured)


def test_challenge_expires_after_ten_seconds() -> None:
    clock = Clock()
    relay = relay_side(clock)
    hello = hello_for(relay, agent_side())
    clock.now += 10.1
    with refusal(CloseCode.HANDSHAKE_TIMEOUT):
        relay.receive_hello(hello)


def test_unknown_protocol_version_is_refused_on_both_sides() -> None:
    relay = relay_side()
    hello = json.loads(hello_for(relay, agent_side()))
    with refusal(CloseCode.UNSUPPORTED_VERSION):
        relay.receive_hello(json.dumps({**hello, "version": 2}))
    later = {**VECTORS["messages"]["challenge"], "versions": [2, 3]}
    with refusal(CloseCode.UNSUPPORTED_VERSION):
        agent_side().receive_challenge(json.dumps(later))


def test_agent_does_not_answer_another_relay() -> None:
    with refusal(CloseCode.UNAUTHORIZED):
        agent_side().receive_challenge(relay_side(relay_id="rel_another").challenge())


def welcome_for(agent: AgentHandshake, *, generation: int = 8) -> str:
    relay = relay_side()
    relay.receive_hello(hello_for(relay, agent))
    relay.verify(AGENT.public_key)
    return relay.welcome(generation=generation, certificate="unverified", now=0.0)


def test_agent_refuses_a_relay_that_lacks_the_pinned_key() -> None:
    agent = agent_side(relay_key=SigningKey.generate().public_key)
    with refusal(CloseCode.UNAUTHORIZED):
        agent.receive_welcome(welcome_for(agent))


def test_agent_refuses_a_generation_that_does_not_advance() -> None:
    agent = agent_side()
    with refusal(CloseCode.UNAUTHORIZED):
        agent.receive_welcome(welcome_for(agent, generation=7))


def test_agent_refuses_a_welcome_with_another_generation_than_was_signed() -> None:
    agent = agent_side()
    welcome = json.loads(welcome_for(agent))
    with refusal(CloseCode.UNAUTHORIZED):
        agent.receive_welcome(json.dumps({**welcome, "generation": 9}))


def test_confirmation_of_another_generation_is_refused() -> None:
    relay, agent = relay_side(), agent_side()
    relay.receive_hello(hello_for(relay, agent))
    relay.verify(AGENT.public_key)
    relay.welcome(generation=8, certificate="verified", now=0.0)
    with refusal(CloseCode.PROTOCOL_ERROR):
        relay.receive_confirm(json.dumps({"type": "confirm", "generation": 9}))


@pytest.mark.parametrize(
    "message",
    [
        "",
        "{}",
        "[]",
        "null",
        '{"type":"hello"}',
        '{"type":"confirm","generation":1}',
        b'{"type":"hello"}',
        '{"type":"hello","padding":"' + "x" * MAX_MESSAGE_BYTES + '"}',
        "ü" * (MAX_MESSAGE_BYTES - 1),
    ],
)
def test_anything_but_a_hello_is_refused(message: str | bytes) -> None:
    relay = relay_side()
    relay.challenge()
    with refusal(CloseCode.PROTOCOL_ERROR):
        relay.receive_hello(message)


def test_steps_out_of_turn_are_a_bug_of_ours() -> None:
    with pytest.raises(LocalProtocolError):
        relay_side().welcome(generation=1, certificate="verified", now=0.0)
    with pytest.raises(LocalProtocolError):
        relay_side().verify(AGENT.public_key)
    with pytest.raises(LocalProtocolError):
        agent_side().confirm()
    relay = relay_side()
    hello = hello_for(relay, agent_side())
    relay.receive_hello(hello)
    with pytest.raises(LocalProtocolError):
        relay.receive_hello(hello)


def test_each_answer_is_signed_under_a_label_of_its_own_with_all_that_it_says() -> None:
    def packed(*fields: bytes) -> bytes:
        return b"".join(len(field).to_bytes(4, "big") + field for field in fields)

    nonce, relay = bytes(32), RELAY_ID.encode()
    assert enrol_certificates_transcript(
        relay_id=RELAY_ID, agent_nonce=nonce, hashes=[CERTIFICATE, b"h" * 32]
    ) == packed(b"cc/enrol-certificates/v1", relay, nonce, CERTIFICATE, b"h" * 32)
    assert tunnel_url_transcript(
        relay_id=RELAY_ID, agent_nonce=nonce, tunnel_url="wss://relay.example/agent"
    ) == packed(b"cc/tunnel-url/v1", relay, nonce, b"wss://relay.example/agent")
    assert update_transcript(
        relay_id=RELAY_ID, agent_nonce=nonce, latest="1.2.0", notes=""
    ) == packed(b"cc/update/v1", relay, nonce, b"1.2.0", b"")
