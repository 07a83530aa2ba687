"""Projects, and the vendors that work on them."""

from collections.abc import Iterator
from functools import partial

from procore_simulator.calls import Call
from procore_simulator.crud import (
    apply,
    change,
    creating,
    crud_routes,
    envelope_of,
    insert,
    list_reply,
    show_reply,
    stored,
)
from procore_simulator.custom_fields import custom_field_template
from procore_simulator.failures import invalid, missing_parameter, not_found
from procore_simulator.filtering import among, containing, ranged, selected_rows
from procore_simulator.inputs import day, flag, kept, money, text
from procore_simulator.messages import Reply, json_reply
from procore_simulator.paging import page_of
from procore_simulator.records import Record
from procore_simulator.resource import Paging, Resource
from procore_simulator.resources.companies import VENDORS
from procore_simulator.resources.time_zones import TIME_ZONES
from procore_simulator.routing import Handler, Reach, Route, route
from procore_simulator.seeding.seeder import Seeder
from procore_simulator.sync import sync_route
from procore_simulator.tenancy import Project

__all__ = ["RESOURCES", "ROUTES"]

_IDS_PAGING = Paging(default=200_000, maximum=200_000)
"""``view=ids`` forces the page size."""


def _seed_projects(seeder: Seeder) -> Iterator[Record]:
    rng = seeder.rng
    stages = ("Bidding", "Pre-Construction", "Course of Construction", "Warranty")
    for index, project in enumerate(seeder.world.projects_of(seeder.company)):
        if not project.seeded:
            continue
        stage = rng.randrange(len(stages))
        row: Record = {
            "id": project.id,
            "name": project.name,
            "display_name": f"{index + 1:03d} - {project.name}",
            "project_number": f"{index + 1:03d}",
            "active": not project.name.startswith("Old Mill"),
            "time_zone": "Pacific Time (US & Canada)",
            "project_stage": {"id": seeder.company.first_id + 801 + stage, "name": stages[stage]},
            "company": {"id": seeder.company.id, "name": seeder.company.name},
            **seeder.times(-500, -2),
        }
        # Most address and date fields of real projects are null.
        if index % 2 == 0:
            row |= seeder.address()
            row["start_date"] = seeder.day(-300, -100)
            row["completion_date"] = seeder.day(100, 500)
            row["total_value"] = seeder.amount(1_000_000, 90_000_000)
        yield row


def _complete_project(call: Call, row: Record, before: Record | None) -> None:
    zone = row.get("time_zone")
    if zone is not None and zone not in TIME_ZONES:
        raise invalid({"time_zone": ["is not included in the list"]})
    number = row.get("project_number")
    row["display_name"] = f"{number} - {row['name']}" if number else row["name"]
    row["company"] = {"id": call.home.id, "name": call.home.name}
    if before is None:
        call.world.add_project(
            Project(id=row["id"], name=row["name"], company=call.home, ordinal=0, seeded=False)
        )
        if call.home.permitted_projects is not None:
            # The creator may enter what it created; others stay as configured.
            call.home.permitted_projects |= {row["id"]}


PROJECTS = Resource(
    name="projects",
    tool="projects",
    envelope="project",
    template={
        "id": None,
        "name": None,
        "display_name": None,
        "project_number": None,
        "active": True,
        "address": None,
        "city": None,
        "state_code": None,
        "country_code": None,
        "county": None,
        "zip": None,
        "latitude": None,
        "longitude": None,
        "phone": None,
        "time_zone": None,
        "description": None,
        "start_date": None,
        "completion_date": None,
        "projected_finish_date": None,
        "estimated_start_date": None,
        "estimated_completion_date": None,
        "total_value": None,
        "estimated_value": None,
        "square_feet": None,
        "project_stage": None,
        "project_type": None,
        "project_region": None,
        "program": None,
        "owner": None,
        "office": None,
        "is_demo": False,
        "logo_url": None,
        "store_number": None,
        "origin_id": None,
        "origin_data": None,
        "origin_code": None,
        "company": None,
        "custom_fields": custom_field_template(),
        "created_at": None,
        "updated_at": None,
    },
    inputs={
        **{
            name: text(name)
            for name in (
                "name", "project_number", "address", "city", "state_code", "country_code",
                "county", "zip", "phone", "time_zone", "description", "store_number",
                "origin_id", "origin_data", "origin_code",
            )
        },
        "active": flag("active"),
        "start_date": day("start_date"),
        "completion_date": day("completion_date"),
        "projected_finish_date": day("projected_finish_date"),
        "estimated_start_date": day("estimated_start_date"),
        "estimated_completion_date": day("estimated_completion_date"),
        "total_value": money("total_value"),
        "estimated_value": money("estimated_value"),
        "square_feet": kept("square_feet"),
    },
    required=("name",),
    paging=Paging(default=100, maximum=300),
    filters={
        "id": among("id"),
        "name": among("name"),
        "search": containing("name", "project_number"),
        "origin_id": among("origin_id"),
        "created_at": ranged("created_at"),
        "updated_at": ranged("updated_at"),
    },
    sorts=frozenset({"id", "name", "project_number", "created_at", "updated_at"}),
    custom_fields=True,
    company_wide=True,
    seed=_seed_projects,
    normalize=_complete_project,
)  # fmt: skip

_COMPACT = ("id", "name", "display_name", "project_number", "active", "origin_id")


def _visible(call: Call) -> list[Record]:
    rows = selected_rows(
        PROJECTS,
        call.collection("projects"),
        call.request.query,
        today=call.world.clock.today(),
    )
    wanted = (call.request.argument("filters[by_status]") or "Active").lower()
    return [
        row
        for row in rows
        if (wanted == "all" or row.get("active", True) == (wanted == "active"))
        and call.world.permits(call.principal, call.world.projects[row["id"]])
    ]


