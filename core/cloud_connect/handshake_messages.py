"""The messages of the handshake and the bytes that both ends sign.

``docs/protocol.md`` specifies them; ``docs/handshake-vectors.json`` has every transcript as bytes.
"""

from collections.abc import Sequence
from typing import Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from cloud_connect import strict_json
from cloud_connect.closing import CloseCode
from cloud_connect.errors import TunnelError
from cloud_connect.signing import Digest, Nonce, SignatureBytes, pack_fields

__all__ = [
    "MAX_MESSAGE_BYTES",
    "NO_CERTIFICATE",
    "PROTOCOL_VERSION",
    "SUBPROTOCOL",
    "TUNNEL_PATH",
    "CertificateCheck",
    "Challenge",
    "Confirm",
    "HandshakeError",
    "Hello",
    "Welcome",
    "connect_transcript",
    "enrol_certificates_transcript",
    "enrol_challenge_transcript",
    "enrol_transcript",
    "leave_transcript",
    "malformed",
    "rotate_transcript",
    "tunnel_url_transcript",
    "update_transcript",
    "welcome_transcript",
]

SUBPROTOCOL: Final = "cloud-connect.v1"
TUNNEL_PATH: Final = "/tunnel"
PROTOCOL_VERSION: Final = 1
MAX_MESSAGE_BYTES: Final = 4096
NO_CERTIFICATE: Final = bytes(32)  # what stands for its hash on a link without TLS

_ALLOWANCE: Final = {"allow_intercepted"}
_MAX_GENERATION: Final = 2**63 - 1

CertificateCheck = Literal["verified", "unverified", "intercepted"]


class HandshakeError(TunnelError):
    """The peer is not who it should be, or does not speak as agreed.

    Attributes:
        close_code: What the link is closed with.
    """

    def __init__(self, message: str, *, close_code: CloseCode) -> None:
        super().__init__(message)
        self.close_code: Final = close_code


def malformed(what: str) -> HandshakeError:
    """The error about a message that is not as agreed."""
    return HandshakeError(
        f"A message of the handshake {what}.", close_code=CloseCode.PROTOCOL_ERROR
    )


def enrol_challenge_transcript(
    *, relay_id: str, token_id: str, agent_nonce: bytes, nonce: bytes
) -> bytes:
    """What a relay signs so that an agent dares to show it a join token."""
    return pack_fields("cc/enrol-challenge/v1", relay_id, token_id, agent_nonce, nonce)


def enrol_certificates_transcript(
    *, relay_id: str, agent_nonce: bytes, hashes: Sequence[bytes]
) -> bytes:
    """What a relay signs so that an agent can tell whether somebody reads along."""
    return pack_fields("cc/enrol-certificates/v1", relay_id, agent_nonce, *hashes)


def enrol_transcript(*, relay_id: str, nonce: bytes, token_id: str, public_key: bytes) -> bytes:
    """What an agent signs to prove that it holds the key it enrols with."""
    return pack_fields("cc/enrol/v1", relay_id, nonce, token_id, public_key)


def leave_transcript(*, relay_id: str, nonce: bytes, connector_id: str, key_id: str) -> bytes:
    """What an agent signs to be revoked: it leaves this relay of its own will."""
    return pack_fields("cc/leave/v1", relay_id, nonce, connector_id, key_id)


def rotate_transcript(
    *, relay_id: str, nonce: bytes, connector_id: str, key_id: str, new_public_key: bytes
) -> bytes:
    """What an agent signs with its old key and with its new one, so that the new one follows.

    Args:
        key_id: Of the old key.
    """
    return pack_fields("cc/rotate/v1", relay_id, nonce, connector_id, key_id, new_public_key)


def tunnel_url_transcript(*, relay_id: str, agent_nonce: bytes, tunnel_url: str) -> bytes:
    """What a relay signs to tell an agent that asks where its tunnel is by now."""
    return pack_fields("cc/tunnel-url/v1", relay_id, agent_nonce, tunnel_url)


