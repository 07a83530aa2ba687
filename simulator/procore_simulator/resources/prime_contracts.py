"""Prime contracts: listed in the plural, shown in the singular; and their second generation."""

from collections.abc import Iterator
from dataclasses import replace

from procore_simulator.calls import Call
from procore_simulator.crud import crud_routes, next_number, show_reply
from procore_simulator.custom_fields import custom_field_template
from procore_simulator.failures import not_found
from procore_simulator.filtering import among, flagged, ranged
from procore_simulator.inputs import choice, day, flag, money, reference, text
from procore_simulator.messages import Json, Reply
from procore_simulator.records import Record
from procore_simulator.resource import Paging, Resource
from procore_simulator.resources.line_items import line_items
from procore_simulator.routing import Route, route
from procore_simulator.seeding.seeder import Seeder
from procore_simulator.sync import sync_route

__all__ = ["RESOURCES", "ROUTES"]

_STATUSES = ("Draft", "Out For Bid", "Out For Signature", "Approved", "Complete", "Terminated")


def _seed(seeder: Seeder) -> Iterator[Record]:
    rng = seeder.rng
    for index, number in enumerate(seeder.ids()):
        total = seeder.amount(900_000, 9_000_000)
        yield {
            "id": number,
            "number": f"PC-{index + 1:03d}",
            "title": "Main contract" if index == 0 else f"Enabling works {index}",
            "status": rng.choice(_STATUSES),
            "executed": index == 0,
            "private": index != 0,
            "grand_total": total,
            "revised_contract": total,
            "retainage_percent": "5.00",
            "contract_date": seeder.day(-300, -200),
            "contract_start_date": seeder.day(-200, -100),
            "vendor": seeder.vendor(),
            "contractor": seeder.vendor(),
            "architect": seeder.person(),
            "created_by": seeder.person(),
            **seeder.times(),
        }


def _complete(call: Call, row: Record, before: Record | None) -> None:
    if before is None and not row.get("number"):
        row["number"] = f"PC-{next_number(call, 'prime_contracts', prefix='PC-'):03d}"


_INPUTS = {
    **{
        name: text(name)
        for name in ("number", "title", "description", "inclusions", "exclusions", "origin_id")
    },
    "status": choice("status", *_STATUSES),
    "executed": flag("executed"),
    "private": flag("private"),
    "retainage_percent": money("retainage_percent"),
    "contract_date": day("contract_date"),
    "contract_start_date": day("contract_start_date"),
    "vendor_id": reference("vendor", "vendors"),
    "contractor_id": reference("contractor", "vendors"),
}
CONTRACTS = Resource(
    name="prime_contracts",
    tool="prime_contracts",
    envelope="prime_contract",
    template={
        "id": None,
        "number": None,
        "title": None,
        "status": "Draft",
        "description": None,
        "executed": False,
        "private": True,
        "accounting_method": "amount",
        "inclusions": None,
        "exclusions": None,
        "grand_total": "0.00",
        "revised_contract": "0.00",
        "approved_change_orders": "0.00",
        "retainage_percent": None,
        "contract_date": None,
        "contract_start_date": None,
        "vendor": None,
        "architect": None,
        "contractor": None,
        "attachments": [],
        "line_items": [],
        "origin_id": None,
        "origin_data": None,
        "custom_fields": custom_field_template(),
        "created_by": None,
        "created_at": None,
        "updated_at": None,
        "deleted_at": None,
    },
    inputs=_INPUTS,
    filters={"id": among("id"), "updated_at": ranged("updated_at")},
    list_omits=frozenset({"line_items"}),
    custom_fields=True,
    count=4,
    seed=_seed,
    normalize=_complete,
)


_FIRST_ONLY = frozenset(
    {
        "approved_change_orders", "created_by", "line_items", "origin_data", "origin_id",
        "retainage_percent",
    }
)  # fmt: skip


def _second(_call: Call, shown: Record, _listed: bool) -> Record:  # noqa: FBT001 - Resource.present's shape
    """What the second generation shows of a contract: references flat, as ids of text."""
    for name in ("vendor", "architect", "contractor"):
        whole: Json = shown.get(name)
        shown[f"{name}_id"] = None if whole is None else whole["id"]
        shown[name] = None if whole is None else {"name": whole["name"]}
    return {name: value for name, value in shown.items() if name not in _FIRST_ONLY}


# The same rows, told in another way; hence no seed of its own.
CONTRACTS_2 = Resource(
    name="prime_contracts",
    tool="prime_contracts",
    template=CONTRACTS.template,
    inputs=_INPUTS,
    paging=Paging(default=10, maximum=100),
    filters={
        "status": among("status"),
        "executed": flagged("executed"),
        "updated_at": ranged("updated_at"),
    },
    custom_fields=True,
    normalize=_complete,
    present=_second,
)

LINE_ITEMS = line_items(
    "prime_contract_line_items",
    tool="prime_contracts",
    holder="prime_contracts",
    holder_id="prime_contract_id",
)
# Told by the second generation without an envelope, page by page of its size.
LINE_ITEMS_2 = replace(
    LINE_ITEMS,
    resource=replace(
        LINE_ITEMS.resource,
        envelope=None,
        required=("wbs_code_id",),
        paging=Paging(default=10, maximum=100),
    ),
)


def _first(call: Call) -> Reply:
    rows = call.collection("prime_contracts").rows()
    if not rows:
        raise not_found()
    return show_reply(CONTRACTS, call, rows[0])


_ONE = "/rest/v1.0/prime_contract"
_MANY = "/rest/v1.0/prime_contracts"
_SECOND = "/rest/v2.0/companies/{company_id}/projects/{project_id}/prime_contracts"
RESOURCES = (CONTRACTS, LINE_ITEMS.resource)
ROUTES: tuple[Route, ...] = (
    *crud_routes(CONTRACTS, _MANY, "L"),
    route("GET", _ONE, _first, "prime_contracts", tool="prime_contracts"),
    *crud_routes(CONTRACTS, _ONE, "SCUD"),
    *LINE_ITEMS.routes(f"{_MANY}/{{prime_contract_id}}/line_items"),
    sync_route(LINE_ITEMS.resource, f"{_MANY}/{{prime_contract_id}}/line_items/sync"),
    *crud_routes(CONTRACTS_2, _SECOND, "LSCUD", v2=True, deleted=204),
    *LINE_ITEMS_2.routes(f"{_SECOND}/{{prime_contract_id}}/line_items", v2=True, created=200),
)
