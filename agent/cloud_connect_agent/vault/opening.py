"""Opens the vault of this machine."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from cloud_connect.errors import VaultLockedError
from cloud_connect_agent.durable import make_private_dir, private_fault
from cloud_connect_agent.paths import AgentPaths
from cloud_connect_agent.settings import VaultSettings
from cloud_connect_agent.vault.choosing import KeyStores, recorded_kind
from cloud_connect_agent.vault.encrypted import EncryptedVault
from cloud_connect_agent.vault.keys import KeyKind

__all__ = ["describe_vault", "open_vault", "vault_of"]

_WEAK: Final = (
    "The vault's key is a file: root and whoever copies this account's files can open the vault. A "
    "credential of systemd binds it to this machine (docs/agent.md tells how)."
)


@asynccontextmanager
async def open_vault(
    paths: AgentPaths, settings: VaultSettings | None = None
) -> AsyncIterator[EncryptedVault]:
    """Open the vault in the state folder, which is made when missing.

    Args:
        settings: Say where a new vault's key goes; an old one stays where it is.

    Raises:
        VaultLockedError: If the folder is not this account's own, or nothing keeps the key.
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
    yield vault_of(paths, settings)


def vault_of(paths: AgentPaths, settings: VaultSettings | None = None) -> EncryptedVault:
    """Return the vault, without a look at its folder.

    Raises:
        VaultLockedError: If nothing keeps the key.
    """
    stores = KeyStores(paths=paths, settings=settings or VaultSettings())
    return EncryptedVault(folder=paths.vault_dir, keys=stores.chosen(), record=stores.record)


def describe_vault(paths: AgentPaths) -> dict[str, str | None] | None:
    """Say for people what keeps the key of the vault that is there, if one is.

    Raises:
        VaultLockedError: If that cannot be read.
    """
    kind = recorded_kind(paths)
    if kind is None:
        return None
    return {
        "key": kind.value,
        "description": kind.described,
        "warning": _WEAK if kind is KeyKind.KEY_FILE else None,
    }
