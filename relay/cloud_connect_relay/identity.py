"""Who this relay is: its signing key and the pepper, both in files of its data folder."""

import hashlib
import hmac
import os
import secrets
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from cloud_connect.errors import ConfigurationError
from cloud_connect.live_secrets import learn_secret
from cloud_connect.signing import KEY_BYTES, SigningKey
from cloud_connect_relay.ids import ALPHABET

if TYPE_CHECKING:
    from pathlib import Path

    from cloud_connect_relay.paths import RelayPaths

__all__ = ["Pepper", "RelayIdentity", "relay_id_of"]

_PEPPER_BYTES: Final = 32
_KEY_BYTES: Final = 32  # of what is derived from it
_ID_CHARACTERS: Final = 16


def relay_id_of(public_key: bytes) -> str:
    """Return the id of the relay that holds the key to *public_key*."""
    digest = hashlib.sha256(b"cloud-connect relay id\0" + public_key).digest()
    return "rel_" + "".join(ALPHABET[byte & 31] for byte in digest[:_ID_CHARACTERS])


class Pepper:
    """Turns secrets into hashes that are useless without the file it came from."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value: Final = value

    def digest(self, secret: str) -> bytes:
        """Return HMAC-SHA-256 of *secret*."""
        return hmac.digest(self._value, secret.encode(), "sha256")

    def key_for(self, purpose: str) -> bytes:
        """Return 32 bytes for *purpose*: what is sealed with them opens with this file only."""
        return HKDF(hashes.SHA256(), _KEY_BYTES, salt=None, info=purpose.encode()).derive(
            self._value
        )

    def __repr__(self) -> str:
        return "Pepper(***)"


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayIdentity:
    """The relay's id, the key that proves it, and the pepper of stored hashes."""

    relay_id: str
    key: SigningKey
    pepper: Pepper = field(repr=False)

    @property
    def public_key(self) -> bytes:
        """The 32 bytes that agents pin."""
        return self.key.public_key

    def sign(self, message: bytes) -> bytes:
        """Sign a message laid out by ``signing.pack_fields``."""
        return self.key.sign(message)

    @classmethod
    def exists(cls, paths: "RelayPaths") -> bool:
        """Whether both files are there."""
        return paths.key_file.exists() and paths.pepper_file.exists()

    @classmethod
    def create(cls, paths: "RelayPaths") -> Self:
        """Make what is missing of both files, and load them."""
        if not paths.key_file.exists():
            paths.write_secret(paths.key_file, SigningKey.generate().seed())
        if not paths.pepper_file.exists():
            paths.write_secret(paths.pepper_file, secrets.token_bytes(_PEPPER_BYTES))
        return cls.load(paths)

    @classmethod
    def load(cls, paths: "RelayPaths") -> Self:
        """Read both files.

        Raises:
            ConfigurationError: If one is missing, damaged, or readable by other accounts.
        """
        seed, salt = _read(paths.key_file, KEY_BYTES), _read(paths.pepper_file, _PEPPER_BYTES)
        learn_secret(seed, salt)
        key, pepper = SigningKey(seed), Pepper(salt)
        return cls(relay_id=relay_id_of(key.public_key), key=key, pepper=pepper)


def _read(path: "Path", size: int) -> bytes:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        content = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"The file {path} cannot be read ({error.strerror}); restore it from your backup."
        ) from error
    if os.name == "posix" and mode & 0o077:
        raise ConfigurationError(
            f"The file {path} is readable by other accounts; run: chmod 600 {path}"
        )
    if len(content) != size:
        raise ConfigurationError(f"The file {path} is damaged; restore it from your backup.")
    return content
