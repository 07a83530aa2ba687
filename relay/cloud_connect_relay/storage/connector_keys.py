"""Keys of connectors that follow one another, and the one recovery of a suspected connector."""

from typing import TYPE_CHECKING, Final

from sqlalchemy import or_, update

from cloud_connect.signing import key_id_of
from cloud_connect_relay.storage.audit import append
from cloud_connect_relay.storage.connectors import Connector, ConnectorFlag
from cloud_connect_relay.storage.tables import connectors

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from cloud_connect_relay.storage.engine import Storage

__all__ = ["ConnectorKeys"]

_NO_SUCCESSOR: Final = {"next_public_key": None, "next_key_id": None, "key_announced_at": None}


class ConnectorKeys:
    """What a handshake changes of an identity beyond its generation."""

    def __init__(self, storage: "Storage") -> None:
        self._storage: Final = storage

    async def announce(self, connector: Connector, public_key: bytes, *, now: float) -> bool:
        """Note the key that follows, unless another one does; the same one may come again.

        The time counts from the first announcement: the old key ends a day later at the latest.
        """
        new_id = key_id_of(public_key)
        unannounced = connectors.c.next_key_id.is_(None)
        statement = (
            update(connectors)
            .where(
                connectors.c.id == connector.id,
                connectors.c.key_id == connector.key_id,
                unannounced,
            )
            .values(next_public_key=public_key, next_key_id=new_id, key_announced_at=now)
        )
        async with self._storage.write() as connection:
            if (await connection.execute(statement)).rowcount == 0:
                return connector.next_key_id == new_id
            await _note(connection, connector, "connector.key_announced", key=new_id, now=now)
            return True

    async def settle(
        self, connector: Connector, *, key_id: str, generation: int, recovering: bool, now: float
    ) -> bool:
        """Commit a handshake that changes more than the generation.

        Args:
            key_id: What the agent signed with; an announced key becomes the only one.
            recovering: Use up the recovery that was granted.

        Returns:
            Whether that could be done: another handshake may have been first.
        """
        mine = connectors.c.id == connector.id
        may_connect = or_(
            *(connectors.c.status_flag == flag.value for flag in ConnectorFlag if flag.may_connect)
        )
        async with self._storage.write() as connection:
            granted = connectors.c.recovery if recovering else connectors.c.generation < generation
            counted = await connection.execute(
                update(connectors)
                .where(mine, may_connect, granted)
                .values(generation=generation, pending_generation=generation + 1, recovery=False)
            )
            if counted.rowcount == 0:
                return False
            if recovering:
                await _note(connection, connector, "connector.recovered", key=key_id, now=now)
            if key_id != connector.key_id:
                moved = await connection.execute(
                    update(connectors)
                    .where(mine, connectors.c.next_key_id == key_id)
                    .values(public_key=connectors.c.next_public_key, key_id=key_id, **_NO_SUCCESSOR)
                )
                if moved.rowcount == 1:
                    await _note(connection, connector, "connector.key_rotated", key=key_id, now=now)
            return True


async def _note(
    connection: "AsyncConnection", connector: Connector, action: str, *, key: str, now: float
) -> None:
    await append(
        connection,
        subscription_id=connector.subscription_id,
        at=now,
        actor=f"connector:{connector.id}",
        action=action,
        target=connector.id,
        detail={"key_id": key},
    )
