"""Join tokens: what an administrator hands to a PC so that it may enrol once.

``ccj1.<token-id>.<secret>.<relay-key-fingerprint>.<checksum>``: the secret is 160 random bits,
the fingerprint pins the relay's signing key before anything secret is sent, and the checksum
tells a mistyped token from a refused one without asking the relay.
"""

import base64
import hashlib
import hmac
import re
import secrets
import zlib
from dataclasses import dataclass, field
from typing import ClassVar, Final, Self

from cloud_connect.errors import CloudConnectError, ErrorCode

__all__ = ["JoinToken", "JoinTokenError", "fingerprint_of"]

PREFIX: Final = "ccj1"
SECRET_BYTES: Final = 20  # 160 bits
FINGERPRINT_BYTES: Final = 20  # of SHA-256: a second preimage costs 2^160
MAX_CHARACTERS: Final = 200  # ours have about 95

_PART: Final = re.compile(r"[A-Za-z0-9_-]+")
_SECRET_CHARACTERS: Final = 27  # 20 bytes in base64url
_CHECKSUM_CHARACTERS: Final = 6  # CRC-32 in base64url


class JoinTokenError(CloudConnectError):
    """The text is no join token; the message says what is wrong with it."""

    code: ClassVar[ErrorCode] = ErrorCode.INVALID_REQUEST
    status = 400


def fingerprint_of(relay_public_key: bytes) -> str:
    """Shorten a relay's public key to what join tokens carry of it."""
    return _text(hashlib.sha256(relay_public_key).digest()[:FINGERPRINT_BYTES])


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinToken:
    """A join token, taken apart.

    Attributes:
        token_id: What the relay finds it by; no secret.
        secret: The part that must stay secret; the relay keeps its SHA-256 only.
        fingerprint: Of the relay's public key (see :func:`fingerprint_of`).
    """

    token_id: str
    secret: str = field(repr=False)
    fingerprint: str

    @classmethod
    def make(cls, *, token_id: str, relay_public_key: bytes) -> Self:
        """Make a token with a fresh secret for the relay that holds the key."""
        return cls(
            token_id=token_id,
            secret=_text(secrets.token_bytes(SECRET_BYTES)),
            fingerprint=fingerprint_of(relay_public_key),
        )

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a token as somebody pasted it; white space around it is no part of it.

        Raises:
            JoinTokenError: If it is no join token, is cut off or mistyped.
        """
        text = text.strip()
        if not text:
            raise JoinTokenError("The join token is empty: paste the whole line the relay printed.")
        if not text.startswith(PREFIX + "."):
            raise JoinTokenError(
                f"This is no join token: join tokens begin with '{PREFIX}.'; "
                "copy it again from where it was created."
            )
        parts = text.split(".")
        if len(text) > MAX_CHARACTERS or len(parts) > 5:
            raise JoinTokenError(
                "The join token is too long: paste one token only, without anything around it."
            )
        if len(parts) < 5 or len(parts[4]) < _CHECKSUM_CHARACTERS:
            raise JoinTokenError(
                "The join token is cut off: copy the whole of it, up to its last character."
            )
        head = text.rpartition(".")[0]
        _, token_id, secret, fingerprint, checksum = parts
        well_formed = (
            all(_PART.fullmatch(part) for part in parts) and len(secret) == _SECRET_CHARACTERS
        )
        if not well_formed or not hmac.compare_digest(checksum, _checksum(head)):
            raise JoinTokenError(
                "The join token is mistyped: its checksum does not match; copy and paste it again."
            )
        return cls(token_id=token_id, secret=secret, fingerprint=fingerprint)

    def reveal(self) -> str:
        """The whole token as text, secret included."""
        head = f"{PREFIX}.{self.token_id}.{self.secret}.{self.fingerprint}"
        return f"{head}.{_checksum(head)}"

    def secret_hash(self) -> bytes:
        """SHA-256 of the secret: all that the relay stores of it."""
        return hashlib.sha256(self.secret.encode("ascii")).digest()

    def matches(self, relay_public_key: bytes) -> bool:
        """Whether the key is the one of the relay that issued this token."""
        return hmac.compare_digest(self.fingerprint, fingerprint_of(relay_public_key))


def _checksum(head: str) -> str:
    return _text(zlib.crc32(head.encode("ascii")).to_bytes(4))


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
