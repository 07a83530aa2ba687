"""Explore: the tree of a data source, and queries to try."""

from typing import Annotated, Final

from fastapi import APIRouter, Depends
from starlette.responses import Response

from cloud_connect_relay.console.pages import Page, page_for

__all__ = ["router"]

router: Final = APIRouter(prefix="/console/datasources/{datasource_id}/explore")

Allowed = Annotated[Page, Depends(page_for("datasources:read"))]


@router.get("")
async def show(datasource_id: str, page: Allowed) -> Response:
    """Show the page."""
    return page.render("explore/page.html", datasource_id=datasource_id)
