"""A credential that systemd hands to the service: sealed by this machine's TPM or host key."""

from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from cloud_connect.errors import VaultLockedError
from cloud_connect_agent.vault.keys import KEY_BYTES, KeyKind

__all__ = ["CREDENTIAL_NAME", "SystemdCredential", "missing_credential"]

CREDENTIAL_NAME: Final = "cloud-connect.vault-key"
_MOST_BYTES: Final = 4096
_INFO: Final = b"cloud-connect vault key v1"


class SystemdCredential:
    """The key from ``LoadCredentialEncrypted``; on disk, there is nothing that opens the vault.

    The credential's content is any secret of at least 32 bytes; the key is derived from it.

    Args:
        folder: ``$CREDENTIALS_DIRECTORY``, which only a service has.
    """

    kind: Final = KeyKind.SYSTEMD_CREDENTIAL

    def __init__(self, folder: Path | None) -> None:
        self._folder: Final = folder

    @property
    def offered(self) -> bool:
        """Whether the service manager hands one over."""
        return self._folder is not None and (self._folder / CREDENTIAL_NAME).exists()

    def load(self) -> bytes | None:
        """Return the key, ``None`` if none is handed over."""
        if self._folder is None:
            return None
        try:
            with (self._folder / CREDENTIAL_NAME).open("rb") as file:
                content = file.read(_MOST_BYTES)
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise VaultLockedError(
                f"The credential {CREDENTIAL_NAME} cannot be read: {exc.strerror}."
            ) from exc
        if len(content) < KEY_BYTES:
            raise VaultLockedError(
                f"The credential {CREDENTIAL_NAME} is too short to be a key: make it with `head -c "
                f"32 /dev/urandom | systemd-creds encrypt --name={CREDENTIAL_NAME} - FILE`."
            )
        return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=_INFO).derive(content)

    def create(self) -> bytes:
        """Take the key that is handed over; none can be made from inside a service."""
        key = self.load()
        if key is None:
            raise VaultLockedError(missing_credential())
        return key

    def destroy(self) -> None:
        """Do nothing: the credential is the administrator's own."""


def missing_credential() -> str:
    """Say what to do where no credential is handed over."""
    return (
        f"The vault's key is the credential {CREDENTIAL_NAME}, and nothing hands it over. Run the "
        "agent as the service that loads it, and commands through `systemd-run --pty --wait "
        f"--uid=ACCOUNT -p LoadCredentialEncrypted={CREDENTIAL_NAME}:FILE cloud-connect …`."
    )
