"""Audit: who changed what."""

from typing import Annotated, Final

from fastapi import APIRouter, Depends
from starlette.responses import Response

from cloud_connect_relay.console.pages import Page, page_for

__all__ = ["router"]

router: Final = APIRouter(prefix="/console/audit")

Allowed = Annotated[Page, Depends(page_for("audit:read"))]


@router.get("")
async def show(page: Allowed) -> Response:
    """Show the page."""
    return page.render("audit/page.html")
