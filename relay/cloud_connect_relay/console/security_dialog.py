"""Security: who may edit and use a data source."""

from typing import Annotated, Final

from fastapi import APIRouter, Depends
from starlette.responses import Response

from cloud_connect_relay.console.pages import Page, page_for

__all__ = ["router"]

router: Final = APIRouter(prefix="/console/datasources/{datasource_id}/security")

Allowed = Annotated[Page, Depends(page_for("datasources:write"))]


@router.get("")
async def show(datasource_id: str, page: Allowed) -> Response:
    """Show the page."""
    return page.render("security_dialog/page.html", datasource_id=datasource_id)
