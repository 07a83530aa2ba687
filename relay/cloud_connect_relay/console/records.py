"""Records of a data source: create, change and delete one, each with a dry run before it."""

import re
import secrets
from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends
from starlette.responses import Response

from cloud_connect.errors import (
    CloudConnectError,
    InsufficientScopeError,
    NotFoundError,
    Outcome,
)
from cloud_connect_relay.api.query_requests import query_call
from cloud_connect_relay.console.drafts import (
    Draft,
    Place,
    deletion,
    draft_of,
    key_of,
    selection,
)
from cloud_connect_relay.console.pages import Page, page_for
from cloud_connect_relay.console.rowfeed import RowPage, read_rows
from cloud_connect_relay.console.rowtable import columns_of, shown
from cloud_connect_relay.console.tables import Table, TreeShelf, shelf

__all__ = ["router"]

router: Final = APIRouter(prefix="/console/datasources/{datasource_id}/records")

Writes = Annotated[Page, Depends(page_for("calls:write"))]
Shelf = Annotated[TreeShelf, Depends(shelf)]

_NONCE: Final = re.compile(r"[A-Za-z0-9_-]{10,40}", re.ASCII)
_DOUBT: Final = {
    Outcome.NOT_EXECUTED: "Nothing was written.",
    Outcome.COMPLETED: "Procore has answered; nothing more will happen.",
    Outcome.UNKNOWN: (
        "It is not known whether it was written. Send it once more as it is: it will not be"
        " written twice."
    ),
}
_DONE: Final = {
    "new": "The record was created.",
    "edit": "The record was changed.",
    "delete": "The record was deleted.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What became of a write or of its rehearsal.

    Attributes:
        rehearsal: Nothing was to be written.
        doubt: What is certain about the effect of one that failed.
    """

    rehearsal: bool
    found: RowPage | None = None
    error: CloudConnectError | None = None
    doubt: str = ""

    @property
    def done(self) -> bool:
        """Whether something was written."""
        return self.found is not None and not self.rehearsal


@router.get("/new")
async def begin(datasource_id: str, page: Writes, trees: Shelf) -> Response:
    """Show the form of a new record."""
    table = await _table(page, trees, datasource_id)
    draft = Draft.new(table, page.form)
    return _form(page, datasource_id, draft, path="new", nonce=_nonce())


@router.post("/new")
async def create(datasource_id: str, page: Writes, trees: Shelf) -> Response:
    """Create the record, or tell what would be sent."""
    table = await _table(page, trees, datasource_id)
    draft = draft_of(page.form, table)
    return await _write(page, datasource_id, draft, draft.insertion(), path="new")


@router.get("/{record_id}/edit")
async def edit(datasource_id: str, record_id: str, page: Writes, trees: Shelf) -> Response:
    """Show a record in a form."""
    table = await _table(page, trees, datasource_id)
    place = Place.read(page.form, table, record_id)
    call = await query_call(
        page.services, page.principal, page.request, datasource_id, selection(place)
    )
    found = await read_rows(page.services, call)
    if not found.rows:
        raise NotFoundError("There is no such record (any more).")
    draft = Draft.of(table, found.rows[0])
    path = f"{record_id}/edit"
    return _form(page, datasource_id, draft, path=path, place=place, nonce=_nonce())


@router.post("/{record_id}/edit")
async def change(datasource_id: str, record_id: str, page: Writes, trees: Shelf) -> Response:
    """Change the record, or tell what would be changed."""
    table = await _table(page, trees, datasource_id)
    place = Place.read(page.form, table, record_id)
    draft = draft_of(page.form, table)
    path = f"{record_id}/edit"
    document = draft.update(place)
    if not document["mappings"]:
        page.form.fault("record", "Change a field first: there is nothing to write.")
    return await _write(page, datasource_id, draft, document, path=path, place=place)


@router.get("/{record_id}/delete")
async def ask(datasource_id: str, record_id: str, page: Writes, trees: Shelf) -> Response:
    """Rehearse the deletion, and ask whether to go on."""
    table = await _table(page, trees, datasource_id)
    place = Place.read(page.form, table, record_id)
    told = await _run(page, datasource_id, {**deletion(place), "dryRun": True}, key=None)
    return _deletion(page, datasource_id, place, told, nonce=_nonce())


@router.post("/{record_id}/delete")
async def delete(datasource_id: str, record_id: str, page: Writes, trees: Shelf) -> Response:
    """Delete the record."""
    table = await _table(page, trees, datasource_id)
    place = Place.read(page.form, table, record_id)
    document = deletion(place)
    nonce = _nonce_of(page)
    told = await _run(page, datasource_id, document, key=key_of(nonce, document))
    return _deletion(page, datasource_id, place, told, nonce=_nonce_after(nonce, told))


async def _table(page: Page, trees: TreeShelf, datasource_id: str) -> Table:
    tree = await trees.read(page, datasource_id)
    table = tree.find(page.form.value("table"))
    if table is None:
        raise NotFoundError("The data source has no such table (any more); choose another one.")
    return table


async def _write(
    page: Page,
    datasource_id: str,
    draft: Draft,
    document: dict[str, Any],
    *,
    path: str,
    place: Place | None = None,
) -> Response:
    nonce = _nonce_of(page)
    told = None
    if page.form.ok:
        rehearsal = page.form.value("do") != "save"
        sent = {**document, "dryRun": True} if rehearsal else document
        key = None if rehearsal else key_of(nonce, document)
        told = await _run(page, datasource_id, sent, key=key)
        nonce = _nonce_after(nonce, told)
    return _form(page, datasource_id, draft, path=path, place=place, nonce=nonce, told=told)


async def _run(
    page: Page, datasource_id: str, document: dict[str, Any], *, key: str | None
) -> Told:
    """Run a write or its rehearsal, and tell what became of it."""
    rehearsal = key is None
    try:
        call = await query_call(
            page.services, page.principal, page.request, datasource_id, document, key=key
        )
        return Told(rehearsal=rehearsal, found=await read_rows(page.services, call))
    except (NotFoundError, InsufficientScopeError) as error:
        if error.call_id is None:  # it is the page that is not theirs
            raise
        return Told(rehearsal=rehearsal, error=error, doubt=_DOUBT[error.outcome])
    except CloudConnectError as error:
        doubt = "" if rehearsal else _DOUBT[error.outcome]
        return Told(rehearsal=rehearsal, error=error, doubt=doubt)


def _form(
    page: Page,
    datasource_id: str,
    draft: Draft,
    *,
    path: str,
    nonce: str,
    place: Place | None = None,
    told: Told | None = None,
) -> Response:
    return page.render(
        "records/form.html",
        status=200 if page.form.ok else 422,
        draft=draft,
        form=page.form,
        **_context(datasource_id, draft.table, place, told, path=path, nonce=nonce),
    )


def _deletion(page: Page, datasource_id: str, place: Place, told: Told, *, nonce: str) -> Response:
    path = f"{place.record_id}/delete"
    return page.render(
        "records/delete.html",
        **_context(datasource_id, place.table, place, told, path=path, nonce=nonce),
    )


def _context(
    datasource_id: str,
    table: Table,
    place: Place | None,
    told: Told | None,
    *,
    path: str,
    nonce: str,
) -> dict[str, Any]:
    deed = path.rpartition("/")[2]
    rows = [] if told is None or told.found is None else told.found.rows
    return {
        "action": f"/datasources/{datasource_id}/records/{path}",
        "back": f"/datasources/{datasource_id}/explore?table={table.name}",
        "table": table,
        "place": place,
        "told": told,
        "rows": rows,
        "columns": columns_of(rows, table, first=("id", table.display)),
        "shown": shown,
        "done": _DONE[deed],
        "nonce": nonce,
    }


def _nonce() -> str:
    return secrets.token_urlsafe(12)


def _nonce_of(page: Page) -> str:
    """Return what tells this form from others; one that is none is of no use to anybody."""
    sent = page.form.value("nonce")
    return sent if _NONCE.fullmatch(sent) else _nonce()


def _nonce_after(nonce: str, told: Told) -> str:
    """Return the form's next one: the same while it is not known what became of the write."""
    unknown = told.error is not None and told.error.outcome is Outcome.UNKNOWN
    return nonce if told.rehearsal or unknown else _nonce()
