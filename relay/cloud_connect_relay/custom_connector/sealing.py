"""What the store keeps of custom connectors, sealed: the database alone tells none of it."""

import secrets
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from cloud_connect.errors import ConfigurationError

if TYPE_CHECKING:
    from cloud_connect_relay.identity import Pepper

__all__ = ["Sealer"]

_NONCE_BYTES: Final = 12


class Sealer:
    """Seals with a key that stands in a file of the data folder, never in the database.

    Args:
        purpose: What is sealed; each purpose has a key of its own.
    """

    def __init__(self, pepper: "Pepper", purpose: str) -> None:
        self._cipher: Final = AESGCM(pepper.key_for(f"custom connector {purpose}"))

    def seal(self, content: bytes, *, place: str) -> bytes:
        """Return *content* sealed; it opens in the same *place* only."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, content, place.encode())

    def open(self, sealed: bytes, *, place: str) -> bytes:
        """Return what was sealed.

        Raises:
            ConfigurationError: If it was sealed with another key or for another place.
        """
        nonce, rest = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        try:
            return self._cipher.decrypt(nonce, rest, place.encode())
        except InvalidTag as error:
            raise ConfigurationError(
                "The secret of a custom connector does not open with the file relay.pepper;"
                " restore that file from your backup, or set the secret anew."
            ) from error
