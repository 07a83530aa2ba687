"""A key file of the running account: for servers without anything better."""

import os
from pathlib import Path
from typing import Final

from cloud_connect.errors import VaultLockedError
from cloud_connect_agent.durable import private_fault, write_durably
from cloud_connect_agent.vault.keys import KEY_BYTES, KeyKind

__all__ = ["ADVICE", "KeyFile"]

ADVICE: Final = (
    "make it private to the account that runs the agent (chmod go-rwx, chown), "
    "or run the command as that account."
)


class KeyFile:
    """The key in a file beside the vault; who copies both has both."""

    kind: Final = KeyKind.KEY_FILE

    def __init__(self, file: Path) -> None:
        self._file: Final = file

    def load(self) -> bytes | None:
        """Return the key, ``None`` if there is none."""
        name = self._file.name
        try:
            fault = private_fault(self._file)
            if fault is not None:
                raise VaultLockedError(f"The key file {name} {fault}; {ADVICE}")
            key = self._file.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise VaultLockedError(f"The key file {name} cannot be read: {exc.strerror}.") from exc
        if len(key) != KEY_BYTES:
            raise VaultLockedError(
                f"The key file {name} is damaged, so the vault's secrets are lost; "
                "run `cloud-connect enrol --force` to begin again."
            )
        return key

    def create(self) -> bytes:
        """Make the file."""
        key = os.urandom(KEY_BYTES)
        write_durably(self._file, key, mode=0o400)
        return key

    def destroy(self) -> None:
        """Remove the file."""
        self._file.unlink(missing_ok=True)