def update_transcript(*, relay_id: str, agent_nonce: bytes, latest: str, notes: str) -> bytes:
    """What a relay signs to tell an agent which version its operator recommends, if any."""
    return pack_fields("cc/update/v1", relay_id, agent_nonce, latest, notes)


def connect_transcript(
    *,
    relay_id: str,
    connector_id: str,
    key_id: str,
    relay_nonce: bytes,
    agent_nonce: bytes,
    certificate_hash: bytes,
    generation: int,
    version: int,
    allow_intercepted: bool = False,
) -> bytes:
    """What an agent signs to connect: bound to this relay, this socket, this certificate.

    Args:
        allow_intercepted: Has a label of its own, so that who sits in between cannot allow itself.
    """
    return pack_fields(
        "cc/connect-intercepted/v1" if allow_intercepted else "cc/connect/v1",
        relay_id,
        connector_id,
        key_id,
        relay_nonce,
        agent_nonce,
        certificate_hash,
        generation,
        version,
    )


def welcome_transcript(
    *, agent_nonce: bytes, transcript: bytes, generation: int, intercepted: bool = False
) -> bytes:
    """What a relay signs in return.

    Args:
        generation: The one it hands out.
        intercepted: Has a label of its own, so that who sits in between cannot hide itself.
    """
    label = "cc/welcome-intercepted/v1" if intercepted else "cc/welcome/v1"
    return pack_fields(label, agent_nonce, transcript, generation)


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    @classmethod
    def read(cls, message: str | bytes) -> Self:
        """Read a message as it came.

        Raises:
            HandshakeError: If it is binary, too long, or another message.
        """
        if isinstance(message, bytes):
            raise malformed("is binary, before authentication is over")
        if len(message) > MAX_MESSAGE_BYTES or len(message.encode()) > MAX_MESSAGE_BYTES:
            raise malformed(f"is over {MAX_MESSAGE_BYTES} bytes")
        try:
            return strict_json.read(cls, message.encode())
        except ValueError as exc:  # StrictJsonError, ValidationError and UnicodeError are ones
            raise malformed(f"is no {cls.__name__.lower()}") from exc

    def write(self) -> str:
        """The message as JSON."""
        return self.model_dump_json()


class Challenge(_Message):
    """Relay to agent, first: a nonce for this socket only."""

    type: Literal["challenge"] = "challenge"
    relay_id: str = Field(min_length=1, max_length=64)
    versions: tuple[int, ...] = Field(min_length=1, max_length=16)
    nonce: Nonce


class Hello(_Message):
    """Agent to relay: who it claims to be, and the proof.

    Attributes:
        certificate_hash: SHA-256 of the certificate it saw, 32 zero bytes without TLS.
        instance: Random per process: tells a restarted agent from a copy of it.
        allow_intercepted: The PC's administrator allows a proxy in between that reads along;
            left out where it is false.
    """

    type: Literal["hello"] = "hello"
    version: int = Field(ge=0, le=2**31)
    relay_id: str = Field(min_length=1, max_length=64)
    connector_id: str = Field(min_length=1, max_length=64)
    key_id: str = Field(min_length=1, max_length=64)
    nonce: Nonce
    certificate_hash: Digest
    generation: int = Field(ge=0, le=_MAX_GENERATION)
    instance: str = Field(default="", max_length=64)
    allow_intercepted: bool = False
    signature: SignatureBytes

    def write(self) -> str:
        """The message as JSON."""
        return self.model_dump_json(exclude=None if self.allow_intercepted else _ALLOWANCE)


class Welcome(_Message):
    """Relay to agent: its own proof, and the generation to store and confirm.

    Attributes:
        time: The relay's clock in UNIX seconds, to show an agent's skew; decides nothing.
    """

    type: Literal["welcome"] = "welcome"
    generation: int = Field(ge=1, le=_MAX_GENERATION)
    certificate: CertificateCheck
    time: float
    signature: SignatureBytes


class Confirm(_Message):
    """Agent to relay: the generation is stored durably. SETTINGS follow."""

    type: Literal["confirm"] = "confirm"
    generation: int = Field(ge=1, le=_MAX_GENERATION)
