"""Locations of a project: a tree whose names are whole paths."""

from collections.abc import Iterator

from procore_simulator.calls import Call
from procore_simulator.crud import crud_routes
from procore_simulator.failures import invalid
from procore_simulator.filtering import among, containing
from procore_simulator.inputs import integer, text
from procore_simulator.records import Record
from procore_simulator.resource import Paging, Resource
from procore_simulator.routing import Route
from procore_simulator.seeding.seeder import Seeder

__all__ = ["RESOURCES", "ROUTES"]

_FLOORS = ("Basement", "Ground floor", "Level 1", "Level 2", "Roof")
_ROOMS = ("Corridor", "Plant room", "Stair")


def _seed_locations(seeder: Seeder) -> Iterator[Record]:
    ids = iter(range(seeder.first_id, seeder.first_id + len(_FLOORS) * (len(_ROOMS) + 1)))
    for floor in _FLOORS:
        parent = next(ids)
        yield {"id": parent, "name": floor, "node_name": floor}
        for room in _ROOMS:
            yield {
                "id": next(ids),
                "name": f"{floor}>{room}",
                "node_name": room,
                "parent_id": parent,
            }


def _complete(call: Call, row: Record, _before: Record | None) -> None:
    parent_id = row.get("parent_id")
    if parent_id is None:
        row["name"] = row["node_name"]
        return
    parent = call.lookup("locations", parent_id)
    if parent is None or parent_id == row["id"]:
        raise invalid({"parent_id": ["is invalid"]})
    row["name"] = f"{parent['name']}>{row['node_name']}"


LOCATIONS = Resource(
    name="locations",
    tool="locations",
    envelope="location",
    template={
        "id": None,
        "name": None,
        "node_name": None,
        "parent_id": None,
        "code": None,
        "created_at": None,
        "updated_at": None,
    },
    inputs={
        "node_name": text("node_name"),
        "parent_id": integer("parent_id"),
        "code": text("code"),
    },
    required=("node_name",),
    paging=Paging(default=50, maximum=10_000),
    filters={"id": among("id"), "search": containing("name")},
    sorts=frozenset({"id", "name", "created_at", "updated_at"}),
    seed=_seed_locations,
    normalize=_complete,
)

RESOURCES = (LOCATIONS,)
ROUTES: tuple[Route, ...] = tuple(
    crud_routes(LOCATIONS, "/rest/v1.0/projects/{project_id}/locations", "LSCUD")
)
