"""API keys, and what keys and tokens stand for: what the store knows, never the secrets."""

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import and_, bindparam, delete, insert, or_, select, update

from cloud_connect_relay.quota import NO_QUOTA, Quota
from cloud_connect_relay.storage import audit
from cloud_connect_relay.storage.tables import access_tokens, api_keys, subscriptions, users

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy import ColumnElement, Row
    from sqlalchemy.ext.asyncio import AsyncConnection

    from cloud_connect_relay.storage.engine import Storage

__all__ = ["ApiKey", "Grant", "Grants", "Keys"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """An API key, without its secret.

    Attributes:
        addresses: Networks that it may be used from; none: from anywhere.
        acts_for: What the users count as whom it names and nobody here knows; ``None``: it
            may name none.
    """

    id: str
    name: str
    scopes: frozenset[str]
    created_at: float
    expires_at: float | None
    revoked_at: float | None
    last_used_at: float | None
    quota: Quota = NO_QUOTA
    addresses: tuple[str, ...] = ()
    acts_for: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a stored credential stands for, whoever presents its secret.

    Attributes:
        live_until: When it ends by itself; ``None`` is never.
        revoked: Whether it, or what it was derived from, has been revoked.
        quota: Of the API key that it is, or was derived from; so are addresses and acts_for.
        username: Of the person behind it, as the role.
        created_at: When a token was issued.
    """

    id: str
    kind: str
    subscription_id: str
    secret_hash: bytes = field(repr=False)
    scopes: frozenset[str]
    key_id: str | None
    user_id: str | None
    datasource_id: str | None
    live_until: float | None
    revoked: bool
    last_used_at: float | None
    quota: Quota
    subscription_quota: Quota
    addresses: tuple[str, ...] = ()
    acts_for: str | None = None
    username: str | None = None
    role: str | None = None
    created_at: float = 0.0

    def is_live(self, now: float) -> bool:
        """Whether it is worth anything at *now*."""
        return not self.revoked and (self.live_until is None or now < self.live_until)


_USED: Final = (
    update(api_keys)
    .where(api_keys.c.id == bindparam("this_id"))
    .values(last_used_at=bindparam("new_last_used_at"))
)
_KEY: Final = (
    select(
        api_keys,
        subscriptions.c.revoked_at.label("subscription_revoked_at"),
        subscriptions.c.quota.label("subscription_quota"),
    )
    .join(subscriptions, subscriptions.c.id == api_keys.c.subscription_id)
    .where(api_keys.c.id == bindparam("this_id"))
)
_TOKEN: Final = (
    select(
        access_tokens,
        subscriptions.c.revoked_at.label("subscription_revoked_at"),
        subscriptions.c.quota.label("subscription_quota"),
        api_keys.c.quota.label("quota"),
        api_keys.c.addresses.label("addresses"),
        api_keys.c.acts_for.label("acts_for"),
        api_keys.c.revoked_at.label("key_revoked_at"),
        api_keys.c.expires_at.label("key_expires_at"),
        users.c.revoked_at.label("user_revoked_at"),
        users.c.username.label("username"),
        users.c.role.label("role"),
    )
    .join(subscriptions, subscriptions.c.id == access_tokens.c.subscription_id)
    .outerjoin(api_keys, api_keys.c.id == access_tokens.c.key_id)
    .outerjoin(users, users.c.id == access_tokens.c.user_id)
    .where(access_tokens.c.id == bindparam("this_id"))
)


class Grants:
    """The credentials of every subscription, by id: for authentication only."""

    def __init__(self, storage: "Storage") -> None:
        self._storage: Final = storage

    async def find(self, credential_id: str) -> Grant | None:
        """Return what the API key or token of that id stands for."""
        if credential_id.startswith("key_"):
            return await self.find_key(credential_id)
        return await self.find_token(credential_id)

    async def find_key(self, key_id: str) -> Grant | None:
        """Return what the API key stands for."""
        async with self._storage.read() as connection:
            row = (await connection.execute(_KEY, {"this_id": key_id})).one_or_none()
        if row is None:
            return None
        return Grant(
            id=row.id,
            kind="key",
            subscription_id=row.subscription_id,
            secret_hash=bytes(row.secret_hash),
            scopes=frozenset(row.scopes),
            key_id=row.id,
            user_id=None,
            datasource_id=None,
            live_until=row.expires_at,
            revoked=_any(row.revoked_at, row.subscription_revoked_at),
            last_used_at=row.last_used_at,
            quota=Quota.of(row.quota),
            subscription_quota=Quota.of(row.subscription_quota),
            addresses=tuple(row.addresses or ()),
            acts_for=row.acts_for,
        )

    async def find_token(self, token_id: str) -> Grant | None:
        """Return what the access or refresh token stands for."""
        async with self._storage.read() as connection:
            row = (await connection.execute(_TOKEN, {"this_id": token_id})).one_or_none()
        if row is None:
            return None
        return Grant(
            id=row.id,
            kind=row.kind,
            subscription_id=row.subscription_id,
            secret_hash=bytes(row.secret_hash),
            scopes=frozenset(row.scopes),
            key_id=row.key_id,
            user_id=row.user_id,
            datasource_id=row.datasource_id,
            live_until=min(row.expires_at, row.key_expires_at or row.expires_at),
            revoked=_any(
                row.revoked_at,
                row.subscription_revoked_at,
                row.key_revoked_at,
                row.user_revoked_at,
            ),
            last_used_at=None,
            quota=Quota.of(row.quota),
            subscription_quota=Quota.of(row.subscription_quota),
            addresses=tuple(row.addresses or ()),
            acts_for=row.acts_for,
            username=row.username,
            role=row.role,
            created_at=row.created_at,
        )

    async def used(self, key_id: str, *, at: float) -> None:
        """Remember when the key was last used."""
        await self._storage.record(_USED, {"this_id": key_id, "new_last_used_at": at})

    async def forget_tokens(self, *, expired_before: float) -> int:
        """Delete tokens that ended before a point in time, and return how many."""
        statement = delete(access_tokens).where(access_tokens.c.expires_at < expired_before)
        async with self._storage.write() as connection:
            return (await connection.execute(statement)).rowcount


class Keys:
    """The API keys of one subscription."""

    def __init__(self, storage: "Storage", subscription_id: str) -> None:
        self._storage: Final = storage
        self._subscription_id: Final = subscription_id

    async def create(
        self,
        key_id: str,
        *,
        name: str,
        secret_hash: bytes,
        scopes: "Iterable[str]",
        actor: str,
        at: float,
        expires_at: float | None = None,
        quota: Quota = NO_QUOTA,
        addresses: "Iterable[str]" = (),
        acts_for: str | None = None,
    ) -> ApiKey:
        """Store a new API key."""
        made = ApiKey(
            id=key_id,
            name=name,
            scopes=frozenset(scopes),
            created_at=at,
            expires_at=expires_at,
            revoked_at=None,
            last_used_at=None,
            quota=quota,
            addresses=tuple(addresses),
            acts_for=acts_for,
        )
        async with self._storage.write() as connection:
            await self._insert(connection, made, secret_hash)
            detail = {"name": name, "scopes": sorted(made.scopes)}
            await self._note(connection, "key.create", key_id, actor=actor, at=at, detail=detail)
        return made

    async def rotate(
        self, key_id: str, new_id: str, *, secret_hash: bytes, overlap: float, actor: str, at: float
    ) -> ApiKey | None:
        """Store a key like a live one, which itself ends after *overlap* seconds."""
        async with self._storage.write() as connection:
            found = (
                await connection.execute(select(api_keys).where(self._live(key_id, at)))
            ).one_or_none()
            if found is None:
                return None
            old = _key(found)
            made = replace(old, id=new_id, created_at=at, last_used_at=None)
            await self._insert(connection, made, secret_hash)
            ends = at + overlap if old.expires_at is None else min(old.expires_at, at + overlap)
            await connection.execute(
                update(api_keys).where(api_keys.c.id == key_id).values(expires_at=ends)
            )
            detail = {"successor": new_id, "overlap_seconds": overlap}
            await self._note(connection, "key.rotate", key_id, actor=actor, at=at, detail=detail)
        return made

    async def all(self) -> list[ApiKey]:
        """Return all keys, oldest first, revoked ones included."""
        statement = (
            select(api_keys)
            .where(api_keys.c.subscription_id == self._subscription_id)
            .order_by(api_keys.c.created_at, api_keys.c.id)
        )
        async with self._storage.read() as connection:
            return [_key(row) for row in (await connection.execute(statement)).all()]

    async def get(self, key_id: str) -> ApiKey | None:
        """Return the key with *key_id*, revoked or not."""
        statement = select(api_keys).where(
            api_keys.c.subscription_id == self._subscription_id, api_keys.c.id == key_id
        )
        async with self._storage.read() as connection:
            row = (await connection.execute(statement)).one_or_none()
        return None if row is None else _key(row)

    async def find(self, key_id: str) -> ApiKey | None:
        """Return the key with *key_id*, unless it was revoked."""
        found = await self.get(key_id)
        return None if found is None or found.revoked_at is not None else found

    async def set_quota(self, key_id: str, quota: Quota, *, actor: str, at: float) -> bool:
        """Bound the calls of a key from now on, those by tokens derived from it included."""
        limits = quota.limits()
        return await self._change(
            key_id, {"quota": limits or None}, "key.quota", actor=actor, at=at, detail=limits
        )

    async def revoke(self, key_id: str, *, actor: str, at: float) -> bool:
        """Refuse a key, and every token derived from it, from now on."""
        return await self._change(key_id, {"revoked_at": at}, "key.revoke", actor=actor, at=at)

    async def _change(
        self,
        key_id: str,
        values: "Mapping[str, Any]",
        action: str,
        *,
        actor: str,
        at: float,
        detail: "Mapping[str, Any] | None" = None,
    ) -> bool:
        """Change a key that is not revoked and write down who did; whether there is one."""
        statement = update(api_keys).where(self._live(key_id)).values(**values)
        async with self._storage.write() as connection:
            if not (await connection.execute(statement)).rowcount:
                return False
            await self._note(connection, action, key_id, actor=actor, at=at, detail=detail)
        return True

    async def _insert(
        self, connection: "AsyncConnection", made: ApiKey, secret_hash: bytes
    ) -> None:
        await connection.execute(
            insert(api_keys).values(
                id=made.id,
                subscription_id=self._subscription_id,
                name=made.name,
                secret_hash=secret_hash,
                scopes=sorted(made.scopes),
                created_at=made.created_at,
                expires_at=made.expires_at,
                quota=made.quota.limits() or None,
                addresses=list(made.addresses) or None,
                acts_for=made.acts_for,
            )
        )

    async def _note(
        self,
        connection: "AsyncConnection",
        action: str,
        target: str,
        *,
        actor: str,
        at: float,
        detail: "Mapping[str, Any] | None",
    ) -> None:
        await audit.append(
            connection,
            subscription_id=self._subscription_id,
            at=at,
            actor=actor,
            action=action,
            target=target,
            detail=detail,
        )

    def _live(self, key_id: str, at: float | None = None) -> "ColumnElement[bool]":
        """Select a key of this subscription that is not revoked, nor ended *at* a time."""
        live = and_(
            api_keys.c.subscription_id == self._subscription_id,
            api_keys.c.id == key_id,
            api_keys.c.revoked_at.is_(None),
        )
        if at is None:
            return live
        return and_(live, or_(api_keys.c.expires_at.is_(None), api_keys.c.expires_at > at))


def _any(*times: float | None) -> bool:
    return any(time is not None for time in times)


def _key(row: "Row[Any]") -> ApiKey:
    return ApiKey(
        id=row.id,
        name=row.name,
        scopes=frozenset(row.scopes),
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        last_used_at=row.last_used_at,
        quota=Quota.of(row.quota),
        addresses=tuple(row.addresses or ()),
        acts_for=row.acts_for,
    )
