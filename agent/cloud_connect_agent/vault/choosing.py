"""Chooses where a new vault's key goes, and finds where an old one's is."""

import os
import sys
from dataclasses import dataclass
from typing import Final

from cloud_connect.errors import VaultLockedError
from cloud_connect_agent.durable import write_durably
from cloud_connect_agent.paths import AgentPaths
from cloud_connect_agent.settings import VaultSettings
from cloud_connect_agent.vault.credential import SystemdCredential
from cloud_connect_agent.vault.dpapi import Dpapi
from cloud_connect_agent.vault.key_file import KeyFile
from cloud_connect_agent.vault.keychain import Keychain
from cloud_connect_agent.vault.keys import KeyKind, KeyStore
from cloud_connect_agent.vault.secret_service import SecretService

__all__ = ["KeyStores", "recorded_kind"]

_KIND_FILE: Final = "kind"
_MOST_CHARACTERS: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyStores:
    """The kinds of key stores of one vault.

    Attributes:
        platform: As ``sys.platform`` names it.
        superuser: Whether the account is root, which has no desktop.
    """

    paths: AgentPaths
    settings: VaultSettings
    platform: str = sys.platform
    superuser: bool = sys.platform != "win32" and os.geteuid() == 0

    def chosen(self) -> KeyStore:
        """Return the store of the vault that is there, or else the one for a new vault.

        An old vault stays with its kind: a better or worse place that turns up later is no reason
        to look for its key elsewhere.

        Raises:
            VaultLockedError: If the settings ask for another kind than the vault has, or nothing
                here can keep a key.
        """
        recorded = recorded_kind(self.paths)
        asked = None if self.settings.key == "auto" else KeyKind(self.settings.key)
        if recorded is not None:
            if asked not in {None, recorded}:
                raise VaultLockedError(
                    f"The setting vault.key says {asked}, but this vault was made with {recorded}: "
                    "set that, or unenrol this PC and enrol it again."
                )
            return self.of(recorded)
        return self.of(asked) if asked is not None else self._first_that_fits()

    def of(self, kind: KeyKind) -> KeyStore:
        """Return the store of one kind."""
        match kind:
            case KeyKind.SYSTEMD_CREDENTIAL:
                return SystemdCredential(self.settings.credentials_dir)
            case KeyKind.SECRET_SERVICE:
                return SecretService(self.paths.vault_dir)
            case KeyKind.KEYCHAIN:
                return Keychain(self.paths.vault_dir)
            case KeyKind.DPAPI:
                return Dpapi(self.paths.vault_key_file)
            case KeyKind.KEY_FILE:
                return KeyFile(self.paths.vault_key_file)

    def record(self, kind: KeyKind) -> None:
        """Note the vault's kind, durably, before the first secret is sealed.

        Raises:
            OSError: If it cannot be written.
        """
        write_durably(self.paths.vault_dir / _KIND_FILE, f"{kind}\n".encode())

    def _first_that_fits(self) -> KeyStore:
        if self.platform == "win32":
            return self.of(KeyKind.DPAPI)
        if self.platform == "darwin":
            return self.of(KeyKind.KEYCHAIN)
        credential = SystemdCredential(self.settings.credentials_dir)
        if credential.offered:
            return credential
        keyring = SecretService(self.paths.vault_dir)
        if not self.superuser and keyring.usable():
            return keyring
        return self.of(KeyKind.KEY_FILE)


def recorded_kind(paths: AgentPaths) -> KeyKind | None:
    """Return the kind that an existing vault was made with; ``None`` if there is no vault.

    Raises:
        VaultLockedError: If the record is damaged or cannot be read.
    """
    file = paths.vault_dir / _KIND_FILE
    try:
        text = file.read_bytes()[:_MOST_CHARACTERS].decode("ascii", "replace").strip()
    except FileNotFoundError:
        # Vaults had key files only before kinds were noted.
        begun = paths.vault_key_file.exists() or any(paths.vault_dir.glob("*.sealed"))
        return KeyKind.KEY_FILE if begun else None
    except OSError as exc:
        raise VaultLockedError(f"The vault cannot be read: {exc.strerror}.") from exc
    try:
        return KeyKind(text)
    except ValueError as exc:
        raise VaultLockedError(
            f"The vault's file {_KIND_FILE} names no kind of key; restore it, or remove the folder "
            f"{paths.vault_dir.name} and enrol this PC again."
        ) from exc
