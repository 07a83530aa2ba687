"""Every resource the simulator knows, and every route of the API origin."""

from procore_simulator.resource import Resource
from procore_simulator.resources import (
    bidding,
    budget,
    change_orders,
    commitments,
    companies,
    company_lists,
    coordination,
    correspondence,
    costs,
    daily_log_clones,
    daily_log_days,
    daily_logs,
    directory,
    documents,
    drawings,
    equipment,
    field_sets,
    financials,
    inactive,
    locations,
    photos,
    planning,
    prime_contracts,
    projects,
    quality,
    rfi_replies,
    rfis,
    safety,
    scheduling,
    specifications,
    submittals,
    timecards,
    uploads,
    webhooks,
)
from procore_simulator.routing import Route

__all__ = ["RESOURCES", "ROUTES"]

_AREAS = (
    companies,
    directory,
    projects,
    rfis,
    rfi_replies,
    submittals,
    quality,
    daily_logs,
    documents,
    photos,
    financials,
    locations,
    planning,
    uploads,
    field_sets,
    budget,
    daily_log_clones,
    prime_contracts,
    commitments,
    costs,
    change_orders,
    scheduling,
    timecards,
    bidding,
    drawings,
    webhooks,
    specifications,
    equipment,
    company_lists,
    safety,
    coordination,
    correspondence,
    daily_log_days,
    inactive,
)

RESOURCES: dict[str, Resource] = {
    resource.name: resource for area in _AREAS for resource in area.RESOURCES
}
ROUTES: tuple[Route, ...] = tuple(route for area in _AREAS for route in area.ROUTES)
