"""How the platform seals settings and expects answers signed: AES-CBC and HMAC, in two ways."""

import base64
import binascii
import hmac
import secrets
import string
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Self

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from cloud_connect.errors import InvalidRequestError
from cloud_connect.live_secrets import learn_secret

__all__ = ["BLOCK_BYTES", "Decrypted", "Dialect", "SharedSecret", "from_base64"]

BLOCK_BYTES: Final = 16
_KEY_BYTES: Final = 32  # AES-256
_ZERO_IV: Final = bytes(BLOCK_BYTES)
_LETTERS: Final = string.ascii_letters + string.digits


class Dialect(StrEnum):
    """Which of the platform's two ways a registration speaks."""

    CURRENT = "A"  # the secret is base64 of the key; each message has a fresh IV
    OLDER = "B"  # the secret's own bytes are the key; the IV is always zero


@dataclass(frozen=True, slots=True, kw_only=True)
class Decrypted:
    """What a bag holds.

    Attributes:
        is_padded: Whether the padding is as it must be; else the text means nothing.
    """

    text: bytes = field(repr=False)
    is_padded: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedSecret:
    """What the platform and the relay both know of a registration.

    Attributes:
        text: As people copy it.
    """

    dialect: Dialect
    text: str = field(repr=False)
    _key: bytes = field(repr=False)

    @classmethod
    def new(cls, dialect: Dialect) -> Self:
        """Make a fresh one."""
        if dialect is Dialect.CURRENT:
            return cls.parse(dialect, base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode())
        return cls.parse(dialect, "".join(secrets.choice(_LETTERS) for _ in range(_KEY_BYTES)))

    @classmethod
    def of_nobody(cls, dialect: Dialect) -> Self:
        """Make one that opens nothing, at the cost of one that does.

        The masks of the log never learn it: whoever guesses at registrations would push real
        secrets out of them.
        """
        key = secrets.token_bytes(_KEY_BYTES)
        return cls(dialect=dialect, text=base64.b64encode(key).decode(), _key=key)

    @classmethod
    def parse(cls, dialect: Dialect, text: str) -> Self:
        """Take a secret as the platform gave it out.

        Raises:
            InvalidRequestError: If it is no key of the dialect; the message never repeats it.
        """
        text = text.strip()
        key = from_base64(text) if dialect is Dialect.CURRENT else text.encode()
        if key is None or len(key) != _KEY_BYTES:
            wanted = "base64 of 32 bytes" if dialect is Dialect.CURRENT else "32 characters"
            raise InvalidRequestError(
                f"secret: a secret of dialect {dialect} is {wanted}; copy the whole of it."
            )
        learn_secret(text)
        return cls(dialect=dialect, text=text, _key=key)

    def decrypt(self, bag: bytes, iv: bytes | None) -> Decrypted:
        """Decrypt whole blocks; the same work whether they make sense or not.

        Args:
            iv: What came with them; dialect B has none of its own.
        """
        cipher = self._cipher(iv if self.dialect is Dialect.CURRENT and iv else _ZERO_IV)
        decryptor = cipher.decryptor()
        text = decryptor.update(bag) + decryptor.finalize()
        claimed = text[-1]
        size = claimed if 1 <= claimed <= BLOCK_BYTES else BLOCK_BYTES
        right = hmac.compare_digest(text[-size:], bytes([claimed]) * size)
        return Decrypted(text=text[:-size], is_padded=right and size == claimed)

    def encrypt(self, text: bytes) -> tuple[bytes, bytes | None]:
        """Return *text* encrypted, and the fresh IV that goes with it; ``None`` in dialect B."""
        iv = secrets.token_bytes(BLOCK_BYTES) if self.dialect is Dialect.CURRENT else None
        padder = PKCS7(BLOCK_BYTES * 8).padder()
        encryptor = self._cipher(iv or _ZERO_IV).encryptor()
        padded = padder.update(text) + padder.finalize()
        return encryptor.update(padded) + encryptor.finalize(), iv

    def sign(self, request_id: str) -> str:
        """Return the signature that the platform looks for in an answer."""
        return base64.b64encode(hmac.digest(self._key, request_id.encode(), "sha256")).decode()

    def _cipher(self, iv: bytes) -> Cipher[modes.CBC]:
        return Cipher(algorithms.AES(self._key), modes.CBC(iv))


def from_base64(text: str) -> bytes | None:
    """Decode standard base64; ``None`` if it is anything else."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
