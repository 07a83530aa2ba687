"""The days of a daily log as a whole, and the weather in the second version of its paths."""

from functools import partial

from procore_simulator.calls import Call
from procore_simulator.crud import apply, crud_routes, envelope_of, show_reply
from procore_simulator.failures import bad_request, blank, not_found
from procore_simulator.inputs import flag, to_integer
from procore_simulator.messages import Reply
from procore_simulator.records import Record
from procore_simulator.resource import Resource
from procore_simulator.resources.daily_logs import RESOURCES as LOGS
from procore_simulator.routing import Route, route

__all__ = ["RESOURCES", "ROUTES"]

HEADERS = Resource(
    name="daily_log_headers",
    tool="daily_log",
    envelope="daily_log_header",
    template={
        "id": None,
        "log_date": None,
        "log_datetime": None,
        "completed": False,
        "completable": True,
        "completed_by": None,
        "completed_at": None,
        "distributed": False,
        "distributable": True,
        "distributed_by": None,
        "distributed_at": None,
    },
    inputs={"completed": flag("completed"), "distributed": flag("distributed")},
    count=0,
)


def _header(call: Call) -> Record:
    """The day that the query means, by its id or its date; every day is there."""
    headers = call.collection("daily_log_headers")
    number = to_integer(call.request.argument("id"))
    if number is not None:
        row = headers.get(number)
        if row is None:
            raise not_found()
        return row
    day = call.request.argument("log_date") or call.world.clock.today().isoformat()
    row = headers.find(lambda one: one["log_date"] == day)
    if row is None:
        row = {
            "id": call.world.new_id(call.home),
            "log_date": day,
            "log_datetime": f"{day}T12:00:00Z",
        }
        headers.put(row)
    return row


def _show(call: Call) -> Reply:
    return show_reply(HEADERS, call, _header(call))


def _update(call: Call) -> Reply:
    before = _header(call)
    sent = envelope_of(HEADERS, call.body)
    missing = [name for name in HEADERS.inputs if sent.get(name) is None]
    if missing:
        raise blank(*missing)
    row = apply(HEADERS, call, sent, before)
    if row["distributed"] and not row["completed"]:
        raise bad_request("A day is distributed when it is completed", fields="distributed")
    for done in HEADERS.inputs:
        if row[done] != before.get(done, False):
            row[f"{done}_by"] = call.actor() if row[done] else None
            row[f"{done}_at"] = call.now() if row[done] else None
    call.collection("daily_log_headers").put(row)
    call.record_id = row["id"]
    return show_reply(HEADERS, call, row)


_route = partial(route, resource=HEADERS.name, tool=HEADERS.tool)
_PATH = "/rest/v1.0/projects/{project_id}/daily_log_headers"
RESOURCES = (HEADERS,)
ROUTES: tuple[Route, ...] = (
    _route("GET", _PATH, _show),
    _route("PATCH", _PATH, _update),
    *(
        route
        for log in LOGS
        if log.name == "weather_logs"
        for route in crud_routes(
            log, "/rest/v1.1/projects/{project_id}/daily_logs/weather_logs", "LSCUD", created=200
        )
    ),
)
