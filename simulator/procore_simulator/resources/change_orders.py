"""Change orders of prime contracts and commitments, and the older set in tiers."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from procore_simulator.calls import Call
from procore_simulator.crud import crud_routes, insert, next_number, show_reply
from procore_simulator.failures import invalid, missing_parameter
from procore_simulator.filtering import among, flagged, ranged
from procore_simulator.inputs import choice, day, flag, integer, money, objects, text, to_integer
from procore_simulator.messages import Json, JsonObject, Reply
from procore_simulator.records import Record
from procore_simulator.resource import UNPAGED, Input, Paging, Resource
from procore_simulator.resources.line_items import line_items
from procore_simulator.routing import Route, route
from procore_simulator.seeding.seeder import Seeder
from procore_simulator.sync import sync_route

__all__ = ["RESOURCES", "ROUTES"]

_STATUSES = (
    "draft", "pricing", "not_pricing", "pending", "revised", "proceeding", "not_proceeding",
    "no_charge", "approved", "rejected", "void",
)  # fmt: skip
_PRIME = ("prime_contracts",)
_COMMITMENTS = ("purchase_order_contracts", "work_order_contracts")
_TEMPLATE: Mapping[str, Json] = {
    "id": None,
    "contract_id": None,
    "number": None,
    "revision": 0,
    "title": None,
    "status": "draft",
    "description": None,
    "grand_total": "0.00",
    "due_date": None,
    "invoiced_date": None,
    "paid_date": None,
    "executed": False,
    "private": False,
    "schedule_impact_amount": None,
    "created_at": None,
    "updated_at": None,
    "deleted_at": None,
}


def _contract(*kinds: str) -> Input:
    """Read the contract that a change order belongs to, which must be one of *kinds*."""

    def read(value: Json, call: Call) -> JsonObject:
        number = to_integer(value)
        if number is None or not any(call.lookup(kind, number) for kind in kinds):
            raise invalid({"contract_id": ["is invalid"]})
        return {"contract_id": number}

    return read


_INPUTS: Mapping[str, Input] = {
    **{name: text(name) for name in ("number", "title", "description", "reason", "reference")},
    **{name: day(name) for name in ("due_date", "invoiced_date", "paid_date")},
    **{name: flag(name) for name in ("executed", "private", "paid", "field_change")},
    "status": choice("status", *_STATUSES),
    "revision": integer("revision"),
    "schedule_impact_amount": integer("schedule_impact_amount"),
}


def _seeding(*kinds: str) -> Callable[[Seeder], Iterator[Record]]:
    def seed(seeder: Seeder) -> Iterator[Record]:
        contracts = [row for kind in kinds for row in seeder.rows(kind)]
        if not contracts:
            return
        for index, number in enumerate(seeder.ids()):
            yield {
                "id": number,
                "contract_id": contracts[index % len(contracts)]["id"],
                "number": f"{index + 1:03d}",
                "title": f"Change {index + 1}",
                "status": seeder.rng.choice(_STATUSES),
                "grand_total": seeder.amount(500, 90_000),
                "due_date": seeder.day(-20, 60),
                "executed": index % 3 == 0,
                **seeder.times(),
            }

    return seed


def _numbering(name: str) -> Callable[[Call, Record, Record | None], None]:
    def complete(call: Call, row: Record, before: Record | None) -> None:
        if before is None and not row.get("number"):
            row["number"] = f"{next_number(call, name):03d}"

    return complete


def _change_orders(name: str, tool: str, *kinds: str) -> Resource:
    return Resource(
        name=name,
        tool=tool,
        envelope="change_order",
        template={
            **_TEMPLATE,
            "paid": False,
            "field_change": False,
            "signature_required": False,
            "reason": None,
            "reference": None,
            "line_items": [],
            "attachments": [],
            "created_by": None,
        },
        inputs={**_INPUTS, "contract_id": _contract(*kinds)},
        required=("contract_id",),
        paging=UNPAGED,
        filters={
            "id": among("id"),
            "contract_id": among("contract_id"),
            "status": among("status"),
            "executed": flagged("executed"),
            "updated_at": ranged("updated_at"),
        },
        sorts=frozenset({"id", "created_at"}),
        count=15,
        seed=_seeding(*kinds),
        normalize=_numbering(name),
    )


PRIME = _change_orders("prime_change_orders", "prime_contracts", *_PRIME)
COMMITMENT = _change_orders("commitment_change_orders", "commitments", *_COMMITMENTS)


def _tier(name: str, **own: Json) -> Resource:
    kinds = (*_PRIME, *_COMMITMENTS)
    return Resource(
        name=name,
        tool="change_orders",
        envelope="change_order",
        template={**_TEMPLATE, "origin_id": None, "origin_data": None, **own},
        inputs={
            **_INPUTS,
            "contract_id": _contract(*kinds),
            "grand_total": money("grand_total"),
            "origin_id": text("origin_id"),
            "origin_data": text("origin_data"),
            **{key: integer(key) for key in own if key.endswith("_id")},
        },
        paging=Paging(default=100, maximum=1_000),
        filters={
            "id": among("id"),
            "contract_id": among("contract_id"),
            "due_date": ranged("due_date"),
            "created_at": ranged("created_at"),
            "updated_at": ranged("updated_at"),
        },
        count=12,
        seed=_seeding(*kinds),
        normalize=_numbering(name),
    )


PACKAGES = _tier("change_order_packages", type="ChangeOrderPackage", origin_code=None)
REQUESTS = _tier("change_order_requests", change_order_package_id=None)
POTENTIAL = _tier("potential_change_orders", change_order_request_id=None)
ITEMS = line_items(
    "potential_change_order_line_items",
    tool="change_orders",
    holder="potential_change_orders",
    holder_id="potential_change_order_id",
)


def _sent(call: Call) -> JsonObject:
    inner = call.body.get("change_order")
    if not isinstance(inner, dict) or not inner:
        raise missing_parameter("change_order")
    return inner


def _creating(resource: Resource) -> Route:
    """Create in a contract that is named beside the envelope."""

    def handle(call: Call) -> Reply:
        if call.body.get("contract_id") in (None, ""):
            raise missing_parameter("contract_id")
        row = insert(resource, call, {**_sent(call), "contract_id": call.body["contract_id"]})
        if resource is PACKAGES:
            # In a project of one tier, a package brings a potential change order with it.
            twin = {"contract_id": row["contract_id"], "title": row.get("title")}
            insert(POTENTIAL, call, twin)
        return show_reply(resource, call, row, status=201)

    return route("POST", f"/rest/v1.0/{resource.name}", handle, resource.name, tool=resource.tool)


def _updating(resource: Resource) -> Route:
    """Change one, whose contract must be named again beside the envelope."""
    (route,) = crud_routes(resource, f"/rest/v1.0/{resource.name}", "U")

    def handle(call: Call) -> Reply:
        if resource is not PACKAGES and call.body.get("contract_id") in (None, ""):
            raise missing_parameter("contract_id")
        return route.handler(call)

    return replace(route, handler=handle)


def _syncing(resource: Resource) -> Route:
    """Upsert in one contract, which the query names."""
    route = sync_route(resource, f"/rest/v1.0/{resource.name}/sync")

    def handle(call: Call) -> Reply:
        contract = call.request.argument("contract_id")
        if contract in (None, ""):
            raise missing_parameter("contract_id")
        updates = objects(call.body.get("updates"), "updates")
        whole: Json = [{**item, "contract_id": contract} for item in updates]
        call.body = {**call.body, "updates": whole}
        return route.handler(call)

    return replace(route, handler=handle)


_IN_PROJECT = "/rest/v1.0/projects/{project_id}"
_LINES = "/rest/v1.0/potential_change_orders/{potential_change_order_id}/line_items"
RESOURCES = (PRIME, COMMITMENT, PACKAGES, REQUESTS, POTENTIAL, ITEMS.resource)
ROUTES: tuple[Route, ...] = (
    *crud_routes(PRIME, f"{_IN_PROJECT}/{PRIME.name}", "LSCUD", deleted=204),
    *crud_routes(COMMITMENT, f"{_IN_PROJECT}/{COMMITMENT.name}", "LSCUD", deleted=204),
    *(
        route
        for tier in (PACKAGES, REQUESTS, POTENTIAL)
        for route in (
            *crud_routes(tier, f"/rest/v1.0/{tier.name}", "LS"),
            _creating(tier),
            _updating(tier),
        )
    ),
    _syncing(REQUESTS),
    _syncing(POTENTIAL),
    *ITEMS.routes(_LINES),
    sync_route(ITEMS.resource, f"{_LINES}/sync"),
)
