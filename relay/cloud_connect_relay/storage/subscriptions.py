"""The subscriptions (tenants): for the relay's operator, not for callers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError

from cloud_connect.errors import InvalidRequestError
from cloud_connect_relay.ids import new_id
from cloud_connect_relay.quota import NO_QUOTA, Quota
from cloud_connect_relay.storage import audit
from cloud_connect_relay.storage.tables import subscriptions

if TYPE_CHECKING:
    from sqlalchemy import Row
    from sqlalchemy.ext.asyncio import AsyncConnection

    from cloud_connect_relay.storage.engine import Storage

__all__ = ["Subscription", "Subscriptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """One tenant.

    Attributes:
        keyless_writes: Writes of records may come without an idempotency key.
    """

    id: str
    name: str
    created_at: float
    revoked_at: float | None
    quota: Quota = NO_QUOTA
    keyless_writes: bool = False


class Subscriptions:
    """All subscriptions of the relay."""

    def __init__(self, storage: "Storage") -> None:
        self._storage: Final = storage

    async def create(
        self, name: str, *, actor: str, at: float, quota: Quota = NO_QUOTA
    ) -> Subscription:
        """Store a new subscription.

        Raises:
            InvalidRequestError: If a live one has the name already.
        """
        made = Subscription(
            id=new_id("sub"), name=name, created_at=at, revoked_at=None, quota=quota
        )
        try:
            async with self._storage.write() as connection:
                await connection.execute(
                    insert(subscriptions).values(
                        id=made.id, name=name, created_at=at, quota=quota.limits() or None
                    )
                )
                await _audit(connection, made.id, "subscription.create", actor=actor, at=at)
        except IntegrityError as error:
            raise InvalidRequestError(
                f"There is a subscription named '{name}' already; choose another name."
            ) from error
        return made

    async def all(self) -> list[Subscription]:
        """Return all of them, oldest first."""
        statement = select(subscriptions).order_by(subscriptions.c.created_at, subscriptions.c.id)
        async with self._storage.read() as connection:
            return [_subscription(row) for row in (await connection.execute(statement)).all()]

    async def set_quota(self, subscription_id: str, quota: Quota, *, actor: str, at: float) -> None:
        """Bound the calls of a subscription from now on."""
        statement = (
            update(subscriptions)
            .where(subscriptions.c.id == subscription_id)
            .values(quota=quota.limits() or None)
        )
        async with self._storage.write() as connection:
            await connection.execute(statement)
            await _audit(
                connection,
                subscription_id,
                "subscription.quota",
                actor=actor,
                at=at,
                detail=quota.limits(),
            )

    async def allow_keyless_writes(
        self, subscription_id: str, *, allowed: bool, actor: str, at: float
    ) -> None:
        """Say whether writes of records may come without an idempotency key."""
        statement = (
            update(subscriptions)
            .where(subscriptions.c.id == subscription_id)
            .values(keyless_writes=allowed)
        )
        async with self._storage.write() as connection:
            await connection.execute(statement)
            await _audit(
                connection,
                subscription_id,
                "subscription.keyless_writes",
                actor=actor,
                at=at,
                detail={"allowed": allowed},
            )

    async def allows_keyless_writes(self, subscription_id: str) -> bool:
        """Whether writes of records may come without an idempotency key."""
        statement = select(subscriptions.c.keyless_writes).where(
            subscriptions.c.id == subscription_id
        )
        async with self._storage.read() as connection:
            return bool((await connection.execute(statement)).scalar())

    async def revoke(self, subscription_id: str, *, actor: str, at: float) -> bool:
        """Refuse all credentials and connectors of a subscription from now on."""
        statement = (
            update(subscriptions)
            .where(subscriptions.c.id == subscription_id, subscriptions.c.revoked_at.is_(None))
            .values(revoked_at=at)
        )
        async with self._storage.write() as connection:
            if not (await connection.execute(statement)).rowcount:
                return False
            await _audit(connection, subscription_id, "subscription.revoke", actor=actor, at=at)
        return True


async def _audit(
    connection: "AsyncConnection",
    subscription_id: str,
    action: str,
    *,
    actor: str,
    at: float,
    detail: Mapping[str, Any] | None = None,
) -> None:
    await audit.append(
        connection,
        subscription_id=subscription_id,
        at=at,
        actor=actor,
        action=action,
        target=subscription_id,
        detail=detail,
    )


def _subscription(row: "Row[Any]") -> Subscription:
    return Subscription(
        id=row.id,
        name=row.name,
        created_at=row.created_at,
        revoked_at=row.revoked_at,
        quota=Quota.of(row.quota),
        keyless_writes=row.keyless_writes,
    )
