"""Ed25519 keys and signatures, and the one way in which signed fields are laid out."""

import base64
import binascii
import hashlib
from typing import Annotated, Final, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from pydantic import BeforeValidator, Field, PlainSerializer

__all__ = [
    "KEY_BYTES",
    "NONCE_BYTES",
    "SIGNATURE_BYTES",
    "Digest",
    "Nonce",
    "PublicKeyBytes",
    "SignatureBytes",
    "SigningKey",
    "is_sound_public_key",
    "key_id_of",
    "pack_fields",
    "to_bytes",
    "to_text",
    "verify_signature",
]

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
_KEY_ID_CHARACTERS: Final = 22  # 132 bits of SHA-256

# The field prime of Curve25519 and the y-coordinates of the points of small order (RFC 7748, 7
# and RFC 8032, 5.1): a "signature" by such a key verifies for messages nobody signed.
_PRIME: Final = 2**255 - 19
_SMALL_ORDER_Y: Final = frozenset(
    {
        0,
        1,
        _PRIME - 1,
        0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826,
        0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7,
    }
)


def to_text(data: bytes) -> str:
    """Encode bytes as our JSON carries them: base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def to_bytes(text: str) -> bytes:
    """Decode :func:`to_text`, and nothing but what it produces.

    Raises:
        ValueError: If the text is not the one encoding of some bytes.
    """
    try:
        data = base64.b64decode(
            text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True
        )
    except (binascii.Error, UnicodeEncodeError) as exc:
        raise ValueError("not base64url") from exc
    if to_text(data) != text:
        raise ValueError("not canonical base64url")
    return data


def _decode(value: object) -> object:
    return to_bytes(value) if isinstance(value, str) else value


_TEXT = (BeforeValidator(_decode), PlainSerializer(to_text, return_type=str, when_used="json"))

Nonce = Annotated[bytes, *_TEXT, Field(min_length=NONCE_BYTES, max_length=NONCE_BYTES)]
Digest = Annotated[bytes, *_TEXT, Field(min_length=32, max_length=32)]
PublicKeyBytes = Annotated[bytes, *_TEXT, Field(min_length=KEY_BYTES, max_length=KEY_BYTES)]
SignatureBytes = Annotated[
    bytes, *_TEXT, Field(min_length=SIGNATURE_BYTES, max_length=SIGNATURE_BYTES)
]


def pack_fields(label: str, *fields: bytes | str | int) -> bytes:
    """Join a domain label and fields so that no other list of fields gives the same bytes.

    Each of them, the label first, is a length of four bytes (big-endian) and then its bytes:
    text is UTF-8, a number has eight bytes (big-endian).
    """
    packed = bytearray()
    for field in (label, *fields):
        match field:
            case str():
                data = field.encode()
            case int():
                data = field.to_bytes(8)
            case _:
                data = field
        packed += len(data).to_bytes(4) + data
    return bytes(packed)


def key_id_of(public_key: bytes) -> str:
    """Name a public key by its hash, so that a swapped key has another name."""
    return "key_" + to_text(hashlib.sha256(public_key).digest())[:_KEY_ID_CHARACTERS]


def is_sound_public_key(public_key: bytes) -> bool:
    """Whether the key is canonically encoded and of full order (see RFC 8032, 5.1.3)."""
    if len(public_key) != KEY_BYTES:
        return False
    y = int.from_bytes(public_key, "little") & ~(1 << 255)
    return y < _PRIME and y not in _SMALL_ORDER_Y


def verify_signature(public_key: bytes, signature: bytes, message: bytes) -> bool:
    """Whether the holder of the key signed exactly this message."""
    if not is_sound_public_key(public_key):
        return False
    try:
        # OpenSSL refuses S >= L, so that a signature has one encoding only.
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


class SigningKey:
    """An Ed25519 private key that never shows itself in a log."""

    __slots__ = ("_private", "key_id", "public_key")

    def __init__(self, seed: bytes) -> None:
        self._private: Final = Ed25519PrivateKey.from_private_bytes(seed)
        self.public_key: Final = self._private.public_key().public_bytes_raw()
        self.key_id: Final = key_id_of(self.public_key)

    @classmethod
    def generate(cls) -> Self:
        """Make a fresh key."""
        return cls(Ed25519PrivateKey.generate().private_bytes_raw())

    def seed(self) -> bytes:
        """The 32 secret bytes, for a vault and nothing else."""
        return self._private.private_bytes_raw()

    def sign(self, message: bytes) -> bytes:
        """Sign a message; its fields must come from :func:`pack_fields`."""
        return self._private.sign(message)

    def __repr__(self) -> str:
        return f"SigningKey({self.key_id})"
