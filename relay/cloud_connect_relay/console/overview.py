"""Overview: what needs attention first, then how many connectors and calls there are."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends
from starlette.responses import Response

from cloud_connect_relay.api.connector_documents import connector_document
from cloud_connect_relay.console.charts import budgets_of, charts_of
from cloud_connect_relay.console.pages import Page, page_for
from cloud_connect_relay.storage.datasources import DataSourceStatus
from cloud_connect_relay.uptime import DAY

__all__ = ["router"]

router: Final = APIRouter(prefix="/console")

Allowed = Annotated[Page, Depends(page_for(None))]

_MAX_CAUSES: Final = 20
_BUSIEST: Final = 10
_MAX_BUDGETS: Final = 8
_LITTLE_LEFT: Final = 0.1  # of Procore's requests


@router.get("/")
async def show(page: Allowed) -> Response:
    """Show what a person should see first."""
    connectors: list[dict[str, Any]] = []
    if page.may("connectors:read"):
        seen = await page.tenant.presence.since(page.now - DAY)
        connectors = [
            connector_document(page.services, one, seen)
            for one in await page.tenant.connectors.list()
        ]
    sources = await page.tenant.datasources.all() if page.may("datasources:read") else ()
    causes = [cause for one in connectors for cause in _causes(one)]
    causes += [
        (
            "warning",
            source.details.title,
            source.message,
            f"/datasources/{source.id}",
        )
        for source in sources
        if source.status is not DataSourceStatus.READY
    ]
    live = [one for one in connectors if one["status"] != "revoked"]
    busy = sorted(live, key=lambda one: one["statistics"]["calls"], reverse=True)
    minutes = page.services.metrics.figures.of(page.principal.subscription_id)
    return page.render(
        "overview/page.html",
        causes=causes[:_MAX_CAUSES],
        more=max(0, len(causes) - _MAX_CAUSES),
        connectors=len(live),
        online=sum(one["status"] == "online" for one in live),
        sources=len(sources),
        ready=sum(source.status is DataSourceStatus.READY for source in sources),
        in_flight=sum(one["in_flight"] for one in live),
        calls=sum(minute.calls for minute in minutes if minute is not None),
        charts=charts_of(minutes),
        budgets=budgets_of(live)[:_MAX_BUDGETS],
        busiest=[one for one in busy[:_BUSIEST] if one["statistics"]["calls"]],
    )


def _causes(connector: dict[str, Any]) -> "list[tuple[str, str, str, str]]":
    """Return what needs attention of one connector: how bad, its name, a sentence, where."""
    where, name = f"/connectors/{connector['id']}", connector["name"]
    found = []
    if connector["status"] == "offline":
        found.append(("error", name, "It is offline. On its PC, “cloud-connect doctor” says why."))
    if connector["status"] != "revoked":
        bad = "error" if connector["status"] == "clone_suspected" else "warning"
        found += [(bad, name, problem) for problem in connector["problems"]]
        for grant in connector["procore"]:
            if grant["state"] != "ready":
                found.append(("warning", name, "A Procore account has to sign in again."))
            found += [
                (
                    "warning",
                    name,
                    f"Few Procore requests are left for company {left['company_id']}.",
                )
                for left in grant.get("budget", ())
                if connector["status"] != "offline"  # nobody knows what is left by now
                and left["remaining"] < left["limit"] * _LITTLE_LEFT
            ]
    return [(*cause, where) for cause in found]
