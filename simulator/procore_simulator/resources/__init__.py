"""Every resource the simulator knows, and every route of the API origin."""

from procore_simulator.resource import Resource
from procore_simulator.resources import companies, directory, locations, projects, rfis
from procore_simulator.routing import Route

__all__ = ["RESOURCES", "ROUTES"]

_AREAS = (companies, directory, projects, rfis, locations)

RESOURCES: dict[str, Resource] = {
    resource.name: resource for area in _AREAS for resource in area.RESOURCES
}
ROUTES: tuple[Route, ...] = tuple(route for area in _AREAS for route in area.ROUTES)
