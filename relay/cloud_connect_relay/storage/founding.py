"""The first rows of a store, all in one transaction: so that ``init`` happens once, or not."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sqlalchemy import insert, select

from cloud_connect.errors import CloudConnectError
from cloud_connect_relay.ids import new_id
from cloud_connect_relay.storage import audit
from cloud_connect_relay.storage.tables import api_keys, relay, subscriptions, users

if TYPE_CHECKING:
    from cloud_connect_relay.storage.engine import Storage

__all__ = ["AlreadyFoundedError", "Founding", "found", "founded_by"]

_ACTOR: Final = "command-line"


class AlreadyFoundedError(CloudConnectError):
    """The store belongs to a relay already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Founding:
    """What a new relay starts with."""

    relay_id: str
    public_key: bytes
    subscription_name: str
    username: str
    password_hash: str = field(repr=False)
    key_id: str
    key_hash: bytes = field(repr=False)


async def founded_by(storage: "Storage") -> bytes | None:
    """Return the public key of the relay that the store belongs to; ``None`` before ``init``."""
    async with storage.read() as connection:
        key = (await connection.execute(select(relay.c.public_key))).scalar_one_or_none()
    return None if key is None else bytes(key)


async def found(storage: "Storage", founding: Founding, *, at: float) -> str:
    """Write all of it and return the id of the subscription.

    Raises:
        AlreadyFoundedError: If somebody has; nothing is changed then.
    """
    subscription_id, user_id = new_id("sub"), new_id("usr")
    async with storage.write() as connection:
        if (await connection.execute(select(relay.c.id))).first() is not None:
            raise AlreadyFoundedError(
                "This relay is initialised already; to add to it, use the commands"
                " 'subscription create', 'user create' and 'key create'."
            )
        await connection.execute(
            insert(relay).values(
                id=founding.relay_id, public_key=founding.public_key, created_at=at
            )
        )
        await connection.execute(
            insert(subscriptions).values(
                id=subscription_id, name=founding.subscription_name, created_at=at
            )
        )
        await connection.execute(
            insert(users).values(
                id=user_id,
                subscription_id=subscription_id,
                username=founding.username,
                login=founding.username.casefold(),
                password_hash=founding.password_hash,
                role="administrator",
                created_at=at,
            )
        )
        await connection.execute(
            insert(api_keys).values(
                id=founding.key_id,
                subscription_id=subscription_id,
                name="initial",
                secret_hash=founding.key_hash,
                scopes=["all"],
                created_at=at,
            )
        )
        for action, target in (
            ("subscription.create", subscription_id),
            ("user.create", user_id),
            ("key.create", founding.key_id),
        ):
            await audit.append(
                connection,
                subscription_id=subscription_id,
                at=at,
                actor=_ACTOR,
                action=action,
                target=target,
            )
    return subscription_id
