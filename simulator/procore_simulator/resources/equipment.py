"""The company's equipment in two generations that know nothing of one another."""

from collections.abc import Iterator

from procore_simulator.crud import crud_routes
from procore_simulator.filtering import among, ranged
from procore_simulator.inputs import choice, day, flag, integer, kept, text
from procore_simulator.records import Record
from procore_simulator.resource import Paging, Resource
from procore_simulator.routing import Route
from procore_simulator.seeding.seeder import Seeder

__all__ = ["RESOURCES", "ROUTES"]

_TOOL = "equipment"
_MACHINES = ("Tower crane", "Excavator", "Telehandler", "Generator", "Roller")


def _seed_first(seeder: Seeder) -> Iterator[Record]:
    for index, number in enumerate(seeder.ids()):
        yield {
            "id": number,
            "name": f"{_MACHINES[index % len(_MACHINES)]} {index + 1}",
            "identification_number": f"EQ-{index + 1:03d}",
            "year": 2015 + index % 10,
            "status": ("available", "in_use", "under_maintenance")[index % 3],
            "ownership": ("owned", "rented", "sub")[index % 3],
            "created_by": seeder.person(),
            **seeder.times(),
        }


FIRST = Resource(
    name="managed_equipment",
    tool=_TOOL,
    envelope="managed_equipment",
    template={
        "id": None,
        "name": None,
        "serial_number": None,
        "identification_number": None,
        "description": None,
        "status": "available",
        "ownership": "owned",
        "year": None,
        "current_project_id": None,
        "company_visible": True,
        "managed_equipment_make_id": None,
        "managed_equipment_model_id": None,
        "managed_equipment_type_id": None,
        "managed_equipment_category_id": None,
        "created_by": None,
        "created_at": None,
        "updated_at": None,
        "deleted_at": None,
    },
    inputs={
        **{
            name: text(name)
            for name in ("name", "serial_number", "identification_number", "description")
        },
        "status": choice("status", "available", "in_use", "under_maintenance"),
        "ownership": choice("ownership", "owned", "rented", "sub"),
        "year": integer("year"),
        "current_project_id": integer("current_project_id"),
        "company_visible": flag("company_visible"),
    },
    filters={
        "status": among("status"),
        "year": among("year"),
        "current_project_id": among("current_project_id"),
        "updated_at": ranged("updated_at"),
    },
    company_wide=True,
    count=14,
    seed=_seed_first,
)


def _seed_second(seeder: Seeder) -> Iterator[Record]:
    for index, number in enumerate(seeder.ids()):
        yield {
            "id": number,
            "name": f"{_MACHINES[index % len(_MACHINES)]} {index + 1}",
            "identification_number": f"RG-{index + 1:03d}",
            "status_id": 1 + index % 3,
            "category_id": 7,
            "type_id": 8,
            "year": 2015 + index % 10,
            "ownership": ("OWNED", "RENTED", "SUBCONTRACTED")[index % 3],
            **seeder.times(),
        }


SECOND = Resource(
    name="equipment_register",
    tool=_TOOL,
    template={
        "id": None,
        "name": None,
        "identification_number": None,
        "serial_number": None,
        "status_id": None,
        "category_id": None,
        "type_id": None,
        "make_id": None,
        "model_id": None,
        "vendor_id": None,
        "year": None,
        "ownership": None,
        "rental_start_date": None,
        "rental_end_date": None,
        "notes": None,
        "created_at": None,
        "updated_at": None,
    },
    inputs={
        **{name: text(name) for name in ("name", "identification_number", "serial_number")},
        **{name: integer(name) for name in ("status_id", "category_id", "type_id", "year")},
        "ownership": choice("ownership", "OWNED", "RENTED", "SUBCONTRACTED"),
        "rental_start_date": day("rental_start_date"),
        "rental_end_date": day("rental_end_date"),
        "notes": kept("notes"),
    },
    required=(
        "name", "identification_number", "status_id", "category_id", "type_id", "ownership",
    ),
    paging=Paging(default=10, maximum=100),
    filters={"updated_at": ranged("updated_at")},
    company_wide=True,
    count=34,
    seed=_seed_second,
)  # fmt: skip

_COMPANY = "companies/{company_id}"
RESOURCES = (FIRST, SECOND)
ROUTES: tuple[Route, ...] = (
    *crud_routes(FIRST, f"/rest/v1.0/{_COMPANY}/managed_equipment", "LSCUD"),
    *crud_routes(SECOND, f"/rest/v2.1/{_COMPANY}/equipment_register", "LSCU", v2=True, created=200),
)
