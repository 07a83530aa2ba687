"""Where the agent keeps its secrets."""

from cloud_connect_agent.vault.base import DamagedSecretError, SharedVault, Vault
from cloud_connect_agent.vault.encrypted import EncryptedVault
from cloud_connect_agent.vault.key_file import KeyFile
from cloud_connect_agent.vault.keys import KeyKind, KeyStore
from cloud_connect_agent.vault.opening import describe_vault, open_vault, vault_of

__all__ = [
    "DamagedSecretError",
    "EncryptedVault",
    "KeyFile",
    "KeyKind",
    "KeyStore",
    "SharedVault",
    "Vault",
    "describe_vault",
    "open_vault",
    "vault_of",
]
