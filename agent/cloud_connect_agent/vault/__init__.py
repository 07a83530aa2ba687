"""Where the agent keeps its secrets."""

from cloud_connect_agent.vault.base import DamagedSecretError, SharedVault, Vault
from cloud_connect_agent.vault.encrypted import EncryptedVault
from cloud_connect_agent.vault.opening import open_vault

__all__ = ["DamagedSecretError", "EncryptedVault", "SharedVault", "Vault", "open_vault"]
