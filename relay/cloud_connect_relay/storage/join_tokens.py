"""Join tokens: what a subscription has issued so that agents may enrol."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Row, and_, insert, select, update

from cloud_connect.join_token import JoinToken
from cloud_connect_relay.ids import new_id
from cloud_connect_relay.storage.audit import append
from cloud_connect_relay.storage.tables import join_tokens

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

    from cloud_connect_relay.storage.engine import Storage

__all__ = ["IssuedToken", "JoinTokens"]


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedToken:
    """A join token as the relay keeps it: without its secret.

    Attributes:
        policy_class: The most that an agent enrolled with it may allow.
        approval: What it enrols waits until an administrator lets it in.
        connector_id: The connector that it enrolled.
    """

    id: str
    subscription_id: str
    group: str | None
    hosted: bool
    policy_class: str
    approval: bool
    created_at: float
    expires_at: float
    used_at: float | None
    revoked_at: float | None
    connector_id: str | None


def _token_of(row: Row[Any]) -> IssuedToken:
    return IssuedToken(
        id=row.id,
        subscription_id=row.subscription_id,
        group=row.group,
        hosted=row.hosted,
        policy_class=row.policy_class,
        approval=row.approval,
        created_at=row.created_at,
        expires_at=row.expires_at,
        used_at=row.used_at,
        revoked_at=row.revoked_at,
        connector_id=row.connector_id,
    )


class JoinTokens:
    """The join tokens of one subscription."""

    def __init__(self, storage: "Storage", subscription_id: str) -> None:
        self._storage: Final = storage
        self._subscription_id: Final = subscription_id

    async def issue(
        self,
        *,
        relay_public_key: bytes,
        actor: str,
        now: float,
        expires_in: float,
        group: str | None = None,
        hosted: bool = False,
        policy_class: str = "read-write",
        approval: bool = False,
    ) -> tuple[IssuedToken, JoinToken]:
        """Make a token; its secret is in the second part and nowhere else."""
        token = JoinToken.make(token_id=new_id("jt"), relay_public_key=relay_public_key)
        issued = IssuedToken(
            id=token.token_id,
            subscription_id=self._subscription_id,
            group=group,
            hosted=hosted,
            policy_class=policy_class,
            approval=approval,
            created_at=now,
            expires_at=now + expires_in,
            used_at=None,
            revoked_at=None,
            connector_id=None,
        )
        statement = insert(join_tokens).values(
            {
                "id": issued.id,
                "subscription_id": issued.subscription_id,
                "secret_hash": token.secret_hash(),
                "group": group,
                "hosted": hosted,
                "policy_class": policy_class,
                "approval": approval,
                "created_at": issued.created_at,
                "expires_at": issued.expires_at,
            }
        )
        async with self._storage.write() as connection:
            await connection.execute(statement)
            await append(
                connection,
                subscription_id=self._subscription_id,
                at=now,
                actor=actor,
                action="join_token.create",
                target=issued.id,
                detail={
                    "group": group,
                    "hosted": hosted,
                    "policy_class": policy_class,
                    "approval": approval,
                },
            )
        return issued, token

    async def list(self) -> tuple[IssuedToken, ...]:
        """Return all of them, newest first."""
        query = (
            select(join_tokens)
            .where(join_tokens.c.subscription_id == self._subscription_id)
            .order_by(join_tokens.c.created_at.desc(), join_tokens.c.id)
        )
        async with self._storage.read() as connection:
            return tuple(_token_of(row) for row in await connection.execute(query))

    async def find(self, token_id: str) -> IssuedToken | None:
        """Return one, if this subscription has it."""
        query = select(join_tokens).where(self._is(token_id))
        async with self._storage.read() as connection:
            row = (await connection.execute(query)).one_or_none()
        return None if row is None else _token_of(row)

    async def revoke(self, token_id: str, *, actor: str, now: float) -> bool:
        """Refuse the token from now on; whether this subscription has it."""
        mine = self._is(token_id)
        async with self._storage.write() as connection:
            found = (await connection.execute(select(join_tokens.c.id).where(mine))).first()
            if found is None:
                return False
            await connection.execute(
                update(join_tokens)
                .where(mine, join_tokens.c.revoked_at.is_(None))
                .values(revoked_at=now)
            )
            await append(
                connection,
                subscription_id=self._subscription_id,
                at=now,
                actor=actor,
                action="join_token.revoke",
                target=token_id,
            )
        return True

    def _is(self, token_id: str) -> "ColumnElement[bool]":
        """Select one token of this subscription."""
        return and_(
            join_tokens.c.id == token_id,
            join_tokens.c.subscription_id == self._subscription_id,
        )
