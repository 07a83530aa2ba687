"""What keeps the key that opens the vault, whatever keeps it underneath."""

from enum import StrEnum
from typing import Final, Protocol

__all__ = ["KEY_BYTES", "KeyKind", "KeyStore"]

KEY_BYTES: Final = 32  # AES-256


class KeyKind(StrEnum):
    """Where the vault's key is; a vault stays with the kind that it was made with."""

    SYSTEMD_CREDENTIAL = "systemd-credential"
    SECRET_SERVICE = "secret-service"  # noqa: S105 - a name
    KEYCHAIN = "keychain"
    DPAPI = "dpapi"
    KEY_FILE = "key-file"

    @property
    def described(self) -> str:
        """What it is, for people."""
        return _DESCRIBED[self]


_DESCRIBED: Final = {
    KeyKind.SYSTEMD_CREDENTIAL: "its key is a credential of systemd, bound to this machine",
    KeyKind.SECRET_SERVICE: "its key is in this person's keyring (Secret Service)",
    KeyKind.KEYCHAIN: "its key is in this person's keychain",
    KeyKind.DPAPI: "its key is sealed by Windows (DPAPI), bound to this machine",
    KeyKind.KEY_FILE: "its key is a file that only the agent's account can read",
}


class KeyStore(Protocol):
    """Keeps one key; its methods block."""

    @property
    def kind(self) -> KeyKind:
        """What it is."""
        ...

    def load(self) -> bytes | None:
        """Return the key, ``None`` if there is none.

        Raises:
            VaultLockedError: If there is one that cannot be had; the message says what to do.
        """
        ...

    def create(self) -> bytes:
        """Make a key that did not exist; durable when it returns.

        Raises:
            VaultLockedError: If none can be made here.
            OSError: If it cannot be written.
        """
        ...

    def destroy(self) -> None:
        """Forget the key, as far as this account may.

        Raises:
            VaultLockedError: If what keeps it does not answer.
            OSError: If its file cannot be removed.
        """
        ...
