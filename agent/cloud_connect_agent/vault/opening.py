"""Chooses the vault of this machine."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from cloud_connect.errors import VaultLockedError
from cloud_connect_agent.durable import make_private_dir, private_fault
from cloud_connect_agent.paths import AgentPaths
from cloud_connect_agent.vault.encrypted import EncryptedVault

__all__ = ["open_vault"]


@asynccontextmanager
async def open_vault(paths: AgentPaths) -> AsyncIterator[EncryptedVault]:
    """Open the vault in the state folder, which is made when missing.

    Raises:
        VaultLockedError: If the folder is not this account's own.
    """
    try:
        make_private_dir(paths.state_dir)
        fault = private_fault(paths.state_dir)
    except OSError as exc:
        raise VaultLockedError(f"The folder for the vault cannot be used: {exc.strerror}.") from exc
    if fault is not None:
        raise VaultLockedError(
            f"The folder {paths.state_dir} {fault}; it has to belong to the account that runs "
            "the agent, with no access for others (chmod 700)."
        )
    yield EncryptedVault(folder=paths.vault_dir, key_file=paths.vault_key_file)
