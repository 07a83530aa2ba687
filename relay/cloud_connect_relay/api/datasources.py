"""Data sources, as the platform's page edits them."""

from collections.abc import Collection
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends
from starlette.responses import Response

from cloud_connect.errors import InvalidRequestError
from cloud_connect_relay.access import Use
from cloud_connect_relay.api.datasource_documents import (
    DataSourceDocument,
    SecurityDocument,
    document_of,
    merged,
    secured,
)
from cloud_connect_relay.api.problems import not_found
from cloud_connect_relay.api.security import Principal, require, services
from cloud_connect_relay.calls.spec import missing_details
from cloud_connect_relay.services import Services
from cloud_connect_relay.storage.connectors import ConnectorFlag
from cloud_connect_relay.storage.datasources import (
    DataSource,
    DataSourceDetails,
    DataSourceStatus,
)

__all__ = ["router"]

router: Final = APIRouter(prefix="/api/datasources", tags=["Data sources"])

Reads = Annotated[Principal, Depends(require("datasources:read"))]
Changes = Annotated[Principal, Depends(require("datasources:write"))]
Shared = Annotated[Services, Depends(services)]

_UNTESTED: Final = "Test the connection to finish."
# A change of these makes an earlier test worthless; a new name or other users do not.
_TESTED_DETAILS: Final = ("settings", "use_connector", "connector_ids", "connector_group")


@router.get("")
async def list_datasources(principal: Reads, services: Shared) -> dict[str, Any]:
    """List the subscription's data sources."""
    found = await services.storage.of(principal.subscription_id).datasources.all()
    return {"items": [document_of(source) for source in found]}


@router.post("", status_code=201)
async def create_datasource(
    document: DataSourceDocument, principal: Changes, services: Shared
) -> dict[str, Any]:
    """Save a new data source; it may still be incomplete."""
    details = merged(document, None)
    await _check_connectors(services, principal, details.connector_ids)
    status, message = _status_of(details, None)
    tenant = services.storage.of(principal.subscription_id)
    source = await tenant.datasources.create(
        details, status=status, message=message, actor=principal.actor, at=services.clock()
    )
    return document_of(source)


@router.get("/{datasource_id}")
async def show_datasource(datasource_id: str, principal: Reads, services: Shared) -> dict[str, Any]:
    """Show one data source."""
    return document_of(await _find(services, principal, datasource_id))


@router.put("/{datasource_id}")
async def change_datasource(
    datasource_id: str, document: DataSourceDocument, principal: Changes, services: Shared
) -> dict[str, Any]:
    """Save a data source; members that are left out keep their values."""
    source = await _editable(services, principal, datasource_id)
    if document.id not in {None, datasource_id}:
        raise InvalidRequestError("The member 'id' names another data source than the path.")
    details = merged(document, source.details)
    added = set(details.connector_ids) - set(source.details.connector_ids)
    await _check_connectors(services, principal, added)
    return await _save(services, principal, source, details)


@router.put("/{datasource_id}/security")
async def change_security(
    datasource_id: str, document: SecurityDocument, principal: Changes, services: Shared
) -> dict[str, Any]:
    """Save the security dialog: who may edit and query, and what partners may see."""
    source = await _editable(services, principal, datasource_id)
    return await _save(
        services,
        principal,
        source,
        secured(document, source.details),
        action="datasource.security",
    )


@router.delete("/{datasource_id}", status_code=204)
async def delete_datasource(datasource_id: str, principal: Changes, services: Shared) -> Response:
    """Delete a data source; the records of its calls stay."""
    source = await _editable(services, principal, datasource_id)
    tenant = services.storage.of(principal.subscription_id)
    if not await tenant.datasources.delete(source, actor=principal.actor, at=services.clock()):
        raise not_found()
    services.calls.sources.forget(principal.subscription_id, datasource_id)
    return Response(status_code=204)


async def _find(services: Services, principal: Principal, datasource_id: str) -> DataSource:
    return await services.calls.sources.find(principal.subscription_id, datasource_id)


async def _editable(services: Services, principal: Principal, datasource_id: str) -> DataSource:
    """Return the data source, if the caller is one of those who may change it."""
    return await services.calls.sources.checked(
        principal.subscription_id, datasource_id, subject=principal.subject, use=Use.EDIT
    )


async def _save(
    services: Services,
    principal: Principal,
    source: DataSource,
    details: DataSourceDetails,
    *,
    action: str = "datasource.change",
) -> dict[str, Any]:
    status, message = _status_of(details, source)
    tenant = services.storage.of(principal.subscription_id)
    saved = await tenant.datasources.replace(
        source,
        details,
        status=status,
        message=message,
        action=action,
        actor=principal.actor,
        at=services.clock(),
    )
    services.calls.sources.forget(principal.subscription_id, source.id)
    if saved is None:
        raise not_found()
    return document_of(saved)


def _status_of(
    details: DataSourceDetails, before: DataSource | None
) -> tuple[DataSourceStatus, str]:
    """Return what to show of *details*: a passed or failed test counts until they change.

    The platform knows no word for complete but untested; it is not ready, and no test failed.
    """
    missing = missing_details(details)
    if missing is not None:
        return DataSourceStatus.INCOMPLETE, missing
    if before is None or before.status is DataSourceStatus.INCOMPLETE:
        return DataSourceStatus.INCOMPLETE, _UNTESTED
    if any(getattr(details, name) != getattr(before.details, name) for name in _TESTED_DETAILS):
        return DataSourceStatus.INCOMPLETE, _UNTESTED
    return before.status, before.message


async def _check_connectors(
    services: Services, principal: Principal, connector_ids: Collection[str]
) -> None:
    """Refuse connectors that the subscription does not have.

    Raises:
        InvalidRequestError: Naming the first one.
    """
    if not connector_ids:
        return
    connectors = await services.storage.of(principal.subscription_id).connectors.list()
    known = {one.id for one in connectors if one.flag is not ConnectorFlag.REVOKED}
    for connector_id in connector_ids:
        if connector_id not in known:
            raise InvalidRequestError(
                f"connectorId: the subscription has no connector '{connector_id[:64]}'; choose one"
                " of GET /api/connectors."
            )
