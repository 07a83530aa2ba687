"""People: who may sign in, and as what."""

from typing import Annotated, Final

from fastapi import APIRouter, Depends
from starlette.responses import Response

from cloud_connect_relay.console.pages import Page, page_for

__all__ = ["router"]

router: Final = APIRouter(prefix="/console/people")

Allowed = Annotated[Page, Depends(page_for("users:manage"))]


@router.get("")
async def show(page: Allowed) -> Response:
    """Show the page."""
    return page.render("people/page.html")
