"""Lookups of calls: what became of one, by its id or its idempotency key, and of the last ones."""

from typing import Annotated, Any, Final

from fastapi import Depends, Query

from cloud_connect.calls import Operation
from cloud_connect.errors import InsufficientScopeError, InvalidRequestError
from cloud_connect_relay.api.endpoints import Routes
from cloud_connect_relay.api.moments import moment
from cloud_connect_relay.api.problems import not_found
from cloud_connect_relay.api.security import Principal, require, services
from cloud_connect_relay.call_documents import call_document
from cloud_connect_relay.calls.idempotency import checked_key
from cloud_connect_relay.ids import is_id
from cloud_connect_relay.services import Services
from cloud_connect_relay.storage.call_search import CallCursor, CallFilter, Fate, StatusClass

__all__ = ["router"]

router: Final = Routes(prefix="/api/calls", tags=["Calls"])

Reads = Annotated[Principal, Depends(require("calls:read"))]
Shared = Annotated[Services, Depends(services)]

_MAX_ITEMS: Final = 1000

Id = Annotated[str | None, Query(max_length=64)]
Moment = Annotated[
    str | None, Query(max_length=40, description="2026-11-24T09:30:00Z, or 24h for so long ago.")
]


@router.get("")
async def list_calls(
    *,
    principal: Reads,
    services: Shared,
    idempotency_key: Annotated[
        str | None, Query(description="The latest attempt with this key, as one object.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=_MAX_ITEMS)] = 100,
    after: Annotated[
        str | None, Query(max_length=80, description="`next` of the page before.")
    ] = None,
    call_id: Id = None,
    attempts_of: Annotated[
        str | None, Query(description="All attempts with this idempotency key.")
    ] = None,
    outcome: Annotated[Fate | None, Query(description="`running`: there is none yet.")] = None,
    status: Annotated[StatusClass | None, Query(description="Of the answer.")] = None,
    operation: Operation | None = None,
    connector_id: Id = None,
    datasource_id: Id = None,
    since: Moment = None,
    until: Moment = None,
) -> dict[str, Any]:
    """List calls, newest first; or show the latest attempt with an idempotency key.

    `next` continues with `after`; it is `null` on the last page. `since` and `until` are about
    when calls started.
    """
    if principal.subject.partner:  # of the whole subscription, and under keys that can be guessed
        raise InsufficientScopeError("Partners look calls up by their ids only.")
    if idempotency_key is not None:
        key = checked_key(idempotency_key) or ""
        return call_document(await services.calls.find_by_key(principal.subscription_id, key))
    now = services.clock()
    wanted = CallFilter(
        call_id=call_id,
        idempotency_key=None if attempts_of is None else checked_key(attempts_of),
        fate=outcome,
        status_class=status,
        operation=operation,
        connector_id=connector_id,
        datasource_id=datasource_id,
        since=moment("since", since, now=now),
        until=moment("until", until, now=now),
        after=_cursor(after),
    )
    records = await services.calls.newest(principal.subscription_id, wanted, limit=limit + 1)
    shown = records[:limit]
    return {
        "items": [call_document(record) for record in shown],
        "next": str(CallCursor.of(shown[-1])) if len(records) > limit else None,
    }


def _cursor(text: str | None) -> CallCursor | None:
    if text is None:
        return None
    try:
        return CallCursor.parse(text)
    except ValueError as error:
        raise InvalidRequestError("The parameter 'after' is no 'next' of a list.") from error


@router.get("/{call_id}")
async def show_call(call_id: str, principal: Reads, services: Shared) -> dict[str, Any]:
    """Show what became of a call; where that is unknown, its connector is asked first."""
    if not is_id("call", call_id):
        raise not_found()
    return call_document(await services.calls.find(principal.subscription_id, call_id))
