"""Budgets: views whose rows have the columns that somebody set up, lines, and changes."""

from collections.abc import Iterator
from decimal import Decimal
from functools import partial

from procore_simulator.calls import Call
from procore_simulator.crud import (
    change,
    creating,
    crud_routes,
    insert,
    list_reply,
    next_number,
    present,
    showing,
    stored,
    updating,
)
from procore_simulator.failures import ApiError, invalid, not_found
from procore_simulator.filtering import among, ranged
from procore_simulator.inputs import choice, integer, kept, objects, reference, text, to_integer
from procore_simulator.messages import Json, JsonObject, Reply, json_reply
from procore_simulator.records import Record
from procore_simulator.resource import UNPAGED, Paging, Resource
from procore_simulator.resources.nested import holder_of
from procore_simulator.routing import Handler, Route, route
from procore_simulator.seeding.seeder import Seeder

__all__ = ["RESOURCES", "ROUTES"]

_TOOL = "budget"

# Columns as companies name them: with blanks, slashes, brackets, dots and signs.
_COLUMNS = {
    "Procore Standard Budget": (
        "Original Budget Amount",
        "Approved Budget Changes",
        "Cost to Date",
        "% Complete",
        "Total Variance (Over) / Under $",
    ),
    "Forecast (incl. risk)": ("Job to Date Costs", "Est. Cost at Completion", "Projected O/U"),
}


def _seed_views(seeder: Seeder) -> Iterator[Record]:
    for number, name in zip(seeder.ids(), _COLUMNS, strict=False):
        yield {
            "id": number,
            "name": name,
            "description": None,
            "role": "default" if name.startswith("Procore") else "custom",
            "created_by": seeder.person(),
            **seeder.times(-400, -300),
        }


def _with_links(call: Call, shown: Record, _listed: bool) -> Record:  # noqa: FBT001 - Resource.present's shape
    view = f"{call.base_url}/rest/v1.0/budget_views/{shown['id']}"
    shown["links"] = {
        kind: f"{view}/{kind}?project_id={call.site.id}" for kind in ("detail_rows", "summary_rows")
    }
    return shown


VIEWS = Resource(
    name="budget_views",
    tool=_TOOL,
    template={
        "id": None,
        "name": None,
        "description": None,
        "role": None,
        "links": None,
        "created_by": None,
        "created_at": None,
        "updated_at": None,
    },
    sorts=frozenset({"created_at"}),
    count=len(_COLUMNS),
    seed=_seed_views,
    present=_with_links,
)


def _seed_wbs(seeder: Seeder) -> Iterator[Record]:
    codes = seeder.rows("cost_codes")
    for index, number in enumerate(seeder.ids()):
        code = codes[index % len(codes)]
        kind = ("L", "M", "C")[index % 3]
        yield {
            "id": number,
            "flat_code": f"{code['full_code']}.{kind}{index // len(codes) or ''}",
            "flat_name": f"{code['name']}.{kind}",
            "description": f"{code['name']}, {kind}",
            "status": "inactive" if index % 9 == 8 else "active",
            "segment_items": [{"id": code["id"], "code": code["full_code"], "name": code["name"]}],
            "wbs_pattern_id": 1,
            **seeder.times(-400, -200),
        }


WBS_CODES = Resource(
    name="wbs_codes",
    tool=_TOOL,
    template={
        "id": None,
        "flat_code": None,
        "flat_name": None,
        "description": None,
        "status": "active",
        "segment_items": [],
        "wbs_pattern_id": None,
        "created_at": None,
        "updated_at": None,
    },
    filters={"status": among("status"), "updated_at": ranged("updated_at")},
    count=30,
    seed=_seed_wbs,
)


def _amount(value: Json, _call: Call) -> JsonObject:
    try:
        return {"original_budget_amount": float(Decimal(str(value)))}
    except ArithmeticError as exc:
        raise invalid({"original_budget_amount": ["is not a number"]}) from exc


def _seed_lines(seeder: Seeder) -> Iterator[Record]:
    codes = seeder.rows("wbs_codes")
    for index, number in enumerate(seeder.ids()):
        code = codes[index % len(codes)]
        yield {
            "id": number,
            "original_budget_amount": float(seeder.amount(1_000, 250_000)),
            "wbs_code": {key: code[key] for key in ("id", "flat_code", "description")},
        }


