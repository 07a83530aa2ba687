"""Sealed calls: requests that only one connector can read, and answers that only their caller can.

HPKE (RFC 9180) seals the request to the connector's X25519 key. Inside stands an X25519 key of
the caller that is used for this one call: the key of the answer is sealed to it, and derived
together with a secret that only whoever could open the request knows. An answer is a row of
parts, each sealed under a counter, and the last one says that it is the last.
"""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cloud_connect.calls import CallParams
from cloud_connect.errors import InvalidRequestError, RemoteProtocolError
from cloud_connect.signing import NONCE_BYTES, Nonce, PublicKeyBytes, pack_fields
from cloud_connect.tunnel.heads import Headers

__all__ = [
    "MAX_PIECE_BYTES",
    "SEALED_TYPE",
    "AnswerOpener",
    "AnswerSealer",
    "OpenedRequest",
    "Part",
    "SealedHead",
    "SealedParams",
    "SealingKey",
    "open_request",
    "seal_request",
]

SEALED_TYPE: Final = "application/vnd.cloud-connect.sealed"
MAX_PIECE_BYTES: Final = 64 * 1024  # of an answer's body in one part
_SUITE: Final = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)
_VERSION: Final = b"\x01"
_TAG_BYTES: Final = 16
_LENGTH_BYTES: Final = 4
_PRELUDE_BYTES: Final = len(_VERSION) + 32 + NONCE_BYTES + _TAG_BYTES
_FRAME_BYTES: Final = 4  # kind, and the length of what follows


class Part(IntEnum):
    """What a part of a sealed answer is."""

    HEAD = 1
    DATA = 2
    END = 3


class SealedParams(CallParams):
    """``sealed``: the body is a call that only its connector can read (``sealing``).

    Attributes:
        writes: Whether it may change something; the connector holds it to that.
    """

    writes: bool = False


