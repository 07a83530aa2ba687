"""The key that calls are sealed to: made at its first use, kept in the vault."""

from typing import Final

from cloud_connect.sealing import SealingKey
from cloud_connect.signing import KEY_BYTES
from cloud_connect_agent.vault.base import Vault

__all__ = ["SealingKeys"]

_KEY: Final = "sealing"


class SealingKeys:
    """The agent's X25519 key: made here, and it never leaves the vault."""

    def __init__(self, vault: Vault) -> None:
        self._vault: Final = vault

    async def load(self) -> SealingKey:
        """Return the key, which is made if there is none.

        Raises:
            VaultLockedError: If the vault cannot be opened.
        """
        seed = await self._vault.get(_KEY)
        if seed is not None and len(seed) == KEY_BYTES:
            return SealingKey(seed)
        return await self.renew()

    async def renew(self) -> SealingKey:
        """Make a new key in place of the one that is there, and return it."""
        key = SealingKey.generate()
        await self._vault.put(_KEY, key.seed())
        return key
