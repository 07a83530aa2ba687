"""Audit: who changed what; looked through, verified, exported."""

import json
from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends
from starlette.responses import Response, StreamingResponse

from cloud_connect.audit import parse_moment
from cloud_connect_relay.console.actors import names_of
from cloud_connect_relay.console.forms import Form
from cloud_connect_relay.console.notices import Kind
from cloud_connect_relay.console.pages import Page, page_for
from cloud_connect_relay.storage.audit import AuditEntry, AuditFilter
from cloud_connect_relay.storage.audit_checkpoints import AuditPeers, verify

__all__ = ["router"]

router: Final = APIRouter(prefix="/console/audit")

Reads = Annotated[Page, Depends(page_for("audit:read"))]

_PAGE: Final = 50
# First words of actions, as the filter offers them.
_KINDS: Final = (
    ("", "Everything"),
    ("connector", "Connectors"),
    ("datasource", "Data sources"),
    ("join_token", "Join tokens"),
    ("key", "API keys"),
    ("user", "People"),
    ("custom_connector", "Custom connectors"),
    ("call", "Calls"),
    ("audit", "The log itself"),
)


@router.get("")
async def show(page: Reads) -> Response:
    """List the records, newest first."""
    form = page.form
    wanted = _filter(form, now=page.now)
    entries = await page.tenant.audit.newest(wanted, limit=_PAGE + 1) if form.ok else []
    names = await names_of(
        page.tenant,
        [name for entry in entries for name in (entry.actor, f"user:{entry.target}")],
    )
    return page.render(
        "audit/list.html",
        status=200 if form.ok else 422,
        form=form,
        records=[_shown(entry, names) for entry in entries[:_PAGE]],
        older=entries[_PAGE - 1].seq if len(entries) > _PAGE else None,
        kinds=_KINDS,
        filtered=any(form.value(name) for name in ("kind", "actor", "target", "since", "until")),
    )


@router.get("/export")
async def export(page: Reads) -> Response:
    """Send the records as NDJSON with their hashes, the oldest first."""
    wanted = _filter(page.form, now=page.now)
    if not page.form.ok:
        return page.redirect("/audit", notice="Mend the filter first.", kind=Kind.ERROR)
    return StreamingResponse(
        _lines(page.tenant.audit.all(wanted)),
        media_type="application/x-ndjson",
        headers={"content-disposition": 'attachment; filename="audit.ndjson"'},
    )


@router.post("/verify")
async def check(page: Reads) -> Response:
    """Check every record and signature, and compare with what the connectors hold."""
    subscription_id = page.principal.subscription_id
    peers = await AuditPeers(page.services.storage).of(subscription_id)
    held = [(peer.held, f"connector {name}") for peer, name in peers if peer.held]
    verdict = await verify(
        page.services.storage,
        subscription_id,
        held=held,
        key=page.services.identity.public_key,
    )
    return page.render(
        "audit/verdict.html",
        verdict=verdict.document(),
        compared=sorted({who for _, who in held}),
        suspects=[name for peer, name in peers if peer.evidence],
    )


def _filter(form: Form, *, now: float) -> AuditFilter:
    before = form.number("before", label="The record", minimum=1, maximum=2**62)
    kind = form.choice("kind", dict(_KINDS), label="a kind", default="")
    return AuditFilter(
        actor=form.text("actor", label="Who", max_length=200) or None,
        action=kind or None,
        target=form.text("target", label="The id", max_length=200) or None,
        since=_moment(form, "since", now=now),
        until=_moment(form, "until", now=now),
        before=before,
    )


def _moment(form: Form, name: str, *, now: float) -> float | None:
    text = form.value(name).strip()
    if not text:
        return None
    try:
        return parse_moment(text, now=now)
    except ValueError as error:
        form.fault(name, f"{str(error)[:1].upper()}{str(error)[1:]}.")
        return None


def _shown(entry: AuditEntry, names: dict[str, str]) -> dict[str, Any]:
    return {
        "seq": entry.seq,
        "time": entry.time,
        "actor": entry.actor,
        "who": names[entry.actor],
        "action": entry.action,
        "target": entry.target,
        "target_name": names[f"user:{entry.target}"],
        "detail": json.dumps(dict(entry.detail), ensure_ascii=False, indent=2)
        if entry.detail
        else "",
        "hash": entry.chained.hash.hex(),
    }


async def _lines(entries: AsyncIterator[AuditEntry]) -> AsyncIterator[bytes]:
    async for entry in entries:
        yield entry.chained.line() + b"\n"
