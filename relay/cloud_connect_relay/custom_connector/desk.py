"""Registrations as the API and the command line make, show and delete them."""

from typing import TYPE_CHECKING, Any

from cloud_connect_relay.custom_connector.dialects import Dialect, SharedSecret
from cloud_connect_relay.custom_connector.entrance import SECRETS
from cloud_connect_relay.custom_connector.sealing import Sealer
from cloud_connect_relay.ids import new_id
from cloud_connect_relay.times import iso_time

if TYPE_CHECKING:
    from cloud_connect_relay.access import Unknown
    from cloud_connect_relay.identity import Pepper
    from cloud_connect_relay.storage.custom_connectors import CustomConnector
    from cloud_connect_relay.storage.tenant import Tenant

__all__ = ["describe_custom_connector", "register_custom_connector", "set_custom_secret"]


async def register_custom_connector(
    tenant: "Tenant",
    *,
    pepper: "Pepper",
    base_url: str,
    title: str,
    dialect: Dialect,
    secret: str | None,
    allow_writes: bool | None,
    request_id_is_key: bool,
    users: "Unknown",
    actor: str,
    now: float,
) -> dict[str, Any]:
    """Make a registration and return it with its URLs and its secret, which is shown once.

    Args:
        secret: What the platform gave out; ``None`` makes one.
        allow_writes: ``None`` is what the dialect allows by itself: its messages can be
            replayed (B) or not (A).

    Raises:
        InvalidRequestError: If *secret* is no key of the dialect.
    """
    shared = SharedSecret.new(dialect) if secret is None else SharedSecret.parse(dialect, secret)
    connector_id = new_id("reg")
    made = await tenant.custom_connectors.add(
        connector_id,
        title=title,
        dialect=dialect.value,
        sealed_secret=_sealed(pepper, connector_id, shared),
        allow_writes=dialect is Dialect.CURRENT if allow_writes is None else allow_writes,
        request_id_is_key=request_id_is_key,
        users=users.value,
        actor=actor,
        at=now,
    )
    shown = describe_custom_connector(made, base_url=base_url)
    return {**shown, "secret": shared.text if secret is None else None}


async def set_custom_secret(
    tenant: "Tenant",
    connector_id: str,
    secret: str,
    *,
    pepper: "Pepper",
    actor: str,
    now: float,
) -> bool:
    """Take the secret that the platform gave out; whether there is such a registration.

    Raises:
        InvalidRequestError: If it is no key of the registration's dialect.
    """
    found = await tenant.custom_connectors.find(connector_id)
    if found is None:
        return False
    sealed = _sealed(pepper, found.id, SharedSecret.parse(Dialect(found.dialect), secret))
    return await tenant.custom_connectors.replace_secret(found.id, sealed, actor=actor, at=now)


def describe_custom_connector(connector: "CustomConnector", *, base_url: str) -> dict[str, Any]:
    """Return what may be shown of a registration."""
    place = f"{base_url}/custom-connector/{connector.id}"
    return {
        "id": connector.id,
        "title": connector.title,
        "dialect": connector.dialect,
        "allow_writes": connector.allow_writes,
        "request_id_is_key": connector.request_id_is_key,
        "users": connector.users,
        "created_at": iso_time(connector.created_at),
        "test_url": f"{place}/test",
        "metadata_url": f"{place}/metadata",
        "query_url": f"{place}/query",
    }


def _sealed(pepper: "Pepper", connector_id: str, secret: SharedSecret) -> bytes:
    return Sealer(pepper, SECRETS).seal(secret.text.encode(), place=connector_id)
