"""Where the agent keeps its secrets."""

from cloud_connect_agent.vault.base import Vault
from cloud_connect_agent.vault.encrypted import EncryptedVault
from cloud_connect_agent.vault.opening import open_vault

__all__ = ["EncryptedVault", "Vault", "open_vault"]
