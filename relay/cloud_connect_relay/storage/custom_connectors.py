"""Custom connectors: registrations by which the platform calls the relay as a microservice."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import and_, delete, insert, select, update

from cloud_connect_relay.quota import Quota
from cloud_connect_relay.storage.audit import append
from cloud_connect_relay.storage.tables import (
    custom_bags,
    custom_connectors,
    custom_requests,
    subscriptions,
)

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Row

    from cloud_connect_relay.storage.engine import Storage

__all__ = ["CustomConnector", "CustomConnectors", "CustomConnectorsOfAll", "Presented"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomConnector:
    """One registration.

    Attributes:
        dialect: ``A`` or ``B``.
        allow_writes: Whether its queries may change something.
        request_id_is_key: Whether its request ids stand for idempotency keys.
        users: What its users count as whom nobody here knows: ``members`` or ``partners``.
    """

    id: str
    subscription_id: str
    title: str
    dialect: str
    allow_writes: bool
    request_id_is_key: bool
    created_at: float
    users: str = "members"


@dataclass(frozen=True, slots=True, kw_only=True)
class Presented:
    """A registration, and what is known of the request that names it.

    Attributes:
        bag_request: The request that brought the same sealed settings before, if one did.
    """

    connector: CustomConnector
    subscription_quota: Quota
    sealed_secret: bytes
    bag_request: str | None


class CustomConnectors:
    """The registrations of one subscription; what belongs to another does not exist here."""

    def __init__(self, storage: "Storage", subscription_id: str) -> None:
        self._storage: Final = storage
        self._subscription_id: Final = subscription_id

    async def add(
        self,
        connector_id: str,
        *,
        title: str,
        dialect: str,
        sealed_secret: bytes,
        allow_writes: bool,
        request_id_is_key: bool,
        users: str,
        actor: str,
        at: float,
    ) -> CustomConnector:
        """Store a new registration under an id that its secret is sealed for."""
        made = CustomConnector(
            id=connector_id,
            subscription_id=self._subscription_id,
            title=title,
            dialect=dialect,
            allow_writes=allow_writes,
            request_id_is_key=request_id_is_key,
            created_at=at,
            users=users,
        )
        columns = {
            "id": made.id,
            "subscription_id": made.subscription_id,
            "title": title,
            "dialect": dialect,
            "sealed_secret": sealed_secret,
            "allow_writes": allow_writes,
            "request_id_is_key": request_id_is_key,
            "users": users,
            "created_at": at,
        }
        async with self._storage.write() as connection:
            await connection.execute(insert(custom_connectors), columns)
            await append(
                connection,
                subscription_id=self._subscription_id,
                at=at,
                actor=actor,
                action="custom_connector.create",
                target=made.id,
                detail={"title": title, "dialect": dialect, "allow_writes": allow_writes},
            )
        return made

    async def all(self) -> list[CustomConnector]:
        """Return all of them, the oldest first."""
        statement = (
            select(custom_connectors)
            .where(custom_connectors.c.subscription_id == self._subscription_id)
            .order_by(custom_connectors.c.created_at, custom_connectors.c.id)
        )
        async with self._storage.read() as connection:
            return [_connector(row) for row in await connection.execute(statement)]

    async def find(self, connector_id: str) -> CustomConnector | None:
        """Return the registration, or ``None`` when this subscription has no such one."""
        async with self._storage.read() as connection:
            found = await connection.execute(
                select(custom_connectors).where(self._is(connector_id))
            )
            row = found.one_or_none()
        return None if row is None else _connector(row)

    async def replace_secret(
        self, connector_id: str, sealed_secret: bytes, *, actor: str, at: float
    ) -> bool:
        """Store another secret; whether the subscription has such a registration."""
        statement = (
            update(custom_connectors)
            .where(self._is(connector_id))
            .values(sealed_secret=sealed_secret)
        )
        async with self._storage.write() as connection:
            if not (await connection.execute(statement)).rowcount:
                return False
            # What was sealed with the former secret opens no more: it need not be known.
            await connection.execute(
                delete(custom_bags).where(custom_bags.c.registration_id == connector_id)
            )
            await append(
                connection,
                subscription_id=self._subscription_id,
                at=at,
                actor=actor,
                action="custom_connector.secret",
                target=connector_id,
            )
        return True

    async def delete(self, connector_id: str, *, actor: str, at: float) -> bool:
        """Delete a registration and what was seen of it; whether there was such a one."""
        async with self._storage.write() as connection:
            # Held first: a request that is let in meanwhile waits, and then finds it gone.
            held = select(custom_connectors.c.id).where(self._is(connector_id)).with_for_update()
            if (await connection.execute(held)).first() is None:
                return False
            for table in (custom_requests, custom_bags):
                await connection.execute(
                    delete(table).where(table.c.registration_id == connector_id)
                )
            await connection.execute(delete(custom_connectors).where(self._is(connector_id)))
            await append(
                connection,
                subscription_id=self._subscription_id,
                at=at,
                actor=actor,
                action="custom_connector.delete",
                target=connector_id,
            )
        return True

    def _is(self, connector_id: str) -> "ColumnElement[bool]":
        return and_(
            custom_connectors.c.subscription_id == self._subscription_id,
            custom_connectors.c.id == connector_id,
        )


class CustomConnectorsOfAll:
    """The registrations of every subscription: the platform comes with an id and a secret."""

    def __init__(self, storage: "Storage") -> None:
        self._storage: Final = storage

    async def present(self, connector_id: str, *, last_block: bytes) -> Presented | None:
        """Return the registration and whether sealed settings that end so came before.

        One statement, so that an id that exists costs what one does that does not.
        """
        statement = (
            select(
                custom_connectors,
                subscriptions.c.quota.label("subscription_quota"),
                custom_bags.c.request_hash.label("bag_request"),
            )
            .join(subscriptions, subscriptions.c.id == custom_connectors.c.subscription_id)
            .outerjoin(
                custom_bags,
                and_(
                    custom_bags.c.registration_id == custom_connectors.c.id,
                    custom_bags.c.last_block == last_block,
                ),
            )
            .where(custom_connectors.c.id == connector_id, subscriptions.c.revoked_at.is_(None))
        )
        async with self._storage.read() as connection:
            row = (await connection.execute(statement)).one_or_none()
        if row is None:
            return None
        return Presented(
            connector=_connector(row),
            subscription_quota=Quota.of(row.subscription_quota),
            sealed_secret=row.sealed_secret,
            bag_request=row.bag_request,
        )


def _connector(row: "Row[Any]") -> CustomConnector:
    return CustomConnector(
        id=row.id,
        subscription_id=row.subscription_id,
        title=row.title,
        dialect=row.dialect,
        allow_writes=row.allow_writes,
        request_id_is_key=row.request_id_is_key,
        created_at=row.created_at,
        users=row.users,
    )