class SealedHead(BaseModel):
    """What stands before the body inside a sealed request.

    Attributes:
        answer_key: The caller's X25519 key for this one call.
        secret: Shows in the answer that whoever sealed it could read the request.
        expires_at: UNIX seconds after which the connector refuses it.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    operation: str = Field(min_length=1, max_length=64)
    params: dict[str, object] = Field(default_factory=dict)
    headers: Headers = ()
    answer_key: PublicKeyBytes
    secret: Nonce = Field(repr=False)
    expires_at: int = Field(ge=0, lt=2**53)


class SealingKey:
    """An X25519 private key that never shows itself in a log."""

    __slots__ = ("_private", "public_key")

    def __init__(self, seed: bytes) -> None:
        self._private: Final = X25519PrivateKey.from_private_bytes(seed)
        self.public_key: Final = self._private.public_key().public_bytes_raw()

    @classmethod
    def generate(cls) -> Self:
        """Make a fresh key."""
        return cls(X25519PrivateKey.generate().private_bytes_raw())

    def seed(self) -> bytes:
        """The 32 secret bytes, for a vault and nothing else."""
        return self._private.private_bytes_raw()

    def open(self, sealed: bytes, *, info: bytes) -> bytes:
        """Return what was sealed to this key in this context.

        Raises:
            InvalidTag: If nothing was.
        """
        return _SUITE.decrypt(sealed, self._private, info=info)

    def __repr__(self) -> str:
        return "SealingKey()"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedRequest:
    """A sealed request as its connector reads it."""

    head: SealedHead
    body: bytes


def seal_request(
    head: SealedHead, body: bytes, *, connector_id: str, connector_key: bytes, writes: bool
) -> bytes:
    """Seal a request to a connector's key.

    Args:
        writes: What the relay is told about it; the connector holds the call to that.

    Raises:
        InvalidRequestError: If the key is none.
    """
    document = head.model_dump_json(exclude_defaults=True).encode()
    plain = len(document).to_bytes(_LENGTH_BYTES) + document + body
    return _VERSION + _seal(connector_key, plain, info=_request_info(connector_id, writes=writes))


def open_request(
    sealed: bytes, key: SealingKey, *, connector_id: str, writes: bool
) -> OpenedRequest:
    """Open a request that was sealed to this connector.

    Raises:
        InvalidRequestError: If it was not, or what is inside is malformed.
    """
    if not sealed.startswith(_VERSION):
        raise InvalidRequestError("The call is not sealed in a way that the connector knows.")
    try:
        info = _request_info(connector_id, writes=writes)
        plain = key.open(sealed[len(_VERSION) :], info=info)
    except InvalidTag as exc:
        raise InvalidRequestError(
            "The call cannot be opened: it is not sealed to this connector's key, or it was "
            "changed on the way. Compare the key with what `cloud-connect keys` prints on the PC."
        ) from exc
    end = _LENGTH_BYTES + int.from_bytes(plain[:_LENGTH_BYTES])
    try:
        head = SealedHead.model_validate_json(plain[_LENGTH_BYTES:end])
    except ValidationError as exc:
        raise InvalidRequestError("The sealed call has no proper head.") from exc
    return OpenedRequest(head=head, body=plain[end:])


class AnswerSealer:
    """Seals one answer, part by part, to the caller of one request.

    Raises:
        InvalidRequestError: If the caller's key is none.
    """

    def __init__(self, request: SealedHead, *, connector_id: str) -> None:
        fresh = secrets.token_bytes(NONCE_BYTES)
        sealed = _seal(request.answer_key, fresh, info=_answer_info(connector_id))
        self.prelude: Final = _VERSION + sealed
        self._cipher: Final = _cipher(fresh, request.secret)
        self._count = 0

    def seal(self, part: Part, data: bytes | memoryview) -> bytes:
        """Return the next part, sealed."""
        nonce = self._count.to_bytes(12)
        self._count += 1
        kind = bytes([part])
        sealed = self._cipher.encrypt(nonce, bytes(data), kind)
        return kind + len(sealed).to_bytes(3) + sealed

    def seal_body(self, data: bytes | memoryview) -> Iterator[bytes]:
        """Yield a piece of body as parts of a size that the caller takes."""
        view = memoryview(data)
        for start in range(0, len(view), MAX_PIECE_BYTES):
            yield self.seal(Part.DATA, view[start : start + MAX_PIECE_BYTES])


class AnswerOpener:
    """Opens one answer as its bytes come, cut anywhere.

    Attributes:
        ended: Whether its last part came: until then nobody knows that it is whole.
    """

    def __init__(self, key: SealingKey, secret: bytes, *, connector_id: str) -> None:
        self._key: Final = key
        self._secret: Final = secret
        self._info: Final = _answer_info(connector_id)
        self._cipher: ChaCha20Poly1305 | None = None
        self._buffer = bytearray()
        self._count = 0
        self.ended = False

    def feed(self, data: bytes) -> list[tuple[Part, bytes]]:
        """Take in bytes and return the parts that are complete.

        Raises:
            RemoteProtocolError: If it is no answer to this call, or not as it was sealed.
        """
        self._buffer += data
        if self._cipher is None:
            if len(self._buffer) < _PRELUDE_BYTES:
                return []
            self._cipher = self._begin(bytes(self._buffer[:_PRELUDE_BYTES]))
            del self._buffer[:_PRELUDE_BYTES]
        found: list[tuple[Part, bytes]] = []
        while (part := self._next(self._cipher)) is not None:
            found.append(part)
        if self.ended and self._buffer:
            raise _altered("goes on behind its end")
        return found

    def close(self) -> None:
        """Note that nothing more comes.

        Raises:
            RemoteProtocolError: If the answer is not whole.
        """
        if not self.ended:
            raise _altered("was cut off before its end")

    def _begin(self, prelude: bytes) -> ChaCha20Poly1305:
        try:
            fresh = self._key.open(prelude[len(_VERSION) :], info=self._info)
        except InvalidTag as exc:
            raise _altered("is not sealed to this call's key") from exc
        return _cipher(fresh, self._secret)

    def _next(self, cipher: ChaCha20Poly1305) -> tuple[Part, bytes] | None:
        buffer = self._buffer
        if self.ended or len(buffer) < _FRAME_BYTES:
            return None
        length = int.from_bytes(buffer[1:_FRAME_BYTES])
        if length > MAX_PIECE_BYTES + _TAG_BYTES:
            raise _altered("has a part that is too long")
        end = _FRAME_BYTES + length
        if len(buffer) < end:
            return None
        try:
            plain = cipher.decrypt(
                self._count.to_bytes(12), bytes(buffer[_FRAME_BYTES:end]), bytes(buffer[:1])
            )
            part = Part(buffer[0])
        except (InvalidTag, ValueError) as exc:
            raise _altered("has a part that is not as it was sealed, or not in its place") from exc
        del buffer[:end]
        self._count += 1
        self.ended = part is Part.END
        return part, plain


def _seal(public_key: bytes, plain: bytes, *, info: bytes) -> bytes:
    try:
        key = X25519PublicKey.from_public_bytes(public_key)
        return _SUITE.encrypt(plain, key, info=info)
    except ValueError as exc:  # of another length, or of low order
        raise InvalidRequestError("The key to seal to is no X25519 public key.") from exc


def _cipher(fresh: bytes, secret: bytes) -> ChaCha20Poly1305:
    label = pack_fields("cc/sealed/parts/v1")
    return ChaCha20Poly1305(
        HKDF(algorithm=SHA256(), length=32, salt=secret, info=label).derive(fresh)
    )


def _request_info(connector_id: str, *, writes: bool) -> bytes:
    return pack_fields("cc/sealed/request/v1", connector_id, int(writes))


def _answer_info(connector_id: str) -> bytes:
    return pack_fields("cc/sealed/answer/v1", connector_id)


def _altered(what: str) -> RemoteProtocolError:
    return RemoteProtocolError(f"The sealed answer {what}: do not trust what came of it.")
