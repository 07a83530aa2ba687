"""The console's live events: what becomes of connectors and calls, for pages that are open."""

from typing import Annotated, Final

from fastapi import APIRouter, Depends
from starlette.responses import Response

from cloud_connect_relay.api.event_stream import EventStream
from cloud_connect_relay.api.events import audible
from cloud_connect_relay.console.pages import Page, page_for

__all__ = ["router"]

router: Final = APIRouter(prefix="/console/events")

Anybody = Annotated[Page, Depends(page_for(None))]


@router.get("")
async def follow(page: Anybody) -> Response:
    """Stream server-sent events; ``?about=connectors`` or ``calls`` narrows them."""
    about = page.form.value("about")
    return EventStream(
        page.services,
        page.principal.subscription_id,
        about=audible(page.principal, about if about in {"connectors", "calls"} else None),
        after=page.request.headers.get("last-event-id"),
    )
