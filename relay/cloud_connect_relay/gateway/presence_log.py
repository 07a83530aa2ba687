"""Tells the store who is there when; what it did not take is told again, in order."""

import uuid
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Final

import structlog
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from cloud_connect_relay.storage.presence import Presence

if TYPE_CHECKING:
    from cloud_connect_relay.gateway.registry import LiveSession
    from cloud_connect_relay.storage import Storage

__all__ = ["PresenceLog"]

log = structlog.get_logger(__name__)

_MAX_UNTOLD: Final = 100_000  # notes; some 50 MB

_Note = Callable[[], Awaitable[None]]


class PresenceLog:
    """What one run of a gateway notes of its sessions: their uptime is counted from it.

    The end of a session must not get lost: the session would seem to go on with the run.
    """

    def __init__(self, storage: "Storage", *, clock: Callable[[], float]) -> None:
        self._presence: Final = Presence(storage)
        self._clock: Final = clock
        self._run_id: Final = uuid.uuid4().hex
        run = partial(self._presence.relay_began, self._run_id, at=clock())
        self._untold: Final[deque[_Note]] = deque([run])

    async def began(self, session_id: str, live: "LiveSession") -> None:
        """Note that a session begins."""
        await self._tell(
            partial(
                self._presence.session_began,
                session_id,
                run_id=self._run_id,
                subscription_id=live.subscription_id,
                connector_id=live.connector_id,
                at=live.connected_since,
            )
        )

    async def ended(self, session_id: str, *, seen: float) -> None:
        """Note that a session has ended, and when its agent was heard last."""
        await self._tell(partial(self._presence.session_ended, session_id, seen=seen))

    async def go_on(self) -> None:
        """Tell what is untold and then, if all was taken, that the run and its sessions go on."""
        while self._untold:
            if not await _taken(self._untold[0]):
                return
            self._untold.popleft()
        await _taken(partial(self._presence.seen, self._run_id, at=self._clock()))

    async def _tell(self, note: _Note) -> None:
        if (self._untold or not await _taken(note)) and len(self._untold) < _MAX_UNTOLD:
            self._untold.append(note)


async def _taken(note: _Note) -> bool:
    """Whether the store has a note; sessions outlive its outages."""
    try:
        await note()
    except IntegrityError:  # it had taken the note, though its answer never came
        return True
    except SQLAlchemyError:
        log.warning("store_unavailable", exc_info=True)
        return False
    return True
