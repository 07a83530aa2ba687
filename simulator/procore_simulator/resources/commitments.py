"""Subcontracts, line items of commitments, and commitments of both kinds in two generations."""

from collections.abc import Iterator
from functools import partial

from procore_simulator.calls import Call
from procore_simulator.crud import change as change_row
from procore_simulator.crud import (
    crud_routes,
    insert,
    list_reply,
    next_number,
    show_reply,
    stored,
)
from procore_simulator.custom_fields import custom_field_template
from procore_simulator.failures import invalid, not_found
from procore_simulator.filtering import among, flagged, ranged, select_among
from procore_simulator.inputs import choice, day, flag, money, text, to_integer
from procore_simulator.messages import Json, JsonObject, Reply
from procore_simulator.records import Record
from procore_simulator.resource import Paging, Resource
from procore_simulator.resources.financials import PURCHASE_ORDERS
from procore_simulator.resources.line_items import line_items
from procore_simulator.routing import Route, route
from procore_simulator.seeding import words
from procore_simulator.seeding.seeder import Seeder
from procore_simulator.sync import sync_route

__all__ = ["RESOURCES", "ROUTES"]

_TOOL = "commitments"
_STATUSES = (
    "Draft", "Out For Bid", "Out For Signature", "Approved", "Complete", "Terminated", "Void",
)  # fmt: skip


def _seed_subcontracts(seeder: Seeder) -> Iterator[Record]:
    rng = seeder.rng
    for index, number in enumerate(seeder.ids()):
        vendor = seeder.vendor()
        total = seeder.amount(20_000, 900_000)
        yield {
            "id": number,
            "number": f"SC-{index + 1:04d}",
            "title": f"{rng.choice(words.TRADES)} works",
            "status": rng.choice(_STATUSES),
            "executed": rng.random() < 0.5,
            "grand_total": total,
            "remaining_balance_outstanding": total,
            "retainage_percent": "5.00",
            "percentage_paid": "0.00",
            "vendor": {"id": vendor["id"], "company": vendor["name"]},
            "inclusions": None,
            "exclusions": seeder.sometimes("Scaffolding by others"),
            "contract_date": seeder.day(-200, -30),
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


def _complete_subcontract(call: Call, row: Record, before: Record | None) -> None:
    if before is None and not row.get("number"):
        row["number"] = f"SC-{next_number(call, 'work_order_contracts', prefix='SC-'):04d}"


SUBCONTRACTS = Resource(
    name="work_order_contracts",
    tool=_TOOL,
    envelope="work_order_contract",
    template={
        "id": None,
        "number": None,
        "title": None,
        "status": "Draft",
        "description": None,
        "inclusions": None,
        "exclusions": None,
        "executed": False,
        "private": True,
        "accounting_method": "amount",
        "grand_total": "0.00",
        "remaining_balance_outstanding": "0.00",
        "retainage_percent": None,
        "percentage_paid": "0.00",
        "contract_date": None,
        "contract_start_date": None,
        "issued_on_date": None,
        "vendor": None,
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
                "number", "title", "description", "inclusions", "exclusions", "origin_id",
                "origin_data", "origin_code",
            )
        },
        "status": choice("status", *_STATUSES),
        "accounting_method": choice("accounting_method", "amount", "unit"),
        "executed": flag("executed"),
        "private": flag("private"),
        "retainage_percent": money("retainage_percent"),
        "contract_date": day("contract_date"),
        "contract_start_date": day("contract_start_date"),
        "issued_on_date": day("issued_on_date"),
        "vendor_id": _read_vendor,
    },
    filters={
        "id": among("id"),
        "status": among("status"),
        "origin_id": among("origin_id"),
        "created_at": ranged("created_at"),
        "updated_at": ranged("updated_at"),
    },
    list_omits=frozenset({"line_items"}),
    custom_fields=True,
    count=24,
    seed=_seed_subcontracts,
    normalize=_complete_subcontract,
)  # fmt: skip

_ORDER_ITEMS = line_items(
    "purchase_order_contract_line_items",
    tool=_TOOL,
    holder="purchase_order_contracts",
    holder_id="purchase_order_contract_id",
)
_SUBCONTRACT_ITEMS = line_items(
    "work_order_contract_line_items",
    tool=_TOOL,
    holder="work_order_contracts",
    holder_id="work_order_contract_id",
)

_KINDS = {"PurchaseOrderContract": PURCHASE_ORDERS, "WorkOrderContract": SUBCONTRACTS}


def _both(call: Call) -> list[Record]:
    return [
        {**row, "type": kind}
        for kind, resource in _KINDS.items()
        for row in call.collection(resource.name).rows()
    ]


def _one_of_both(call: Call) -> Record:
    number = call.item_id()
    found = next((row for row in _both(call) if row["id"] == number), None)
    if found is None:
        raise not_found()
    call.record_id = number
    return found


