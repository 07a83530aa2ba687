"""The data sources of calls, remembered for a moment: no call waits for the store."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from cloud_connect.errors import NotFoundError
from cloud_connect_relay.access import DataSourceSecurity, Subject, Use
from cloud_connect_relay.calls.spec import Target, target_of
from cloud_connect_relay.storage.subscriptions import Subscriptions

if TYPE_CHECKING:
    from cloud_connect_relay.storage import Storage
    from cloud_connect_relay.storage.datasources import DataSource

__all__ = ["DataSourceDirectory"]

_BELIEVED_SECONDS: Final = 3.0  # how long another process's edit may go unnoticed
_MAX_REMEMBERED: Final = 10_000


class _Remembered(NamedTuple):
    until: float
    security: DataSourceSecurity
    target: Target


class DataSourceDirectory:
    """Finds data sources and where their calls go."""

    def __init__(self, storage: "Storage", *, clock: Callable[[], float] = time.monotonic) -> None:
        self._storage: Final = storage
        self._clock: Final = clock
        self._targets: Final[OrderedDict[tuple[str, str], _Remembered]] = OrderedDict()

    async def find(self, subscription_id: str, datasource_id: str) -> "DataSource":
        """Return the data source as it is stored.

        Raises:
            NotFoundError: If the subscription has no such one.
        """
        found = await self._storage.of(subscription_id).datasources.find(datasource_id)
        if found is None:
            raise NotFoundError("There is nothing here, or it is not yours.")
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
        known = self._targets.get(key)
        if known is None or self._clock() >= known.until:
            self._targets.pop(key, None)
            found = await self.checked(subscription_id, datasource_id, subject=subject, use=use)
            known = _Remembered(
                self._clock() + _BELIEVED_SECONDS,
                DataSourceSecurity.of(found.details.security),
                target_of(found),
            )
            self._targets[key] = known
            if len(self._targets) > _MAX_REMEMBERED:
                self._targets.popitem(last=False)
        else:
            known.security.check(subject, use)
        rules = known.security.rules_for(subject)
        return known.target if rules is None else replace(known.target, partner_rules=rules)

    async def allows_keyless_writes(self, subscription_id: str) -> bool:
        """Whether the subscription's writes of records may come without an idempotency key."""
        return await Subscriptions(self._storage).allows_keyless_writes(subscription_id)

    def forget(self, subscription_id: str, datasource_id: str) -> None:
        """Look the data source up afresh: it was edited here."""
        self._targets.pop((subscription_id, datasource_id), None)
