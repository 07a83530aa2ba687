"""Data sources: where forms read and write."""

from typing import Annotated, Final

from fastapi import APIRouter, Depends
from starlette.responses import Response

from cloud_connect_relay.console.pages import Page, page_for

__all__ = ["router"]

router: Final = APIRouter(prefix="/console/datasources")

Allowed = Annotated[Page, Depends(page_for("datasources:read"))]


@router.get("")
async def show(page: Allowed) -> Response:
    """Show the page."""
    return page.render("datasources/page.html")
