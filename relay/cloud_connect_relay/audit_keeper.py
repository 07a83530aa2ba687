"""Signs the audit logs now and then, and deletes what is older than it has to be kept."""

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import structlog
from sqlalchemy.exc import SQLAlchemyError

from cloud_connect_relay.storage.audit_checkpoints import AuditCheckpoints

if TYPE_CHECKING:
    from cloud_connect.signing import SigningKey
    from cloud_connect_relay.storage import Storage

__all__ = ["AuditKeeper"]

log = structlog.get_logger(__name__)

_LOOK_SECONDS: Final = 2.0
_SIGN_RECORDS: Final = 100
_SIGN_SECONDS: Final = 60.0


class AuditKeeper:
    """Keeps the logs of all subscriptions signed; every node may do so at once."""

    def __init__(
        self,
        storage: "Storage",
        key: "SigningKey",
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._checkpoints: Final = AuditCheckpoints(storage)
        self._key: Final = key
        self._clock: Final = clock
        self._monotonic: Final = monotonic
        self._since: dict[str, float] = {}

    async def run(self) -> None:
        """Sign what has to be, until cancelled."""
        while True:
            try:
                await self.sign()
            except SQLAlchemyError:
                log.warning("store_unavailable", exc_info=True)
            await asyncio.sleep(_LOOK_SECONDS)

    async def sign(self, *, all_now: bool = False) -> int:
        """Sign each log that has 100 new records, or any for a minute; return how many.

        Args:
            all_now: Sign whatever is not.
        """
        now = self._monotonic()
        unsigned = await self._checkpoints.unsigned()
        self._since = {one.log: self._since.get(one.log, now) for one in unsigned}
        signed = 0
        for one in unsigned:
            due = one.head - one.signed >= _SIGN_RECORDS
            if all_now or due or now - self._since[one.log] >= _SIGN_SECONDS:
                await self._checkpoints.sign(one.log, self._key, at=self._clock())
                signed += 1
        return signed

    async def cut(self, *, retention: float) -> int:
        """Delete the records that were signed more than *retention* seconds ago."""
        now = self._clock()
        return await self._checkpoints.cut(before=now - retention, now=now)
