"""Which live session takes a call: the least loaded of the data source's connectors."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Final, Protocol

import structlog
from sqlalchemy.exc import SQLAlchemyError

from cloud_connect_relay.reachability import did_not_come, expected, serves, serves_live
from cloud_connect_relay.waiting_lines import WaitingLines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cloud_connect_relay.calls.spec import Target
    from cloud_connect_relay.gateway.registry import LiveSession
    from cloud_connect_relay.storage import Storage
    from cloud_connect_relay.storage.connectors import Connector

__all__ = ["Router", "Sessions"]

log = structlog.get_logger(__name__)

_ANSWER_SECONDS: Final = 1.0  # of the deadline, left for the call itself
_LOOK_AGAIN_SECONDS: Final = 2.0  # after which a waiting call asks whether the wait is in vain
_SHARED_SECONDS: Final = 1.0  # that calls which wait together believe one look into the store


class Sessions(Protocol):
    """What the router asks the registry of live sessions."""

    def sessions(self, subscription_id: str) -> "list[LiveSession]":
        """Return the live sessions of a subscription."""
        ...

    async def changed(self) -> None:
        """Wait until one comes, goes, or tells something else of itself."""
        ...


class Router:
    """Picks sessions, and waits a while for a connector that is likely to come back.

    Attributes:
        lines: The calls that wait.
    """

    def __init__(
        self,
        sessions: Sessions,
        storage: "Storage",
        *,
        connector_wait: float,
        clock: Callable[[], float] = time.time,
        lines: WaitingLines,
    ) -> None:
        self.lines: Final = lines
        self._sessions: Final = sessions
        self._storage: Final = storage
        self._connector_wait: Final = connector_wait
        self._clock: Final = clock
        self._looking: Final = asyncio.Lock()
        self._looked: Final[dict[str, tuple[float, Sequence[Connector]]]] = {}

    async def pick(
        self,
        subscription_id: str,
        target: "Target",
        *,
        deadline: float,
        held_bytes: int = 0,
        exclude: "Collection[LiveSession]" = (),
        avoid: "Collection[LiveSession]" = (),
        fits: "Callable[[LiveSession], bool] | None" = None,
        steady: bool = False,
    ) -> "LiveSession":
        """Return the session that takes the call.

        Args:
            deadline: Of the call, on the event loop's clock.
            held_bytes: Of its body, kept while it waits.
            exclude: Sessions that could not be given this call.
            avoid: Sessions that broke this call off: another one is better.
            fits: Whether a session may have this call at all.
            steady: Take the same connector each time, as long as it is there.

        Raises:
            AgentOfflineError: If none is connected, nor came in time.
            ConnectorDrainingError: If the only ones finish their calls.
            ConnectorPausedError: If the only ones are paused.
            QuotaExceededError: If too many calls wait for them already.
        """

        def choose() -> "LiveSession | None":
            return self.best(
                subscription_id, target, exclude=exclude, avoid=avoid, fits=fits, steady=steady
            )

        return choose() or await self._wait(
            subscription_id, target, choose, deadline=deadline, held_bytes=held_bytes
        )

    def best(
        self,
        subscription_id: str,
        target: "Target",
        *,
        exclude: "Collection[LiveSession]" = (),
        avoid: "Collection[LiveSession]" = (),
        fits: "Callable[[LiveSession], bool] | None" = None,
        steady: bool = False,
    ) -> "LiveSession | None":
        """Return the session that :meth:`pick` would return at once, if there is one.

        The connector's policy is not asked: what it denies is denied, wherever else it might
        be allowed.
        """
        usable = [
            live
            for live in self._sessions.sessions(subscription_id)
            if serves_live(target, live)
            and not (live.over or live.draining or live.paused or live in exclude)
            and (fits is None or fits(live))
        ]
        if len(usable) < 2:
            return usable[0] if usable else None
        if steady:
            return min(usable, key=lambda live: (live in avoid, live.connector_id))
        now = time.monotonic()
        return min(
            usable,
            key=lambda live: (
                live in avoid or live.is_shaky(now),
                live.full,
                not live.is_signed_in(target.source),
                live.in_flight + live.waiting,
                live.round_trip_ms or 0.0,
            ),
        )

    async def _wait(
        self,
        subscription_id: str,
        target: "Target",
        choose: "Callable[[], LiveSession | None]",
        *,
        deadline: float,
        held_bytes: int,
    ) -> "LiveSession":
        loop = asyncio.get_running_loop()
        began = loop.time()
        give_up = min(began + self._connector_wait, deadline - _ANSWER_SECONDS)
        coming = self._expected(subscription_id, target, await self._look(subscription_id))
        with self.lines.place([one.id for one in coming], held_bytes=held_bytes):
            while (best := choose()) is None:
                now = loop.time()
                if now >= give_up:
                    raise did_not_come(target, coming, waited=now - began, now=self._clock())
                again = True
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout_at(min(give_up, now + _LOOK_AGAIN_SECONDS)):
                        await self._sessions.changed()
                        again = self._is_back_in_vain(subscription_id, target)
                if again and (enrolled := await self._look_together(subscription_id)) is not None:
                    coming = self._expected(subscription_id, target, enrolled)
        return best

    def _expected(
        self, subscription_id: str, target: "Target", enrolled: "Sequence[Connector]"
    ) -> "list[Connector]":
        """Return whom it is worth to wait for, or raise why there is nobody."""
        live = {
            one.connector_id: one
            for one in self._sessions.sessions(subscription_id)
            if serves_live(target, one)
        }
        chosen = [connector for connector in enrolled if serves(target, connector)]
        return expected(target, chosen, live, now=self._clock())

    def _is_back_in_vain(self, subscription_id: str, target: "Target") -> bool:
        return any(
            (live.paused or live.draining) and serves_live(target, live)
            for live in self._sessions.sessions(subscription_id)
        )

    async def _look(self, subscription_id: str) -> "Sequence[Connector]":
        enrolled = await self._storage.of(subscription_id).connectors.list()
        if len(self.lines) == 0:
            self._looked.clear()  # kept for calls that wait together, and no longer
        self._looked[subscription_id] = (time.monotonic(), enrolled)
        return enrolled

    async def _look_together(self, subscription_id: str) -> "Sequence[Connector] | None":
        """Return the connectors as one of the calls that wait found them a moment ago."""
        async with self._looking:
            looked = self._looked.get(subscription_id)
            if looked is not None and time.monotonic() - looked[0] < _SHARED_SECONDS:
                return looked[1]
            try:
                return await self._look(subscription_id)
            except (SQLAlchemyError, OSError):
                log.warning("store_unavailable", exc_info=True)
                return None  # waiting goes on: the connector may come all the same
