"""Webhooks: hooks, their triggers, and deliveries whose pages begin behind an id."""

from collections.abc import Iterator
from functools import partial

from procore_simulator.calls import Call
from procore_simulator.crud import crud_routes, envelope_of, insert, present, show_reply
from procore_simulator.failures import bad_request
from procore_simulator.inputs import choice, kept, text, to_integer
from procore_simulator.messages import Reply, json_reply
from procore_simulator.records import Record
from procore_simulator.resource import UNPAGED, Refusal, Resource
from procore_simulator.resources.nested import holder_of, nested_routes
from procore_simulator.routing import Reach, Route, route
from procore_simulator.seeding.seeder import Seeder

__all__ = ["RESOURCES", "ROUTES"]

_TOOL = "webhooks"
_SHOWN_OF_SECRET = 5
_DEFAULT_SIZE = 100


def _seed_hooks(seeder: Seeder) -> Iterator[Record]:
    for number in seeder.ids():
        yield {
            "id": number,
            "api_version": "v2",
            "namespace": "harbour-sync",
            "destination_url": "https://hooks.harbour.example/procore",
            "destination_headers": {"Authorization": "Bearer of-the-hook"},
            "owned_by_company_id": seeder.company.id,
        }


def _masked(_call: Call, shown: Record, _listed: bool) -> Record:  # noqa: FBT001 - Resource.present's shape
    headers = shown["destination_headers"] or {}
    shown["destination_headers"] = {
        name: f"{'*' * max(0, len(value) - _SHOWN_OF_SECRET)}{value[-_SHOWN_OF_SECRET:]}"
        for name, value in headers.items()
    }
    return shown


HOOKS = Resource(
    name="webhook_hooks",
    tool=_TOOL,
    envelope="hook",
    template={
        "id": None,
        "api_version": None,
        "namespace": None,
        "destination_url": None,
        "destination_headers": None,
        "owned_by_company_id": None,
        "owned_by_project_id": None,
        "owned_by_user_id": None,
    },
    inputs={
        "api_version": text("api_version"),
        "namespace": text("namespace"),
        "destination_url": text("destination_url"),
        "destination_headers": kept("destination_headers"),
    },
    required=("namespace", "destination_url"),
    refusal=Refusal.MESSAGE,
    paging=UNPAGED,
    company_wide=True,
    count=1,
    seed=_seed_hooks,
    normalize=lambda call, row, _before: row.update(owned_by_company_id=call.home.id),
    present=_masked,
)


def _seed_triggers(seeder: Seeder) -> Iterator[Record]:
    (hook,) = seeder.rows("webhook_hooks")
    for number, event in zip(seeder.ids(), ("CREATE", "UPDATE"), strict=False):
        yield {
            "id": number,
            "webhook_hook_id": hook["id"],
            "resource_name": "RFIs",
            "event_type": event,
            "company_id": seeder.company.id,
        }


TRIGGERS = Resource(
    name="webhook_triggers",
    tool=_TOOL,
    envelope="trigger",
    template={
        "id": None,
        "webhook_hook_id": None,
        "resource_name": None,
        "resource_id": None,
        "event_type": None,
        "company_id": None,
        "project_id": None,
        "user_id": None,
    },
    inputs={
        "resource_name": text("resource_name"),
        # Sent small, shown large.
        "event_type": choice(
            "event_type",
            "create",
            "update",
            "delete",
            answers={"create": "CREATE", "update": "UPDATE", "delete": "DELETE"},
        ),
    },
    required=("resource_name", "event_type"),
    refusal=Refusal.MESSAGE,
    paging=UNPAGED,
    company_wide=True,
    count=2,
    seed=_seed_triggers,
)


def _seed_deliveries(seeder: Seeder) -> Iterator[Record]:
    (hook,) = seeder.rows("webhook_hooks")
    for index, number in enumerate(seeder.ids()):
        failed = index % 9 == 8
        yield {
            "id": number,
            "hook": hook["id"],
            "outcome": "failed" if failed else "ok",
            "response_status": 503 if failed else 200,
            "started_at": seeder.instant(-20, -1),
            "event": {
                "id": number,
                "event_type": "update",
                "resource_name": "RFIs",
                "resource_id": 5_000_000 + index,
                "company_id": seeder.company.id,
            },
        }


def _of_delivery(_call: Call, shown: Record, _listed: bool) -> Record:  # noqa: FBT001 - Resource.present's shape
    return {
        "event_id": shown.pop("id"),
        **{name: value for name, value in shown.items() if name != "hook"},
    }


DELIVERIES = Resource(
    name="webhook_deliveries",
    tool=_TOOL,
    template={
        "id": None,
        "hook": None,
        "event": None,
        "outcome": None,
        "response_status": None,
        "response_error": None,
        "response_body": None,
        "started_at": None,
        "completed_at": None,
    },
    company_wide=True,
    count=250,
    seed=_seed_deliveries,
    present=_of_delivery,
)


def _list_deliveries(call: Call) -> Reply:
    """List what a hook delivered, behind the last id of the page before."""
    hook = holder_of(call, "webhook_hooks", "hook_id")["id"]
    size = to_integer(call.request.argument("page_size") or _DEFAULT_SIZE) or _DEFAULT_SIZE
    start = to_integer(call.request.argument("page_start") or 0) or 0
    rows = [
        row
        for row in call.collection("webhook_deliveries").rows()
        if row["hook"] == hook and row["id"] > start
    ]
    return json_reply([present(DELIVERIES, call, row, listed=True) for row in rows[:size]])


def _create_trigger(call: Call) -> Reply:
    hook = holder_of(call, "webhook_hooks", "hook_id")
    if call.body.get("api_version") in (None, ""):
        raise bad_request("api_version is required", fields="api_version")
    row = insert(TRIGGERS, call, envelope_of(TRIGGERS, call.body))
    own: Record = {**row, "webhook_hook_id": hook["id"], "company_id": call.home.id}
    call.collection("webhook_triggers").put(own)
    return show_reply(TRIGGERS, call, own, status=201)


_route = partial(route, reach=Reach.COMPANY, tool=_TOOL)
_HOOKS = "/rest/v1.0/webhooks/hooks"
_TRIGGERS = f"{_HOOKS}/{{hook_id}}/triggers"
RESOURCES = (HOOKS, TRIGGERS, DELIVERIES)
ROUTES: tuple[Route, ...] = (
    *crud_routes(HOOKS, _HOOKS, "LSCUD"),
    *nested_routes(
        TRIGGERS,
        _TRIGGERS,
        "LD",
        holder="webhook_hooks",
        holder_id="hook_id",
        belongs=lambda trigger, hook: bool(trigger["webhook_hook_id"] == hook["id"]),
    ),
    _route("POST", _TRIGGERS, _create_trigger, TRIGGERS.name),
    _route("GET", f"{_HOOKS}/{{hook_id}}/deliveries", _list_deliveries, DELIVERIES.name),
)
