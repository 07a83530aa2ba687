"""Who is at the other end: the handshake before SETTINGS, for both roles and without I/O."""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from cloud_connect.closing import CloseCode
from cloud_connect.errors import LocalProtocolError
from cloud_connect.handshake_messages import (
    NO_CERTIFICATE,
    PROTOCOL_VERSION,
    CertificateCheck,
    Challenge,
    Confirm,
    HandshakeError,
    Hello,
    Welcome,
    connect_transcript,
    malformed,
    welcome_transcript,
)
from cloud_connect.signing import NONCE_BYTES, SigningKey, verify_signature

__all__ = [
    "NONCE_LIFETIME",
    "AgentCredentials",
    "AgentHandshake",
    "RelayHandshake",
]

NONCE_LIFETIME: Final = 10.0  # seconds that a challenge may be answered


class _Phase(Enum):
    START = auto()
    CHALLENGED = auto()
    GREETED = auto()
    PROVEN = auto()
    WELCOMED = auto()
    DONE = auto()


class _Step(Enum):
    CHALLENGE = auto()
    HELLO = auto()
    PROOF = auto()
    WELCOME = auto()
    CONFIRM = auto()


_RELAY_STEPS: Final = {
    (_Phase.START, _Step.CHALLENGE): _Phase.CHALLENGED,
    (_Phase.CHALLENGED, _Step.HELLO): _Phase.GREETED,
    (_Phase.GREETED, _Step.PROOF): _Phase.PROVEN,
    (_Phase.PROVEN, _Step.WELCOME): _Phase.WELCOMED,
    (_Phase.WELCOMED, _Step.CONFIRM): _Phase.DONE,
}
_AGENT_STEPS: Final = {
    (_Phase.START, _Step.CHALLENGE): _Phase.GREETED,
    (_Phase.GREETED, _Step.WELCOME): _Phase.WELCOMED,
    (_Phase.WELCOMED, _Step.CONFIRM): _Phase.DONE,
}


class _Walk:
    """Where a handshake stands; a step out of turn is a bug of this side."""

    def __init__(self, steps: dict[tuple[_Phase, _Step], _Phase]) -> None:
        self._steps: Final = steps
        self._phase = _Phase.START

    def take(self, step: _Step) -> None:
        phase = self._steps.get((self._phase, step))
        if phase is None:
            raise LocalProtocolError(f"handshake: {step.name} in phase {self._phase.name}")
        self._phase = phase

    @property
    def done(self) -> bool:
        return self._phase is _Phase.DONE


class RelayHandshake:
    """A relay's side: challenge, receive_hello, verify, welcome, receive_confirm in turn."""

    def __init__(
        self,
        *,
        relay_id: str,
        key: SigningKey,
        clock: Callable[[], float] = time.monotonic,
        nonce: bytes | None = None,
    ) -> None:
        self._relay_id: Final = relay_id
        self._key: Final = key
        self._clock: Final = clock
        self._nonce: Final = nonce or secrets.token_bytes(NONCE_BYTES)
        self._walk: Final = _Walk(_RELAY_STEPS)
        self._issued = 0.0
        self._generation = 0
        self._agent_nonce = b""
        self._signature = b""
        self._transcript = b""

    @property
    def done(self) -> bool:
        """Whether both ends proved themselves and the generation is confirmed."""
        return self._walk.done

    def challenge(self) -> str:
        """Open the handshake; the nonce is good for :data:`NONCE_LIFETIME` seconds."""
        self._walk.take(_Step.CHALLENGE)
        self._issued = self._clock()
        return Challenge(
            relay_id=self._relay_id, versions=(PROTOCOL_VERSION,), nonce=self._nonce
        ).write()

    def receive_hello(self, message: str | bytes) -> Hello:
        """Read who the agent claims to be; nothing of it is proven before :meth:`verify`.

        Raises:
            HandshakeError: If it is malformed, late, or meant for another relay.
        """
        hello = Hello.read(message)
        self._walk.take(_Step.HELLO)
        if self._clock() - self._issued > NONCE_LIFETIME:
            raise HandshakeError(
                "The challenge has expired.", close_code=CloseCode.HANDSHAKE_TIMEOUT
            )
        if hello.version != PROTOCOL_VERSION:
            raise HandshakeError(
                f"Protocol version {hello.version} is not supported.",
                close_code=CloseCode.UNSUPPORTED_VERSION,
            )
        if hello.relay_id != self._relay_id:
            raise _unauthorized()
        self._agent_nonce = hello.nonce
        self._signature = hello.signature
        self._transcript = connect_transcript(
            relay_id=self._relay_id,
            connector_id=hello.connector_id,
            key_id=hello.key_id,
            relay_nonce=self._nonce,
            agent_nonce=hello.nonce,
            certificate_hash=hello.certificate_hash,
            generation=hello.generation,
            version=hello.version,
            allow_intercepted=hello.allow_intercepted,
        )
        return hello

    def verify(self, public_key: bytes) -> None:
        """Check the proof against the connector's enrolled key.

        Raises:
            HandshakeError: If somebody else signed, or something else.
        """
        self._walk.take(_Step.PROOF)
        if not verify_signature(public_key, self._signature, self._transcript):
            raise _unauthorized()

    def welcome(self, *, generation: int, certificate: CertificateCheck, now: float) -> str:
        """Prove this relay and hand out the next generation."""
        self._walk.take(_Step.WELCOME)
        self._generation = generation
        signed = welcome_transcript(
            agent_nonce=self._agent_nonce,
            transcript=self._transcript,
            generation=generation,
            intercepted=certificate == "intercepted",
        )
        return Welcome(
            generation=generation,
            certificate=certificate,
            time=now,
            signature=self._key.sign(signed),
        ).write()

    def receive_confirm(self, message: str | bytes) -> None:
        """Read that the agent stored the generation.

        Raises:
            HandshakeError: If it is malformed or names another generation.
        """
        confirm = Confirm.read(message)
        if confirm.generation != self._generation:
            raise malformed("confirms another generation")
        self._walk.take(_Step.CONFIRM)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentCredentials:
    """What an agent connects with: its own key and the relay it enrolled at."""

    connector_id: str
    key: SigningKey
    relay_id: str
    relay_public_key: bytes


