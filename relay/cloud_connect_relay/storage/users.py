"""The people of one subscription who may sign in."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from cloud_connect.errors import InvalidRequestError
from cloud_connect_relay.ids import new_id
from cloud_connect_relay.storage import audit
from cloud_connect_relay.storage.tables import access_tokens, subscriptions, users

if TYPE_CHECKING:
    from sqlalchemy import Row

    from cloud_connect_relay.storage.engine import Storage

__all__ = ["User", "Users", "find_login"]


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A person; names are unique over all subscriptions, since a sign-in names no other thing."""

    id: str
    subscription_id: str
    username: str
    password_hash: str = field(repr=False)
    role: str
    created_at: float
    revoked_at: float | None


async def find_login(storage: "Storage", username: str) -> User | None:
    """Return the person who signs in with *username*, of whichever live subscription."""
    statement = (
        select(users)
        .join(subscriptions, subscriptions.c.id == users.c.subscription_id)
        .where(
            users.c.login == username.casefold(),
            users.c.revoked_at.is_(None),
            subscriptions.c.revoked_at.is_(None),
        )
    )
    async with storage.read() as connection:
        row = (await connection.execute(statement)).one_or_none()
    return None if row is None else _user(row)


class Users:
    """The people of one subscription."""

    def __init__(self, storage: "Storage", subscription_id: str) -> None:
        self._storage: Final = storage
        self._subscription_id: Final = subscription_id

    async def create(
        self, username: str, *, password_hash: str, role: str, actor: str, at: float
    ) -> User:
        """Store a new person.

        Raises:
            InvalidRequestError: If somebody signs in with that name already.
        """
        made = User(
            id=new_id("usr"),
            subscription_id=self._subscription_id,
            username=username,
            password_hash=password_hash,
            role=role,
            created_at=at,
            revoked_at=None,
        )
        try:
            async with self._storage.write() as connection:
                await connection.execute(
                    insert(users).values(
                        id=made.id,
                        subscription_id=self._subscription_id,
                        username=username,
                        login=username.casefold(),
                        password_hash=password_hash,
                        role=role,
                        created_at=at,
                    )
                )
                await audit.append(
                    connection,
                    subscription_id=self._subscription_id,
                    at=at,
                    actor=actor,
                    action="user.create",
                    target=made.id,
                    detail={"username": username, "role": role},
                )
        except IntegrityError as error:
            raise InvalidRequestError(
                f"The user name '{username}' is taken; choose another."
            ) from error
        return made

    async def all(self) -> list[User]:
        """Return all of them, oldest first."""
        statement = (
            select(users)
            .where(users.c.subscription_id == self._subscription_id)
            .order_by(users.c.created_at, users.c.id)
        )
        async with self._storage.read() as connection:
            return [_user(row) for row in (await connection.execute(statement)).all()]

    async def revoke(self, user: str, *, actor: str, at: float) -> str | None:
        """Refuse a person from now on, with every token they have.

        Args:
            user: Id or user name.

        Returns:
            Their id, or ``None`` when there is no such live person.
        """
        mine = (
            users.c.subscription_id == self._subscription_id,
            users.c.revoked_at.is_(None),
            or_(users.c.id == user, users.c.login == user.casefold()),
        )
        async with self._storage.write() as connection:
            found = (await connection.execute(select(users.c.id).where(*mine))).scalar_one_or_none()
            if found is None:
                return None
            await connection.execute(update(users).where(users.c.id == found).values(revoked_at=at))
            await connection.execute(
                update(access_tokens)
                .where(access_tokens.c.user_id == found, access_tokens.c.revoked_at.is_(None))
                .values(revoked_at=at)
            )
            await audit.append(
                connection,
                subscription_id=self._subscription_id,
                at=at,
                actor=actor,
                action="user.revoke",
                target=found,
            )
        return str(found)


def _user(row: "Row[Any]") -> User:
    return User(
        id=row.id,
        subscription_id=row.subscription_id,
        username=row.username,
        password_hash=row.password_hash,
        role=row.role,
        created_at=row.created_at,
        revoked_at=row.revoked_at,
    )
