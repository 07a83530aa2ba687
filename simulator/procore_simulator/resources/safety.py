"""Inspections, which the API calls checklists, and incidents."""

from collections.abc import Iterator

from procore_simulator.calls import Call
from procore_simulator.crud import crud_routes, envelope_of, insert, next_number, show_reply
from procore_simulator.failures import missing_parameter
from procore_simulator.filtering import among, containing, flagged, ranged, referring
from procore_simulator.inputs import (
    choice,
    day,
    flag,
    instant,
    integer,
    kept,
    people,
    person,
    reference,
    text,
)
from procore_simulator.messages import Reply
from procore_simulator.records import Record
from procore_simulator.resource import Paging, Resource
from procore_simulator.routing import Route, route
from procore_simulator.seeding import words
from procore_simulator.seeding.seeder import Seeder

__all__ = ["RESOURCES", "ROUTES"]

_SHOWN = {"open": "Open", "in_review": "In Review", "closed": "Closed"}


def _seed_lists(seeder: Seeder) -> Iterator[Record]:
    rng = seeder.rng
    for index, number in enumerate(seeder.ids()):
        state = rng.choice(tuple(_SHOWN.values()))
        yield {
            "id": number,
            "number": index + 1,
            "name": f"Inspection of {rng.choice(words.PLACES)}",
            "list_template_id": seeder.company.first_id + 701 + index % 3,
            "list_template_name": ("Concrete", "Scaffold", "Fire doors")[index % 3],
            "status": state,
            "inspection_date": seeder.day(-60, 20),
            "closed_at": seeder.instant(-20, -1) if state == "Closed" else None,
            "created_by": seeder.person(),
            "location": seeder.location(),
            "item_count": rng.randint(4, 30),
            **seeder.times(-90, -1),
        }


def _number(call: Call, row: Record, before: Record | None) -> None:
    if before is None:
        row.setdefault("number", next_number(call, "checklist_lists"))
        row.setdefault("name", f"Inspection {row['number']}")
    row["closed_at"] = call.now() if row.get("status") == "Closed" else None


LISTS = Resource(
    name="checklist_lists",
    tool="inspections",
    envelope="list",
    template={
        "id": None,
        "number": None,
        "name": None,
        "description": None,
        "list_template_id": None,
        "list_template_name": None,
        "status": "Open",
        "inspection_date": None,
        "due_at": None,
        "closed_at": None,
        "overdue": False,
        "private": True,
        "deleted": False,
        "inspection_type": None,
        "location": None,
        "point_of_contact": None,
        "responsible_contractor": None,
        "trade": None,
        "inspectors": [],
        "distribution_members": [],
        "attachments": [],
        "item_count": 0,
        "created_by": None,
        "created_at": None,
        "updated_at": None,
    },
    inputs={
        "number": integer("number"),
        "description": text("description"),
        "list_template_id": integer("list_template_id"),
        "status": choice("status", *_SHOWN, answers=_SHOWN),
        "inspection_date": day("inspection_date"),
        "due_at": instant("due_at"),
        "private": flag("private"),
        "location_id": reference("location", "locations", "id", "name", "node_name", "parent_id"),
        "point_of_contact_id": person("point_of_contact"),
        "responsible_contractor_id": reference("responsible_contractor", "vendors"),
        "inspector_ids": people("inspectors"),
        "distribution_member_ids": people("distribution_members"),
    },
    filters={
        "id": among("id"),
        "template_id": among("list_template_id"),
        "location_id": referring("location"),
        "inspector_id": referring("inspectors"),
        "inspection_date": ranged("inspection_date"),
        "created_at": ranged("created_at"),
        "updated_at": ranged("updated_at"),
        "closed_at": ranged("closed_at"),
    },
    sorts=frozenset({"created_at", "inspection_date", "name", "number", "updated_at"}),
    count=24,
    seed=_seed_lists,
    normalize=_number,
)


def _create_list(call: Call) -> Reply:
    template = call.body.get("list_template_id")
    if template in (None, ""):
        raise missing_parameter("list_template_id")
    sent = {**envelope_of(LISTS, call.body), "list_template_id": template}
    return show_reply(LISTS, call, insert(LISTS, call, sent), status=201)


def _seed_incidents(seeder: Seeder) -> Iterator[Record]:
    rng = seeder.rng
    for index, number in enumerate(seeder.ids()):
        yield {
            "id": number,
            "number": index + 1,
            "title": f"Slip at {rng.choice(words.PLACES)}",
            "status": rng.choice(("open", "closed")),
            "event_date": seeder.instant(-90, -1),
            "recordable": rng.random() < 0.2,
            "location": seeder.location(),
            "created_by": seeder.person(),
            **seeder.times(-90, -1),
        }


def _count_incident(call: Call, row: Record, before: Record | None) -> None:
    if before is None:
        row["number"] = next_number(call, "incidents")
    for name in ("injuries", "near_misses", "property_damages", "environmentals"):
        row[name] = [item for item in row.get(name) or [] if isinstance(item, dict)]


INCIDENTS = Resource(
    name="incidents",
    tool="incidents",
    envelope="incident",
    template={
        "id": None,
        "number": None,
        "title": None,
        "description": None,
        "status": "open",
        "event_date": None,
        "time_unknown": False,
        "private": False,
        "recordable": False,
        "location": None,
        "hazard": None,
        "contributing_behavior": None,
        "contributing_condition": None,
        "injuries": [],
        "near_misses": [],
        "property_damages": [],
        "environmentals": [],
        "distribution_members": [],
        "attachments": [],
        "records_count": 0,
        "created_by": None,
        "created_at": None,
        "updated_at": None,
        "deleted_at": None,
    },
    inputs={
        "title": text("title"),
        "description": text("description"),
        "status": choice("status", "open", "closed"),
        "event_date": instant("event_date"),
        "time_unknown": flag("time_unknown"),
        "private": flag("private"),
        "recordable": flag("recordable"),
        "location_id": reference("location", "locations", "id", "name", "node_name", "parent_id"),
        "distribution_member_ids": people("distribution_members"),
        "injuries": kept("injuries"),
        "near_misses": kept("near_misses"),
        "property_damages": kept("property_damages"),
        "environmentals": kept("environmentals"),
    },
    paging=Paging(default=1000, maximum=1000),
    filters={
        "id": among("id"),
        "status": among("status"),
        "recordable": flagged("recordable"),
        "location_id": referring("location"),
        "query": containing("title"),
        "event_date": ranged("event_date"),
        "created_at": ranged("created_at"),
        "updated_at": ranged("updated_at"),
    },
    sorts=frozenset({"created_at", "event_date", "number", "title"}),
    count=12,
    seed=_seed_incidents,
    normalize=_count_incident,
)

_LISTS = "/rest/v1.0/projects/{project_id}/checklist/lists"
RESOURCES = (LISTS, INCIDENTS)
ROUTES: tuple[Route, ...] = (
    *crud_routes(LISTS, _LISTS, "LSUD", deleted=204),
    route("POST", _LISTS, _create_list, "checklist_lists", tool="inspections"),
    *crud_routes(INCIDENTS, "/rest/v1.0/projects/{project_id}/incidents", "LSCUD", deleted=204),
)
