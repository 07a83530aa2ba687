"""Procore parameters: the tables and fields of a data source, and queries to try on them."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Depends
from starlette.responses import Response

from cloud_connect.errors import CloudConnectError, InsufficientScopeError, NotFoundError
from cloud_connect_relay.api.call_response import call_problem
from cloud_connect_relay.api.query_requests import query_call
from cloud_connect_relay.console.conditions import operators_for
from cloud_connect_relay.console.forms import Form
from cloud_connect_relay.console.pages import Page, page_for
from cloud_connect_relay.console.questions import Question, changed, read_question
from cloud_connect_relay.console.rowfeed import read_rows, stream_rows
from cloud_connect_relay.console.rowtable import columns_of, shown
from cloud_connect_relay.console.snippets import snippets_of
from cloud_connect_relay.console.tables import Table, Tree, TreeShelf, shelf

__all__ = ["router"]

router: Final = APIRouter(prefix="/console/datasources/{datasource_id}/explore")

Reads = Annotated[Page, Depends(page_for("calls:read"))]
Shelf = Annotated[TreeShelf, Depends(shelf)]

_PAGE_ROWS: Final = 100  # of a page without script


@router.get("")
async def show(datasource_id: str, page: Reads, trees: Shelf) -> Response:
    """Show the tables, and of the chosen one its fields and the form to ask with."""
    title = await _title(page, datasource_id)
    refresh = page.form.checked("refresh")
    tree, fault = await _tree(page, trees, datasource_id, refresh=refresh)
    table = None if tree is None else tree.find(page.form.value("table"))
    question = None if table is None else read_question(page.form, table)
    context = _context(page, datasource_id, tree=tree, question=question)
    return page.render("explore/page.html", title=title, fault=fault, **context)


@router.post("")
async def ask(datasource_id: str, page: Reads, trees: Shelf) -> Response:
    """Change the form as its buttons say, or answer with the first rows."""
    title = await _title(page, datasource_id)
    tree, fault = await _tree(page, trees, datasource_id)
    question = None if tree is None else _question(page, tree)
    deed = page.form.value("do", "try")
    result: dict[str, Any] = {}
    if question is not None and deed != "try":
        page.form.errors.clear()  # nobody asked yet
    elif question is not None and page.form.ok:
        result = await _answer(page, datasource_id, question)
    context = _context(page, datasource_id, tree=tree, question=question, deed=deed)
    template = "explore/page.html"
    if page.is_partial and question is not None:
        template = "explore/conditions.html"
    return page.render(
        template,
        status=200 if page.form.ok else 422,
        title=title,
        fault=fault,
        **{**context, **result},
    )


@router.post("/rows")
async def rows(datasource_id: str, page: Reads, trees: Shelf) -> Response:
    """Stream the rows of a question to a script; a failure before the first is a problem."""
    try:
        question = _question(page, await trees.read(page, datasource_id))
        if not page.form.ok:
            return Response(status_code=422)  # the script has the form sent as a page
        call = await query_call(
            page.services, page.principal, page.request, datasource_id, question.document()
        )
    except CloudConnectError as error:
        return call_problem(error)
    return stream_rows(page.services, call)


@router.post("/snippets")
async def snippets(datasource_id: str, page: Reads, trees: Shelf) -> Response:
    """Show a question as text to copy."""
    question = _question(page, await trees.read(page, datasource_id))
    page.form.errors.clear()
    context = _context(page, datasource_id, tree=None, question=question)
    return page.render("explore/snippets.html", **context)


async def _title(page: Page, datasource_id: str) -> str:
    """Return what the data source is called.

    Raises:
        NotFoundError: If there is none, or it is not the caller's.
    """
    found = await page.services.calls.sources.find(page.principal.subscription_id, datasource_id)
    return found.details.title


async def _tree(
    page: Page, trees: TreeShelf, datasource_id: str, *, refresh: bool = False
) -> tuple[Tree | None, CloudConnectError | None]:
    """Return the tree, or why there is none at the moment."""
    try:
        return await trees.read(page, datasource_id, refresh=refresh), None
    except (NotFoundError, InsufficientScopeError):
        raise
    except CloudConnectError as error:
        return None, error


def _question(page: Page, tree: Tree) -> Question:
    table = tree.find(page.form.value("table"))
    if table is None:
        raise NotFoundError("The data source has no such table (any more); choose another one.")
    return read_question(page.form, table)


async def _answer(page: Page, datasource_id: str, question: Question) -> dict[str, Any]:
    """Return the first rows of an answer, or why there are none, for a page."""
    document = question.document(most=_PAGE_ROWS)
    try:
        call = await query_call(
            page.services, page.principal, page.request, datasource_id, document
        )
        found = await read_rows(page.services, call)
    except (NotFoundError, InsufficientScopeError):
        raise
    except CloudConnectError as error:
        return {"problem": error}
    first = (question.display, question.value)
    return {"found": found, "columns": columns_of(found.rows, question.table, first=first)}


def _context(
    page: Page,
    datasource_id: str,
    *,
    tree: Tree | None,
    question: Question | None,
    deed: str = "",
) -> dict[str, Any]:
    table: Table | None = None
    texts = None
    groups: tuple[Any, ...] = ()
    if question is not None:
        table = question.table
        groups = changed(question, deed)
        texts = snippets_of(
            replace(question, groups=groups).document(),
            relay=page.services.addresses.base_url,
            datasource_id=datasource_id,
        )
    return {
        "datasource_id": datasource_id,
        "here_path": f"/datasources/{datasource_id}/explore",
        "records_path": f"/datasources/{datasource_id}/records",
        "tree": tree,
        "table": table,
        "question": question,
        "groups": groups,
        "snippets": texts,
        "limits": page.form if page.form.has("limit") else Form.of(limit=_limit(question)),
        "labels": {} if table is None else {field.name: field.text for field in table.outputs},
        "types": {} if table is None else {field.name: field.type for field in table.outputs},
        "place_of": None if table is None else partial(_place_of, table),
        "operators_for": operators_for,
        "shown": shown,
        "find": page.form.value("find"),
        "form": page.form,
        "found": None,
        "problem": None,
        "columns": [],
    }


def _limit(question: Question | None) -> int | None:
    return None if question is None else question.limit


def _place_of(table: Table, row: Mapping[str, Any]) -> str:
    """Return what a link to a row says of its place."""
    scope = {name: row[name] for name in table.places if row.get(name) is not None}
    return f"&{urlencode(scope)}" if scope else ""
