"""The caller, the companies in reach, and what belongs to a company as such."""

from collections.abc import Iterator

from procore_simulator.calls import Call
from procore_simulator.crud import crud_routes, list_reply
from procore_simulator.failures import ApiError
from procore_simulator.filtering import among, containing, flagged, ranged
from procore_simulator.inputs import flag, kept, text, to_integer
from procore_simulator.messages import JsonObject, Reply, json_reply
from procore_simulator.records import Record
from procore_simulator.resource import Paging, Resource
from procore_simulator.routing import Reach, Route, route
from procore_simulator.seeding import words
from procore_simulator.seeding.seeder import Seeder
from procore_simulator.sync import sync_route
from procore_simulator.tenancy import Level, Project

__all__ = ["RESOURCES", "ROUTES", "TOOLS"]

TOOLS = (
    "directory", "projects", "rfis", "submittals", "punch_list", "observations", "daily_log",
    "documents", "photos", "commitments", "cost_codes", "locations", "tasks", "meetings",
    "change_events", "admin", "bidding", "budget", "change_orders", "coordination_issues",
    "correspondence", "direct_costs", "drawings", "equipment", "forms", "incidents", "inspections",
    "prime_contracts", "schedule", "specifications", "timecard", "webhooks",
)  # fmt: skip
"""The tools that a caller's permissions tell of."""

COMPANIES = Resource(
    name="companies",
    tool="companies",
    template={
        "id": None,
        "name": None,
        "is_active": True,
        "logo_url": None,
        "my_company": False,
        "pcn_business_experience": None,
    },
    paging=Paging(default=100, maximum=10_000),
    company_wide=True,
)


def _companies(call: Call) -> Reply:
    rows: list[Record] = [
        {
            "id": company.id,
            "name": company.name,
            "is_active": company.is_active,
            "my_company": index == 0,
        }
        for index, company in enumerate(call.world.companies.values())
        if company.visible
    ]
    return list_reply(COMPANIES, call, rows)


def _me(call: Call) -> Reply:
    company = next(iter(call.world.companies.values()))
    people = call.world.collection("company_users", company=company)
    user = people.get(call.principal.user_id)
    body: JsonObject = {"id": call.principal.user_id}
    if user is not None:
        body["login"] = user["login"]
        # The reference promises a name only with one of the two parameters.
        if call.request.argument("company_id") or call.request.argument("project_id"):
            body["name"] = user["name"]
    return json_reply(body)


def _base_url(call: Call) -> Reply:
    zone = call.home.zone
    return json_reply({"zone": zone, "web_base_url": f"https://{zone}.procore.com"})


def _tool(call: Call, index: int, tool: str, project: Project | None) -> JsonObject | None:
    level = call.world.permissions.level(
        company_id=call.home.id, project_id=project.id if project else None, tool=tool
    )
    if level is None:
        return None
    actions = [["read"], ["create", "update"], ["delete", "admin"]][:level]
    return {
        "id": 100 + index,
        "name": tool,
        "friendly_name": tool.replace("_", " ").title(),
        "domain_id": 10 + index,
        "tab_group": "project_management" if project else "company",
        "available_for_user": level > Level.NONE,
        "can_create": level >= Level.STANDARD,
        "permitted_actions": [action for group in actions for action in group],
        "url": f"https://app.procore.com/{project.id if project else call.home.id}/{tool}",
        "user_access_level": {"id": int(level) + 1, "name": level.title},
    }


def _permissions(call: Call) -> Reply:
    number = to_integer(call.request.argument("project_id"))
    company_id = call.request.argument("company_id")
    if number is None and company_id is None:
        message = "company_id or project_id is required"
        raise ApiError(400, {"error": {"code": 400, "message": message}}, message=message)
    tools = [_tool(call, index, tool, call.project) for index, tool in enumerate(TOOLS)]
    return json_reply({"tools": [tool for tool in tools if tool is not None]})


def _project_tools(call: Call) -> Reply:
    shown = [
        {
            "id": 100 + index,
            "engine_name": tool,
            "title": tool.replace("_", " ").title(),
            "is_active": call.world.permissions.level(
                company_id=call.home.id, project_id=call.site.id, tool=tool
            )
            is not None,
            "required": tool == "directory",
        }
        for index, tool in enumerate(TOOLS)
    ]
    return json_reply(shown)


