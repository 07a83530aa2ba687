"""Tasks, meetings, distribution groups and drawing uploads."""

from collections.abc import Iterator

from procore_simulator.calls import Call
from procore_simulator.crud import (
    crud_routes,
    envelope_of,
    insert,
    next_number,
    present,
    show_reply,
)
from procore_simulator.failures import bad_request, missing_parameter
from procore_simulator.filtering import among, containing, flagged, ranged, referring
from procore_simulator.inputs import (
    choice,
    flag,
    instant,
    integer,
    kept,
    people,
    person,
    text,
)
from procore_simulator.messages import Reply, json_reply
from procore_simulator.records import Record
from procore_simulator.resource import UNPAGED, Refusal, Resource
from procore_simulator.resources.meeting_topics import categories_of
from procore_simulator.routing import Route, route
from procore_simulator.seeding import words
from procore_simulator.seeding.seeder import Seeder
from procore_simulator.tenancy import Level

__all__ = ["RESOURCES", "ROUTES"]


def _seed_tasks(seeder: Seeder) -> Iterator[Record]:
    rng = seeder.rng
    for index, number in enumerate(seeder.ids()):
        assignee = seeder.person()
        yield {
            "id": number,
            "number": str(index + 1),
            "title": f"Check {rng.choice(words.PLACES)}",
            "status": rng.choice(("initiated", "in_progress", "ready_for_review", "closed")),
            "due_date": seeder.instant(-10, 30) if rng.random() < 0.6 else None,
            "assignee": assignee,
            "assignees": [assignee],
            "created_by": seeder.person(),
            **seeder.times(-90, -1),
        }


def _complete_task(call: Call, row: Record, before: Record | None) -> None:
    if before is None:
        row.setdefault("number", str(next_number(call, "task_items")))
    assignees = row.get("assignees")
    if assignees and not row.get("assignee"):
        row["assignee"] = assignees[0]


TASKS = Resource(
    name="task_items",
    tool="tasks",
    envelope="task_item",
    template={
        "id": None,
        "number": None,
        "title": None,
        "description": None,
        "status": "initiated",
        "due_date": None,
        "private": False,
        "assignee": None,
        "assignees": [],
        "created_by": None,
        "task_item_category": None,
        "attachments": [],
        "deleted_at": None,
        "created_at": None,
        "updated_at": None,
    },
    inputs={
        "number": text("number"),
        "title": text("title"),
        "description": text("description"),
        "status": choice(
            "status", "initiated", "in_progress", "ready_for_review", "closed", "void"
        ),
        "due_date": instant("due_date"),
        "private": flag("private"),
        "assignee_id": person("assignee"),
        "assigned_id": person("assignee"),
        "assignee_ids": people("assignees"),
    },
    required=("title",),
    filters={
        "id": among("id"),
        "status": among("status"),
        "assigned_id": referring("assignees"),
        "private": flagged("private"),
        "search": containing("title"),
        "created_at": ranged("created_at"),
        "updated_at": ranged("updated_at"),
    },
    sorts=frozenset({"id", "number", "title", "due_date", "created_at", "updated_at"}),
    count=20,
    seed=_seed_tasks,
    normalize=_complete_task,
)


def _seed_meetings(seeder: Seeder) -> Iterator[Record]:
    for index, number in enumerate(seeder.ids()):
        start = seeder.instant(-90, 20)
        yield {
            "id": number,
            "position": index // 3 + 1,
            "title": ("Progress meeting", "Safety meeting", "Owner meeting")[index % 3],
            "starts_at": start,
            "ends_at": start,
            "time_zone": "US/Pacific",
            "occurred": start[:10] < seeder.today.isoformat(),
            "created_by_id": seeder.user()["id"],
            **seeder.times(),
        }


def _with_topics(call: Call, shown: Record, listed: bool) -> Record:  # noqa: FBT001 - Resource.present's shape
    if not listed:
        shown["meeting_categories"] = categories_of(call, shown)
    return shown


