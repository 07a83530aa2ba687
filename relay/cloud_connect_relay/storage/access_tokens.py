"""The access and refresh tokens of one subscription, without their secrets."""

from typing import TYPE_CHECKING, Final

from sqlalchemy import bindparam, insert, update

from cloud_connect_relay.storage.tables import access_tokens

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cloud_connect_relay.storage.engine import Storage

__all__ = ["AccessTokens"]

_PROLONG: Final = (
    update(access_tokens)
    .where(
        access_tokens.c.subscription_id == bindparam("of_subscription"),
        access_tokens.c.id == bindparam("this_id"),
        access_tokens.c.revoked_at.is_(None),
    )
    .values(expires_at=bindparam("new_expires_at"))
)


class AccessTokens:
    """The tokens that stand for a key or a person of one subscription."""

    def __init__(self, storage: "Storage", subscription_id: str) -> None:
        self._storage: Final = storage
        self._subscription_id: Final = subscription_id

    async def add(
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
            kind: ``bearer``, ``oauth``, ``refresh`` or ``console``.
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

    async def prolong(self, token_id: str, *, until: float) -> None:
        """Have a live token end at another time."""
        await self._storage.record(
            _PROLONG,
            {
                "of_subscription": self._subscription_id,
                "this_id": token_id,
                "new_expires_at": until,
            },
        )

    async def revoke(self, token_id: str, *, at: float) -> bool:
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
