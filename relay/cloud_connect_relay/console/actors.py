"""Who did something, by the name that people know them by."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cloud_connect_relay.storage.tenant import Tenant

__all__ = ["names_of"]

_USER: Final = "user:"
_KEY: Final = "key:"


async def names_of(tenant: "Tenant", actors: Iterable[str]) -> dict[str, str]:
    """Return how to call each of *actors*, as records name them (``user:usr_…``)."""
    wanted = set(actors)
    users: dict[str, str] = {}
    keys: dict[str, str] = {}
    if any(actor.startswith(_USER) for actor in wanted):
        users = {user.id: user.username for user in await tenant.users.all()}
    if any(actor.startswith(_KEY) for actor in wanted):
        keys = {key.id: key.name for key in await tenant.keys.all()}
    return {actor: _name(actor, users, keys) for actor in wanted}


def _name(actor: str, users: dict[str, str], keys: dict[str, str]) -> str:
    if actor.startswith(_USER):
        return users.get(actor.removeprefix(_USER), actor.removeprefix(_USER))
    if actor.startswith(_KEY):
        key_id, _, person = actor.removeprefix(_KEY).partition(" for ")
        if person:
            return person
        return f"API key {keys[key_id]}" if key_id in keys else f"API key {key_id}"
    return actor.replace("-", " ")