def _list_projects(view_argument: str) -> Handler:
    def handle(call: Call) -> Reply:
        rows = _visible(call)
        view = call.request.argument(view_argument)
        if view == "ids":
            page = page_of(
                rows,
                [pair for pair in call.request.query if pair[0] != "per_page"],
                _IDS_PAGING,
                url=call.url,
                keep_query=call.behaviour.link_keeps_query,
            )
            return json_reply([row["id"] for row in page.rows], headers=page.headers)
        if view == "compact":
            rows = [{name: row.get(name) for name in _COMPACT} for row in rows]
            page = page_of(
                rows,
                call.request.query,
                PROJECTS.paging,
                url=call.url,
                keep_query=call.behaviour.link_keeps_query,
            )
            return json_reply(page.rows, headers=page.headers)
        return list_reply(PROJECTS, call, rows)

    return handle


def _company_projects(call: Call) -> Reply:
    rows = [
        {
            "id": row["id"],
            "name": row["name"],
            "project_number": row.get("project_number"),
            "address": {
                "street": row.get("address"),
                "city": row.get("city"),
                "state_code": row.get("state_code"),
                "country_code": row.get("country_code"),
                "zip": row.get("zip"),
            },
            "stage_name": (row.get("project_stage") or {}).get("name"),
            "status_name": "Active" if row.get("active", True) else "Inactive",
        }
        for row in _visible(call)
    ]
    return json_reply(rows)


def _project_row(call: Call) -> Record:
    row = call.collection("projects").get(call.site.id)
    if row is None:
        raise not_found("Project")
    call.record_id = row["id"]
    return row


def _show_project(call: Call) -> Reply:
    if call.request.argument("company_id") is None:
        raise missing_parameter("company_id")
    return show_reply(PROJECTS, call, _project_row(call))


def _update_project(call: Call) -> Reply:
    if "company_id" not in call.body:
        raise missing_parameter("company_id")
    sent = envelope_of(PROJECTS, call.body)
    row = change(PROJECTS, call, _project_row(call), sent)
    call.site.name = row["name"]
    return show_reply(PROJECTS, call, row)


def _seed_project_vendors(seeder: Seeder) -> Iterator[Record]:
    for vendor in seeder.world.rows("vendors", company=seeder.company)[: seeder.count]:
        yield dict(vendor)


PROJECT_VENDORS = Resource(
    name="project_vendors",
    tool="directory",
    envelope="vendor",
    template=VENDORS.template,
    inputs=VENDORS.inputs,
    required=("name",),
    filters=VENDORS.filters,
    sorts=VENDORS.sorts,
    count=18,
    seed=_seed_project_vendors,
)


def _create_project_vendor(call: Call) -> Reply:
    row = insert(VENDORS, call, envelope_of(VENDORS, call.body))
    call.collection("project_vendors").put(dict(row))
    return show_reply(PROJECT_VENDORS, call, row, status=201)


def _update_project_vendor(call: Call) -> Reply:
    row = stored(PROJECT_VENDORS, call)
    sent = envelope_of(PROJECT_VENDORS, call.body)
    row = change(PROJECT_VENDORS, call, row, sent)
    in_company = call.lookup("vendors", row["id"])
    if in_company is not None:
        call.collection("vendors").put(apply(VENDORS, call, sent, in_company))
    return show_reply(PROJECT_VENDORS, call, row)


def _add_project_vendor(call: Call) -> Reply:
    vendor = call.lookup("vendors", call.item_id())
    if vendor is None:
        raise not_found("Vendor")
    call.collection("project_vendors").put(dict(vendor))
    call.record_id = vendor["id"]
    return show_reply(PROJECT_VENDORS, call, vendor, status=201)


def _remove_project_vendor(call: Call) -> Reply:
    row = stored(PROJECT_VENDORS, call)
    call.collection("project_vendors").remove(row["id"])
    return Reply(status=204)


_vendor_route = partial(route, resource="project_vendors", tool="directory")
_project_route = partial(route, resource="projects", tool="projects")
_ONE = "/rest/v1.0/projects/{project_id}"
_VENDORS = "/rest/v1.1/projects/{project_id}/vendors"
RESOURCES = (PROJECTS, PROJECT_VENDORS)
ROUTES: tuple[Route, ...] = (
    _project_route("GET", "/rest/v1.1/projects", _list_projects("view"), reach=Reach.COMPANY),
    _project_route(
        "GET", "/rest/v1.0/projects", _list_projects("serializer_view"), reach=Reach.COMPANY
    ),
    _project_route(
        "GET", "/rest/v1.0/companies/{company_id}/projects", _company_projects, reach=Reach.COMPANY
    ),
    _project_route("POST", "/rest/v1.0/projects", creating(PROJECTS), reach=Reach.COMPANY),
    _project_route("GET", _ONE, _show_project),
    _project_route("PATCH", _ONE, _update_project),
    sync_route(PROJECTS, "/rest/v1.0/projects/sync"),
    *crud_routes(PROJECT_VENDORS, _VENDORS, "LS"),
    _vendor_route("POST", _VENDORS, _create_project_vendor),
    _vendor_route("PATCH", f"{_VENDORS}/{{id}}", _update_project_vendor),
    _vendor_route("POST", f"{_VENDORS}/{{id}}/actions/add", _add_project_vendor),
    _vendor_route("DELETE", f"{_VENDORS}/{{id}}/actions/remove", _remove_project_vendor),
)
