"""Changing several correspondence items in one request, below one type or across all."""

from procore_simulator.calls import Call
from procore_simulator.crud import apply, change
from procore_simulator.failures import ApiError, missing_parameter
from procore_simulator.inputs import to_integer
from procore_simulator.messages import Json, JsonObject, Reply, json_reply
from procore_simulator.records import Record
from procore_simulator.resource import Resource
from procore_simulator.resources.correspondence import ITEMS
from procore_simulator.routing import Route, route

__all__ = ["RESOURCES", "ROUTES"]

_KEY = "generic_tool_items"
_UNTOUCHED: Json = {"base": ["Nothing was updated, because another item could not be"]}


def _update(call: Call) -> Reply:
    items = call.body.get(_KEY)
    if not isinstance(items, list) or not items:
        raise missing_parameter(_KEY)
    found = [_checked(call, item) for item in items]
    failed = any(row is None for row, _, _ in found)
    # The reference names the modes all_or_nothing, which is the default, and atomic.
    together = call.request.argument("completion_mode") != "atomic"
    told: list[Json] = []
    done: list[int] = []
    for row, sent, errors in found:
        if row is None or (failed and together):
            told.append({"id": sent.get("id"), "status": "failure", "errors": errors or _UNTOUCHED})
            continue
        changed = change(ITEMS, call, row, sent)
        done.append(changed["id"])
        told.append({"id": changed["id"], "status": "success", "errors": {}})
    call.record_id = ",".join(map(str, done)) or None
    return json_reply(told)


def _checked(call: Call, item: Json) -> tuple[Record | None, JsonObject, Json]:
    """The row that an item is about, what was sent, and what is wrong with it."""
    sent: JsonObject = item if isinstance(item, dict) else {}
    number = to_integer(sent.get("id"))
    row = None if number is None else call.collection(_KEY).get(number)
    tool = call.params.get("generic_tool_id")
    if row is None or (tool is not None and str(row["generic_tool"]["id"]) != tool):
        return None, sent, {"id": ["Entity with this ID not found"]}
    try:
        apply(ITEMS, call, sent, row)
    except ApiError as refused:
        payload = refused.payload
        errors = payload.get("errors") if isinstance(payload, dict) else None
        return None, sent, errors or {"base": [refused.message]}
    return row, sent, None


RESOURCES: tuple[Resource, ...] = ()
_PROJECT = "/rest/v1.0/projects/{project_id}"
ROUTES: tuple[Route, ...] = tuple(
    route("PATCH", template, _update, _KEY, tool="correspondence")
    for template in (
        f"{_PROJECT}/generic_tools/{{generic_tool_id}}/generic_tool_items",
        f"{_PROJECT}/correspondence_type_items",
    )
)
