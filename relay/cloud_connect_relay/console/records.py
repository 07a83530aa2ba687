"""Records: records of a data source: create, change, delete."""

from typing import Annotated, Final

from fastapi import APIRouter, Depends
from starlette.responses import Response

from cloud_connect_relay.console.pages import Page, page_for

__all__ = ["router"]

router: Final = APIRouter(prefix="/console/datasources/{datasource_id}/records")

Allowed = Annotated[Page, Depends(page_for("calls:read"))]


@router.get("")
async def show(datasource_id: str, page: Allowed) -> Response:
    """Show the page."""
    return page.render("records/page.html", datasource_id=datasource_id)
