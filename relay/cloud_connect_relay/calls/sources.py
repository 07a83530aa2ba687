"""The data sources of calls, remembered for a moment: no call waits for the store."""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from cloud_connect.errors import NotFoundError
from cloud_connect_relay.calls.spec import Target, target_of
from cloud_connect_relay.storage.subscriptions import Subscriptions

if TYPE_CHECKING:
    from cloud_connect_relay.storage import Storage
    from cloud_connect_relay.storage.datasources import DataSource

__all__ = ["DataSourceDirectory"]

_BELIEVED_SECONDS: Final = 3.0  # how long another process's edit may go unnoticed
_MAX_REMEMBERED: Final = 10_000


class DataSourceDirectory:
    """Finds data sources and where their calls go."""

    def __init__(self, storage: "Storage", *, clock: Callable[[], float] = time.monotonic) -> None:
        self._storage: Final = storage
        self._clock: Final = clock
        self._targets: Final[OrderedDict[tuple[str, str], tuple[float, Target]]] = OrderedDict()

    async def find(self, subscription_id: str, datasource_id: str) -> "DataSource":
        """Return the data source as it is stored.

        Raises:
            NotFoundError: If the subscription has no such one.
        """
        found = await self._storage.of(subscription_id).datasources.find(datasource_id)
        if found is None:
            raise NotFoundError("There is nothing here, or it is not yours.")
        return found

    async def target(self, subscription_id: str, datasource_id: str) -> Target:
        """Return where the calls of the data source go.

        Raises:
            NotFoundError: If the subscription has no such data source.
            DataSourceIncompleteError: If its details do not tell.
        """
        key = (subscription_id, datasource_id)
        remembered = self._targets.get(key)
        if remembered is not None and self._clock() < remembered[0]:
            return remembered[1]
        self._targets.pop(key, None)
        target = target_of(await self.find(subscription_id, datasource_id))
        self._targets[key] = (self._clock() + _BELIEVED_SECONDS, target)
        if len(self._targets) > _MAX_REMEMBERED:
            self._targets.popitem(last=False)
        return target

    async def allows_keyless_writes(self, subscription_id: str) -> bool:
        """Whether the subscription's writes of records may come without an idempotency key."""
        return await Subscriptions(self._storage).allows_keyless_writes(subscription_id)

    def forget(self, subscription_id: str, datasource_id: str) -> None:
        """Look the data source up afresh: it was edited here."""
        self._targets.pop((subscription_id, datasource_id), None)
