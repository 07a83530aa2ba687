"""The desk where calls get their turns: one at the connector, and one of this node."""

import asyncio
from typing import TYPE_CHECKING, Final, Protocol
from weakref import WeakKeyDictionary

from cloud_connect_relay.calls.turns import Turn, Turns, urgency_of

if TYPE_CHECKING:
    from cloud_connect_relay.calls.running import RunningCall
    from cloud_connect_relay.gateway.registry import LiveSession
    from cloud_connect_relay.settings import CallSettings

__all__ = ["ListedSessions", "TurnDesk"]

_NODE_QUEUE: Final = 16  # queues of one connector that the node's own is as long as
_ANSWER_SECONDS: Final = 1.0  # of the deadline: with less left an agent begins nothing


class ListedSessions(Protocol):
    """What the desk asks the registry of live sessions."""

    def get(self, connector_id: str) -> "LiveSession | None":
        """Return the connector's session, if it is connected."""
        ...

    async def changed(self) -> None:
        """Wait until one comes, goes, or tells something else of itself."""
        ...


class TurnDesk:
    """Lets calls go to sessions, as many at once as a connector can work on.

    What waits does so here, where a key's turn comes whatever the others send, and not at
    the agent, behind whoever came first.
    """

    def __init__(self, sessions: ListedSessions, settings: "CallSettings") -> None:
        self._sessions: Final = sessions
        self._settings: Final = settings
        self._turns: Final[WeakKeyDictionary[LiveSession, Turns]] = WeakKeyDictionary()
        self._crowded: Final[dict[LiveSession, Turns]] = {}  # somebody waits there
        self._node: Final = Turns(
            "relay",
            at_once=settings.max_dispatched_per_node,
            max_calls=_NODE_QUEUE * settings.max_queued,
            max_bytes=_NODE_QUEUE * settings.max_queued_bytes,
        )

    @property
    def waiting(self) -> int:
        """Calls that wait."""
        return self._node.waiting + sum(turns.waiting for turns in self._crowded.values())

    @property
    def waiting_bytes(self) -> int:
        """Bytes of their bodies."""
        return self._node.waiting_bytes + sum(
            turns.waiting_bytes for turns in self._crowded.values()
        )

    def is_free(self, call: "RunningCall", live: "LiveSession") -> bool:
        """Whether *call* would go to *live* at once."""
        urgency = urgency_of(call.spec)
        return self._of(live).is_free(urgency) and self._node.is_free(urgency)

    def check_room(self, call: "RunningCall", live: "LiveSession") -> None:
        """Refuse what could not even wait.

        Raises:
            QuotaExceededError: If too many wait already.
        """
        self._of(live).check_room(call.spec)

    async def admit(self, call: "RunningCall", live: "LiveSession") -> None:
        """Wait until *call*, which has no turn, may go to *live*.

        Raises:
            QuotaExceededError: If too many wait already, or the turn did not come in time.
            TunnelClosedError: If the connector takes no more calls.
        """
        urgency, turns = urgency_of(call.spec), self._of(live)
        turn = turns.enter(call.spec, urgency)
        if turn is None:
            turn = await self._wait(call, live, turns)
        call.turns.append(turn)
        node = self._node.enter(call.spec, urgency)
        if node is None:
            node = await self._node.wait(call.spec, until=_until(call))
        call.turns.append(node)

    async def follow(self) -> None:
        """Send waiting calls to other connectors when theirs goes, drains or is paused."""
        while True:
            await self._sessions.changed()
            for live, turns in tuple(self._crowded.items()):
                listed = self._sessions.get(live.connector_id) is live
                if not listed or live.draining or live.paused:
                    turns.close()

    async def _wait(self, call: "RunningCall", live: "LiveSession", turns: Turns) -> Turn:
        live.waiting += 1
        self._crowded[live] = turns
        try:
            return await turns.wait(call.spec, until=_until(call))
        finally:
            live.waiting -= 1
            if not live.waiting:
                del self._crowded[live]

    def _of(self, live: "LiveSession") -> Turns:
        turns = self._turns.get(live)
        if turns is None:
            settings = self._settings
            turns = self._turns[live] = Turns(
                f"connector '{live.name}'",
                at_once=settings.max_dispatched,
                max_calls=settings.max_queued,
                max_bytes=settings.max_queued_bytes,
            )
        return turns


def _until(call: "RunningCall") -> float:
    """Return when waiting makes no sense any more: at most half of a short deadline is left."""
    left = call.deadline - asyncio.get_running_loop().time()
    return call.deadline - min(_ANSWER_SECONDS, left / 2)