LINES = Resource(
    name="budget_line_items",
    tool=_TOOL,
    envelope="budget_line_item",
    template={
        "id": None,
        "original_budget_amount": 0.0,
        "uom": None,
        "quantity": None,
        "unit_cost": None,
        "calculation_strategy": "manual",
        "wbs_code": None,
        "currency_configuration": {"currency_iso_code": "USD"},
    },
    inputs={
        "wbs_code_id": reference("wbs_code", "wbs_codes", "id", "flat_code", "description"),
        "original_budget_amount": _amount,
        "uom": text("uom"),
        "calculation_strategy": choice("calculation_strategy", "automatic", "manual"),
    },
    required=("wbs_code_id",),
    count=24,
    seed=_seed_lines,
)


def _column(line: Record, name: str, place: int) -> str:
    budget = Decimal(str(line["original_budget_amount"]))
    if name == "% Complete":
        return f"{(line['id'] * 7) % 101}.00"
    share = Decimal((line["id"] * (place + 3)) % 97 - 20) / 100
    return f"{budget if place == 0 else budget * share:.2f}"


def _details(call: Call, view: Record) -> list[Record]:
    rows: list[Record] = []
    for line in call.collection("budget_line_items").rows():
        code = call.lookup("wbs_codes", line["wbs_code"]["id"]) or {}
        segment = code["segment_items"][0]
        original = f"{Decimal(str(line['original_budget_amount'])):.2f}"
        columns = {
            name: _column(line, name, place) for place, name in enumerate(_COLUMNS[view["name"]])
        }
        rows.append(
            {
                "id": line["id"],
                "deletable": True,
                "company_id": call.home.id,
                "company": call.home.name,
                "project_id": call.site.id,
                "project": call.site.name,
                "wbs_code_id": code["id"],
                "biller": call.site.name,
                "biller_id": call.site.id,
                "biller_type": "Project",
                "root_cost_code": segment["code"][:2],
                "root_cost_code_id": None,
                "cost_code": f"{segment['code']} - {segment['name']}",
                "cost_code_id": segment["id"],
                "cost_code_origin_id": None,
                "category": code["flat_name"].rpartition(".")[2],
                "category_id": None,
                "original_budget_amount": original,
                "budget_modifications": "0.00",
                "budget_forecast": None,
                "currency_configuration": {"currency_iso_code": "USD"},
                **columns,
            }
        )
    return rows


_ROWS = Resource(
    name="budget_rows",
    tool=_TOOL,
    template={},
    paging=Paging(default=100, maximum=1_000),
    count=0,
)


def _detail_rows(call: Call) -> Reply:
    rows = _details(call, holder_of(call, "budget_views", "budget_view_id"))
    wanted = {value for key, value in call.request.query if key == "cost_code_id[]"}
    if wanted:
        rows = [row for row in rows if str(row["cost_code_id"]) in wanted]
    return list_reply(_ROWS, call, rows)


def _summary_rows(call: Call) -> Reply:
    view = holder_of(call, "budget_views", "budget_view_id")
    sums: dict[str, Record] = {}
    for row in _details(call, view):
        division = row["root_cost_code"]
        total = sums.setdefault(
            division,
            {
                "id": f"root_cost_code-{division}",
                "name": f"Division {division}",
                "biller_type": "Project",
                "original_budget_amount": "0.00",
                "budget_modifications": "0.00",
                "budget_forecast": None,
                "currency_configuration": {"currency_iso_code": "USD"},
                **dict.fromkeys(_COLUMNS[view["name"]], "0.00"),
            },
        )
        for name in ("original_budget_amount", *_COLUMNS[view["name"]]):
            total[name] = f"{Decimal(total[name]) + Decimal(row[name]):.2f}"
    return list_reply(_ROWS, call, list(sums.values()))


