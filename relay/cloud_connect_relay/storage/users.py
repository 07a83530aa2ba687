"""The people of one subscription who may sign in."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import and_, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from cloud_connect.errors import InvalidRequestError
from cloud_connect_relay.ids import new_id
from cloud_connect_relay.storage import audit
from cloud_connect_relay.storage.tables import access_tokens, subscriptions, users

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import ColumnElement, Row

    from cloud_connect_relay.storage.engine import Storage

__all__ = ["ADMINISTRATOR", "User", "Users", "find_login"]

_RESERVED: Final = ("usr_", "key_", "group:")
ADMINISTRATOR: Final = "administrator"  # the role without which nobody could give any


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
            InvalidRequestError: If somebody signs in with that name already, or lists of data
                sources would take it for something else.
        """
        if username.casefold().startswith(_RESERVED):
            raise InvalidRequestError(
                f"A user name does not begin with {', '.join(_RESERVED)}: it would be taken for"
                " something else."
            )
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

    async def find(self, user: str) -> User | None:
        """Return the person with that id or user name who may sign in."""
        async with self._storage.read() as connection:
            row = (await connection.execute(select(users).where(self._live(user)))).one_or_none()
        return None if row is None else _user(row)

    async def known_as(self, name: str) -> list[User]:
        """Return everybody who has or had that id or user name, revoked ones included."""
        statement = select(users).where(
            users.c.subscription_id == self._subscription_id,
            or_(users.c.id == name, users.c.login == name.casefold()),
        )
        async with self._storage.read() as connection:
            return [_user(row) for row in (await connection.execute(statement)).all()]

    async def revoke(self, user: str, *, actor: str, at: float) -> str | None:
        """Refuse a person from now on, with every token they have.

        Args:
            user: Id or user name.

        Returns:
            Their id, or ``None`` when there is no such live person.

        Raises:
            InvalidRequestError: If nobody would be left who may administer.
        """
        return await self._change(user, {"revoked_at": at}, "user.revoke", actor=actor, at=at)

    async def set_role(self, user: str, role: str, *, actor: str, at: float) -> str | None:
        """Give a person another role, and end their sessions, which have the former one's rights.

        Raises:
            InvalidRequestError: If nobody would be left who may administer.
        """
        return await self._change(
            user, {"role": role}, "user.role", actor=actor, at=at, detail={"role": role}
        )

    async def set_password(
        self, user: str, password_hash: str, *, actor: str, at: float
    ) -> str | None:
        """Give a person another password, and end their sessions."""
        values = {"password_hash": password_hash}
        return await self._change(user, values, "user.password", actor=actor, at=at)

    async def rehash(self, user_id: str, *, before: str, after: str) -> None:
        """Store the same password hashed anew, unless it was changed meanwhile."""
        statement = (
            update(users)
            .where(self._live(user_id), users.c.password_hash == before)
            .values(password_hash=after)
        )
        async with self._storage.write() as connection:
            await connection.execute(statement)

    async def _change(
        self,
        user: str,
        values: "Mapping[str, Any]",
        action: str,
        *,
        actor: str,
        at: float,
        detail: "Mapping[str, Any] | None" = None,
    ) -> str | None:
        """Change a live person, end their sessions and write down who did; return their id."""
        async with self._storage.write() as connection:
            # Locked in one order: of two administrators who revoke each other, one stays.
            administrators = (
                await connection.execute(
                    select(users.c.id)
                    .where(
                        users.c.subscription_id == self._subscription_id,
                        users.c.revoked_at.is_(None),
                        users.c.role == ADMINISTRATOR,
                    )
                    .order_by(users.c.id)
                    .with_for_update()
                )
            ).scalars()
            found = (
                await connection.execute(select(users.c.id, users.c.role).where(self._live(user)))
            ).one_or_none()
            if found is None:
                return None
            leaves = "revoked_at" in values or values.get("role", ADMINISTRATOR) != ADMINISTRATOR
            if leaves and list(administrators) == [found.id]:
                raise InvalidRequestError(
                    "This is the last administrator of the subscription; create another one first."
                )
            await connection.execute(update(users).where(users.c.id == found.id).values(**values))
            await connection.execute(
                update(access_tokens)
                .where(access_tokens.c.user_id == found.id, access_tokens.c.revoked_at.is_(None))
                .values(revoked_at=at)
            )
            await audit.append(
                connection,
                subscription_id=self._subscription_id,
                at=at,
                actor=actor,
                action=action,
                target=found.id,
                detail=detail,
            )
        return str(found.id)

    def _live(self, user: str) -> "ColumnElement[bool]":
        """Select a person of this subscription who may sign in, by id or user name."""
        return and_(
            users.c.subscription_id == self._subscription_id,
            users.c.revoked_at.is_(None),
            or_(users.c.id == user, users.c.login == user.casefold()),
        )


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
