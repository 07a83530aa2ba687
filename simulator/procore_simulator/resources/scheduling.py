"""Schedules: the project's settings, legacy tasks, and the second generation with text ids."""

import re
from collections.abc import Iterator
from functools import partial

from procore_simulator.calls import Call
from procore_simulator.crud import crud_routes, list_reply, present, show_reply
from procore_simulator.failures import invalid, not_found
from procore_simulator.filtering import among, containing, flagged, ranged, select_among
from procore_simulator.inputs import day, flag, instant, integer, person, text
from procore_simulator.messages import Reply, json_reply
from procore_simulator.records import Record
from procore_simulator.resource import Paging, Resource
from procore_simulator.routing import Route, route
from procore_simulator.seeding import words
from procore_simulator.seeding.seeder import Seeder
from procore_simulator.sync import sync_route

__all__ = ["RESOURCES", "ROUTES"]

_TOOL = "schedule"
_KINDS = (
    "Microsoft Project", "Microsoft Project 2010", "Microsoft Project Documents", "Primavera P6",
)  # fmt: skip


def _seed_tasks(seeder: Seeder) -> Iterator[Record]:
    for index, number in enumerate(seeder.ids()):
        yield {
            "id": number,
            "name": f"{words.TRADES[index % len(words.TRADES)]}, {words.PLACES[index % 12]}",
            "start_datetime": seeder.instant(-60, 60),
            "finish_datetime": seeder.instant(61, 200),
            "percentage": seeder.rng.randrange(0, 101, 5),
            "row_number": index + 1,
            "milestone": index % 12 == 11,
            "critical_path": seeder.rng.random() < 0.3,
            "activity_id": f"A{1000 + index * 10}",
            **seeder.times(),
        }


def _name_twice(_call: Call, shown: Record, _listed: bool) -> Record:  # noqa: FBT001 - Resource.present's shape
    shown["task_name"] = shown["name"]
    return shown


TASKS = Resource(
    name="tasks",
    tool=_TOOL,
    envelope="task",
    template={
        "id": None,
        "name": None,
        "task_name": None,
        "key": None,
        "start_datetime": None,
        "finish_datetime": None,
        "percentage": 0,
        "parent_id": None,
        "row_number": None,
        "milestone": False,
        "critical_path": False,
        "activity_id": None,
        "notes": None,
        "wbs": None,
        "created_by": None,
        "created_at": None,
        "updated_at": None,
    },
    inputs={
        "name": text("name"),
        # Sent under another name than it is shown under.
        "start": instant("start_datetime"),
        "finish": instant("finish_datetime"),
        "percentage": integer("percentage"),
        "parent_id": integer("parent_id"),
        "row_number": integer("row_number"),
        "milestone": flag("milestone"),
        "critical_path": flag("critical_path"),
        "activity_id": text("activity_id"),
        "notes": text("notes"),
    },
    filters={"updated_at": ranged("updated_at"), "query": containing("name")},
    count=60,
    seed=_seed_tasks,
    present=_name_twice,
)


def _seed_items(seeder: Seeder) -> Iterator[Record]:
    for index, number in enumerate(seeder.ids()):
        yield {
            "id": number,
            "name": f"Delivery {index + 1}",
            "start": seeder.day(-30, 30),
            "finish": seeder.day(31, 60),
            "assigned": seeder.person(),
            "updated_at": seeder.instant(-90, -1),
        }


ITEMS = Resource(
    name="calendar_items",
    tool=_TOOL,
    envelope="calendar_item",
    template={
        "id": None,
        "name": None,
        "task_name": None,
        "description": None,
        "start": None,
        "finish": None,
        "percentage": 0,
        "color": None,
        "milestone": False,
        "private": False,
        "assigned": None,
        "created_by": None,
        "updated_at": None,
    },
    inputs={
        "name": text("name"),
        "description": text("description"),
        "color": text("color"),
        "start": day("start"),
        "finish": day("finish"),
        "percentage": integer("percentage"),
        "private": flag("private"),
        "assigned_id": person("assigned"),
    },
    filters={"updated_at": ranged("updated_at"), "query": containing("name")},
    count=10,
    seed=_seed_items,
    present=_name_twice,
)


def _seed_settings(seeder: Seeder) -> Iterator[Record]:
    for number in seeder.ids():
        yield {"id": number, "type": {"key": _KINDS[0], "p6_id": None}}


SETTINGS = Resource(
    name="schedule",
    tool=_TOOL,
    template={
        "type": None,
        "schedule_present": True,
        "schedule_processing": False,
        "schedule_tasks_edited_manually": False,
        "last_calendar_view": "month",
        "number_of_pending_requested_changes": 0,
    },
    count=1,
    seed=_seed_settings,
)


def _shown(call: Call, row: Record) -> Reply:
    shown = present(SETTINGS, call, row)
    del shown["id"]
    return json_reply(shown)


def _settings(call: Call) -> Reply:
    return _shown(call, call.collection("schedule").rows()[0])


def _change_settings(call: Call) -> Reply:
    """Settle where the schedule comes from; the type stands in the body by itself."""
    wanted = call.body.get("type")
    if not isinstance(wanted, dict) or wanted.get("key") not in _KINDS:
        raise invalid({"type": ["is invalid"]})
    kept = call.collection("schedule")
    row = {**kept.rows()[0], "type": {"key": wanted["key"], "p6_id": wanted.get("p6_id")}}
    kept.put(row)
    return _shown(call, row)


# The second generation: rows have no key called id, and ids that are no numbers.
_TEXT_ID = re.compile(r"01SCH(\d{21})")


def _as_text(number: int) -> str:
    return f"01SCH{number:021d}"


