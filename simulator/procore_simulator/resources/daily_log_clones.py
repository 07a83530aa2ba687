"""Copying the daily log of one day to another, which honours ``Idempotency-Token``."""

from datetime import date

from procore_simulator.calls import Call
from procore_simulator.crud import present
from procore_simulator.failures import bad_request
from procore_simulator.messages import Json, JsonObject, Reply, json_reply
from procore_simulator.resource import Resource
from procore_simulator.resources.daily_logs import RESOURCES as LOGS
from procore_simulator.routing import Route
from procore_simulator.tenancy import Level

__all__ = ["RESOURCES", "ROUTES"]

_KINDS = {resource.envelope or resource.name: resource for resource in LOGS}


def _day(call: Call, name: str) -> str:
    try:
        return date.fromisoformat(str(call.body.get(name))).isoformat()
    except ValueError as exc:
        raise bad_request(f"{name} must be a date", fields=name) from exc


def _wanted(types: Json) -> list[Resource]:
    if not isinstance(types, list) or not types:
        raise bad_request("log_types is required", fields="log_types")
    unknown = [name for name in types if str(name) not in _KINDS]
    if unknown:
        raise bad_request(f"unknown log type: {unknown[0]}", fields="log_types")
    return [_KINDS[str(name)] for name in types]


def _clone(call: Call) -> Reply:
    source, target = _day(call, "from_date"), _day(call, "to_date")
    if source >= target or target > call.world.clock.today().isoformat():
        raise bad_request("the dates are out of order or in the future", fields="to_date")
    made: JsonObject = {}
    numbers: list[str] = []
    for resource in _wanted(call.body.get("log_types")):
        rows = call.collection(resource.name)
        for row in [row for row in rows.rows() if row["date"] == source]:
            copy = {
                **row,
                "id": call.world.new_id(call.home),
                "date": target,
                "datetime": f"{target}T12:00:00Z",
                "created_by": call.actor(),
                "created_at": call.now(),
                "updated_at": call.now(),
            }
            rows.put(copy)
            numbers.append(str(copy["id"]))
            shown = present(resource, call, copy)
            made.setdefault(resource.envelope or resource.name, []).append(shown)
    call.record_id = ",".join(numbers) or None
    return json_reply(made, status=201)


RESOURCES: tuple[Resource, ...] = ()
ROUTES: tuple[Route, ...] = (
    Route(
        method="POST",
        template="/rest/v1.0/projects/{project_id}/daily_logs/clones",
        handler=_clone,
        resource="daily_log_clones",
        tool="daily_log",
        level=Level.STANDARD,
        idempotent=True,
        replay_status=200,
    ),
)
