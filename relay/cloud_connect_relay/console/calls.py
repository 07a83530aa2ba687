"""Calls: what ran, and how it ended; of one call what is certain of it, and where its time went."""

from typing import TYPE_CHECKING, Annotated, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Depends
from starlette.responses import Response

from cloud_connect.calls import Operation
from cloud_connect.errors import NotFoundError
from cloud_connect_relay.call_documents import call_document
from cloud_connect_relay.calls.idempotency import checked_key
from cloud_connect_relay.console.hops import hops_of
from cloud_connect_relay.console.pages import Page, page_for
from cloud_connect_relay.ids import is_id
from cloud_connect_relay.storage.call_search import CallCursor, CallFilter, Fate, StatusClass

if TYPE_CHECKING:
    from cloud_connect_relay.console.forms import Form
    from cloud_connect_relay.storage.calls import CallRecord

__all__ = ["router"]

router: Final = APIRouter(prefix="/console/calls")

Reads = Annotated[Page, Depends(page_for("calls:read"))]

_SHOWN: Final = 100
_FILTERS: Final = ("outcome", "status", "operation", "connector_id", "datasource_id")
_OUTCOMES: Final = (
    ("", "Any outcome"),
    (Fate.COMPLETED.value, "Completed"),
    (Fate.NOT_EXECUTED.value, "Not executed"),
    (Fate.UNKNOWN.value, "Unknown"),
    (Fate.RUNNING.value, "Running"),
)
_STATUSES: Final = (("", "Any status"), *((one.value, one.value) for one in StatusClass))


@router.get("")
async def show(page: Reads) -> Response:
    """List the newest calls; an id or an idempotency key leads to its call."""
    form = page.form
    query = form.value("q").strip()
    if query:
        found = await _sought(page, query)
        if found is not None:
            return page.redirect(f"/calls/{found}")
        form.fault("q", "No call of yours has this id or idempotency key, or it is too long ago.")
    partner = page.principal.subject.partner  # may see a call whose id they know, and no list
    connectors = await page.tenant.connectors.list() if page.may("connectors:read") else ()
    sources = await page.tenant.datasources.all() if page.may("datasources:read") else ()
    names = {one.id: one.name for one in connectors} | {
        one.id: one.details.title for one in sources
    }
    outcome = form.choice("outcome", dict(_OUTCOMES), label="an outcome", default="")
    status = form.choice("status", dict(_STATUSES), label="a status", default="")
    operation = form.choice("operation", ["", *Operation], label="an operation", default="")
    wanted = CallFilter(
        fate=Fate(outcome) if outcome else None,
        status_class=StatusClass(status) if status else None,
        operation=operation or None,
        connector_id=form.text("connector_id", label="The connector", max_length=64) or None,
        datasource_id=form.text("datasource_id", label="The data source", max_length=64) or None,
        after=_cursor(form),
    )
    records = []
    if not partner:
        records = await page.services.calls.newest(
            page.principal.subscription_id, wanted, limit=_SHOWN + 1
        )
    return page.render(
        "calls/list.html",
        form=form,
        partner=partner,
        calls=[call_document(record) for record in records[:_SHOWN]],
        older=_older(page, records),
        statuses=_STATUSES,
        names=names,
        outcomes=_OUTCOMES,
        operations=(("", "Any operation"), *((one.value, one.value) for one in Operation)),
        connectors=(("", "Any connector"), *((one.id, one.name) for one in connectors)),
        sources=(("", "Any data source"), *((one.id, one.details.title) for one in sources)),
        narrowed=any(form.value(name) for name in _FILTERS),
    )


@router.get("/{call_id}")
async def call(call_id: str, page: Reads) -> Response:
    """Show one call; where its outcome is unknown, its connector's journal is asked first."""
    if not is_id("call", call_id):
        raise NotFoundError("There is no such call, or it is not yours.")
    record = await page.services.calls.find(page.principal.subscription_id, call_id)
    document = call_document(record)
    connector = None
    if record.connector_id is not None and page.may("connectors:read"):
        connector = await page.tenant.connectors.get(record.connector_id)
    return page.render(
        "calls/call.html",
        call=document,
        connector=connector,
        hops=hops_of(document["hops"]),
    )


def _cursor(form: "Form") -> CallCursor | None:
    """Return where the page before ended; the first page, if that is no such place."""
    try:
        return CallCursor.parse(form.value("after")) if form.has("after") else None
    except ValueError:
        return None


def _older(page: Page, records: "list[CallRecord]") -> str | None:
    """Return the path of the next page, if there is one."""
    if len(records) <= _SHOWN:
        return None
    last = records[_SHOWN - 1]
    kept = {name: page.form.value(name) for name in _FILTERS if page.form.value(name)}
    cursor = CallCursor(started_at=last.started_at, call_id=last.id)
    return f"/calls?{urlencode({**kept, 'after': str(cursor)})}"


async def _sought(page: Page, query: str) -> str | None:
    """Return the id of the call that has this id or idempotency key."""
    calls, subscription_id = page.services.calls, page.principal.subscription_id
    try:
        if is_id("call", query):
            return (await calls.find(subscription_id, query)).id
        if page.principal.subject.partner:
            return None
        key = checked_key(query)
        return None if key is None else (await calls.find_by_key(subscription_id, key)).id
    except NotFoundError:
        return None