def _number_in(call: Call, name: str) -> int:
    match = _TEXT_ID.fullmatch(call.params[name])
    if match is None:
        raise not_found()
    return int(match[1])


def _seed_schedules(seeder: Seeder) -> Iterator[Record]:
    for number, name in zip(seeder.ids(), ("Master schedule", "Lookahead"), strict=False):
        yield {
            "id": number,
            "schedule_name": name,
            "schedule_type": "LOOKAHEAD" if name == "Lookahead" else "READONLY_PROJECT_SCHEDULE",
            "is_active": True,
            "start_date": seeder.instant(-90, -60),
            **seeder.times(),
        }


def _of_schedule(call: Call, shown: Record, _listed: bool) -> Record:  # noqa: FBT001 - Resource.present's shape
    own = {"schedule_id": _as_text(shown.pop("id"))}
    return {**own, "project_id": call.site.id, "company_id": call.home.id, **shown}


SCHEDULES = Resource(
    name="schedules",
    tool=_TOOL,
    template={
        "id": None,
        "schedule_name": None,
        "schedule_type": None,
        "is_active": True,
        "data_date": None,
        "start_date": None,
        "created_at": None,
        "updated_at": None,
    },
    paging=Paging(default=10, maximum=100),
    filters={
        "schedule_name": among("schedule_name"),
        "is_active": flagged("is_active"),
        "updated_at": ranged("updated_at"),
    },
    sorts=frozenset({"schedule_name", "updated_at"}),
    count=2,
    seed=_seed_schedules,
    present=_of_schedule,
)


def _seed_activities(seeder: Seeder) -> Iterator[Record]:
    schedules = seeder.rows("schedules")
    for index, number in enumerate(seeder.ids()):
        yield {
            "id": number,
            "schedule": schedules[index % len(schedules)]["id"],
            "activity_name": f"{words.TRADES[index % len(words.TRADES)]} {index + 1}",
            "start_date": seeder.instant(-60, 30),
            "finish_date": seeder.instant(31, 200),
            "percent_complete": float(seeder.rng.randrange(0, 101, 5)),
            "ordered_parent_index": index,
            "is_critical": seeder.rng.random() < 0.3,
            **seeder.times(),
        }


def _of_activity(call: Call, shown: Record, _listed: bool) -> Record:  # noqa: FBT001 - Resource.present's shape
    own = {
        "activity_id": _as_text(shown.pop("id")),
        "schedule_id": _as_text(shown.pop("schedule")),
    }
    return {**own, "project_id": call.site.id, "company_id": call.home.id, **shown}


ACTIVITIES = Resource(
    name="schedule_activities",
    tool=_TOOL,
    template={
        "id": None,
        "schedule": None,
        "activity_name": None,
        "start_date": None,
        "finish_date": None,
        "duration": None,
        "percent_complete": 0.0,
        "parent_id": None,
        "ordered_parent_index": 0,
        "is_critical": False,
        "notes": None,
        "created_at": None,
        "updated_at": None,
    },
    paging=Paging(default=10, maximum=100),
    filters={"is_critical": flagged("is_critical"), "updated_at": ranged("updated_at")},
    sorts=frozenset({"activity_name", "start_date", "finish_date", "created_at"}),
    count=46,
    seed=_seed_activities,
    present=_of_activity,
)


def _list_schedules(call: Call) -> Reply:
    rows = select_among(SCHEDULES, call.collection("schedules").rows(), call.request.query)
    return list_reply(SCHEDULES, call, rows, v2=True)


def _schedule(call: Call, name: str) -> Record:
    row = call.lookup("schedules", _number_in(call, name))
    if row is None:
        raise not_found()
    return row


def _show_schedule(call: Call) -> Reply:
    return show_reply(SCHEDULES, call, _schedule(call, "id"), v2=True)


def _list_activities(call: Call) -> Reply:
    schedule = _schedule(call, "schedule_id")["id"]
    own = [row for row in call.collection(ACTIVITIES.name).rows() if row["schedule"] == schedule]
    return list_reply(ACTIVITIES, call, select_among(ACTIVITIES, own, call.request.query), v2=True)


def _show_activity(call: Call) -> Reply:
    schedule = _schedule(call, "schedule_id")["id"]
    row = call.lookup(ACTIVITIES.name, _number_in(call, "id"))
    if row is None or row["schedule"] != schedule:
        raise not_found()
    return show_reply(ACTIVITIES, call, row, v2=True)


_route = partial(route, tool=_TOOL)
_SETTINGS = "/rest/v1.0/projects/{project_id}/schedule"
_SECOND = "/rest/v2.0/companies/{company_id}/projects/{project_id}/schedules"
_ACTIVITIES = f"{_SECOND}/{{schedule_id}}/activities"
RESOURCES = (SETTINGS, TASKS, ITEMS, SCHEDULES, ACTIVITIES)
ROUTES: tuple[Route, ...] = (
    _route("GET", _SETTINGS, _settings, "schedule"),
    _route("PATCH", _SETTINGS, _change_settings, "schedule"),
    *crud_routes(TASKS, "/rest/v1.0/tasks", "LSCUD"),
    sync_route(TASKS, "/rest/v1.0/tasks/sync"),
    *crud_routes(ITEMS, f"{_SETTINGS}/calendar_items", "LSCUD"),
    sync_route(ITEMS, f"{_SETTINGS}/calendar_items/sync"),
    _route("GET", _SECOND, _list_schedules, "schedules"),
    _route("GET", f"{_SECOND}/{{id}}", _show_schedule, "schedules"),
    _route("GET", _ACTIVITIES, _list_activities, "schedule_activities"),
    _route("GET", f"{_ACTIVITIES}/{{id}}", _show_activity, "schedule_activities"),
)
