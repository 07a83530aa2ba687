"""Which live session takes a call: the least loaded of the data source's connectors."""

import asyncio
import time
from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING, Final, Protocol

from cloud_connect.errors import (
    AgentOfflineError,
    CloudConnectError,
    ConnectorDrainingError,
    ConnectorPausedError,
)
from cloud_connect_relay.storage.connectors import ConnectorFlag

if TYPE_CHECKING:
    from cloud_connect_relay.calls.spec import Target
    from cloud_connect_relay.gateway.registry import LiveSession
    from cloud_connect_relay.storage import Storage
    from cloud_connect_relay.storage.connectors import Connector

__all__ = ["Router", "Sessions"]

_SEEN_LATELY: Final = 60.0  # seconds after which nobody waits for a connector to come back
_ANSWER_SECONDS: Final = 1.0  # of the deadline, left for the call itself


class Sessions(Protocol):
    """What the router asks the registry of live sessions."""

    def sessions(self, subscription_id: str) -> "list[LiveSession]":
        """Return the live sessions of a subscription."""
        ...

    async def changed(self) -> None:
        """Wait until one comes, goes, or tells something else of itself."""
        ...


class Router:
    """Picks sessions, and waits a while for a connector that is likely to come back."""

    def __init__(
        self,
        sessions: Sessions,
        storage: "Storage",
        *,
        connector_wait: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._sessions: Final = sessions
        self._storage: Final = storage
        self._connector_wait: Final = connector_wait
        self._clock: Final = clock

    async def pick(
        self,
        subscription_id: str,
        target: "Target",
        *,
        deadline: float,
        exclude: "Collection[LiveSession]" = (),
    ) -> "LiveSession":
        """Return the session that takes the call.

        Args:
            deadline: Of the call, on the event loop's clock.
            exclude: Sessions that have just failed this call.

        Raises:
            AgentOfflineError: If none is connected, nor came in time.
            ConnectorDrainingError: If the only ones finish their calls.
            ConnectorPausedError: If the only ones are paused.
        """
        best = self.best(subscription_id, target, exclude=exclude)
        if best is not None:
            return best
        loop = asyncio.get_running_loop()
        give_up = min(loop.time() + self._connector_wait, deadline - _ANSWER_SECONDS)
        error = await self._refusal(subscription_id, target)
        if error is not None:
            raise error
        try:
            async with asyncio.timeout_at(give_up):
                while (best := self.best(subscription_id, target, exclude=exclude)) is None:
                    await self._sessions.changed()
        except TimeoutError:
            raise _offline(target, "it did not come back in time") from None
        return best

    def best(
        self,
        subscription_id: str,
        target: "Target",
        *,
        exclude: "Collection[LiveSession]" = (),
    ) -> "LiveSession | None":
        """Return the session that :meth:`pick` would return at once, if there is one."""
        usable = [
            live
            for live in self._sessions.sessions(subscription_id)
            if _serves_live(target, live) and not (live in exclude or live.draining or live.paused)
        ]
        if len(usable) < 2:
            return usable[0] if usable else None
        return min(usable, key=lambda live: (live.in_flight, live.round_trip_ms or 0.0))

    async def _refusal(self, subscription_id: str, target: "Target") -> CloudConnectError | None:
        """Return why there is nothing to wait for, or ``None`` if a connector may come back."""
        enrolled = [
            connector
            for connector in await self._storage.of(subscription_id).connectors.list()
            if _serves(target, connector.id, group=connector.group, hosted=connector.hosted)
            and connector.flag is not ConnectorFlag.REVOKED
        ]
        live = {
            live.connector_id: live
            for live in self._sessions.sessions(subscription_id)
            if _serves_live(target, live)
        }
        if not enrolled:
            return _none_enrolled(target)
        if any(self._may_come(one, live.get(one.id)) for one in enrolled):
            return None
        if any(one.flag is ConnectorFlag.DRAINING for one in enrolled) or any(
            one.draining for one in live.values()
        ):
            return ConnectorDrainingError(
                f"{_named(enrolled)} is finishing its calls and takes no new ones; repeat the"
                " request later.",
                retry_after=5,
            )
        if any(_paused(one, live.get(one.id)) for one in enrolled):
            return ConnectorPausedError(
                f"{_named(enrolled)} is paused on its PC; 'cloud-connect resume' there continues.",
                retry_after=30,
            )
        if all(one.flag is ConnectorFlag.CLONE_SUSPECTED for one in enrolled):
            return _offline(
                target, "its identity seems to be copied, so it has to be enrolled anew"
            )
        return _offline(
            target, "start Cloud Connect on its PC, or see 'cloud-connect doctor' there"
        )

    def _may_come(self, connector: "Connector", live: "LiveSession | None") -> bool:
        if connector.flag is not ConnectorFlag.ACTIVE or _paused(connector, live):
            return False
        if live is not None:
            # It became usable a moment ago, or it is dead and about to be unlisted.
            return not live.draining
        seen = connector.last_seen_at
        return seen is not None and self._clock() - seen <= _SEEN_LATELY


def _serves(target: "Target", connector_id: str, *, group: str | None, hosted: bool) -> bool:
    if target.hosted:
        return hosted
    return connector_id in target.connector_ids or (
        target.group is not None and group == target.group
    )


def _serves_live(target: "Target", live: "LiveSession") -> bool:
    return _serves(target, live.connector_id, group=live.group, hosted=live.hosted)


def _paused(connector: "Connector", live: "LiveSession | None") -> bool:
    if live is not None:
        return live.paused
    return bool((connector.report or {}).get("paused"))


def _named(connectors: "Iterable[Connector]") -> str:
    names = [f"'{connector.name}'" for connector in connectors]
    if len(names) == 1:
        return f"The connector {names[0]}"
    return f"Each connector of the data source ({', '.join(names[:5])})"


def _none_enrolled(target: "Target") -> AgentOfflineError:
    if target.hosted:
        return AgentOfflineError(
            "This data source does not use Cloud Connect and the subscription has no hosted"
            " connector. Switch on 'Use Kianda Cloud Connect' and choose a connector."
        )
    if target.group is not None:
        return AgentOfflineError(
            f"The connector group '{target.group}' has no connector; enrol one, or choose another."
        )
    return AgentOfflineError(
        "The connector of this data source was revoked; choose another one under Connectors."
    )


def _offline(target: "Target", reason: str) -> AgentOfflineError:
    which = f"of group '{target.group}' " if target.group else ""
    return AgentOfflineError(
        f"No connector {which}is connected for this data source: {reason}.", retry_after=5
    )
