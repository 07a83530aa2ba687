"""Timecard entries of projects, of which a list shows today only unless told dates."""

from collections.abc import Iterator

from procore_simulator.crud import crud_routes
from procore_simulator.filtering import among, ranged
from procore_simulator.inputs import day, flag, instant, integer, number, reference, text
from procore_simulator.records import Record
from procore_simulator.resource import Resource
from procore_simulator.routing import Route
from procore_simulator.seeding.seeder import Seeder

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
    block=23,
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
    filters={"created_by_id": among("created_by_id"), "updated_at": ranged("updated_at")},
    date_field="date",
    count=60,
    seed=_seed,
    normalize=lambda call, row, _before: row.setdefault("date", call.now()[:10]),
)


_PATH = "/rest/v1.0/projects/{project_id}/timecard_entries"
RESOURCES = (ENTRIES,)
ROUTES: tuple[Route, ...] = tuple(crud_routes(ENTRIES, _PATH, "LSCUD"))
