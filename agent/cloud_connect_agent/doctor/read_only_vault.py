"""A vault that is looked at and never written: what is put there is gone with the command."""

from contextlib import AbstractAsyncContextManager
from typing import Final

from cloud_connect.errors import VaultLockedError
from cloud_connect_agent.vault.base import Vault

__all__ = ["EmptyVault", "ReadOnlyVault", "RenewalNeededError"]


class RenewalNeededError(VaultLockedError):
    """A person's token has run out, and only the agent may renew it."""


class EmptyVault:
    """Stands for a vault that cannot be opened."""

    async def get(self, name: str) -> bytes | None:  # noqa: ARG002 - it has none
        """Return nothing."""
        return None

    async def put(self, name: str, value: bytes) -> None:
        """Keep nothing."""

    async def delete(self, name: str) -> None:
        """Keep nothing."""

    def hold(
        self,
        name: str,  # noqa: ARG002 - nobody may hold any
        *,
        seconds: float,  # noqa: ARG002
    ) -> AbstractAsyncContextManager[None]:
        """Refuse, as :class:`ReadOnlyVault` does.

        Raises:
            RenewalNeededError: Always.
        """
        raise RenewalNeededError("The access token has run out; the agent renews it with a call.")


class ReadOnlyVault(EmptyVault):
    """Another vault as it is, under what was put meanwhile.

    A token that an app gets with its secret may be got as often as one likes, and is forgotten.
    A person's refresh token works once: who presents it has to keep what comes back, durably and
    alone. That takes a lock, and this vault refuses it, so no refresh token goes out.
    """

    def __init__(self, vault: Vault) -> None:
        self._vault: Final = vault
        self._put: Final[dict[str, bytes | None]] = {}

    async def get(self, name: str) -> bytes | None:
        """Return the secret, ``None`` if there is none."""
        return self._put[name] if name in self._put else await self._vault.get(name)

    async def put(self, name: str, value: bytes) -> None:
        """Keep the secret until the command ends."""
        self._put[name] = value

    async def delete(self, name: str) -> None:
        """Hide the secret until the command ends."""
        self._put[name] = None
