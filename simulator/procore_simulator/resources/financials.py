"""Purchase orders, cost codes and change events; money is text."""

from collections.abc import Iterator

from procore_simulator.calls import Call
from procore_simulator.crud import crud_routes, next_number
from procore_simulator.custom_fields import custom_field_template
from procore_simulator.failures import invalid
from procore_simulator.filtering import among, containing, flagged, ranged, referring
from procore_simulator.inputs import (
    choice,
    day,
    flag,
    integer,
    kept,
    money,
    text,
    to_integer,
)
from procore_simulator.messages import Json, JsonObject
from procore_simulator.records import Record
from procore_simulator.resource import Paging, Refusal, Resource
from procore_simulator.routing import Route
from procore_simulator.seeding import words
from procore_simulator.seeding.seeder import Seeder
from procore_simulator.sync import sync_route

__all__ = ["PURCHASE_ORDERS", "RESOURCES", "ROUTES"]


def _seed_orders(seeder: Seeder) -> Iterator[Record]:
    rng = seeder.rng
    for index, number in enumerate(seeder.ids()):
        vendor = seeder.vendor()
        total = seeder.amount(2_000, 400_000)
        yield {
            "id": number,
            "number": f"PO-{index + 1:04d}",
            "title": f"{rng.choice(words.SPECIFICATIONS)} supply",
            "status": rng.choice(("Draft", "Approved", "Complete", "Out For Signature")),
            "executed": rng.random() < 0.5,
            "grand_total": total,
            "remaining_balance_outstanding": total,
            "retainage_percent": "10.00",
            "percentage_paid": "0.00",
            # A purchase order names its vendor's company, not its name.
            "vendor": {"id": vendor["id"], "company": vendor["name"]},
            "contract_date": seeder.day(-200, -30) if rng.random() < 0.7 else None,
            "delivery_date": seeder.day(-20, 90) if rng.random() < 0.5 else None,
            "issued_on_date": seeder.day(-200, -30) if rng.random() < 0.5 else None,
            "created_by": seeder.person(),
            **seeder.times(),
        }


def _read_vendor(value: Json, call: Call) -> JsonObject:
    if value in (None, ""):
        return {"vendor": None}
    number = to_integer(value)
    vendor = None if number is None else call.lookup("vendors", number)
    if vendor is None:
        raise invalid({"vendor": ["is invalid"]})
    return {"vendor": {"id": vendor["id"], "company": vendor["name"]}}


def _complete_order(call: Call, row: Record, before: Record | None) -> None:
    if before is None and not row.get("number"):
        row["number"] = f"PO-{next_number(call, 'purchase_order_contracts', prefix='PO-'):04d}"


PURCHASE_ORDERS = Resource(
    name="purchase_order_contracts",
    tool="commitments",
    envelope="purchase_order_contract",
    template={
        "id": None,
        "number": None,
        "title": None,
        "status": "Draft",
        "description": None,
        "payment_terms": None,
        "bill_to_address": None,
        "ship_to_address": None,
        "ship_via": None,
        "executed": False,
        "private": True,
        "accounting_method": "amount",
        "grand_total": "0.00",
        "remaining_balance_outstanding": "0.00",
        "retainage_percent": None,
        "percentage_paid": "0.00",
        "approved_change_orders": "0.00",
        "pending_change_orders": "0.00",
        "contract_date": None,
        "delivery_date": None,
        "issued_on_date": None,
        "letter_of_intent_date": None,
        "signed_contract_received_date": None,
        "vendor": None,
        "assignee": None,
        "project": None,
        "line_items": [],
        "attachments": [],
        "origin_id": None,
        "origin_data": None,
        "origin_code": None,
        "deleted_at": None,
        "custom_fields": custom_field_template(),
        "created_by": None,
        "created_at": None,
        "updated_at": None,
    },
    inputs={
        **{
            name: text(name)
            for name in (
                "number", "title", "description", "payment_terms", "bill_to_address",
                "ship_to_address", "ship_via", "origin_id", "origin_data", "origin_code",
            )
        },
        "status": choice(
            "status", "Draft", "Processing", "Submitted", "Partially Received", "Received",
            "Approved", "Out For Signature", "Complete", "Closed", "Void",
        ),
        "accounting_method": choice("accounting_method", "amount", "unit"),
        "executed": flag("executed"),
        "private": flag("private"),
        "retainage_percent": money("retainage_percent"),
        "grand_total": money("grand_total"),
        "contract_date": day("contract_date"),
        "delivery_date": day("delivery_date"),
        "issued_on_date": day("issued_on_date"),
        "vendor_id": _read_vendor,
    },
    filters={
        "id": among("id"),
        "status": among("status"),
        "executed": flagged("executed"),
        "vendor_id": referring("vendor"),
        "origin_id": among("origin_id"),
        "search": containing("title", "number"),
        "created_at": ranged("created_at"),
        "updated_at": ranged("updated_at"),
    },
    sorts=frozenset({"id", "number", "title", "created_at", "updated_at"}),
    list_omits=frozenset({"line_items"}),
    custom_fields=True,
    count=36,
    seed=_seed_orders,
    normalize=_complete_order,
)  # fmt: skip


def _seed_cost_codes(seeder: Seeder) -> Iterator[Record]:
    for index, number in enumerate(seeder.ids()):
        code, name = words.COST_CODES[index % len(words.COST_CODES)]
        turn = index // len(words.COST_CODES)
        full = code if turn == 0 else f"{code}.{turn:03d}"
        yield {
            "id": number,
            "code": full.partition("-")[2],
            "full_code": full,
            "name": name,
            "sortable_code": full,
            **seeder.times(-400, -300),
        }


