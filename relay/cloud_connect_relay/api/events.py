"""Events: what becomes of connectors and calls, as it happens."""

from typing import Annotated, Final, Literal

from fastapi import Depends, Header
from starlette.responses import Response

from cloud_connect.errors import InsufficientScopeError
from cloud_connect_relay.api.endpoints import Routes
from cloud_connect_relay.api.event_stream import EventStream
from cloud_connect_relay.api.security import Principal, require_any, services
from cloud_connect_relay.events.hub import About
from cloud_connect_relay.services import Services

__all__ = ["audible", "router"]

router: Final = Routes(tags=["Events"])


@router.get(
    "/api/events",
    summary="Follow what happens to connectors and calls",
    response_class=Response,
    responses={
        200: {
            "description": "Server-sent events, without an end.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        }
    },
)
async def follow_events(
    principal: Annotated[Principal, Depends(require_any("connectors:read", "calls:read"))],
    services: Annotated[Services, Depends(services)],
    about: Literal["connectors", "calls"] | None = None,
    last_event_id: Annotated[
        str | None, Header(max_length=64, description="Where to go on after a break.")
    ] = None,
) -> Response:
    """Stream server-sent events of the subscription: `connector`, `measures`, `call`.

    Connectors are heard with the scope `connectors:read`, calls with `calls:read`; `about`
    narrows it to one of both. `ready` comes first, and `resync` whenever something was missed:
    look at everything anew then.
    """
    return EventStream(
        services,
        principal.subscription_id,
        about=audible(principal, about),
        after=last_event_id,
    )


def audible(principal: Principal, wanted: str | None = None) -> frozenset[About]:
    """Return what *principal* may hear, of what is *wanted* (everything unless given).

    Raises:
        InsufficientScopeError: If that is nothing.
    """
    may = set()
    if principal.may("connectors:read"):
        may.add(About.CONNECTORS)
    # As with the list of calls: a partner would hear of everybody's.
    if principal.may("calls:read") and not principal.subject.partner:
        may.add(About.CALLS)
    if wanted is not None:
        may &= {About(wanted)}
    if not may:
        what = "these events" if wanted is None else f"events about {wanted}"
        raise InsufficientScopeError(
            f"The credential may not hear {what}: that takes 'connectors:read' or 'calls:read',"
            " and partners hear of no calls."
        )
    return frozenset(may)
