"""Punch items and observations, whose inputs and answers are spelled differently."""

from collections.abc import Iterator

from procore_simulator.calls import Call
from procore_simulator.crud import crud_routes, deleting, list_reply, next_number
from procore_simulator.custom_fields import custom_field_template
from procore_simulator.failures import invalid, missing_parameter
from procore_simulator.filtering import among, containing, flagged, ranged, referring
from procore_simulator.inputs import (
    choice,
    day,
    flag,
    people,
    person,
    reference,
    text,
    to_integer,
)
from procore_simulator.messages import Json, JsonObject, Reply
from procore_simulator.records import Record
from procore_simulator.resource import Refusal, Resource
from procore_simulator.routing import Route, route
from procore_simulator.seeding import words
from procore_simulator.seeding.seeder import Seeder

__all__ = ["RESOURCES", "ROUTES"]

_WORKFLOW = (
    "draft", "initiated", "in_dispute", "work_required", "ready_for_review",
    "work_not_accepted", "ready_to_close", "closed",
)  # fmt: skip


def _assignment(number: int, login: JsonObject) -> JsonObject:
    return {
        "id": number,
        "login_information_id": login["id"],
        "login_information": login,
        "approved": False,
        "status": "Unresolved",
    }


def _seed_punch_items(seeder: Seeder) -> Iterator[Record]:
    rng = seeder.rng
    for index, number in enumerate(seeder.ids()):
        closed = rng.random() < 0.5
        times = seeder.times()
        yield {
            "id": number,
            "position": index + 1,
            "name": f"{rng.choice(words.DEFECTS)} at {rng.choice(words.PLACES)}",
            "status": "Closed" if closed else "Open",
            "workflow_status": "closed" if closed else "work_required",
            "priority": rng.choice(("low", "medium", "high", None)),
            "due_date": seeder.day(-30, 30) if rng.random() < 0.6 else None,
            "location": seeder.location(),
            "trade": seeder.trade() if rng.random() < 0.5 else None,
            "created_by": seeder.person(),
            "punch_item_manager": seeder.person(),
            "final_approver": seeder.person(),
            "assignments": [_assignment(number, seeder.person())],
            "closed_at": times["updated_at"] if closed else None,
            **times,
        }


def _read_logins(value: Json, call: Call) -> JsonObject:
    found = people("assignments")(value, call)["assignments"]
    return {"assignments": [_assignment(login["id"], login) for login in found]}


def _complete_punch_item(call: Call, row: Record, before: Record | None) -> None:
    if before is None:
        row["position"] = next_number(call, "punch_items", field="position")
    closed = row.get("status") == "Closed"
    if closed and not row.get("closed_at"):
        row["closed_at"] = call.now()
    elif not closed:
        row["closed_at"] = None


PUNCH_ITEMS = Resource(
    name="punch_items",
    tool="punch_list",
    envelope="punch_item",
    template={
        "id": None,
        "position": None,
        "name": None,
        "description": None,
        "rich_text_description": None,
        "reference": None,
        "priority": None,
        "status": "Open",
        "workflow_status": "initiated",
        "private": False,
        "due_date": None,
        "schedule_impact": None,
        "cost_impact": None,
        "location": None,
        "trade": None,
        "cost_code": None,
        "punch_item_type": None,
        "created_by": None,
        "punch_item_manager": None,
        "final_approver": None,
        "assignments": [],
        "distribution_members": [],
        "attachments": [],
        "closed_by": None,
        "closed_at": None,
        "deleted_at": None,
        "custom_fields": custom_field_template(),
        "created_at": None,
        "updated_at": None,
    },
    inputs={
        "name": text("name"),
        "description": text("description"),
        "reference": text("reference"),
        "priority": choice("priority", "low", "medium", "high"),
        "status": choice("status", "open", "closed", answers={"open": "Open", "closed": "Closed"}),
        "workflow_status": choice("workflow_status", *_WORKFLOW),
        "private": flag("private"),
        "due": day("due_date"),
        "due_date": day("due_date"),
        "login_information_ids": _read_logins,
        "punch_item_manager_id": person("punch_item_manager"),
        "final_approver_id": person("final_approver"),
        "distribution_member_ids": people("distribution_members"),
        "location_id": reference("location", "locations", "id", "name", "node_name", "parent_id"),
        "cost_code_id": reference("cost_code", "cost_codes", "id", "name", "full_code"),
    },
    required=("name",),
    filters={
        "id": among("id"),
        "status": among("status"),
        "priority": among("priority"),
        "search": containing("name", "description"),
        "punch_item_manager_id": referring("punch_item_manager"),
        "location_id": referring("location"),
        "due_date": ranged("due_date"),
        "created_at": ranged("created_at"),
        "updated_at": ranged("updated_at"),
    },
    sorts=frozenset({"id", "position", "name", "due_date", "created_at", "updated_at"}),
    custom_fields=True,
    count=80,
    seed=_seed_punch_items,
    normalize=_complete_punch_item,
)