def _complete_cost_code(call: Call, row: Record, _before: Record | None) -> None:
    parent = row.get("parent")
    above = None if parent is None else call.lookup("cost_codes", parent["id"])
    row["full_code"] = row["code"] if above is None else f"{above['full_code']}-{row['code']}"
    row["sortable_code"] = row["full_code"]


def _read_parent(value: Json, call: Call) -> JsonObject:
    number = to_integer(value)
    if number is None:
        return {"parent": None}
    if call.lookup("cost_codes", number) is None:
        raise invalid({"parent_id": ["is invalid"]})
    return {"parent": {"id": number}}


def _with_biller(call: Call, shown: Record, _listed: bool) -> Record:  # noqa: FBT001 - Resource.present's shape
    shown["biller"] = {
        "id": call.site.id,
        "name": call.site.name,
        "type": "Project",
        "origin_id": None,
        "origin_data": None,
    }
    return shown


COST_CODES = Resource(
    name="cost_codes",
    tool="cost_codes",
    envelope="cost_code",
    template={
        "id": None,
        "code": None,
        "full_code": None,
        "name": None,
        "sortable_code": None,
        "biller": None,
        "biller_type": "Project",
        "budgeted": False,
        "parent": None,
        "standard_cost_code_id": None,
        "line_item_types": [],
        "origin_id": None,
        "origin_data": None,
        "deleted_at": None,
        "created_at": None,
        "updated_at": None,
    },
    inputs={
        "code": text("code"),
        "name": text("name"),
        "parent_id": _read_parent,
        "standard_cost_code_id": integer("standard_cost_code_id"),
        "origin_id": text("origin_id"),
        "origin_data": text("origin_data"),
    },
    required=("code", "name"),
    # One of the lists whose default page holds 5,000.
    paging=Paging(default=5_000, maximum=10_000),
    filters={
        "id": among("id"),
        "search": containing("name", "full_code"),
        "origin_id": among("origin_id"),
        "created_at": ranged("created_at"),
        "updated_at": ranged("updated_at"),
    },
    sorts=frozenset({"id", "code", "full_code", "name", "created_at", "updated_at"}),
    count=40,
    seed=_seed_cost_codes,
    normalize=_complete_cost_code,
    present=_with_biller,
)


def _seed_change_events(seeder: Seeder) -> Iterator[Record]:
    rng = seeder.rng
    for index, number in enumerate(seeder.ids()):
        yield {
            "id": number,
            "number": f"{index + 1:03d}",
            "alphanumeric_number": f"{index + 1:03d}",
            "title": f"Change at {rng.choice(words.PLACES)}",
            "scope": rng.choice(("tbd", "in_scope", "out_of_scope")),
            "status": {"id": 1, "name": "Open", "mapped_to_status": "open"},
            "created_by": seeder.person(),
            **seeder.times(),
        }


def _complete_change_event(call: Call, row: Record, before: Record | None) -> None:
    if before is None:
        number = f"{next_number(call, 'change_events'):03d}"
        row.setdefault("number", number)
        row["alphanumeric_number"] = row["number"]
    row["project_id"] = call.site.id
    row["company_id"] = call.home.id


def _placed(call: Call, shown: Record, _listed: bool) -> Record:  # noqa: FBT001 - Resource.present's shape
    shown["project_id"] = call.site.id
    shown["company_id"] = call.home.id
    return shown


CHANGE_EVENTS = Resource(
    name="change_events",
    tool="change_events",
    envelope="change_event",
    template={
        "id": None,
        "project_id": None,
        "company_id": None,
        "number": None,
        "alphanumeric_number": None,
        "title": None,
        "description": None,
        "scope": "tbd",
        "status": None,
        "change_type": None,
        "change_reason": None,
        "attachments": [],
        "external_data": {"origin_id": None},
        "created_by": None,
        "created_at": None,
        "updated_at": None,
    },
    inputs={
        "number": text("number"),
        "title": text("title"),
        "description": text("description"),
        "scope": choice("scope", "tbd", "in_scope", "out_of_scope"),
        "status": kept("status"),
    },
    required=("scope", "status"),
    refusal=Refusal.MESSAGE,
    filters={
        "id": among("id"),
        "scope": among("scope"),
        "status_id": referring("status"),
        "search": containing("title", "number"),
        "created_at": ranged("created_at"),
        "updated_at": ranged("updated_at"),
    },
    seed=_seed_change_events,
    normalize=_complete_change_event,
    present=_placed,
)

RESOURCES = (PURCHASE_ORDERS, COST_CODES, CHANGE_EVENTS)
ROUTES: tuple[Route, ...] = (
    *crud_routes(PURCHASE_ORDERS, "/rest/v1.0/purchase_order_contracts", "LSCUD"),
    sync_route(PURCHASE_ORDERS, "/rest/v1.0/purchase_order_contracts/sync"),
    *crud_routes(COST_CODES, "/rest/v1.0/cost_codes", "LSCU"),
    sync_route(COST_CODES, "/rest/v1.0/cost_codes/sync"),
    *crud_routes(CHANGE_EVENTS, "/rest/v1.1/change_events", "LSCUD", deleted=204),
    *crud_routes(CHANGE_EVENTS, "/rest/v1.0/change_events", "LSCU"),
)
