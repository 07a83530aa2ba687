"""What the agent asks of a vault, whatever keeps the secrets underneath."""

from typing import Protocol

__all__ = ["Vault"]


class Vault(Protocol):
    """Secrets by name; names are words with ``-``, ``.`` and at most one ``/``."""

    async def get(self, name: str) -> bytes | None:
        """Return the secret, ``None`` if there is none.

        Raises:
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
