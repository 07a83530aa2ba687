"""What a company sets up: departments, offices, trades, templates, and lists for its projects."""

from collections.abc import Callable, Iterator, Mapping

from procore_simulator.calls import Call
from procore_simulator.crud import crud_routes
from procore_simulator.filtering import among, flagged, ranged
from procore_simulator.inputs import choice, flag, kept, text
from procore_simulator.messages import Json, Reply, json_reply
from procore_simulator.records import Record
from procore_simulator.resource import UNPAGED, Filter, Input, Paging, Resource
from procore_simulator.routing import Route, route
from procore_simulator.seeding import words
from procore_simulator.seeding.seeder import Seeder

__all__ = ["RESOURCES", "ROUTES"]

_COMPANY = "/rest/v1.0/companies/{company_id}"


def _named(names: tuple[str, ...]) -> Callable[[Seeder], Iterator[Record]]:
    def seed(seeder: Seeder) -> Iterator[Record]:
        for number, name in zip(seeder.ids(), names, strict=False):
            yield {"id": number, "name": name}

    return seed


def _list(
    name: str,
    envelope: str,
    seed: Callable[[Seeder], Iterator[Record]],
    *,
    template: Mapping[str, Json] | None = None,
    inputs: Mapping[str, Input] | None = None,
    filters: Mapping[str, Filter] | None = None,
    paging: Paging | None = None,
) -> Resource:
    return Resource(
        name=name,
        tool="admin",
        envelope=envelope,
        template={"id": None, "name": None, **(template or {})},
        inputs={"name": text("name"), **(inputs or {})},
        required=("name",),
        filters=filters or {},
        paging=paging or Paging(),
        company_wide=True,
        seed=seed,
    )


def _seed_offices(seeder: Seeder) -> Iterator[Record]:
    for number, name in zip(seeder.ids(), ("Main office", "Harbour office"), strict=False):
        yield {"id": number, "name": name, "phone": seeder.phone(), **seeder.address()}


def _seed_stages(seeder: Seeder) -> Iterator[Record]:
    stages = {
        "Bidding": "pre_construction",
        "Course of Construction": "course_of_construction",
        "Post-Construction": "post_construction",
    }
    for number, (name, category) in zip(seeder.ids(), stages.items(), strict=False):
        yield {
            "id": number,
            "name": name,
            "category": category,
            "is_bidding_stage": name == "Bidding",
        }


def _seed_trades(seeder: Seeder) -> Iterator[Record]:
    # The ids that other records refer to.
    for index, name in enumerate(words.TRADES):
        yield {
            "id": seeder.company.first_id + 901 + index,
            "name": name,
            "updated_at": seeder.instant(-200, -1),
        }


def _seed_templates(seeder: Seeder) -> Iterator[Record]:
    names = ("Project manager", "Subcontractor", "Read only", "Company administrator")
    for number, name in zip(seeder.ids(), names, strict=False):
        company = name.startswith("Company")
        yield {
            "id": number,
            "name": name,
            "type": "company_tools" if company else "global",
            "category": "external" if name == "Subcontractor" else "internal",
        }


_ADDRESS = ("address", "city", "state_code", "country_code", "zip", "phone", "fax", "division")
DEPARTMENTS = _list(
    "departments",
    "department",
    _named(("Field", "Estimating", "Safety")),
    template={"origin_id": None, "origin_data": None},
    inputs={"origin_id": text("origin_id"), "origin_data": text("origin_data")},
)
OFFICES = _list(
    "offices",
    "office",
    _seed_offices,
    template={**dict.fromkeys(_ADDRESS), "logo": None},
    inputs={name: text(name) for name in _ADDRESS},
)
TYPES = _list("project_types", "project_type", _named(("Civil", "Health", "Schools")))
STAGES = _list(
    "project_stages",
    "project_stage",
    _seed_stages,
    template={
        "is_bidding_stage": False,
        "is_concept_stage": False,
        "category": None,
        "readonly": False,
        "default_stage": False,
        "hideable": True,
        "has_rfi_prefixes": False,
        "project_stage_has_children": False,
    },
    inputs={"is_bidding_stage": flag("is_bidding_stage"), "category": text("category")},
)
REGIONS = _list("project_regions", "project_region", _named(("North", "South")))
PROGRAMS = _list(
    "programs",
    "program",
    _named(("Bridges", "Schools of tomorrow")),
    template={"address_freeform": None, "website": None, "project_count": 0},
    inputs={"address_freeform": text("address_freeform"), "website": text("website")},
)
TRADES = _list(
    "trades",
    "trade",
    _seed_trades,
    template={"active": True, "updated_at": None},
    inputs={"active": flag("active")},
    filters={"active": flagged("active"), "updated_at": ranged("updated_at")},
)


def _of_type(row: Record, values: tuple[str, ...]) -> bool:
    return row["type"] in values


TEMPLATES = _list(
    "permission_templates",
    "permission_template",
    _seed_templates,
    template={"project_specific": False, "type": "global", "category": "internal"},
    inputs={
        "type": choice("type", "project_specific", "company_tools", "global"),
        "category": choice("category", "internal", "external"),
        "user_access_levels": kept("user_access_levels"),
        "permissions": kept("permissions"),
    },
    filters={"id": among("id"), "type": _of_type},
    paging=UNPAGED,
)


def _project_templates(call: Call) -> Reply:
    rows = call.world.rows("permission_templates", company=call.home)
    names = ("id", "name", "project_specific", "type", "category")
    shown: list[Json] = [
        {name: {**TEMPLATES.template, **row}[name] for name in names}
        for row in rows
        if row.get("type") != "company_tools"
    ]
    return json_reply(shown)


RESOURCES = (DEPARTMENTS, OFFICES, TYPES, STAGES, REGIONS, PROGRAMS, TRADES, TEMPLATES)
ROUTES: tuple[Route, ...] = (
    *crud_routes(DEPARTMENTS, "/rest/v1.0/departments", "LSCUD"),
    *crud_routes(OFFICES, "/rest/v1.0/offices", "LSCUD"),
    *(
        route
        for resource in (TYPES, STAGES, REGIONS, PROGRAMS)
        for route in crud_routes(resource, f"{_COMPANY}/{resource.name}", "LSCUD")
    ),
    *crud_routes(TRADES, f"{_COMPANY}/trades", "LSC"),
    *crud_routes(TEMPLATES, f"{_COMPANY}/permission_templates", "LSC", created=200),
    route(
        "GET",
        "/rest/v1.0/projects/{project_id}/permission_templates",
        _project_templates,
        "project_permission_templates",
        tool="directory",
    ),
)
