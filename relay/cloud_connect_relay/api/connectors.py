"""Connectors: the enrolled agents as the platform lists them."""

import time
from typing import TYPE_CHECKING, Annotated, Any, Final

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from cloud_connect_relay.api.enrolment_tokens import GroupName
from cloud_connect_relay.api.problems import not_found
from cloud_connect_relay.api.security import Principal, require, services
from cloud_connect_relay.gateway.registry import status_of
from cloud_connect_relay.ids import is_id
from cloud_connect_relay.services import Services
from cloud_connect_relay.times import iso_time

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cloud_connect.handshake_messages import CertificateCheck
    from cloud_connect_relay.gateway.registry import LiveSession
    from cloud_connect_relay.storage.connectors import Connector

__all__ = ["router"]

router: Final = APIRouter(prefix="/api/connectors", tags=["Connectors"])

Reads = Annotated[Principal, Depends(require("connectors:read"))]
Manages = Annotated[Principal, Depends(require("connectors:manage"))]


class ConnectorChange(BaseModel):
    """What may be changed of a connector; what is left out stays."""

    model_config = ConfigDict(extra="forbid")

    name: str | None = Field(default=None, pattern=r"^[^\x00-\x1f\x7f]{1,200}$")
    group: GroupName | None = Field(default=None, description="`null` takes it out of its group.")
    draining: bool | None = Field(default=None, description="Finish calls, take no further ones.")


@router.get("", summary="List connectors")
async def list_connectors(
    principal: Reads, services: Annotated[Services, Depends(services)]
) -> dict[str, Any]:
    """List all connectors of the subscription with their live status."""
    connectors = await services.storage.of(principal.subscription_id).connectors.list()
    return {"items": [_document(services, connector) for connector in connectors]}


@router.get("/{connector_id}", summary="Show a connector")
async def show_connector(
    connector_id: str, principal: Reads, services: Annotated[Services, Depends(services)]
) -> dict[str, Any]:
    """Show one connector."""
    if not is_id("con", connector_id):
        raise not_found()
    tenant = services.storage.of(principal.subscription_id)
    connector = await tenant.connectors.get(connector_id)
    if connector is None:
        raise not_found()
    return _document(services, connector)


@router.patch("/{connector_id}", summary="Change a connector")
async def change_connector(
    connector_id: str,
    change: ConnectorChange,
    principal: Manages,
    services: Annotated[Services, Depends(services)],
) -> dict[str, Any]:
    """Rename a connector, move it between groups, or drain it."""
    if not is_id("con", connector_id):
        raise not_found()
    given = change.model_dump(exclude_unset=True)
    tenant = services.storage.of(principal.subscription_id)
    connector = await tenant.connectors.change(
        connector_id,
        name=change.name,
        group=(change.group or "") if "group" in given else None,
        draining=change.draining,
    )
    if connector is None:
        raise not_found()
    services.registry.refresh(connector)
    await tenant.audit.add(
        at=services.clock(),
        actor=principal.actor,
        action="connector.change",
        target=connector_id,
        detail=given,
    )
    return _document(services, connector)


@router.delete("/{connector_id}", status_code=204, summary="Revoke a connector")
async def revoke_connector(
    connector_id: str, principal: Manages, services: Annotated[Services, Depends(services)]
) -> Response:
    """Refuse a connector from now on and cut its session."""
    tenant = services.storage.of(principal.subscription_id)
    if not is_id("con", connector_id) or not await tenant.connectors.revoke(connector_id):
        raise not_found()
    await tenant.audit.add(
        at=services.clock(),
        actor=principal.actor,
        action="connector.revoke",
        target=connector_id,
    )
    await services.registry.cut(connector_id)
    return Response(status_code=204)


def _document(services: Services, connector: "Connector") -> dict[str, Any]:
    live = services.registry.get(connector.id)
    report = connector.report or {}
    refused_at = services.registry.intercepted.get(connector.id)
    certificate: CertificateCheck | None = "intercepted" if refused_at is not None else None
    if live is not None:
        certificate = live.certificate
        report = live.report.model_dump(mode="json")
    return {
        "id": connector.id,
        "name": connector.name,
        "machine": connector.machine,
        "os": connector.os,
        "version": connector.version,
        "group": connector.group,
        "hosted": connector.hosted,
        "status": status_of(connector, live).value,
        "connected_since": iso_time(live.connected_since if live else None),
        "last_seen_at": iso_time(_last_seen(services, connector, live)),
        "round_trip_ms": live.round_trip_ms if live else None,
        "in_flight": live.in_flight if live else 0,
        "procore": report.get("procore", []),
        "policy": report.get("policy", {}),
        "certificate": certificate,
        "intercepted_at": iso_time(refused_at),
        "problems": [*report.get("problems", []), *_interception(certificate, live)],
    }


def _interception(
    certificate: "CertificateCheck | None", live: "LiveSession | None"
) -> "Iterator[str]":
    if certificate != "intercepted":
        return
    if live is None:
        yield (
            "Refused: a proxy between this connector and the relay reads the traffic; its"
            " administrator may allow that (relay.allow_intercepted)."
        )
    else:
        yield (
            "A proxy between this connector and the relay reads the traffic, as its administrator"
            " allows."
        )


def _last_seen(
    services: Services, connector: "Connector", live: "LiveSession | None"
) -> float | None:
    if live is None:
        return connector.last_seen_at
    return services.clock() - max(0.0, time.monotonic() - live.session.last_received)
