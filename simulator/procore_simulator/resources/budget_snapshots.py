"""Snapshots of a budget view: the operation that has a rate limit of its own."""

from datetime import datetime

from procore_simulator.calls import Call
from procore_simulator.crud import creating, crud_routes
from procore_simulator.failures import ApiError
from procore_simulator.inputs import reference, text
from procore_simulator.messages import Reply
from procore_simulator.resource import Resource
from procore_simulator.routing import Route, route

__all__ = ["RESOURCES", "ROUTES"]

_SECONDS = 3600.0
"""One snapshot of a view of a project in an hour, whatever is left of the app's limits."""

SNAPSHOTS = Resource(
    name="budget_view_snapshots",
    tool="budget",
    envelope="budget_view_snapshot",
    template={
        "id": None,
        "name": None,
        "description": None,
        "budget_view": None,
        "created_by": None,
        "created_at": None,
    },
    inputs={
        "budget_view_id": reference("budget_view", "budget_views"),
        "name": text("name"),
        "description": text("description"),
    },
    required=("budget_view_id",),
    count=0,
)

_insert = creating(SNAPSHOTS)


def _create(call: Call) -> Reply:
    sent = call.body.get("budget_view_snapshot")
    wanted = sent.get("budget_view_id") if isinstance(sent, dict) else None
    now = call.world.clock.now()
    for row in call.collection("budget_view_snapshots").rows():
        view, made_at = row["budget_view"], datetime.fromisoformat(row["created_at"]).timestamp()
        if str(view["id"]) == str(wanted) and made_at + _SECONDS > now:
            message = "A snapshot of this budget view was made within the last hour."
            raise ApiError(429, {"error": {"error": message}}, message=message)
    return _insert(call)


_PATH = "/rest/v1.0/budget_view_snapshots"
RESOURCES = (SNAPSHOTS,)
ROUTES: tuple[Route, ...] = (
    *crud_routes(SNAPSHOTS, _PATH, "L"),
    route("POST", _PATH, _create, "budget_view_snapshots", tool="budget"),
)