MEETINGS = Resource(
    name="meetings",
    tool="meetings",
    envelope="meeting",
    template={
        "id": None,
        "position": None,
        "title": None,
        "location": None,
        "time_zone": None,
        "description": None,
        "conclusion": None,
        "starts_at": None,
        "ends_at": None,
        "occurred": False,
        "is_private": False,
        "is_draft": False,
        "mode": "agenda",
        "attendees": [],
        "meeting_categories": [],
        "created_by_id": None,
        "created_at": None,
        "updated_at": None,
    },
    inputs={
        "position": integer("position"),
        "title": text("title"),
        "location": text("location"),
        "time_zone": text("time_zone"),
        "overview": text("description"),
        "conclusion": text("conclusion"),
        "starts_at": instant("starts_at"),
        "ends_at": instant("ends_at"),
        "occurred": flag("occurred"),
        "is_private": flag("is_private"),
        "is_draft": flag("is_draft"),
        "mode": choice("mode", "agenda", "minutes"),
    },
    required=("position", "starts_at", "ends_at"),
    refusal=Refusal.MESSAGE,
    list_omits=frozenset({"meeting_categories"}),
    count=12,
    seed=_seed_meetings,
    present=_with_topics,
)


def _grouped_meetings(call: Call) -> Reply:
    groups: dict[str, list[Record]] = {}
    for row in call.collection("meetings").rows():
        shown = present(MEETINGS, call, row, listed=True)
        groups.setdefault(row.get("title") or "Untitled", []).append(shown)
    return json_reply(
        [{"group_title": title, "meetings": meetings} for title, meetings in groups.items()]
    )


def _create_meeting(call: Call) -> Reply:
    if "project_id" not in call.body:
        raise missing_parameter("project_id")
    row = insert(MEETINGS, call, envelope_of(MEETINGS, call.body))
    return show_reply(MEETINGS, call, row, status=201)


def _seed_groups(seeder: Seeder) -> Iterator[Record]:
    names = ("Design team", "Site team", "Owner")
    for number, name in zip(seeder.ids(), names, strict=False):
        users = [seeder.person() for _ in range(3)]
        yield {"id": number, "name": name, "users": users, "users_count": len(users)}


GROUPS = Resource(
    name="distribution_groups",
    tool="directory",
    envelope="distribution_group",
    template={
        "id": None,
        "name": None,
        "description": None,
        "users": [],
        "users_count": 0,
        "created_at": None,
        "updated_at": None,
    },
    inputs={
        "name": text("name"),
        "description": text("description"),
        "user_ids": people("users"),
    },
    required=("name",),
    count=3,
    seed=_seed_groups,
    normalize=lambda _call, row, _before: row.update(users_count=len(row.get("users", []))),
)

DRAWING_UPLOADS = Resource(
    name="drawing_uploads",
    tool="drawings",
    template={
        "id": None,
        "status": "in_queue",
        "drawing_set_id": None,
        "drawing_area_id": None,
        "upload_uuids": [],
        "created_by": None,
        "created_at": None,
        "updated_at": None,
    },
    inputs={
        "drawing_set_id": integer("drawing_set_id"),
        "drawing_area_id": integer("drawing_area_id"),
        "upload_uuids": kept("upload_uuids"),
        "upload_uuid": lambda value, _call: {"upload_uuids": [value]},
    },
    paging=UNPAGED,
    count=0,
)


def _upload_drawings(call: Call) -> Reply:
    sent = call.body.get("drawing_upload", call.body)
    if not isinstance(sent, dict) or not sent:
        raise bad_request("drawing_upload is required", fields="drawing_upload")
    row = insert(DRAWING_UPLOADS, call, sent)
    return show_reply(DRAWING_UPLOADS, call, row, status=201)


_GROUPS_PATH = "/rest/v1.0/projects/{project_id}/distribution_groups"
_MEETINGS_PATH = "/rest/v1.1/projects/{project_id}/meetings"
RESOURCES = (TASKS, MEETINGS, GROUPS, DRAWING_UPLOADS)
ROUTES: tuple[Route, ...] = (
    *crud_routes(TASKS, "/rest/v1.0/task_items", "LSCUD", deleted=204),
    *crud_routes(MEETINGS, _MEETINGS_PATH, "SUD"),
    route("GET", _MEETINGS_PATH, _grouped_meetings, "meetings", tool="meetings"),
    route("POST", _MEETINGS_PATH, _create_meeting, "meetings", tool="meetings"),
    *crud_routes(GROUPS, _GROUPS_PATH, "LSCUD", deleted=204, idempotent=True),
    *(
        Route(
            method="POST",
            template=f"/rest/{version}/projects/{{project_id}}/drawing_uploads",
            handler=_upload_drawings,
            resource="drawing_uploads",
            tool="drawings",
            level=Level.STANDARD,
            idempotent=True,
        )
        for version in ("v1.0", "v1.1")
    ),
)