_TYPES = (
    ("quality", "Deficiency"),
    ("quality", "Non-conformance"),
    ("safety", "Safety hazard"),
    ("safety", "Positive observation"),
    ("commissioning", "Commissioning issue"),
    ("warranty", "Warranty"),
)


def _type(first_id: int, index: int) -> JsonObject:
    category, name = _TYPES[index]
    return {
        "id": first_id + 601 + index,
        "category": category,
        "category_key": category,
        "name": name,
    }


def _seed_observations(seeder: Seeder) -> Iterator[Record]:
    rng = seeder.rng
    for index, number in enumerate(seeder.ids()):
        yield {
            "id": number,
            "number": str(index + 1),
            "name": f"{rng.choice(words.DEFECTS)} at {rng.choice(words.PLACES)}",
            "status": rng.choice(("initiated", "ready_for_review", "not_accepted", "closed")),
            "priority": rng.choice(("Low", "Medium", "High", "Urgent")),
            "due_date": seeder.day(-30, 30) if rng.random() < 0.6 else None,
            "assignee": seeder.person() if rng.random() < 0.8 else None,
            "created_by": seeder.person(),
            "location": seeder.location(),
            "trade": seeder.trade() if rng.random() < 0.4 else None,
            "type": _type(seeder.company.first_id, rng.randrange(len(_TYPES))),
            **seeder.times(),
        }


def _read_type(value: Json, call: Call) -> JsonObject:
    number = to_integer(value)
    index = -1 if number is None else number - call.home.first_id - 601
    if not 0 <= index < len(_TYPES):
        raise invalid({"type": ["is invalid"]})
    return {"type": _type(call.home.first_id, index)}


def _complete_observation(call: Call, row: Record, before: Record | None) -> None:
    if before is None:
        row["number"] = str(next_number(call, "observations"))


OBSERVATIONS = Resource(
    name="observations",
    tool="observations",
    envelope="observation",
    template={
        "id": None,
        "number": None,
        "name": None,
        "description": None,
        "rich_text_description": None,
        "status": "initiated",
        "priority": None,
        "due_date": None,
        "personal": False,
        "assignee": None,
        "created_by": None,
        "closed_by": None,
        "location": None,
        "trade": None,
        "type": None,
        "origin": None,
        "specification_section": None,
        "hazard": None,
        "contributing_condition": None,
        "contributing_behavior": None,
        "distribution_members": [],
        "attachments": [],
        "custom_fields": custom_field_template(),
        "created_at": None,
        "updated_at": None,
    },
    inputs={
        "name": text("name"),
        "description": text("description"),
        "type_id": _read_type,
        "status": choice("status", "initiated", "ready_for_review", "not_accepted", "closed"),
        "priority": choice("priority", "Low", "Medium", "High", "Urgent"),
        "due_date": day("due_date"),
        "personal": flag("personal"),
        "assignee_id": person("assignee"),
        "distribution_member_ids": people("distribution_members"),
        "location_id": reference("location", "locations", "id", "name", "node_name", "parent_id"),
    },
    required=("name", "type_id"),
    refusal=Refusal.MESSAGE,
    filters={
        "id": among("id"),
        "status": among("status"),
        "priority": among("priority"),
        "type_id": referring("type"),
        "assignee_id": referring("assignee"),
        "personal": flagged("personal"),
        "search": containing("name", "description"),
        "due_date": ranged("due_date"),
        "created_at": ranged("created_at"),
        "updated_at": ranged("updated_at"),
    },
    sorts=frozenset({"id", "number", "name", "due_date", "created_at", "updated_at"}),
    custom_fields=True,
    count=48,
    seed=_seed_observations,
    normalize=_complete_observation,
)

OBSERVATION_TYPES = Resource(
    name="observation_types",
    tool="observations",
    template={"id": None, "category": None, "category_key": None, "name": None},
    count=0,
)


def _types(call: Call) -> Reply:
    if call.request.argument("company_id") is None:
        raise missing_parameter("company_id")
    rows: list[Record] = [_type(call.home.first_id, index) for index in range(len(_TYPES))]
    return list_reply(OBSERVATION_TYPES, call, rows)


RESOURCES = (PUNCH_ITEMS, OBSERVATIONS, OBSERVATION_TYPES)
ROUTES: tuple[Route, ...] = (
    *crud_routes(PUNCH_ITEMS, "/rest/v1.1/punch_items", "LSCUD"),
    *crud_routes(OBSERVATIONS, "/rest/v1.0/observations/items", "LSCU"),
    route(
        "DELETE",
        "/rest/v1.0/projects/{project_id}/observations/items/{id}",
        deleting(OBSERVATIONS, status=204),
        "observations",
        tool="observations",
    ),
    route("GET", "/rest/v1.0/observations/types", _types, "observation_types", tool="observations"),
)
