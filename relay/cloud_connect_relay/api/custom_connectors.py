"""Custom connectors: made here, called by the platform under ``/custom-connector``."""

from typing import Annotated, Any, Final

from fastapi import Depends
from pydantic import BaseModel, ConfigDict, Field, SecretStr, StrictBool
from starlette.responses import Response

from cloud_connect_relay.access import Unknown
from cloud_connect_relay.api.endpoints import Routes
from cloud_connect_relay.api.problems import not_found
from cloud_connect_relay.api.security import Principal, check_scope, require, services
from cloud_connect_relay.custom_connector.desk import (
    describe_custom_connector,
    register_custom_connector,
    set_custom_secret,
)
from cloud_connect_relay.custom_connector.dialects import Dialect
from cloud_connect_relay.names import NAME
from cloud_connect_relay.services import Services

__all__ = ["router"]

router: Final = Routes(prefix="/api/custom-connectors", tags=["Custom connectors"])

# Its secret runs calls, as an API key does.
Manages = Annotated[Principal, Depends(require("keys:manage"))]
Shared = Annotated[Services, Depends(services)]
Title = Annotated[str, Field(pattern=NAME)]


class CustomConnectorRequest(BaseModel):
    """What a new registration is called and may do."""

    model_config = ConfigDict(extra="forbid")

    title: Title
    dialect: Dialect = Field(
        default=Dialect.CURRENT, description="`A`, or `B` for the platform's older registrations."
    )
    secret: SecretStr | None = Field(
        default=None, description="What the platform gave out; without it the relay makes one."
    )
    allow_writes: StrictBool | None = Field(
        default=None, description="By itself `true` for A, `false` for B."
    )
    request_id_is_key: StrictBool = Field(
        default=False, description="Take a write's `requestId` for its idempotency key."
    )
    users: Unknown = Field(
        default=Unknown.MEMBERS,
        description="What the platform's users count as whom the relay does not know.",
    )


class SecretRequest(BaseModel):
    """The secret that the platform gave out."""

    model_config = ConfigDict(extra="forbid")

    secret: SecretStr


@router.post("", status_code=201)
async def create_custom_connector(
    request: CustomConnectorRequest, principal: Manages, services: Shared
) -> dict[str, Any]:
    """Register a custom connector; a secret that the relay makes is in this answer only.

    Needs, beside `keys:manage`, the scopes that the registration will have: `calls:read`,
    `calls:test`, and `calls:write` if it may write.
    """
    allow_writes = request.allow_writes
    may_write = request.dialect is Dialect.CURRENT if allow_writes is None else allow_writes
    for scope in ("calls:read", "calls:test", *(("calls:write",) if may_write else ())):
        check_scope(principal, scope)
    return await register_custom_connector(
        services.storage.of(principal.subscription_id),
        pepper=services.identity.pepper,
        base_url=services.addresses.base_url,
        title=request.title,
        dialect=request.dialect,
        secret=None if request.secret is None else request.secret.get_secret_value(),
        allow_writes=may_write,
        request_id_is_key=request.request_id_is_key,
        users=request.users,
        actor=principal.actor,
        now=services.clock(),
    )


@router.get("")
async def list_custom_connectors(principal: Manages, services: Shared) -> dict[str, Any]:
    """List the subscription's custom connectors, without their secrets."""
    found = await services.storage.of(principal.subscription_id).custom_connectors.all()
    base_url = services.addresses.base_url
    return {"items": [describe_custom_connector(one, base_url=base_url) for one in found]}


@router.get("/{registration_id}")
async def show_custom_connector(
    registration_id: str, principal: Manages, services: Shared
) -> dict[str, Any]:
    """Show one custom connector, without its secret."""
    tenant = services.storage.of(principal.subscription_id)
    found = await tenant.custom_connectors.find(registration_id)
    if found is None:
        raise not_found()
    return describe_custom_connector(found, base_url=services.addresses.base_url)


@router.put("/{registration_id}/secret", status_code=204)
async def change_secret(
    registration_id: str, request: SecretRequest, principal: Manages, services: Shared
) -> Response:
    """Take the secret that the platform gave out; the former one opens nothing any more."""
    changed = await set_custom_secret(
        services.storage.of(principal.subscription_id),
        registration_id,
        request.secret.get_secret_value(),
        pepper=services.identity.pepper,
        actor=principal.actor,
        now=services.clock(),
    )
    if not changed:
        raise not_found()
    return Response(status_code=204)


@router.delete("/{registration_id}", status_code=204)
async def delete_custom_connector(
    registration_id: str, principal: Manages, services: Shared
) -> Response:
    """Delete a custom connector: its secret opens nothing from now on."""
    tenant = services.storage.of(principal.subscription_id)
    deleted = await tenant.custom_connectors.delete(
        registration_id, actor=principal.actor, at=services.clock()
    )
    if not deleted:
        raise not_found()
    return Response(status_code=204)
