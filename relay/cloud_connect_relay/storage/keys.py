"""API keys and access tokens: what the store knows of them, never the secrets themselves."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import bindparam, delete, insert, select, update

from cloud_connect_relay.quota import NO_QUOTA, Quota
from cloud_connect_relay.storage import audit
from cloud_connect_relay.storage.tables import access_tokens, api_keys, subscriptions, users

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy import Row

    from cloud_connect_relay.storage.engine import Storage

__all__ = ["ApiKey", "Grant", "Grants", "Keys"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """An API key, without its secret."""

    id: str
    name: str
    scopes: frozenset[str]
    created_at: float
    expires_at: float | None
    revoked_at: float | None
    last_used_at: float | None
    quota: Quota = NO_QUOTA


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a stored credential stands for, whoever presents its secret.

    Attributes:
        live_until: When it ends by itself; ``None`` is never.
        revoked: Whether it, or what it was derived from, has been revoked.
        quota: Of the API key that it is, or was derived from.
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
        api_keys.c.revoked_at.label("key_revoked_at"),
        api_keys.c.expires_at.label("key_expires_at"),
        users.c.revoked_at.label("user_revoked_at"),
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
    """The API keys and tokens of one subscription."""

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
        )
        async with self._storage.write() as connection:
            await connection.execute(
                insert(api_keys).values(
                    id=key_id,
                    subscription_id=self._subscription_id,
                    name=name,
                    secret_hash=secret_hash,
                    scopes=sorted(made.scopes),
                    created_at=at,
                    expires_at=expires_at,
                    quota=quota.limits() or None,
                )
            )
            await audit.append(
                connection,
                subscription_id=self._subscription_id,
                at=at,
                actor=actor,
                action="key.create",
                target=key_id,
                detail={"name": name, "scopes": sorted(made.scopes)},
            )
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

    async def find(self, key_id: str) -> ApiKey | None:
        """Return the live key with *key_id*."""
        return next(
            (one for one in await self.all() if one.id == key_id and one.revoked_at is None), None
        )

    async def set_quota(self, key_id: str, quota: Quota, *, actor: str, at: float) -> bool:
        """Bound the calls of a key from now on, those by tokens derived from it included."""
        limits = quota.limits()
        return await self._change(
            key_id, {"quota": limits or None}, "key.quota", actor=actor, at=at, detail=limits
        )

    async def revoke(self, key_id: str, *, actor: str, at: float) -> bool:
        """Refuse a key, and every token derived from it, from now on."""
        return await self._change(key_id, {"revoked_at": at}, "key.revoke", actor=actor, at=at)

    async def add_token(
        self,
        token_id: str,
        *,
        kind: str,
        secret_hash: bytes,
        scopes: "Iterable[str]",
        at: float,
        expires_at: float,
        key_id: str | None = None,
        user_id: str | None = None,
        datasource_id: str | None = None,
    ) -> None:
        """Store a token that stands for a key or a person, for a while.

        Args:
            kind: ``bearer``, ``oauth`` or ``refresh``.
        """
        async with self._storage.write() as connection:
            await connection.execute(
                insert(access_tokens).values(
                    id=token_id,
                    kind=kind,
                    subscription_id=self._subscription_id,
                    secret_hash=secret_hash,
                    key_id=key_id,
                    user_id=user_id,
                    scopes=sorted(scopes),
                    datasource_id=datasource_id,
                    created_at=at,
                    expires_at=expires_at,
                )
            )

    async def revoke_token(self, token_id: str, *, at: float) -> bool:
        """Refuse one token from now on; whether it was live before."""
        statement = (
            update(access_tokens)
            .where(
                access_tokens.c.subscription_id == self._subscription_id,
                access_tokens.c.id == token_id,
                access_tokens.c.revoked_at.is_(None),
            )
            .values(revoked_at=at)
        )
        async with self._storage.write() as connection:
            return (await connection.execute(statement)).rowcount == 1

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
        """Change a live key and write down who did; whether there is one."""
        statement = (
            update(api_keys)
            .where(
                api_keys.c.subscription_id == self._subscription_id,
                api_keys.c.id == key_id,
                api_keys.c.revoked_at.is_(None),
            )
            .values(**values)
        )
        async with self._storage.write() as connection:
            if not (await connection.execute(statement)).rowcount:
                return False
            await audit.append(
                connection,
                subscription_id=self._subscription_id,
                at=at,
                actor=actor,
                action=action,
                target=key_id,
                detail=detail,
            )
        return True


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
    )
