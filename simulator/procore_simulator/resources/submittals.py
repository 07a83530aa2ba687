"""Submittals: v1.1 for everything, and a list in version 2's shape."""

from collections.abc import Iterator

from procore_simulator.calls import Call
from procore_simulator.crud import crud_routes
from procore_simulator.custom_fields import custom_field_template
from procore_simulator.failures import invalid
from procore_simulator.filtering import among, containing, flagged, ranged, referring
from procore_simulator.inputs import (
    day,
    flag,
    integer,
    people,
    person,
    reference,
    text,
    to_integer,
)
from procore_simulator.messages import Json, JsonObject, Reply, json_reply
from procore_simulator.records import Record
from procore_simulator.resource import Paging, Refusal, Resource
from procore_simulator.routing import Reach, Route, route
from procore_simulator.seeding import words
from procore_simulator.seeding.seeder import Seeder

__all__ = ["RESOURCES", "ROUTES"]

_STATUSES = ((1, "Draft", "draft"), (2, "Open", "open"), (3, "Closed", "closed"))


def _status(index: int) -> JsonObject:
    number, name, kind = _STATUSES[index]
    return {"id": number, "name": name, "status": kind}


def _seed_submittals(seeder: Seeder) -> Iterator[Record]:
    rng = seeder.rng
    for index, number in enumerate(seeder.ids()):
        section = rng.choice(words.SPECIFICATIONS)
        closed = rng.random() < 0.4
        times = seeder.times()
        manager = seeder.person()
        yield {
            "id": number,
            "number": str(index + 1),
            "formatted_number": f"{index + 1:03d}-0",
            "title": f"{rng.choice(words.MATERIALS)}: {section.lower()}",
            "status": _status(2 if closed else rng.randrange(2)),
            "type": {"id": seeder.company.first_id + 701, "name": "Shop Drawing"}
            if rng.random() < 0.5
            else None,
            "due_date": seeder.day(-60, 60) if rng.random() < 0.7 else None,
            "issue_date": times["created_at"][:10],
            "received_date": seeder.day(-60, -1) if closed else None,
            "submittal_manager": manager,
            "received_from": seeder.person() if rng.random() < 0.3 else None,
            "responsible_contractor": seeder.vendor() if rng.random() < 0.6 else None,
            "ball_in_court": [] if closed else [manager],
            "private": rng.random() < 0.1,
            "created_by": seeder.person(),
            **times,
        }


def _read_status(value: Json, _call: Call) -> JsonObject:
    number = to_integer(value)
    if number is None or not 1 <= number <= len(_STATUSES):
        raise invalid({"status": ["is invalid"]})
    return {"status": _status(number - 1)}


def _complete(_call: Call, row: Record, before: Record | None) -> None:
    if before is None:
        row.setdefault("status", _status(0))
    revision = row.get("revision", "0")
    number = str(row["number"])
    row["formatted_number"] = f"{number.zfill(3)}-{revision}"
    manager = row.get("submittal_manager")
    closed = row["status"]["status"] == "closed"
    row["ball_in_court"] = [] if closed or manager is None else [manager]
    row["attachments_count"] = len(row.get("attachments", ()))


SUBMITTALS = Resource(
    name="submittals",
    tool="submittals",
    envelope="submittal",
    template={
        "id": None,
        "number": None,
        "formatted_number": None,
        "title": None,
        "description": None,
        "rich_text_description": None,
        "revision": "0",
        "current_revision": True,
        "private": False,
        "status": None,
        "type": None,
        "due_date": None,
        "issue_date": None,
        "received_date": None,
        "submit_by": None,
        "required_on_site_date": None,
        "actual_delivery_date": None,
        "confirmed_delivery_date": None,
        "distributed_at": None,
        "lead_time": None,
        "submittal_manager": None,
        "received_from": None,
        "responsible_contractor": None,
        "ball_in_court": [],
        "approvers": [],
        "distribution_members": [],
        "attachments": [],
        "attachments_count": 0,
        "specification_section": None,
        "specification_section_id": None,
        "location_id": None,
        "cost_code_id": None,
        "source_submittal_log_id": None,
        "custom_fields": custom_field_template(),
        "created_by": None,
        "created_at": None,
        "updated_at": None,
    },
    inputs={
        "number": text("number"),
        "title": text("title"),
        "description": text("description"),
        "revision": text("revision"),
        "private": flag("private"),
        "status_id": _read_status,
        "due_date": day("due_date"),
        "issue_date": day("issue_date"),
        "received_date": day("received_date"),
        "submit_by": day("submit_by"),
        "required_on_site_date": day("required_on_site_date"),
        "lead_time": integer("lead_time"),
        "submittal_manager_id": person("submittal_manager"),
        "received_from_id": person("received_from"),
        "responsible_contractor_id": reference("responsible_contractor", "vendors"),
        "distribution_member_ids": people("distribution_members"),
        "specification_section_id": integer("specification_section_id"),
        "location_id": integer("location_id"),
        "cost_code_id": integer("cost_code_id"),
    },
    required=("number",),
    refusal=Refusal.MESSAGE,
    filters={
        "id": among("id"),
        "number": among("number"),
        "search": containing("title", "number"),
        "status_id": referring("status"),
        "submittal_manager_id": referring("submittal_manager"),
        "responsible_contractor_id": referring("responsible_contractor"),
        "ball_in_court_id": referring("ball_in_court"),
        "private": flagged("private"),
        "due_date": ranged("due_date"),
        "created_at": ranged("created_at"),
        "updated_at": ranged("updated_at"),
    },
    sorts=frozenset({"id", "number", "title", "due_date", "created_at", "updated_at"}),
    list_omits=frozenset({"approvers", "distribution_members", "rich_text_description"}),
    custom_fields=True,
    count=64,
    seed=_seed_submittals,
    normalize=_complete,
)


def _statuses(_call: Call) -> Reply:
    return json_reply([_status(index) for index in range(len(_STATUSES))])


RESOURCES = (SUBMITTALS,)
ROUTES: tuple[Route, ...] = (
    *crud_routes(SUBMITTALS, "/rest/v1.1/projects/{project_id}/submittals", "LSCUD"),
    *crud_routes(
        SUBMITTALS,
        "/rest/v2.0/companies/{company_id}/projects/{project_id}/submittals",
        "L",
        paging=Paging(default=10, maximum=100),
        v2=True,
    ),
    route(
        "GET",
        "/rest/v1.0/companies/{company_id}/submittal_statuses",
        _statuses,
        "submittal_statuses",
        tool="submittals",
        reach=Reach.COMPANY,
    ),
)
