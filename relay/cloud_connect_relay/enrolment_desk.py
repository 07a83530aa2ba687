"""Join tokens as the API and the command line hand them out, list and revoke them."""

from typing import TYPE_CHECKING, Any

from cloud_connect_relay.ids import is_id
from cloud_connect_relay.times import iso_time

if TYPE_CHECKING:
    from cloud_connect_relay.storage.join_tokens import IssuedToken
    from cloud_connect_relay.storage.tenant import Tenant

__all__ = ["describe_join_token", "issue_join_token", "revoke_join_token"]


async def issue_join_token(
    tenant: "Tenant",
    *,
    relay_public_key: bytes,
    now: float,
    expires_in: float,
    group: str | None,
    hosted: bool,
    policy_class: str,
    approval: bool,
    actor: str,
) -> dict[str, Any]:
    """Make a join token and return it with its secret, which is nowhere else."""
    issued, token = await tenant.join_tokens.issue(
        relay_public_key=relay_public_key,
        actor=actor,
        now=now,
        expires_in=expires_in,
        group=group,
        hosted=hosted,
        policy_class=policy_class,
        approval=approval,
    )
    return {
        "id": issued.id,
        "token": token.reveal(),
        "expires_at": iso_time(issued.expires_at),
        "group": issued.group,
        "hosted": issued.hosted,
        "policy_class": issued.policy_class,
        "approval": issued.approval,
    }


async def revoke_join_token(tenant: "Tenant", token_id: str, *, actor: str, now: float) -> bool:
    """Refuse a join token from now on; whether the subscription has it."""
    return is_id("jt", token_id) and await tenant.join_tokens.revoke(token_id, actor=actor, now=now)


def describe_join_token(token: "IssuedToken", *, now: float) -> dict[str, Any]:
    """Return what may be shown of a join token."""
    return {
        "id": token.id,
        "group": token.group,
        "hosted": token.hosted,
        "policy_class": token.policy_class,
        "approval": token.approval,
        "status": _status(token, now),
        "created_at": iso_time(token.created_at),
        "expires_at": iso_time(token.expires_at),
        "used_at": iso_time(token.used_at),
        "revoked_at": iso_time(token.revoked_at),
        "connector_id": token.connector_id,
    }


def _status(token: "IssuedToken", now: float) -> str:
    if token.used_at is not None:
        return "used"
    if token.revoked_at is not None:
        return "revoked"
    return "expired" if token.expires_at <= now else "open"
