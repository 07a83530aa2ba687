"""Every resource the simulator knows, and every route of the API origin."""

from procore_simulator.resource import Resource
from procore_simulator.resources import (
    budget,
    companies,
    daily_log_clones,
    daily_logs,
    directory,
    documents,
    field_sets,
    financials,
    locations,
    photos,
    planning,
    prime_contracts,
    projects,
    quality,
    rfi_replies,
    rfis,
    submittals,
    uploads,
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
)

RESOURCES: dict[str, Resource] = {
    resource.name: resource for area in _AREAS for resource in area.RESOURCES
}
ROUTES: tuple[Route, ...] = tuple(route for area in _AREAS for route in area.ROUTES)