def _of_first(_call: Call, shown: Record, _listed: bool) -> Record:  # noqa: FBT001 - Resource.present's shape
    vendor = shown["vendor"]
    shown["vendor"] = vendor and {"id": vendor["id"], "name": vendor["company"]}
    return {name: shown[name] for name in _FIRST}


_FIRST = (
    "id", "type", "number", "title", "status", "description", "executed", "private", "vendor",
    "grand_total", "created_at", "updated_at",
)  # fmt: skip
_TEMPLATE = {**SUBCONTRACTS.template, **PURCHASE_ORDERS.template, "type": None}
_COMMITMENTS = Resource(name="commitments", tool=_TOOL, template=_TEMPLATE, present=_of_first)


def _of_second(_call: Call, shown: Record, _listed: bool) -> Record:  # noqa: FBT001 - Resource.present's shape
    vendor = shown["vendor"]
    shown["vendor_id"] = vendor and vendor["id"]
    shown["vendor"] = vendor and {"name": vendor["company"]}
    return {name: shown[name] for name in (*_FIRST, "vendor_id", "custom_fields")}


_CONTRACTS = Resource(
    name="commitment_contracts",
    tool=_TOOL,
    template=_TEMPLATE,
    paging=Paging(default=10, maximum=100),
    filters={
        "type": among("type"),
        "status": among("status"),
        "executed": flagged("executed"),
        "updated_at": ranged("updated_at"),
    },
    present=_of_second,
)


def _list_first(call: Call) -> Reply:
    return list_reply(_COMMITMENTS, call, _both(call))


def _show_first(call: Call) -> Reply:
    return show_reply(_COMMITMENTS, call, _one_of_both(call))


def _list_second(call: Call) -> Reply:
    rows = select_among(_CONTRACTS, _both(call), call.request.query)
    return list_reply(_CONTRACTS, call, rows, v2=True)


def _show_second(call: Call) -> Reply:
    return show_reply(_CONTRACTS, call, _one_of_both(call), v2=True)


def _create_second(call: Call) -> Reply:
    """Create either kind, told by ``type``; the body is flat."""
    kind = str(call.body.get("type"))
    if kind not in _KINDS:
        raise invalid({"type": ["is not included in the list"]})
    row = insert(_KINDS[kind], call, call.body)
    return show_reply(_CONTRACTS, call, {**row, "type": kind}, status=201, v2=True)


def _update_second(call: Call) -> Reply:
    found = _one_of_both(call)
    resource = _KINDS[found["type"]]
    row = change_row(resource, call, stored(resource, call), call.body)
    return show_reply(_CONTRACTS, call, {**row, "type": found["type"]}, v2=True)


def _delete_second(call: Call) -> Reply:
    found = _one_of_both(call)
    call.collection(_KINDS[found["type"]].name).remove(found["id"])
    return Reply(status=204)


_route = partial(route, tool=_TOOL)
_FIRST_PATH = "/rest/v1.0/commitments"
_SECOND_PATH = "/rest/v2.0/companies/{company_id}/projects/{project_id}/commitment_contracts"
_SUBCONTRACTS = "/rest/v1.0/work_order_contracts"
_SUBCONTRACT_LINES = f"{_SUBCONTRACTS}/{{work_order_contract_id}}/line_items"
_ORDER_LINES = "/rest/v1.0/purchase_order_contracts/{purchase_order_contract_id}/line_items"
RESOURCES = (SUBCONTRACTS, _ORDER_ITEMS.resource, _SUBCONTRACT_ITEMS.resource)
ROUTES: tuple[Route, ...] = (
    *crud_routes(SUBCONTRACTS, _SUBCONTRACTS, "LSCUD"),
    sync_route(SUBCONTRACTS, f"{_SUBCONTRACTS}/sync"),
    *_SUBCONTRACT_ITEMS.routes(_SUBCONTRACT_LINES),
    sync_route(_SUBCONTRACT_ITEMS.resource, f"{_SUBCONTRACT_LINES}/sync"),
    *_ORDER_ITEMS.routes(_ORDER_LINES),
    sync_route(_ORDER_ITEMS.resource, f"{_ORDER_LINES}/sync"),
    _route("GET", _FIRST_PATH, _list_first, "commitments"),
    _route("GET", f"{_FIRST_PATH}/{{id}}", _show_first, "commitments"),
    _route("GET", _SECOND_PATH, _list_second, "commitment_contracts"),
    _route("POST", _SECOND_PATH, _create_second, "commitment_contracts"),
    _route("GET", f"{_SECOND_PATH}/{{id}}", _show_second, "commitment_contracts"),
    _route("PATCH", f"{_SECOND_PATH}/{{id}}", _update_second, "commitment_contracts"),
    _route("DELETE", f"{_SECOND_PATH}/{{id}}", _delete_second, "commitment_contracts"),
)
