"""Sign-ins at Procore that were begun: which connector a returning browser belongs to."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import delete, insert, select, update

from cloud_connect_relay.storage.audit import append
from cloud_connect_relay.storage.tables import authorizations

if TYPE_CHECKING:
    from cloud_connect_relay.storage.engine import Storage

__all__ = ["AuthorizationState", "Authorizations", "AuthorizationsOfAll", "BegunAuthorization"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BegunAuthorization:
    """A sign-in that waits for its code.

    Attributes:
        source: The Procore company and environment, as calls carry them.
        actor: Who began it.
    """

    subscription_id: str
    datasource_id: str
    connector_id: str
    source: Mapping[str, Any]
    actor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationState:
    """How far a sign-in has come.

    Attributes:
        used_at: When a browser came back; the audit log tells what became of it then.
    """

    connector_id: str
    actor: str
    expires_at: float
    used_at: float | None


class Authorizations:
    """The sign-ins of one subscription."""

    def __init__(self, storage: "Storage", subscription_id: str) -> None:
        self._storage: Final = storage
        self._subscription_id: Final = subscription_id

    async def add(
        self,
        state: str,
        *,
        datasource_id: str,
        connector_id: str,
        source: Mapping[str, Any],
        actor: str,
        at: float,
        expires_at: float,
    ) -> str:
        """Expect a browser to come back with *state*, and return the digest that is kept of it."""
        attempt = _digest(state)
        statement = insert(authorizations).values(
            state_hash=attempt,
            subscription_id=self._subscription_id,
            datasource_id=datasource_id,
            connector_id=connector_id,
            source=dict(source),
            actor=actor,
            expires_at=expires_at,
        )
        async with self._storage.write() as connection:
            await connection.execute(statement)
            await append(
                connection,
                subscription_id=self._subscription_id,
                at=at,
                actor=actor,
                action="datasource.authorize",
                target=datasource_id,
                detail={"connector_id": connector_id},
            )
        return attempt

    async def find(self, attempt: str, *, datasource_id: str) -> AuthorizationState | None:
        """Return how far a sign-in has come; ``None`` if it is over for long, or none."""
        statement = select(authorizations).where(
            authorizations.c.state_hash == attempt,
            authorizations.c.subscription_id == self._subscription_id,
            authorizations.c.datasource_id == datasource_id,
        )
        async with self._storage.read() as connection:
            row = (await connection.execute(statement)).one_or_none()
        if row is None:
            return None
        return AuthorizationState(
            connector_id=row.connector_id,
            actor=row.actor,
            expires_at=row.expires_at,
            used_at=row.used_at,
        )


class AuthorizationsOfAll:
    """The sign-ins of every subscription: a browser comes back with a state and nothing else."""

    def __init__(self, storage: "Storage") -> None:
        self._storage: Final = storage

    async def use(self, state: str, *, now: float) -> BegunAuthorization | None:
        """Return the sign-in that *state* belongs to, once; ``None`` if it is over or none."""
        waiting = (
            authorizations.c.state_hash == _digest(state),
            authorizations.c.used_at.is_(None),
            authorizations.c.expires_at > now,
        )
        # Anybody may come with a state; one that is none must not queue for the only writer.
        async with self._storage.read() as connection:
            row = (await connection.execute(select(authorizations).where(*waiting))).one_or_none()
        if row is None:
            return None
        # Asked again by the write: of two browsers with one state, one is served.
        async with self._storage.write() as connection:
            used = await connection.execute(
                update(authorizations).where(*waiting).values(used_at=now)
            )
            if used.rowcount != 1:
                return None
        return BegunAuthorization(
            subscription_id=row.subscription_id,
            datasource_id=row.datasource_id,
            connector_id=row.connector_id,
            source=row.source,
            actor=row.actor,
        )

    async def forget(self, *, expired_before: float) -> int:
        """Delete those that are over, and return how many."""
        statement = delete(authorizations).where(authorizations.c.expires_at < expired_before)
        async with self._storage.write() as connection:
            return (await connection.execute(statement)).rowcount


def _digest(state: str) -> str:
    return hashlib.sha256(state.encode()).hexdigest()
