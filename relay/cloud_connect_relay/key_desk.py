"""API keys as the API and the command line hand them out, rotate and list them."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from cloud_connect_relay.credentials import Credential, CredentialKind
from cloud_connect_relay.quota import NO_QUOTA, Quota
from cloud_connect_relay.times import iso_time

if TYPE_CHECKING:
    from cloud_connect_relay.access import Unknown
    from cloud_connect_relay.identity import Pepper
    from cloud_connect_relay.storage.keys import ApiKey
    from cloud_connect_relay.storage.tenant import Tenant

__all__ = ["MAX_OVERLAP", "OVERLAP", "describe_key", "issue_key", "rotate_key"]

OVERLAP: Final = 86_400  # seconds for which a key lives on beside its successor
MAX_OVERLAP: Final = 30 * 86_400


async def issue_key(
    tenant: "Tenant",
    *,
    pepper: "Pepper",
    name: str,
    scopes: Iterable[str],
    now: float,
    actor: str,
    expires_in: float | None = None,
    quota: Quota = NO_QUOTA,
    addresses: Iterable[str] = (),
    acts_for: "Unknown | None" = None,
) -> dict[str, Any]:
    """Make an API key and return it with its secret, which is nowhere else."""
    credential = Credential.new(CredentialKind.API_KEY)
    made = await tenant.keys.create(
        credential.id,
        name=name,
        secret_hash=pepper.digest(credential.secret),
        scopes=scopes,
        actor=actor,
        at=now,
        expires_at=None if expires_in is None else now + expires_in,
        quota=quota,
        addresses=addresses,
        acts_for=None if acts_for is None else acts_for.value,
    )
    return _with_secret(made, credential, now=now)


async def rotate_key(
    tenant: "Tenant", key_id: str, *, pepper: "Pepper", overlap: float, now: float, actor: str
) -> dict[str, Any] | None:
    """Make a key like a live one, which ends after *overlap* seconds; ``None`` if it is none."""
    credential = Credential.new(CredentialKind.API_KEY)
    made = await tenant.keys.rotate(
        key_id,
        credential.id,
        secret_hash=pepper.digest(credential.secret),
        overlap=overlap,
        actor=actor,
        at=now,
    )
    return None if made is None else _with_secret(made, credential, now=now)


def describe_key(key: "ApiKey", *, now: float) -> dict[str, Any]:
    """Return what may be shown of an API key."""
    return {
        "id": key.id,
        "name": key.name,
        "scopes": sorted(key.scopes),
        "status": _status(key, now),
        "created_at": iso_time(key.created_at),
        "expires_at": iso_time(key.expires_at),
        "revoked_at": iso_time(key.revoked_at),
        "last_used_at": iso_time(key.last_used_at),
        "quota": key.quota.limits(),
        "addresses": list(key.addresses),
        "acts_for": key.acts_for,
    }


def _with_secret(key: "ApiKey", credential: Credential, *, now: float) -> dict[str, Any]:
    secret = credential.reveal()
    return {"api_key": secret, "key": secret, **describe_key(key, now=now)}


def _status(key: "ApiKey", now: float) -> str:
    if key.revoked_at is not None:
        return "revoked"
    return "live" if key.expires_at is None or now < key.expires_at else "expired"
