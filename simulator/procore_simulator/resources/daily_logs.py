"""The daily log: many kinds of entries, listed for today unless dates are given."""

from collections.abc import Callable, Iterator, Mapping

from procore_simulator.calls import Call
from procore_simulator.crud import crud_routes
from procore_simulator.filtering import among, ranged
from procore_simulator.inputs import (
    choice,
    day,
    flag,
    instant,
    integer,
    number,
    reference,
    text,
    to_integer,
)
from procore_simulator.messages import Json, JsonObject, Reply, json_reply
from procore_simulator.records import Record
from procore_simulator.resource import Input, Resource
from procore_simulator.routing import Route, route
from procore_simulator.seeding.seeder import Seeder

__all__ = ["RESOURCES", "ROUTES"]

_COMMON: Mapping[str, Json] = {
    "id": None,
    "date": None,
    "datetime": None,
    "position": None,
    "status": "approved",
    "created_by": None,
    "location": None,
    "vendor": None,
    "permissions": {"can_update": True, "can_delete": True},
    "attachments": [],
    "deleted_at": None,
    "created_at": None,
    "updated_at": None,
}
_COMMON_INPUTS: Mapping[str, Input] = {
    "date": day("date"),
    "datetime": instant("datetime"),
    "location_id": reference("location", "locations", "id", "name", "node_name", "parent_id"),
    "vendor_id": reference("vendor", "vendors"),
    "status": choice("status", "pending", "approved"),
}


def _of_status(row: Record, values: tuple[str, ...]) -> bool:
    """Accept rows of one of the states; ``all`` stands for both."""
    wanted = {value.lower() for value in values}
    return "all" in wanted or str(row.get("status")) in wanted


def _complete(call: Call, row: Record, before: Record | None) -> None:
    if before is None:
        if not row.get("date"):
            row["date"] = (row.get("datetime") or call.now())[:10]
        row.setdefault("datetime", f"{row['date']}T12:00:00Z")


