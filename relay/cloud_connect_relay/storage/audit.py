"""The audit log: administrative actions, only ever appended."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import insert, select

from cloud_connect_relay.storage.tables import audit

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from cloud_connect_relay.storage.engine import Storage

__all__ = ["AuditEntry", "AuditLog", "append"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One action.

    Attributes:
        actor: Who did it: ``user:usr_…``, ``key:key_…``, ``token:jt_…``, ``connector:con_…``,
            ``relay``, ``command-line``.
        action: What was done, such as ``key.create``.
        target: The id of what it was done to.
        detail: Further facts; never a secret.
    """

    seq: int
    time: float
    actor: str
    action: str
    target: str
    detail: Mapping[str, Any]


async def append(
    connection: "AsyncConnection",
    *,
    subscription_id: str,
    at: float,
    actor: str,
    action: str,
    target: str,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Append one action in the transaction that does it, so that neither is without the other."""
    await connection.execute(
        insert(audit).values(
            subscription_id=subscription_id,
            time=at,
            actor=actor,
            action=action,
            target=target,
            detail=dict(detail or {}),
        )
    )


class AuditLog:
    """The audit log of one subscription."""

    def __init__(self, storage: "Storage", subscription_id: str) -> None:
        self._storage: Final = storage
        self._subscription_id: Final = subscription_id

    async def add(
        self,
        *,
        at: float,
        actor: str,
        action: str,
        target: str,
        detail: Mapping[str, Any] | None = None,
    ) -> None:
        """Append one action in a transaction of its own."""
        async with self._storage.write() as connection:
            await append(
                connection,
                subscription_id=self._subscription_id,
                at=at,
                actor=actor,
                action=action,
                target=target,
                detail=detail,
            )

    async def newest(self, *, limit: int, before: int | None = None) -> list[AuditEntry]:
        """Return the newest actions, newest first, at most *limit*.

        Args:
            before: Only actions with a lower sequence number: where a former page ended.
        """
        statement = (
            select(audit)
            .where(audit.c.subscription_id == self._subscription_id)
            .order_by(audit.c.seq.desc())
            .limit(limit)
        )
        if before is not None:
            statement = statement.where(audit.c.seq < before)
        async with self._storage.read() as connection:
            rows = (await connection.execute(statement)).all()
        return [
            AuditEntry(
                seq=row.seq,
                time=row.time,
                actor=row.actor,
                action=row.action,
                target=row.target,
                detail=row.detail,
            )
            for row in rows
        ]
