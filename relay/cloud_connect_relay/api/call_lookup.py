"""Lookups of calls: what became of one, by its id or its idempotency key, and of the last ones."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query

from cloud_connect.calls import Operation
from cloud_connect.errors import InsufficientScopeError, Outcome
from cloud_connect_relay.api.problems import not_found
from cloud_connect_relay.api.security import Principal, require, services
from cloud_connect_relay.call_documents import call_document
from cloud_connect_relay.calls.idempotency import checked_key
from cloud_connect_relay.ids import is_id
from cloud_connect_relay.services import Services
from cloud_connect_relay.storage.calls import CallFilter

__all__ = ["router"]

router: Final = APIRouter(prefix="/api/calls", tags=["Calls"])

Reads = Annotated[Principal, Depends(require("calls:read"))]
Shared = Annotated[Services, Depends(services)]

_MAX_ITEMS: Final = 1000


@router.get("")
async def list_calls(  # noqa: PLR0917  each is a query parameter, given by name
    principal: Reads,
    services: Shared,
    idempotency_key: Annotated[
        str | None, Query(description="The latest attempt with this key, as one object.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=_MAX_ITEMS)] = 100,
    outcome: Outcome | None = None,
    operation: Operation | None = None,
    connector_id: str | None = None,
    datasource_id: str | None = None,
) -> dict[str, Any]:
    """List the newest calls; or show the latest attempt with an idempotency key."""
    if principal.subject.partner:  # of the whole subscription, and under keys that can be guessed
        raise InsufficientScopeError("Partners look calls up by their ids only.")
    if idempotency_key is not None:
        key = checked_key(idempotency_key) or ""
        return call_document(await services.calls.find_by_key(principal.subscription_id, key))
    wanted = CallFilter(
        outcome=outcome,
        operation=operation,
        connector_id=connector_id,
        datasource_id=datasource_id,
    )
    records = await services.calls.newest(principal.subscription_id, wanted, limit=limit)
    return {"items": [call_document(record) for record in records]}


@router.get("/{call_id}")
async def show_call(call_id: str, principal: Reads, services: Shared) -> dict[str, Any]:
    """Show what became of a call; where that is unknown, its connector is asked first."""
    if not is_id("call", call_id):
        raise not_found()
    return call_document(await services.calls.find(principal.subscription_id, call_id))
