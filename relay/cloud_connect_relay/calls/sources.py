"""The data sources of calls, remembered for a moment: no call waits for the store."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from cloud_connect.errors import NotFoundError
from cloud_connect_relay.access import DataSourceSecurity, Subject, Use
from cloud_connect_relay.calls.spec import Target, target_of
from cloud_connect_relay.remembered import Remembered, Said
from cloud_connect_relay.storage.subscriptions import Subscriptions

if TYPE_CHECKING:
    from cloud_connect_relay.storage import Storage
    from cloud_connect_relay.storage.datasources import DataSource

__all__ = ["DataSourceDirectory"]

_BELIEVED_SECONDS: Final = 3.0  # how long another process's edit may go unnoticed
_MAX_REMEMBERED: Final = 10_000


class _Known(NamedTuple):
    security: DataSourceSecurity
    target: Target


class DataSourceDirectory:
    """Finds data sources and where their calls go."""

    def __init__(self, storage: "Storage", *, clock: Callable[[], float] = time.monotonic) -> None:
        self._storage: Final = storage
        self._known: Final = Remembered[tuple[str, str], _Known](most=_MAX_REMEMBERED, clock=clock)

    async def find(self, subscription_id: str, datasource_id: str) -> "DataSource":
        """Return the data source as it is stored.

        Raises:
            NotFoundError: If the subscription has no such one.
        """
        found = await self._storage.of(subscription_id).datasources.find(datasource_id)
        if found is None:
            raise _missing()
        return found

    async def checked(
        self, subscription_id: str, datasource_id: str, *, subject: Subject, use: Use
    ) -> "DataSource":
        """Return the data source as it is stored, if *subject* may use it so.

        Raises:
            NotFoundError: If the subscription has no such one.
            InsufficientScopeError: If its security settings do not allow it.
        """
        found = await self.find(subscription_id, datasource_id)
        DataSourceSecurity.of(found.details.security).check(subject, use)
        return found

    async def target(
        self, subscription_id: str, datasource_id: str, *, subject: Subject, use: Use
    ) -> Target:
        """Return where the calls of the data source go, if *subject* may use it so.

        Raises:
            NotFoundError: If the subscription has no such data source.
            InsufficientScopeError: If its security settings do not allow it.
            DataSourceIncompleteError: If its details do not tell.
        """
        key = (subscription_id, datasource_id)

        async def look() -> Said[_Known] | None:
            found = await self._storage.of(subscription_id).datasources.find(datasource_id)
            if found is None:
                return None
            security = DataSourceSecurity.of(found.details.security)
            security.check(subject, use)
            return Said(_Known(security, target_of(found)), _BELIEVED_SECONDS)

        known = self._known.fresh(key) or await self._known.ask(key, look)
        if known is None:
            raise _missing()
        known.security.check(subject, use)
        rules = known.security.rules_for(subject)
        return known.target if rules is None else replace(known.target, partner_rules=rules)

    async def allows_keyless_writes(self, subscription_id: str) -> bool:
        """Whether the subscription's writes of records may come without an idempotency key."""
        return await Subscriptions(self._storage).allows_keyless_writes(subscription_id)

    def forget(self, subscription_id: str, datasource_id: str) -> None:
        """Look the data source up afresh: it was edited here."""
        self._known.forget((subscription_id, datasource_id))


def _missing() -> NotFoundError:
    return NotFoundError("There is nothing here, or it is not yours.")