def _seeding(facts: Callable[[Seeder], JsonObject]) -> Callable[[Seeder], Iterator[Record]]:
    def seed(seeder: Seeder) -> Iterator[Record]:
        for index, entry in enumerate(seeder.ids()):
            # Three entries a day, from today backwards.
            date = seeder.day(-(index // 3), -(index // 3))
            yield {
                "id": entry,
                "date": date,
                "datetime": f"{date}T12:00:00Z",
                "position": index % 3 + 1,
                "created_by": seeder.person(),
                "location": seeder.location(),
                "created_at": f"{date}T06:30:00Z",
                "updated_at": f"{date}T06:30:00Z",
                **facts(seeder),
            }

    return seed


def _log(
    name: str,
    *,
    inputs: Mapping[str, Input],
    required: tuple[str, ...] = (),
    facts: Callable[[Seeder], JsonObject] = lambda _seeder: {},
    more: Mapping[str, Json] | None = None,
    count: int = 30,
    present: Callable[[Call, Record, bool], Record] | None = None,
) -> Resource:
    targets = {key: None for key in inputs if not key.endswith("_id")}
    return Resource(
        name=name,
        tool="daily_log",
        envelope=name.removesuffix("s"),
        template={**_COMMON, **targets, **(more or {})},
        inputs={**_COMMON_INPUTS, **inputs},
        required=required,
        filters={
            "id": among("id"),
            "status": _of_status,
            "created_at": ranged("created_at"),
            "updated_at": ranged("updated_at"),
        },
        date_field="date",
        count=count,
        seed=_seeding(facts),
        normalize=_complete,
        present=present,
    )


def _texts(*names: str) -> dict[str, Input]:
    return {name: text(name) for name in names}


def _whole(*names: str) -> dict[str, Input]:
    return {name: integer(name) for name in names}


def _hours(value: Record) -> str:
    workers = float(value.get("num_workers") or 0)
    return f"{workers * float(value.get('num_hours') or 0):.1f}"


def _present_manpower(_call: Call, shown: Record, _listed: bool) -> Record:  # noqa: FBT001 - Resource.present's shape
    shown["man_hours"] = _hours(shown)
    return shown


def _read_delay(value: Json, _call: Call) -> JsonObject:
    """Read what is sent as a number and answered as text."""
    count = int(value) if isinstance(value, bool) else to_integer(value)
    return {"is_weather_delay": None if count is None else str(count)}


def _read_observed_at(value: Json, call: Call) -> JsonObject:
    """Read what is sent as a time of day and answered with its date."""
    sent = call.body.get("weather_log")
    date = sent.get("date") if isinstance(sent, dict) else None
    return {"time": f"{date or call.now()[:10]}T{value}:00Z" if value else None}


_WEATHER = _log(
    "weather_logs",
    inputs={
        **_texts(
            "sky", "temperature", "average", "wind", "ground", "precipitation", "calamity",
            "comments",
        ),
        "is_weather_delay": _read_delay,
        "time": _read_observed_at,
    },
    required=("date",),
    facts=lambda seeder: {
        "sky": seeder.rng.choice(("Clear", "Cloudy", "Rain", "Fog")),
        "temperature": str(seeder.rng.randint(35, 85)),
        "wind": seeder.rng.choice(("Calm", "Light", None)),
        "is_weather_delay": "0",
    },
)  # fmt: skip

_MANPOWER = _log(
    "manpower_logs",
    inputs={
        "num_workers": integer("num_workers"),
        "num_hours": number("num_hours"),
        "notes": text("notes"),
        **_whole("contact_id", "user_id", "trade_id"),
        "cost_code_id": reference("cost_code", "cost_codes", "id", "name", "full_code"),
    },
    facts=lambda seeder: {
        "num_workers": seeder.rng.randint(2, 24),
        "num_hours": f"{seeder.rng.randint(4, 10)}.0",
        "vendor": seeder.vendor(),
        "notes": None,
    },
    more={"man_hours": None, "contact": None, "trade": None, "cost_code": None},
    present=_present_manpower,
)
_NOTES = _log(
    "notes_logs",
    inputs={
        "comment": text("comment"),
        "is_issue_day": flag("is_issue_day"),
        "daily_log_header_id": integer("daily_log_header_id"),
    },
    facts=lambda seeder: {
        "comment": seeder.rng.choice(
            ("Concrete pour finished before noon.", "Crane inspected.", "Delivery was late.")
        ),
        "is_issue_day": seeder.rng.random() < 0.1,
    },
    more={"daily_log_header_id": None},
)

_TIME = _whole("time_hour", "time_minute")
_SPAN = _whole("begin_hour", "begin_minute", "end_hour", "end_minute")
_OTHERS: tuple[tuple[str, dict[str, Input], tuple[str, ...]], ...] = (
    ("accident_logs", {**_TIME, **_texts("comments", "involved_name", "involved_company")},
     ("time_hour", "time_minute")),
    ("delay_logs", _texts("delay_type", "start_time", "end_time", "duration", "comments"), ()),
    ("delivery_logs", {**_TIME, **_texts("delivery_from", "contents", "tracking_number")},
     ("time_hour", "time_minute")),
    ("equipment_logs",
     {"hours_operating": number("hours_operating"), "hours_idle": number("hours_idle"),
      "equipment_id": integer("equipment_id"), "notes": text("notes")}, ()),
    ("work_logs",
     {"workers": integer("workers"), "hours": number("hours"),
      "hourly_rate": number("hourly_rate"), "resource_name": text("resource_name")}, ()),
    ("visitor_logs", {**_SPAN, **_texts("subject", "details")}, tuple(_SPAN)),
    ("inspection_logs",
     {**_whole("start_hour", "start_minute", "end_hour", "end_minute"),
      **_texts("inspection_type", "inspecting_entity", "inspector_name", "comments")},
     ("start_hour", "start_minute", "end_hour", "end_minute")),
    ("quantity_logs", {"quantity": number("quantity"), "unit": text("unit")}, ()),
    ("call_logs",
     {**_whole("start_hour", "start_minute", "end_hour", "end_minute"),
      **_texts("subject_from", "subject_to", "description")}, ()),
    ("dumpster_logs", _texts("comments", "quantity_delivered", "quantity_removed"), ()),
    ("waste_logs", {**_TIME, **_texts("material", "method_of_disposal", "disposal_location")},
     ("time_hour", "time_minute")),
    ("safety_violation_logs", {**_TIME, **_texts("subject", "safety_notice", "comments")},
     ("time_hour", "time_minute")),
    ("productivity_logs",
     {"line_item_id": integer("line_item_id"), **_texts("notes", "quantity_used")},
     ("line_item_id",)),
    ("plan_revision_logs", _texts("category", "title", "revision", "comments"), ()),
    ("daily_construction_report_logs", {"trade_id": integer("trade_id"), "notes": text("notes")},
     ("vendor_id", "trade_id")),
)  # fmt: skip

RESOURCES: tuple[Resource, ...] = (
    _WEATHER,
    _MANPOWER,
    _NOTES,
    *(_log(name, inputs=inputs, required=required, count=6) for name, inputs, required in _OTHERS),
)


def _counts(call: Call) -> Reply:
    wanted = call.request.argument("log_date") or call.world.clock.today().isoformat()
    counted: list[Json] = []
    for position, resource in enumerate(RESOURCES, 1):
        rows = call.collection(resource.name).rows()
        count = sum(row["date"] == wanted for row in rows)
        counted.append({"module_name": resource.name, "count": count, "position": position})
    return json_reply(counted)


ROUTES: tuple[Route, ...] = (
    *(
        route
        for resource in RESOURCES
        for route in crud_routes(
            resource,
            f"/rest/v1.0/projects/{{project_id}}/{resource.name}",
            "LSCUD",
            created=200 if resource is _WEATHER else 201,
        )
    ),
    route(
        "GET",
        "/rest/v1.1/projects/{project_id}/daily_logs/counts",
        _counts,
        "daily_log_counts",
        tool="daily_log",
    ),
)
