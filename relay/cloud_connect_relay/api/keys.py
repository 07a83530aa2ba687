"""API keys, for administrators: created and rotated here, their secrets shown once."""

from typing import Annotated, Any, Final

from fastapi import Depends
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from starlette.responses import Response

from cloud_connect.errors import InsufficientScopeError
from cloud_connect_relay.access import Unknown
from cloud_connect_relay.api.endpoints import Routes
from cloud_connect_relay.api.problems import not_found
from cloud_connect_relay.api.security import (
    Principal,
    check_grant,
    check_scope,
    require,
    services,
)
from cloud_connect_relay.credentials import SCOPES
from cloud_connect_relay.ids import is_id
from cloud_connect_relay.key_desk import (
    MAX_OVERLAP,
    OVERLAP,
    describe_key,
    issue_key,
    rotate_key,
)
from cloud_connect_relay.names import NAME
from cloud_connect_relay.networks import checked_network
from cloud_connect_relay.services import Services
from cloud_connect_relay.storage.keys import ApiKey
from cloud_connect_relay.times import parse_duration

__all__ = ["router"]

router: Final = Routes(prefix="/api/keys", tags=["Keys and users"])

_LONGEST: Final = 10 * 366 * 86_400  # seconds


def _seconds(value: object) -> object:
    return parse_duration(value) if isinstance(value, str) else value


def _scope(value: str) -> str:
    if value not in SCOPES:
        raise ValueError(f"there are the scopes {', '.join(sorted(SCOPES))}")
    return value


Name = Annotated[str, Field(pattern=NAME)]
Scope = Annotated[str, Field(max_length=64), AfterValidator(_scope)]
Network = Annotated[str, Field(max_length=64), AfterValidator(checked_network)]
Manages = Annotated[Principal, Depends(require("keys:manage"))]
Shared = Annotated[Services, Depends(services)]


class KeyRequest(BaseModel):
    """What a new API key may do, until when, and from where."""

    model_config = ConfigDict(extra="forbid")

    name: Name = "unnamed"
    scopes: list[Scope] = Field(min_length=1, max_length=len(SCOPES))
    expires_in: Annotated[int, BeforeValidator(_seconds), Field(ge=1, le=_LONGEST)] | None = Field(
        default=None, description="Seconds, or a text such as `90d`; without it, it never ends."
    )
    addresses: list[Network] = Field(
        default_factory=list,
        max_length=100,
        description="Addresses and networks it may be used from; none: from anywhere.",
    )
    acts_for: Unknown | None = Field(
        default=None,
        description="It may name a user in `Cloud-Connect-User`; users that are not known here"
        " count as `members` or as `partners`.",
    )


class RotationRequest(BaseModel):
    """How long the former key lives on."""

    model_config = ConfigDict(extra="forbid")

    overlap: Annotated[int, Field(ge=0, le=MAX_OVERLAP)] = Field(
        default=OVERLAP, description="Seconds; 0 ends it at once."
    )


@router.post("", status_code=201, summary="Create an API key")
async def create_key(body: KeyRequest, principal: Manages, services: Shared) -> dict[str, Any]:
    """Make an API key; its text is in this answer and nowhere else.

    It can have no scope that the credential lacks with which it is asked for.
    """
    check_grant(principal, frozenset(body.scopes))
    _check_impersonation(principal, acts_for=body.acts_for)
    if principal.named is not None or principal.addresses:
        # Otherwise the new one would work where, and for whom, this one does not.
        raise InsufficientScopeError(
            "A credential that is bound to addresses, or acts for a user, makes no keys."
        )
    return await issue_key(
        services.storage.of(principal.subscription_id),
        pepper=services.identity.pepper,
        name=body.name,
        scopes=body.scopes,
        now=services.clock(),
        actor=principal.actor,
        expires_in=body.expires_in,
        addresses=body.addresses,
        acts_for=body.acts_for,
    )


@router.get("", summary="List API keys")
async def list_keys(principal: Manages, services: Shared) -> dict[str, Any]:
    """List the keys, oldest first, without their secrets; revoked ones, too."""
    keys = await services.storage.of(principal.subscription_id).keys.all()
    return {"items": [describe_key(key, now=services.clock()) for key in keys]}


@router.get("/{key_id}", summary="Show an API key")
async def show_key(key_id: str, principal: Manages, services: Shared) -> dict[str, Any]:
    """Show one key, without its secret."""
    return describe_key(await _found(services, principal, key_id), now=services.clock())


@router.post("/{key_id}/rotate", status_code=201, summary="Replace an API key")
async def rotate(
    key_id: str, principal: Manages, services: Shared, body: RotationRequest | None = None
) -> dict[str, Any]:
    """Make a successor with the same rights; both work until the former one ends."""
    key = await _found(services, principal, key_id)
    check_grant(principal, key.scopes)
    _check_impersonation(principal, acts_for=key.acts_for)
    made = await rotate_key(
        services.storage.of(principal.subscription_id),
        key_id,
        pepper=services.identity.pepper,
        overlap=(body or RotationRequest()).overlap,
        now=services.clock(),
        actor=principal.actor,
    )
    if made is None:
        raise not_found()
    services.authenticator.forget()
    return made


@router.delete("/{key_id}", status_code=204, summary="Revoke an API key")
async def revoke_key(key_id: str, principal: Manages, services: Shared) -> Response:
    """Refuse a key, and every token derived from it, from now on."""
    await _found(services, principal, key_id)
    keys = services.storage.of(principal.subscription_id).keys
    if not await keys.revoke(key_id, actor=principal.actor, at=services.clock()):
        raise not_found()
    services.authenticator.forget()
    return Response(status_code=204)


def _check_impersonation(principal: Principal, *, acts_for: str | None) -> None:
    """Let only those make a key that may be anybody who could make themselves anybody, too."""
    if acts_for is not None:
        check_scope(principal, "users:manage")


async def _found(services: Services, principal: Principal, key_id: str) -> ApiKey:
    keys = services.storage.of(principal.subscription_id).keys
    key = await keys.get(key_id) if is_id("key", key_id) else None
    if key is None:
        raise not_found()
    return key
