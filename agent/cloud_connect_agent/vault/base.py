"""What the agent asks of a vault, whatever keeps the secrets underneath."""

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from cloud_connect.errors import VaultLockedError

__all__ = ["DamagedSecretError", "SharedVault", "Vault"]


class DamagedSecretError(VaultLockedError):
    """One secret cannot be read any more; the others can, and it may be put anew."""


class Vault(Protocol):
    """Secrets by name; names are words with ``-``, ``.`` and at most one ``/``."""

    async def get(self, name: str) -> bytes | None:
        """Return the secret, ``None`` if there is none.

        Raises:
            DamagedSecretError: If it is there and was changed or cut off.
            VaultLockedError: If it is there and cannot be opened.
        """
        ...

    async def put(self, name: str, value: bytes) -> None:
        """Keep the secret; durable when it returns.

        Raises:
            VaultLockedError: If the vault cannot be written by this account.
        """
        ...

    async def delete(self, name: str) -> None:
        """Forget the secret; no fault if there is none."""
        ...


class SharedVault(Vault, Protocol):
    """A vault that several processes use in turn."""

    def hold(self, name: str, *, seconds: float) -> AbstractAsyncContextManager[None]:
        """Keep every other process that holds *name*, too, out meanwhile.

        Args:
            seconds: How long to wait for another holder.

        Raises:
            VaultLockedError: If another process holds it for longer.
        """
        ...
