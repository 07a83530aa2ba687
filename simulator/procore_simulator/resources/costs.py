"""Direct costs with their line items, cost types, and sub jobs."""

from collections.abc import Iterator
from decimal import Decimal

from procore_simulator.calls import Call
from procore_simulator.crud import crud_routes, stored
from procore_simulator.failures import conflict
from procore_simulator.filtering import among, ranged
from procore_simulator.inputs import choice, day, kept, money, objects, reference, text
from procore_simulator.messages import Reply, json_reply
from procore_simulator.records import Record
from procore_simulator.resource import Resource
from procore_simulator.resources.line_items import line_items
from procore_simulator.routing import Route, route
from procore_simulator.seeding.seeder import Seeder
from procore_simulator.sync import sync_route

__all__ = ["RESOURCES", "ROUTES"]

_COST_TYPES = (
    ("Labor", "L", "labor"),
    ("Equipment", "E", "equipment"),
    ("Materials", "M", "materials"),
    ("Commitment", "C", "commitment"),
    ("Owner cost", "OC", "owner_cost"),
    ("Professional services", "SVC", "professional_services"),
    ("Other", "O", "other"),
)


def _seed_types(seeder: Seeder) -> Iterator[Record]:
    for number, (name, code, base) in zip(seeder.ids(), _COST_TYPES, strict=False):
        yield {"id": number, "name": name, "code": code, "base_type": base}


TYPES = Resource(
    name="line_item_types",
    tool="cost_codes",
    envelope="line_item_type",
    template={
        "id": None,
        "name": None,
        "code": None,
        "base_type": None,
        "origin_id": None,
        "origin_data": None,
    },
    inputs={
        "name": text("name"),
        # Sent as the code of an import, shown as the code.
        "csv_import_code": text("code"),
        "base_type": choice("base_type", *(base for _, _, base in _COST_TYPES)),
        "origin_id": text("origin_id"),
        "origin_data": text("origin_data"),
    },
    company_wide=True,
    count=len(_COST_TYPES),
    seed=_seed_types,
)


def _seed_sub_jobs(seeder: Seeder) -> Iterator[Record]:
    for number, name in zip(seeder.ids(), ("Tower", "Podium", "Landscape"), strict=False):
        yield {"id": number, "name": name, "code": name[:3].upper(), **seeder.times(-400, -300)}


SUB_JOBS = Resource(
    name="sub_jobs",
    tool="cost_codes",
    envelope="sub_job",
    template={
        "id": None,
        "name": None,
        "code": None,
        "origin_id": None,
        "origin_data": None,
        "created_at": None,
        "updated_at": None,
    },
    inputs={name: text(name) for name in ("name", "code", "origin_id", "origin_data")},
    count=3,
    seed=_seed_sub_jobs,
)


def _seed_costs(seeder: Seeder) -> Iterator[Record]:
    rng = seeder.rng
    for index, number in enumerate(seeder.ids()):
        vendor = seeder.vendor()
        yield {
            "id": number,
            "direct_cost_type": rng.choice(("invoice", "expense", "payroll")),
            "invoice_number": f"INV-{index + 1:05d}",
            "status": rng.choice(("draft", "pending", "revise_and_resubmit", "approved")),
            "direct_cost_date": seeder.day(-120, -1),
            "received_date": seeder.day(-120, -1),
            "payment_date": seeder.day(-60, 30) if rng.random() < 0.6 else None,
            "grand_total": seeder.amount(90, 20_000),
            "vendor": vendor,
            **seeder.times(),
        }


def _told_of_vendor(_call: Call, shown: Record, listed: bool) -> Record:  # noqa: FBT001 - Resource.present's shape
    vendor = shown["vendor"]
    shown["vendor_id"] = vendor and vendor["id"]
    shown["vendor_name"] = vendor and vendor["name"]
    if listed:
        # The list says the vendor's name where the show has the vendor.
        shown["vendor"] = shown["vendor_name"]
        shown["amount"] = shown["grand_total"]
    return shown


