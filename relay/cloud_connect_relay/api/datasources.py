"""Data sources, as the platform's page edits them."""

from typing import Annotated, Any, Final

from fastapi import Depends
from starlette.responses import Response

from cloud_connect.errors import InvalidRequestError
from cloud_connect_relay import datasource_desk as desk
from cloud_connect_relay.api.datasource_documents import (
    DataSourceDocument,
    SecurityDocument,
    document_of,
    merged,
    secured,
)
from cloud_connect_relay.api.endpoints import Routes
from cloud_connect_relay.api.problems import not_found
from cloud_connect_relay.api.security import Principal, require, services
from cloud_connect_relay.services import Services
from cloud_connect_relay.storage.datasources import DataSource

__all__ = ["router"]

router: Final = Routes(prefix="/api/datasources", tags=["Data sources"])

Reads = Annotated[Principal, Depends(require("datasources:read"))]
Changes = Annotated[Principal, Depends(require("datasources:write"))]
Shared = Annotated[Services, Depends(services)]


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
    return document_of(await desk.create_datasource(services, principal, merged(document, None)))


@router.get("/{datasource_id}")
async def show_datasource(datasource_id: str, principal: Reads, services: Shared) -> dict[str, Any]:
    """Show one data source."""
    return document_of(await _find(services, principal, datasource_id))


@router.put("/{datasource_id}")
async def change_datasource(
    datasource_id: str, document: DataSourceDocument, principal: Changes, services: Shared
) -> dict[str, Any]:
    """Save a data source; members that are left out keep their values."""
    source = await desk.editable_datasource(services, principal, datasource_id)
    if document.id not in {None, datasource_id}:
        raise InvalidRequestError("The member 'id' names another data source than the path.")
    return _shown(
        await desk.change_datasource(services, principal, source, merged(document, source.details))
    )


@router.put("/{datasource_id}/security")
async def change_security(
    datasource_id: str, document: SecurityDocument, principal: Changes, services: Shared
) -> dict[str, Any]:
    """Save the security dialog: who may edit and query, and what partners may see."""
    source = await desk.editable_datasource(services, principal, datasource_id)
    saved = await desk.change_datasource(
        services,
        principal,
        source,
        secured(document, source.details),
        action="datasource.security",
    )
    return _shown(saved)


@router.delete("/{datasource_id}", status_code=204)
async def delete_datasource(datasource_id: str, principal: Changes, services: Shared) -> Response:
    """Delete a data source; the records of its calls stay."""
    await desk.delete_datasource(services, principal, datasource_id)
    return Response(status_code=204)


async def _find(services: Services, principal: Principal, datasource_id: str) -> DataSource:
    return await services.calls.sources.find(principal.subscription_id, datasource_id)


def _shown(saved: DataSource | None) -> dict[str, Any]:
    if saved is None:
        raise not_found()
    return document_of(saved)
