"""What no honest agent does, in the audit log of its subscription."""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import structlog
from sqlalchemy.exc import SQLAlchemyError

if TYPE_CHECKING:
    from cloud_connect_relay.gateway.registry import LiveSession
    from cloud_connect_relay.storage import Storage

__all__ = ["Misconduct"]

log = structlog.get_logger(__name__)

_QUIET_SECONDS: Final = 60.0  # for the same of the same connector: it must not fill the log
_MAX_REMEMBERED: Final = 10_000  # connectors; the one noted longest ago is forgotten


class Misconduct:
    """Writes down who broke the rules, once a minute at most for each connector."""

    def __init__(
        self,
        storage: "Storage",
        *,
        clock: Callable[[], float],
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._storage: Final = storage
        self._clock: Final = clock
        self._ticks: Final = ticks
        self._noted: Final[OrderedDict[tuple[str, str], float]] = OrderedDict()

    async def note(self, live: "LiveSession", action: str, *, reason: str = "") -> None:
        """Note what the agent of a session did; the caller ends that.

        Args:
            reason: In our own words: nothing of what the agent sent.
        """
        log.warning("agent_misbehaved", connector_id=live.connector_id, action=action)
        now, what = self._ticks(), (live.connector_id, action)
        if now - self._noted.get(what, -_QUIET_SECONDS) < _QUIET_SECONDS:
            return
        self._noted[what] = now
        self._noted.move_to_end(what)
        if len(self._noted) > _MAX_REMEMBERED:
            self._noted.popitem(last=False)
        try:
            await self._storage.of(live.subscription_id).audit.add(
                at=self._clock(),
                actor=f"connector:{live.connector_id}",
                action=action,
                target=live.connector_id,
                detail={"reason": reason} if reason else {},
            )
        except SQLAlchemyError:
            log.warning("store_unavailable", exc_info=True)
