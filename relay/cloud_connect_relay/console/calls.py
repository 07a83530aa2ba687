"""Calls: what ran, and how it ended."""

from typing import Annotated, Final

from fastapi import APIRouter, Depends
from starlette.responses import Response

from cloud_connect_relay.console.pages import Page, page_for

__all__ = ["router"]

router: Final = APIRouter(prefix="/console/calls")

Allowed = Annotated[Page, Depends(page_for("calls:read"))]


@router.get("")
async def show(page: Allowed) -> Response:
    """Show the page."""
    return page.render("calls/page.html")
