"""How commands reach the store: beside a running relay or without one."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy.exc import DBAPIError

from cloud_connect.errors import CloudConnectError, ConfigurationError
from cloud_connect_relay.identity import RelayIdentity
from cloud_connect_relay.storage import Storage
from cloud_connect_relay.storage.founding import founded_by
from cloud_connect_relay.storage.migrations import upgrade
from cloud_connect_relay.storage.subscriptions import Subscriptions

if TYPE_CHECKING:
    from cloud_connect_relay.cli.invocation import Invocation
    from cloud_connect_relay.settings import RelaySettings
    from cloud_connect_relay.storage.subscriptions import Subscription

__all__ = ["ACTOR", "StoreError", "Workplace", "fresh_storage", "open_store", "open_workplace"]

ACTOR: Final = "command-line"  # who does it, in the audit log


class StoreError(CloudConnectError):
    """The store cannot be used, or lacks what was asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workplace:
    """What administrative commands work with."""

    settings: "RelaySettings"
    storage: Storage
    identity: RelayIdentity
    now: float

    async def subscription(self, wanted: str | None) -> "Subscription":
        """Return the live subscription of that id or name; the only one if none is named.

        Raises:
            StoreError: Listing the names, if it is not clear which is meant.
        """
        live = await self.subscriptions()
        if wanted is None and len(live) == 1:
            return live[0]
        names = ", ".join(sorted(one.name for one in live)) or "none"
        if wanted is None:
            raise StoreError(f"Say which subscription with --subscription; there are: {names}.")
        for one in live:
            if wanted in {one.id, one.name}:
                return one
        raise StoreError(f"There is no subscription '{wanted}'; there are: {names}.")

    async def subscriptions(self) -> "list[Subscription]":
        """Return the live subscriptions."""
        return [one for one in await Subscriptions(self.storage).all() if one.revoked_at is None]

    async def chosen(self, wanted: str | None) -> "list[Subscription]":
        """Return the named subscription, or all live ones if none is named."""
        return await self.subscriptions() if wanted is None else [await self.subscription(wanted)]


@asynccontextmanager
async def fresh_storage(settings: "RelaySettings") -> AsyncIterator[Storage]:
    """Connect to the store and bring its schema up to date.

    Raises:
        StoreError: If the database cannot be used.
    """
    try:
        async with Storage.open(settings.database) as storage:
            await upgrade(storage)
            yield storage
    except DBAPIError as error:
        if isinstance(error.orig, OSError):
            why = error.orig.strerror or type(error.orig).__name__
            raise StoreError(
                f"The database cannot be reached ({why}); check the setting database_url."
            ) from error
        raise StoreError(f"The database cannot be used: {_reason(error)}.") from error


@asynccontextmanager
async def open_store(
    invocation: "Invocation", settings: "RelaySettings"
) -> AsyncIterator[tuple[Storage, RelayIdentity]]:
    """Connect to the store of a relay that is initialised.

    Raises:
        ConfigurationError: If it is not; the message names the command that does it.
    """
    missing = ConfigurationError(
        f"This relay is not initialised; run: {invocation.command('init')}"
    )
    if not RelayIdentity.exists(settings.paths):
        raise missing
    identity = RelayIdentity.load(settings.paths)
    async with fresh_storage(settings) as storage:
        founder = await founded_by(storage)
        if founder is None:
            raise missing
        if founder != identity.public_key:
            raise ConfigurationError(
                f"The database belongs to a relay with another key than {settings.paths.key_file};"
                " restore that file from your backup."
            )
        yield storage, identity


@asynccontextmanager
async def open_workplace(invocation: "Invocation") -> AsyncIterator[Workplace]:
    """Open what administrative commands work with."""
    settings = invocation.settings()
    async with open_store(invocation, settings) as (storage, identity):
        yield Workplace(settings=settings, storage=storage, identity=identity, now=time.time())


def _reason(error: DBAPIError) -> str:
    """Return the driver's own words, without the statement and its values."""
    return str(error.orig).splitlines()[0].strip().rstrip(".") or type(error.orig).__name__
