"""Who was there when: runs of relays, and the sessions of connectors within them."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from sqlalchemy import bindparam, delete, insert, select, update

from cloud_connect_relay.storage.tables import connector_presence, relay_presence

if TYPE_CHECKING:
    from cloud_connect_relay.storage.engine import Storage

__all__ = ["ConnectorPresence", "Presence", "Seen", "Span"]

# Statements are built once: equal ones that wait together run as one (Storage.record).
_BEGAN: Final = insert(connector_presence)
_ENDED: Final = (
    update(connector_presence)
    .where(connector_presence.c.id == bindparam("session"))
    .values(seen_at=bindparam("seen"), ended=True)
)


class Span(NamedTuple):
    """A stretch of time, in UNIX seconds."""

    began: float
    ended: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What is known of a stretch of time.

    Attributes:
        relays: When a relay ran that would have noticed.
        connectors: When each connector was connected.
    """

    relays: tuple[Span, ...]
    connectors: Mapping[str, tuple[Span, ...]]


class Presence:
    """What a gateway notes; spans that nobody ended reach to when they were seen last."""

    def __init__(self, storage: "Storage") -> None:
        self._storage: Final = storage

    async def relay_began(self, run_id: str, *, at: float) -> None:
        """Note that a run of a relay begins."""
        async with self._storage.write() as connection:
            await connection.execute(
                insert(relay_presence).values(id=run_id, began_at=at, seen_at=at)
            )

    async def session_began(
        self,
        session_id: str,
        *,
        run_id: str,
        subscription_id: str,
        connector_id: str,
        at: float,
    ) -> None:
        """Note that a connector's session begins within a run."""
        await self._storage.record(
            _BEGAN,
            {
                "id": session_id,
                "run_id": run_id,
                "subscription_id": subscription_id,
                "connector_id": connector_id,
                "began_at": at,
                "seen_at": at,
            },
        )

    async def seen(self, run_id: str, *, at: float) -> None:
        """Note that a run and all its sessions go on."""
        async with self._storage.write() as connection:
            await connection.execute(
                update(relay_presence).where(relay_presence.c.id == run_id).values(seen_at=at)
            )
            await connection.execute(
                update(connector_presence)
                .where(connector_presence.c.run_id == run_id, ~connector_presence.c.ended)
                .values(seen_at=at)
            )

    async def session_ended(self, session_id: str, *, seen: float) -> None:
        """Note that a session has ended, and when its agent was heard last."""
        await self._storage.record(_ENDED, {"session": session_id, "seen": seen})

    async def forget(self, *, before: float) -> None:
        """Delete what ended before a moment."""
        async with self._storage.write() as connection:
            for table in (relay_presence, connector_presence):
                await connection.execute(delete(table).where(table.c.seen_at < before))


class ConnectorPresence:
    """The same of one subscription's connectors."""

    def __init__(self, storage: "Storage", subscription_id: str) -> None:
        self._storage: Final = storage
        self._subscription_id: Final = subscription_id

    async def since(self, moment: float, *, connector_id: str | None = None) -> Seen:
        """Return what is known of the time since *moment*, of one connector or of all."""
        mine = connector_presence
        query = select(mine.c.connector_id, mine.c.began_at, mine.c.seen_at).where(
            mine.c.subscription_id == self._subscription_id, mine.c.seen_at >= moment
        )
        if connector_id is not None:
            query = query.where(mine.c.connector_id == connector_id)
        relays = select(relay_presence.c.began_at, relay_presence.c.seen_at).where(
            relay_presence.c.seen_at >= moment
        )
        found: defaultdict[str, list[Span]] = defaultdict(list)
        async with self._storage.read() as connection:
            runs = tuple(Span(*row) for row in await connection.execute(relays))
            for name, began, seen in await connection.execute(query):
                found[name].append(Span(began, seen))
        return Seen(relays=runs, connectors={name: tuple(spans) for name, spans in found.items()})
