"""Timecard entries: a project's list shows today only unless told dates, the company's all."""

from collections.abc import Iterator
from functools import partial

from procore_simulator.calls import Call
from procore_simulator.crud import (
    change,
    crud_routes,
    envelope_of,
    insert,
    list_reply,
    show_reply,
)
from procore_simulator.failures import blank, missing_parameter, not_found
from procore_simulator.filtering import ranged, referring, select_among
from procore_simulator.inputs import (
    day,
    flag,
    instant,
    integer,
    number,
    reference,
    text,
    to_integer,
)
from procore_simulator.messages import Reply, json_reply
from procore_simulator.records import Collection, Record
from procore_simulator.resource import Resource
from procore_simulator.routing import Reach, Route, route
from procore_simulator.seeding.seeder import Seeder
from procore_simulator.tenancy import Project

__all__ = ["RESOURCES", "ROUTES"]

_TOOL = "timecard"


def _seed(seeder: Seeder) -> Iterator[Record]:
    codes = seeder.rows("cost_codes")
    for index, found in enumerate(seeder.ids()):
        person = seeder.person()
        # Real entries have hours and no times where a company counts hours only.
        timed = index % 3 == 0
        worked = seeder.day(-40, 0)
        code = codes[index % len(codes)]
        yield {
            "id": found,
            "date": worked,
            "hours": f"{seeder.rng.randint(2, 10)}.0",
            "lunch_time": "30" if timed else None,
            "time_in": f"{worked}T07:00:00Z" if timed else None,
            "time_out": f"{worked}T15:30:00Z" if timed else None,
            "billable": seeder.rng.random() < 0.5,
            "party": person,
            "cost_code": {"id": code["id"], "name": code["name"], "full_code": code["full_code"]},
            "approval_status": seeder.rng.choice(("pending", "reviewed", "approved")),
            "created_by": person,
            **seeder.times(-40, -1),
        }


ENTRIES = Resource(
    name="timecard_entries",
    tool=_TOOL,
    envelope="timecard_entry",
    template={
        "id": None,
        "date": None,
        "hours": None,
        "lunch_time": None,
        "time_in": None,
        "time_out": None,
        "billable": False,
        "injured": False,
        "signed": False,
        "description": None,
        "approval_status": "pending",
        "party": None,
        "crew": None,
        "location": None,
        "cost_code": None,
        "sub_job": None,
        "timecard_time_type": None,
        "origin_id": None,
        "origin_data": None,
        "created_by": None,
        "created_at": None,
        "updated_at": None,
        "deleted_at": None,
    },
    inputs={
        "date": day("date"),
        "hours": number("hours"),
        "lunch_time": text("lunch_time"),
        "time_in": instant("time_in"),
        "time_out": instant("time_out"),
        "billable": flag("billable"),
        "description": text("description"),
        "cost_code_id": reference("cost_code", "cost_codes", "id", "name", "full_code"),
        "sub_job_id": reference("sub_job", "sub_jobs"),
        # A number here, and text everywhere else.
        "origin_id": integer("origin_id"),
        "origin_data": text("origin_data"),
    },
    filters={"created_by_id": referring("created_by"), "updated_at": ranged("updated_at")},
    date_field="date",
    count=60,
    seed=_seed,
    normalize=lambda call, row, _before: row.setdefault("date", call.now()[:10]),
)


def _entries(call: Call) -> list[tuple[Collection, Record, Project]]:
    """The entries of all projects that the caller may see, and where each is kept."""
    return [
        (kept, row, project)
        for project in call.world.projects_of(call.home)
        if call.world.permits(call.principal, project)
        for kept in (call.world.collection(ENTRIES.name, company=call.home, project=project),)
        for row in kept.rows()
    ]


def _shown(row: Record, project: Project) -> Record:
    return {**row, "project": {"id": project.id, "name": project.name}}


def _found(call: Call) -> tuple[Collection, Record, Project]:
    number = call.item_id()
    found = next((one for one in _entries(call) if one[1]["id"] == number), None)
    if found is None:
        raise not_found()
    call.record_id = number
    return found


def _list_of_company(call: Call) -> Reply:
    wanted = dict(call.request.query)
    first, last = wanted.get("start_date", ""), wanted.get("end_date", "9999-12-31")
    rows = [_shown(row, project) for _, row, project in _entries(call)]
    rows = [row for row in rows if first <= row["date"] <= last]
    return list_reply(ENTRIES, call, select_among(ENTRIES, rows, call.request.query))


def _show_of_company(call: Call) -> Reply:
    _, row, project = _found(call)
    return show_reply(ENTRIES, call, _shown(row, project))


def _create_of_company(call: Call) -> Reply:
    """Create in the project that stands beside the envelope."""
    number = to_integer(call.body.get("project_id"))
    projects = {project.id: project for project in call.world.projects_of(call.home)}
    if number is None:
        raise missing_parameter("project_id")
    if number not in projects:
        raise not_found("Project")
    call.project = projects[number]
    sent = envelope_of(ENTRIES, call.body)
    if sent.get("date") in (None, ""):
        raise blank("date")
    return show_reply(ENTRIES, call, _shown(insert(ENTRIES, call, sent), call.project), status=201)


def _update_of_company(call: Call) -> Reply:
    _, row, project = _found(call)
    call.project = project
    changed = change(ENTRIES, call, row, envelope_of(ENTRIES, call.body))
    return show_reply(ENTRIES, call, _shown(changed, project))


def _delete_of_company(call: Call) -> Reply:
    kept, row, _ = _found(call)
    kept.remove(row["id"])
    return json_reply({})


_route = partial(route, resource=ENTRIES.name, reach=Reach.COMPANY, tool=_TOOL)
_PATH = "/rest/v1.0/projects/{project_id}/timecard_entries"
_COMPANY = "/rest/v1.0/companies/{company_id}/timecard_entries"
RESOURCES = (ENTRIES,)
ROUTES: tuple[Route, ...] = (
    *crud_routes(ENTRIES, _PATH, "LSCUD"),
    _route("GET", _COMPANY, _list_of_company),
    _route("POST", _COMPANY, _create_of_company),
    _route("GET", f"{_COMPANY}/{{id}}", _show_of_company),
    _route("PATCH", f"{_COMPANY}/{{id}}", _update_of_company),
    _route("DELETE", f"{_COMPANY}/{{id}}", _delete_of_company),
)
