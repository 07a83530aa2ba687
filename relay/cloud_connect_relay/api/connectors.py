"""Connectors: the enrolled agents as the platform lists them."""

from typing import TYPE_CHECKING, Annotated, Any, Final

from fastapi import Depends
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt
from starlette.responses import Response

from cloud_connect.echo import MAX_HELD
from cloud_connect.errors import AgentOfflineError, InvalidRequestError
from cloud_connect_relay.api.bodies import to_json
from cloud_connect_relay.api.connector_documents import connector_document, echo_facts
from cloud_connect_relay.api.endpoints import Routes
from cloud_connect_relay.api.enrolment_tokens import GroupName
from cloud_connect_relay.api.problems import not_found
from cloud_connect_relay.api.security import Principal, require, services
from cloud_connect_relay.gateway.echoes import echo
from cloud_connect_relay.ids import is_id
from cloud_connect_relay.names import PRINTABLE
from cloud_connect_relay.services import Services
from cloud_connect_relay.uptime import DAY

if TYPE_CHECKING:
    from cloud_connect_relay.storage.connectors import Connector
    from cloud_connect_relay.storage.presence import Seen

__all__ = ["router"]

router: Final = Routes(prefix="/api/connectors", tags=["Connectors"])

Reads = Annotated[Principal, Depends(require("connectors:read"))]
Manages = Annotated[Principal, Depends(require("connectors:manage"))]

_LONGEST_PAUSE: Final = int(MAX_HELD)  # for longer there is draining


class ConnectorChange(BaseModel):
    """What may be changed of a connector; what is left out stays."""

    model_config = ConfigDict(extra="forbid")

    name: str | None = Field(default=None, pattern=rf"^{PRINTABLE}{{1,200}}$")
    group: GroupName | None = Field(default=None, description="`null` takes it out of its group.")
    draining: StrictBool | None = Field(
        default=None, description="Finish calls, take no further ones."
    )
    paused_for: StrictInt | None = Field(
        default=None,
        ge=0,
        le=_LONGEST_PAUSE,
        description="Seconds to take no further calls for; 0 ends a pause that began here.",
    )


@router.get("", summary="List connectors", response_class=Response)
async def list_connectors(
    principal: Reads, services: Annotated[Services, Depends(services)]
) -> Response:
    """List all connectors of the subscription with their live status."""
    connectors = await services.storage.of(principal.subscription_id).connectors.list()
    seen = await _seen(services, principal.subscription_id)
    items = [connector_document(services, one, seen) for one in connectors]
    return Response(to_json({"items": items}), media_type="application/json")


@router.get("/{connector_id}", summary="Show a connector")
async def show_connector(
    connector_id: str, principal: Reads, services: Annotated[Services, Depends(services)]
) -> dict[str, Any]:
    """Show one connector."""
    connector = await _found(services, principal, connector_id)
    return await _shown(services, principal.subscription_id, connector)


@router.patch("/{connector_id}", summary="Change a connector")
async def change_connector(
    connector_id: str,
    change: ConnectorChange,
    principal: Manages,
    services: Annotated[Services, Depends(services)],
) -> dict[str, Any]:
    """Rename a connector, move it between groups, drain it, or pause it for a while."""
    if not is_id("con", connector_id):
        raise not_found()
    tenant = services.storage.of(principal.subscription_id)
    now = services.clock()
    connector = await tenant.connectors.change(
        connector_id,
        name=change.name,
        group=(change.group or "") if "group" in change.model_fields_set else None,
        draining=change.draining,
        paused_until=None if change.paused_for is None else now + change.paused_for,
        actor=principal.actor,
        at=now,
    )
    if connector is None:
        raise not_found()
    services.registry.refresh(connector)
    return await _shown(services, principal.subscription_id, connector)


@router.post("/{connector_id}/echo", summary="Ask a connector whether calls come through")
async def echo_connector(
    connector_id: str, principal: Reads, services: Annotated[Services, Depends(services)]
) -> dict[str, Any]:
    """Send an echo through the connector's whole stack, and tell how long it took.

    A connector that is paused answers, too; one that is not connected, or does not answer within
    ten seconds, is an error.
    """
    tenant = services.storage.of(principal.subscription_id)
    if not is_id("con", connector_id) or await tenant.connectors.get(connector_id) is None:
        raise not_found()
    live = services.registry.get(connector_id)
    if live is None:
        raise AgentOfflineError("The connector is not connected.")
    await echo(live, clock=services.clock)
    return {"id": connector_id, **echo_facts(live)}


@router.post("/{connector_id}/approve", summary="Let a connector in that waits for it")
async def approve_connector(
    connector_id: str, principal: Manages, services: Annotated[Services, Depends(services)]
) -> dict[str, Any]:
    """Let a connector connect whose join token asked for an administrator's approval."""
    connector = await _found(services, principal, connector_id)
    repository = services.storage.of(principal.subscription_id).connectors
    if not await repository.approve(connector.id, actor=principal.actor, at=services.clock()):
        raise InvalidRequestError("This connector does not wait for approval.")
    connector = await _found(services, principal, connector_id)
    services.registry.refresh(connector)
    return await _shown(services, principal.subscription_id, connector)


@router.post("/{connector_id}/recover", summary="Let a suspected connector come back once")
async def recover_connector(
    connector_id: str, principal: Manages, services: Annotated[Services, Depends(services)]
) -> dict[str, Any]:
    """Accept the next connect of a connector that is `clone_suspected`, whatever its state.

    Stop the copy first: whichever of both connects first is the connector from then on, and the
    other one is refused again.
    """
    connector = await _found(services, principal, connector_id)
    repository = services.storage.of(principal.subscription_id).connectors
    if not await repository.recover(connector.id, actor=principal.actor, at=services.clock()):
        raise InvalidRequestError("This connector is not suspected to be a copy.")
    connector = await _found(services, principal, connector_id)
    services.registry.refresh(connector)
    return await _shown(services, principal.subscription_id, connector)


@router.delete("/{connector_id}", status_code=204, summary="Revoke a connector")
async def revoke_connector(
    connector_id: str, principal: Manages, services: Annotated[Services, Depends(services)]
) -> Response:
    """Refuse a connector from now on and cut its session."""
    tenant = services.storage.of(principal.subscription_id)
    if not is_id("con", connector_id) or not await tenant.connectors.revoke(
        connector_id, actor=principal.actor, at=services.clock()
    ):
        raise not_found()
    await services.registry.cut(connector_id)
    return Response(status_code=204)


async def _found(services: Services, principal: Principal, connector_id: str) -> "Connector":
    connectors = services.storage.of(principal.subscription_id).connectors
    connector = await connectors.get(connector_id) if is_id("con", connector_id) else None
    if connector is None:
        raise not_found()
    return connector


async def _shown(
    services: Services, subscription_id: str, connector: "Connector"
) -> dict[str, Any]:
    seen = await _seen(services, subscription_id, connector_id=connector.id)
    return connector_document(services, connector, seen)


async def _seen(
    services: Services, subscription_id: str, *, connector_id: str | None = None
) -> "Seen":
    presence = services.storage.of(subscription_id).presence
    return await presence.since(services.clock() - DAY, connector_id=connector_id)