def _sync_lines(call: Call) -> Reply:
    """Upsert; unlike every other sync, it answers the bare list."""
    made: list[Record] = []
    for item in objects(call.body.get("budget_line_items"), "budget_line_items"):
        number = to_integer(item.get("id"))
        row = None if number is None else call.lookup("budget_line_items", number)
        if number is not None and row is None:
            raise not_found()
        made.append(insert(LINES, call, item) if row is None else change(LINES, call, row, item))
    return json_reply([present(LINES, call, row) for row in made])


def _remove_line(call: Call) -> Reply:
    row = stored(LINES, call)
    call.collection("budget_line_items").remove(row["id"])
    return Reply(status=204)


def _seed_changes(seeder: Seeder) -> Iterator[Record]:
    for index, number in enumerate(seeder.ids()):
        yield {
            "id": number,
            "number": index + 1,
            "title": f"Budget change {index + 1}",
            "status": ("draft", "under_review", "approved")[index % 3],
            "created_by": seeder.person(),
            **seeder.times(),
        }


def _complete_change(call: Call, row: Record, before: Record | None) -> None:
    if before is None and row.get("number") is None:
        row["number"] = next_number(call, "budget_changes")


CHANGES = Resource(
    name="budget_changes",
    tool=_TOOL,
    template={
        "id": None,
        "number": None,
        "title": None,
        "status": "draft",
        "description": None,
        "adjustment_line_items": [],
        "production_quantities": [],
        "attachments": [],
        "created_by": None,
        "created_at": None,
        "updated_at": None,
    },
    inputs={
        "number": integer("number"),
        "title": text("title"),
        "description": text("description"),
        "status": choice("status", "draft", "approved", "under_review", "void"),
        "adjustment_line_items": kept("adjustment_line_items"),
    },
    required=("status",),
    paging=UNPAGED,
    count=9,
    seed=_seed_changes,
    normalize=_complete_change,
)


def _under_data(handler: Handler) -> Handler:
    """Answer under ``data``, which this family does although its version is 1.0."""

    def handle(call: Call) -> Reply:
        try:
            reply = handler(call)
        except ApiError as exc:
            # Their errors are a list of texts, not the generic object.
            exc.payload = {"errors": [exc.message]}
            raise
        return Reply(
            status=reply.status,
            body=b'{"data":' + reply.body + b"}",
            content_type=reply.content_type,
        )

    return handle


def _list_changes(call: Call) -> Reply:
    return list_reply(CHANGES, call, call.collection("budget_changes").rows())


_route = partial(route, tool=_TOOL)
_VIEW = "/rest/v1.0/budget_views/{budget_view_id}"
_CHANGES = "/rest/v1.0/projects/{project_id}/budget_changes"
RESOURCES = (VIEWS, WBS_CODES, LINES, CHANGES)
ROUTES: tuple[Route, ...] = (
    *crud_routes(VIEWS, "/rest/v1.0/budget_views", "L"),
    _route("GET", f"{_VIEW}/detail_rows", _detail_rows, "budget_detail_rows"),
    _route("GET", f"{_VIEW}/summary_rows", _summary_rows, "budget_summary_rows"),
    *crud_routes(
        WBS_CODES, "/rest/v1.0/projects/{project_id}/work_breakdown_structure/wbs_codes", "L"
    ),
    *crud_routes(LINES, "/rest/v1.1/budget_line_items", "SCU"),
    _route("POST", "/rest/v1.0/budget_line_items/sync", _sync_lines, "budget_line_items"),
    _route(
        "DELETE",
        "/rest/v2.0/companies/{company_id}/projects/{project_id}/budget_line_items/{id}",
        _remove_line,
        "budget_line_items",
    ),
    _route(
        "GET",
        "/rest/v1.0/projects/{project_id}/budget",
        lambda _call: json_reply({"locked": False}),
        "budget",
    ),
    _route("GET", _CHANGES, _under_data(_list_changes), "budget_changes"),
    _route("POST", _CHANGES, _under_data(creating(CHANGES)), "budget_changes"),
    _route("GET", f"{_CHANGES}/{{id}}", _under_data(showing(CHANGES)), "budget_changes"),
    _route("PATCH", f"{_CHANGES}/{{id}}", _under_data(updating(CHANGES)), "budget_changes"),
    *crud_routes(CHANGES, _CHANGES, "D", deleted=204),
)