_AMOUNT = money("manual_amount")


def _complete_cost(call: Call, row: Record, _before: Record | None) -> None:
    sent = row.pop("new_line_items", None)
    if sent is not None:
        items = objects(sent, "line_items")
        amounts = [_AMOUNT(item.get("manual_amount") or 0, call) for item in items]
        total = sum(Decimal(amount["manual_amount"]) for amount in amounts)
        row["grand_total"] = f"{total:.2f}"
        row["line_items_count"] = len(items)
    row["attachments_count"] = len(row.get("attachments", ()))


COSTS = Resource(
    name="direct_costs",
    tool="direct_costs",
    envelope="direct_cost",
    template={
        "id": None,
        "direct_cost_type": None,
        "invoice_number": None,
        "status": "draft",
        "description": None,
        "terms": None,
        "direct_cost_date": None,
        "received_date": None,
        "payment_date": None,
        "grand_total": "0.00",
        "vendor": None,
        "employee": None,
        "line_items_count": 0,
        "attachments": [],
        "attachments_count": 0,
        "origin_id": None,
        "origin_data": None,
        "created_at": None,
        "updated_at": None,
        "deleted_at": None,
    },
    inputs={
        **{
            name: text(name)
            for name in ("invoice_number", "description", "terms", "origin_id", "origin_data")
        },
        "direct_cost_type": choice(
            "direct_cost_type", "invoice", "expense", "payroll", "subcontractor_invoice"
        ),
        "status": choice("status", "draft", "pending", "revise_and_resubmit", "approved"),
        "direct_cost_date": day("direct_cost_date"),
        "received_date": day("received_date"),
        "payment_date": day("payment_date"),
        "vendor_id": reference("vendor", "vendors"),
        "line_items": kept("new_line_items"),
    },
    required=("invoice_number", "vendor_id", "direct_cost_type"),
    filters={
        "id": among("id"),
        "origin_id": among("origin_id"),
        "invoice_number": among("invoice_number"),
        "payment_date": ranged("payment_date"),
        "received_date": ranged("received_date"),
        "created_at": ranged("created_at"),
        "updated_at": ranged("updated_at"),
    },
    list_omits=frozenset({"line_items_count", "attachments", "attachments_count"}),
    count=30,
    seed=_seed_costs,
    normalize=_complete_cost,
    present=_told_of_vendor,
)


def _delete_cost(call: Call) -> Reply:
    """Delete, unless somebody approved it meanwhile and so locked it."""
    row = stored(COSTS, call)
    if row.get("status") == "approved":
        raise conflict("The direct cost is locked")
    call.collection("direct_costs").remove(row["id"])
    return json_reply({"id": row["id"]})


ITEMS = line_items(
    "direct_cost_line_items",
    tool="direct_costs",
    holder="direct_costs",
    holder_id="direct_cost_id",
)

_COSTS = "/rest/v1.1/projects/{project_id}/direct_costs"
_OLD_COSTS = "/rest/v1.0/projects/{project_id}/direct_costs"
RESOURCES = (TYPES, SUB_JOBS, COSTS, ITEMS.resource)
ROUTES: tuple[Route, ...] = (
    *crud_routes(TYPES, "/rest/v1.0/line_item_types", "LSCU"),
    sync_route(TYPES, "/rest/v1.0/line_item_types/sync"),
    *crud_routes(SUB_JOBS, "/rest/v1.0/sub_jobs", "LSCUD"),
    sync_route(SUB_JOBS, "/rest/v1.0/sub_jobs/sync"),
    *crud_routes(COSTS, _COSTS, "LSCU"),
    route("DELETE", f"{_COSTS}/{{id}}", _delete_cost, "direct_costs", tool="direct_costs"),
    sync_route(COSTS, f"{_OLD_COSTS}/sync"),
    *ITEMS.routes(f"{_OLD_COSTS}/{{direct_cost_id}}/line_items"),
    sync_route(ITEMS.resource, f"{_OLD_COSTS}/line_items/sync"),
)
