"""Data sources: where forms read and write. The list of them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Depends
from starlette.responses import Response

from cloud_connect_relay import datasource_desk as desk
from cloud_connect_relay.console.actors import names_of
from cloud_connect_relay.console.datasource_rights import refusal_to_edit
from cloud_connect_relay.console.pages import Page, page_for

if TYPE_CHECKING:
    from cloud_connect_relay.storage.datasources import DataSource

__all__ = ["router"]

router: Final = APIRouter(prefix="/console/datasources")

Reads = Annotated[Page, Depends(page_for("datasources:read"))]
Changes = Annotated[Page, Depends(page_for("datasources:write"))]

_PAGE: Final = 100
_LONGEST_SEARCH: Final = 200
_UNNAMED: Final = "(no name)"
_TYPES: Final = {"procore": "Procore"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A line of the list."""

    id: str
    name: str
    type: str
    status: str
    message: str
    modified_at: float
    modified_by: str
    editable: bool


@router.get("")
async def show(page: Reads) -> Response:
    """List the data sources whose name or type has what is searched for."""
    wanted = page.form.value("q").strip()[:_LONGEST_SEARCH]
    number = page.form.number("page", label="Page", minimum=1, maximum=10_000) or 1
    found = await page.tenant.datasources.all()
    hits = [source for source in found if _has(source, wanted)]
    hits.sort(key=lambda source: (source.details.title.casefold(), source.id))
    start = (number - 1) * _PAGE
    shown = hits[start : start + _PAGE]
    names = await names_of(page.tenant, (source.modified_by for source in shown))
    return page.render(
        "datasources/list.html",
        rows=[_row(page, source, names) for source in shown],
        wanted=wanted,
        total=len(found),
        hits=len(hits),
        first=start + 1,
        before=_path(wanted, number - 1) if number > 1 else None,
        after=_path(wanted, number + 1) if start + _PAGE < len(hits) else None,
    )


@router.get("/{datasource_id}/delete")
async def ask_to_delete(datasource_id: str, page: Changes) -> Response:
    """Ask whether to delete a data source."""
    source = await desk.editable_datasource(page.services, page.principal, datasource_id)
    return page.confirm(
        title=f"Delete {_name(source)}?",
        text=(
            "Forms and programs that use this data source stop working. This cannot be undone.",
            "What stands in Procore stays as it is, and so do the records of its calls here.",
        ),
        action=f"/datasources/{datasource_id}/delete",
        cancel="/datasources",
        confirm="OK",
        cancel_label="Cancel",
    )


@router.post("/{datasource_id}/delete")
async def delete(datasource_id: str, page: Changes) -> Response:
    """Delete a data source."""
    source = await desk.delete_datasource(page.services, page.principal, datasource_id)
    return page.redirect("/datasources", notice=f"{_name(source)} was deleted.")


def _has(source: "DataSource", wanted: str) -> bool:
    wanted = wanted.casefold()
    kind = source.details.type
    return any(
        wanted in text.casefold() for text in (source.details.title, kind, _TYPES.get(kind, ""))
    )


def _row(page: Page, source: "DataSource", names: dict[str, str]) -> Row:
    return Row(
        id=source.id,
        name=_name(source),
        type=_TYPES.get(source.details.type, source.details.type),
        status=source.status.value,
        message=source.message,
        modified_at=source.modified_at,
        modified_by=names[source.modified_by],
        editable=refusal_to_edit(page, source) is None,
    )


def _name(source: "DataSource") -> str:
    return source.details.title or _UNNAMED


def _path(wanted: str, number: int) -> str:
    query = {"q": wanted} if wanted else {}
    return f"/datasources?{urlencode({**query, 'page': number})}"
