"""The vault and the Procore client of this PC, for the commands that use them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cloud_connect_agent.paths import AgentPaths
    from cloud_connect_agent.procore.client import ProcoreClient
    from cloud_connect_agent.settings import AgentSettings

__all__ = ["open_client"]


@asynccontextmanager
async def open_client(
    paths: "AgentPaths", settings: "AgentSettings"
) -> AsyncIterator["ProcoreClient"]:
    """Open a client of this PC's vault.

    Raises:
        VaultLockedError: If the vault cannot be opened.
    """
    from cloud_connect_agent.procore.client import ProcoreClient
    from cloud_connect_agent.proxies import Proxies
    from cloud_connect_agent.vault import open_vault

    async with (
        open_vault(paths, settings.vault) as vault,
        ProcoreClient.open(settings.procore, vault, proxies=Proxies.of(settings.proxy)) as client,
    ):
        yield client