_VENDOR_TEMPLATE = {
    "id": None,
    "name": None,
    "abbreviated_name": None,
    "trade_name": None,
    "legal_name": None,
    "address": None,
    "city": None,
    "zip": None,
    "state_code": None,
    "country_code": None,
    "email_address": None,
    "business_phone": None,
    "mobile_phone": None,
    "fax_number": None,
    "website": None,
    "is_active": True,
    "authorized_bidder": False,
    "prequalified": False,
    "license_number": None,
    "notes": None,
    "company": None,
    "labor_union": None,
    "primary_contact": None,
    "parent": None,
    "logo": None,
    "vendor_group": None,
    "origin_id": None,
    "origin_data": None,
    "origin_code": None,
    "contact_count": 0,
    "children_count": 0,
    "created_at": None,
    "updated_at": None,
}
_VENDOR_INPUTS = {
    **{
        name: text(name)
        for name in (
            "name", "abbreviated_name", "trade_name", "legal_name", "address", "city", "zip",
            "state_code", "country_code", "email_address", "business_phone", "mobile_phone",
            "fax_number", "website", "license_number", "notes", "labor_union", "origin_id",
            "origin_data", "origin_code",
        )
    },
    "is_active": flag("is_active"),
    "authorized_bidder": flag("authorized_bidder"),
    "prequalified": flag("prequalified"),
    "primary_contact": kept("primary_contact"),
}  # fmt: skip
_VENDOR_FILTERS = {
    "id": among("id"),
    "search": containing("name", "abbreviated_name"),
    "is_active": flagged("is_active"),
    "origin_id": among("origin_id"),
    "created_at": ranged("created_at"),
    "updated_at": ranged("updated_at"),
}


def _seed_vendors(seeder: Seeder) -> Iterator[Record]:
    rng = seeder.rng
    for index, number in enumerate(seeder.ids()):
        head = words.VENDOR_HEADS[index % len(words.VENDOR_HEADS)]
        tail = rng.choice(words.VENDOR_TAILS)
        name = f"{head} {tail}" if index < len(words.VENDOR_HEADS) else f"{head} {tail} {index}"
        row: Record = {
            "id": number,
            "name": name,
            "company": name,
            "abbreviated_name": head,
            "authorized_bidder": rng.random() < 0.5,
            **seeder.times(),
        }
        if rng.random() < 0.6:
            row |= seeder.address()
            row["business_phone"] = seeder.phone()
            row["email_address"] = f"office@{head.lower()}.example.com"
        if rng.random() < 0.3:
            row["license_number"] = f"L-{rng.randint(10_000, 99_999)}"
        yield row


VENDORS = Resource(
    name="vendors",
    tool="directory",
    envelope="vendor",
    template=_VENDOR_TEMPLATE,
    inputs=_VENDOR_INPUTS,
    required=("name",),
    filters=_VENDOR_FILTERS,
    sorts=frozenset({"id", "name", "created_at", "updated_at"}),
    company_wide=True,
    count=36,
    seed=_seed_vendors,
    normalize=lambda _call, row, _before: row.update(company=row.get("name")),
)


RESOURCES = (COMPANIES, VENDORS)
ROUTES: tuple[Route, ...] = (
    route("GET", "/rest/v1.0/me", _me, "me", reach=Reach.PRINCIPAL),
    route("GET", "/rest/v1.0/companies", _companies, "companies", reach=Reach.PRINCIPAL),
    Route(
        method="GET",
        template="/rest/v1.0/company_base_url",
        handler=_base_url,
        resource="company_base_url",
        reach=Reach.COMPANY,
        names_company=False,
    ),
    Route(
        method="GET",
        template="/rest/v1.0/settings/permissions",
        handler=_permissions,
        resource="permissions",
        reach=Reach.COMPANY,
        names_company=False,
    ),
    route("GET", "/rest/v1.0/projects/{project_id}/tools", _project_tools, "project_tools"),
    *crud_routes(VENDORS, "/rest/v1.0/vendors", "LSCU"),
    sync_route(VENDORS, "/rest/v1.0/vendors/sync"),
)
