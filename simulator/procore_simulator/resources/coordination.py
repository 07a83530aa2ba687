"""Coordination issues, in both versions: the same issues, told differently."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from procore_simulator.calls import Call
from procore_simulator.crud import crud_routes, next_number
from procore_simulator.filtering import among, containing, ranged, referring
from procore_simulator.inputs import choice, day, kept, person, reference, text
from procore_simulator.records import Record
from procore_simulator.resource import Paging, Resource
from procore_simulator.routing import Route
from procore_simulator.seeding import words
from procore_simulator.seeding.seeder import Seeder
from procore_simulator.sync import sync_route

__all__ = ["RESOURCES", "ROUTES"]

_STATES = (
    "open", "in_progress", "blocked", "unblocked", "ready_for_review", "closed",
    "moved_to_observation",
)  # fmt: skip
_TYPES = ("clash", "constructability", "coordination", "design_review", "other")
_PRIORITIES = ("low", "medium", "high", "critical")
_UPDATE_ONLY: Final = frozenset({"description", "due_date", "issue_type", "priority"})
"""What version 2 takes in an update, and ignores when an issue is created."""


def _seed(seeder: Seeder) -> Iterator[Record]:
    rng = seeder.rng
    for index, number in enumerate(seeder.ids()):
        yield {
            "id": number,
            "uuid": f"00000000-0000-4000-8000-{number:012d}",
            "issue_number": index + 1,
            "title": f"Duct meets beam at {rng.choice(words.PLACES)}"[:80],
            "status": rng.choice(_STATES),
            "issue_type": rng.choice(_TYPES),
            "priority": rng.choice(_PRIORITIES),
            "due_date": seeder.day(-20, 40) if rng.random() < 0.6 else None,
            "location": seeder.location(),
            "assignee": seeder.person() if rng.random() < 0.7 else None,
            "created_by": seeder.person(),
            **seeder.times(-90, -1),
        }


def _complete(call: Call, row: Record, before: Record | None) -> None:
    if before is None:
        row["issue_number"] = next_number(call, "coordination_issues", field="issue_number")
        row["uuid"] = row.get("uuid") or f"00000000-0000-4000-8000-{row['id']:012d}"


ISSUES = Resource(
    name="coordination_issues",
    tool="coordination_issues",
    envelope="coordination_issue",
    template={
        "id": None,
        "uuid": None,
        "issue_number": None,
        "title": None,
        "description": None,
        "status": "open",
        "issue_type": None,
        "priority": None,
        "due_date": None,
        "creation_source": None,
        "location": None,
        "assignee": None,
        "trade": None,
        "origin": None,
        "attachments": [],
        "comments_count": 0,
        "created_by": None,
        "updated_by": None,
        "created_at": None,
        "updated_at": None,
    },
    inputs={
        "uuid": text("uuid"),
        "title": text("title"),
        "description": text("description"),
        "status": choice("status", *_STATES),
        "issue_type": choice("issue_type", *_TYPES),
        "priority": choice("priority", *_PRIORITIES),
        "due_date": day("due_date"),
        "location_id": reference("location", "locations", "id", "name", "node_name", "parent_id"),
        "assignee_id": person("assignee"),
        "origin": kept("origin"),
    },
    required=("title",),
    filters={
        "ids": among("id"),
        "status": among("status"),
        "issue_type": among("issue_type"),
        "priority": among("priority"),
        "assignee_id": referring("assignee"),
        "created_by_id": referring("created_by"),
        "location_id": referring("location"),
        "search": containing("title"),
        "due_date": ranged("due_date"),
        "created_at": ranged("created_at"),
        "updated_at": ranged("updated_at"),
    },
    sorts=frozenset({"created_at", "updated_at", "due_date", "title", "status"}),
    count=20,
    seed=_seed,
    normalize=_complete,
)
_FLAT = replace(
    ISSUES,
    envelope=None,
    inputs={name: read for name, read in ISSUES.inputs.items() if name not in _UPDATE_ONLY},
)

_V2 = "/rest/v2.0/companies/{company_id}/projects/{project_id}/coordination_issues"
RESOURCES = (ISSUES,)
ROUTES: tuple[Route, ...] = (
    *crud_routes(ISSUES, "/rest/v1.0/coordination_issues", "LSCUD", deleted=204),
    sync_route(ISSUES, "/rest/v1.0/coordination_issues/sync"),
    *crud_routes(ISSUES, _V2, "LSUD", paging=Paging(default=10, maximum=100), v2=True),
    *crud_routes(_FLAT, _V2, "C", v2=True),
)