class AgentHandshake:
    """An agent's side: receive_challenge, receive_welcome, confirm in turn."""

    def __init__(
        self,
        credentials: AgentCredentials,
        *,
        generation: int,
        certificate_hash: bytes = NO_CERTIFICATE,
        instance: str = "",
        allow_intercepted: bool = False,
        nonce: bytes | None = None,
    ) -> None:
        self._allow_intercepted: Final = allow_intercepted
        self._credentials: Final = credentials
        self._generation: Final = generation
        self._certificate_hash: Final = certificate_hash
        self._instance: Final = instance
        self._nonce: Final = nonce or secrets.token_bytes(NONCE_BYTES)
        self._walk: Final = _Walk(_AGENT_STEPS)
        self._transcript = b""
        self._next_generation = 0

    @property
    def done(self) -> bool:
        """Whether the confirmation is written: SETTINGS may follow."""
        return self._walk.done

    def receive_challenge(self, message: str | bytes) -> str:
        """Answer the relay's challenge with a signed hello.

        Raises:
            HandshakeError: If it is malformed or comes from another relay.
        """
        challenge = Challenge.read(message)
        credentials = self._credentials
        if challenge.relay_id != credentials.relay_id:
            raise HandshakeError(
                "This is another relay than the one this agent enrolled at.",
                close_code=CloseCode.UNAUTHORIZED,
            )
        if PROTOCOL_VERSION not in challenge.versions:
            raise HandshakeError(
                "The relay does not speak this agent's protocol version: update the older of both.",
                close_code=CloseCode.UNSUPPORTED_VERSION,
            )
        self._walk.take(_Step.CHALLENGE)
        self._transcript = connect_transcript(
            relay_id=credentials.relay_id,
            connector_id=credentials.connector_id,
            key_id=credentials.key.key_id,
            relay_nonce=challenge.nonce,
            agent_nonce=self._nonce,
            certificate_hash=self._certificate_hash,
            generation=self._generation,
            version=PROTOCOL_VERSION,
            allow_intercepted=self._allow_intercepted,
        )
        return Hello(
            version=PROTOCOL_VERSION,
            relay_id=credentials.relay_id,
            connector_id=credentials.connector_id,
            key_id=credentials.key.key_id,
            nonce=self._nonce,
            certificate_hash=self._certificate_hash,
            generation=self._generation,
            instance=self._instance,
            allow_intercepted=self._allow_intercepted,
            signature=credentials.key.sign(self._transcript),
        ).write()

    def receive_welcome(self, message: str | bytes) -> Welcome:
        """Check the relay's proof; its generation must be stored durably before :meth:`confirm`.

        Raises:
            HandshakeError: If the relay does not hold the pinned key, or says that somebody
                reads along who may not.
        """
        welcome = Welcome.read(message)
        self._walk.take(_Step.WELCOME)
        signed = welcome_transcript(
            agent_nonce=self._nonce,
            transcript=self._transcript,
            generation=welcome.generation,
            intercepted=welcome.certificate == "intercepted",
        )
        proven = verify_signature(self._credentials.relay_public_key, welcome.signature, signed)
        if not proven or welcome.generation <= self._generation:
            raise HandshakeError(
                "The relay could not prove that it is the one this agent enrolled at.",
                close_code=CloseCode.UNAUTHORIZED,
            )
        if welcome.certificate == "intercepted" and not self._allow_intercepted:
            raise HandshakeError(
                "The relay says that a proxy in between reads the traffic.",
                close_code=CloseCode.INTERCEPTED,
            )
        self._next_generation = welcome.generation
        return welcome

    def confirm(self) -> str:
        """Tell the relay that the generation is stored."""
        self._walk.take(_Step.CONFIRM)
        return Confirm(generation=self._next_generation).write()


def _unauthorized() -> HandshakeError:
    return HandshakeError(
        "The relay does not accept this connector's key.", close_code=CloseCode.UNAUTHORIZED
    )
