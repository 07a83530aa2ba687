"""What the gateway reads and writes of connectors, whatever subscription they belong to."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import bindparam, or_, select, update

from cloud_connect.calls import Report
from cloud_connect_relay.storage.audit import append
from cloud_connect_relay.storage.connectors import Connector, ConnectorFlag, Standing, connector_of
from cloud_connect_relay.storage.tables import connectors, subscriptions

if TYPE_CHECKING:
    from cloud_connect_relay.storage.engine import Storage

__all__ = ["ConnectorSessions"]

# Statements are built once: equal ones that wait together run as one (Storage.record).
_CONFIRMED: Final = (
    update(connectors)
    .where(
        connectors.c.id == bindparam("connector"),
        connectors.c.generation < bindparam("confirmed"),
    )
    .values(generation=bindparam("confirmed"), pending_generation=bindparam("next"))
)
_ONLINE: Final = (
    update(connectors)
    .where(connectors.c.id == bindparam("connector"))
    .values(connected_since=bindparam("since"), last_seen_at=bindparam("since"))
)
_OFFLINE: Final = (
    update(connectors)
    .where(connectors.c.id == bindparam("connector"))
    .values(connected_since=None, last_seen_at=bindparam("seen"))
)
_SEEN: Final = (
    update(connectors)
    .where(connectors.c.id == bindparam("connector"))
    .values(last_seen_at=bindparam("seen"))
)
_REPORTED: Final = (
    update(connectors)
    .where(connectors.c.id == bindparam("connector"))
    .values(
        report=bindparam("told"),
        machine=bindparam("on_machine"),
        os=bindparam("on_os"),
        version=bindparam("at_version"),
    )
)


class ConnectorSessions:
    """The connectors as sessions come and go: found by the id that an agent proves."""

    def __init__(self, storage: "Storage") -> None:
        self._storage: Final = storage

    async def find(self, connector_id: str) -> Connector | None:
        """Return the connector, unless its subscription is revoked."""
        query = (
            select(connectors)
            .join(subscriptions, subscriptions.c.id == connectors.c.subscription_id)
            .where(connectors.c.id == connector_id, subscriptions.c.revoked_at.is_(None))
        )
        async with self._storage.read() as connection:
            row = (await connection.execute(query)).first()
        return None if row is None else connector_of(row)

    async def confirm(self, connector_id: str, generation: int) -> None:
        """Commit a generation that the agent holds; the one after it is accepted from then on."""
        await self._storage.record(
            _CONFIRMED,
            {"connector": connector_id, "confirmed": generation, "next": generation + 1},
        )

    async def suspect(self, connector: Connector, *, sign: str, now: float) -> None:
        """Refuse the connector until it enrols again: its identity seems to be copied."""
        statement = (
            update(connectors)
            .where(
                connectors.c.id == connector.id,
                connectors.c.status_flag.in_(
                    [ConnectorFlag.ACTIVE.value, ConnectorFlag.DRAINING.value]
                ),
            )
            .values(status_flag=ConnectorFlag.CLONE_SUSPECTED.value, recovery=False)
        )
        async with self._storage.write() as connection:
            if (await connection.execute(statement)).rowcount == 1:
                await append(
                    connection,
                    subscription_id=connector.subscription_id,
                    at=now,
                    actor="relay",
                    action="connector.clone_suspected",
                    target=connector.id,
                    detail={"sign": sign},
                )

    async def leave(self, connector: Connector, *, now: float) -> bool:
        """Revoke the connector by its own wish; whether it was not revoked before.

        The caller cuts its session (``Registry.cut``); other nodes notice within seconds.
        """
        statement = (
            update(connectors)
            .where(
                connectors.c.id == connector.id,
                connectors.c.status_flag != ConnectorFlag.REVOKED.value,
            )
            .values(status_flag=ConnectorFlag.REVOKED.value, recovery=False)
        )
        async with self._storage.write() as connection:
            if (await connection.execute(statement)).rowcount == 0:
                return False
            await append(
                connection,
                subscription_id=connector.subscription_id,
                at=now,
                actor=f"connector:{connector.id}",
                action="connector.revoke",
                target=connector.id,
            )
            return True

    async def online(self, connector_id: str, *, now: float) -> None:
        """Record that a session has begun."""
        await self._storage.record(_ONLINE, {"connector": connector_id, "since": now})

    async def offline(self, connector_id: str, *, seen: float) -> None:
        """Record that the session has ended."""
        await self._storage.record(_OFFLINE, {"connector": connector_id, "seen": seen})

    async def seen(self, times: Mapping[str, float]) -> None:
        """Record when each of the connectors was heard last."""
        rows: list[Mapping[str, Any]] = [
            {"connector": connector_id, "seen": time} for connector_id, time in times.items()
        ]
        if rows:
            async with self._storage.write() as connection:
                await connection.execute(_SEEN, rows)

    async def reported(self, connector_id: str, report: Report) -> None:
        """Keep what an agent tells of itself."""
        await self._storage.record(
            _REPORTED,
            {
                "connector": connector_id,
                "told": report.model_dump(mode="json"),
                "on_machine": report.machine,
                "on_os": report.os,
                "at_version": report.version,
            },
        )

    async def flagged(self, *, now: float) -> Mapping[str, Standing]:
        """Return the connectors that are not plainly active, those of revoked subscriptions too.

        Args:
            now: UNIX time; pauses that ended before are none.
        """
        query = (
            select(
                connectors.c.id,
                connectors.c.status_flag,
                connectors.c.paused_until,
                subscriptions.c.revoked_at,
            )
            .join(subscriptions, subscriptions.c.id == connectors.c.subscription_id)
            .where(
                or_(
                    connectors.c.status_flag != ConnectorFlag.ACTIVE.value,
                    connectors.c.paused_until > now,
                    subscriptions.c.revoked_at.is_not(None),
                )
            )
        )
        async with self._storage.read() as connection:
            return {
                row.id: Standing(
                    flag=ConnectorFlag.REVOKED
                    if row.revoked_at is not None
                    else ConnectorFlag(row.status_flag),
                    paused_until=row.paused_until or 0.0,
                )
                for row in await connection.execute(query)
            }
