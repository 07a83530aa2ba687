"""Specifications: sections in divisions, sets, revisions, and uploads that answer a list."""

from collections.abc import Iterator
from functools import partial

from procore_simulator.calls import Call
from procore_simulator.crud import crud_routes, insert, list_reply, present, show_reply, stored
from procore_simulator.failures import missing_parameter, not_found
from procore_simulator.filtering import among
from procore_simulator.inputs import choice, day, integer, text, to_integer
from procore_simulator.messages import Reply, json_reply
from procore_simulator.records import Record
from procore_simulator.resource import UNPAGED, Refusal, Resource
from procore_simulator.routing import Route, route
from procore_simulator.seeding import words
from procore_simulator.seeding.seeder import Seeder

__all__ = ["RESOURCES", "ROUTES"]

_TOOL = "specifications"
_DIVISIONS = (("03", "Concrete"), ("05", "Metals"), ("08", "Openings"))


def _seed_divisions(seeder: Seeder) -> Iterator[Record]:
    for number, (code, name) in zip(seeder.ids(), _DIVISIONS, strict=False):
        yield {"id": number, "number": code, "description": name}


DIVISIONS = Resource(
    name="specification_section_divisions",
    tool=_TOOL,
    template={"id": None, "number": None, "description": None, "url": None},
    count=len(_DIVISIONS),
    seed=_seed_divisions,
)


def _seed_sections(seeder: Seeder) -> Iterator[Record]:
    divisions = seeder.rows(DIVISIONS.name)
    for index, number in enumerate(seeder.ids()):
        division = divisions[index % len(divisions)]
        yield {
            "id": number,
            "division": division["id"],
            "number": f"{division['number']} {index // len(divisions) + 1:02d} 00",
            "description": words.SPECIFICATIONS[index % len(words.SPECIFICATIONS)],
        }


def _of_section(_call: Call, shown: Record, _listed: bool) -> Record:  # noqa: FBT001 - Resource.present's shape
    del shown["division"]
    shown["label"] = f"{shown['number']} - {shown['description']}"
    shown["current_revision_id"] = shown["id"]
    return shown


SECTIONS = Resource(
    name="specification_sections",
    tool=_TOOL,
    envelope="specification_section",
    template={"id": None, "division": None, "number": None, "description": None},
    inputs={
        "number": text("number"),
        "description": text("description"),
        "specification_section_division_id": integer("division"),
    },
    required=("number", "specification_section_division_id"),
    paging=UNPAGED,
    filters={"id": among("id")},
    sorts=frozenset({"number"}),
    count=18,
    seed=_seed_sections,
    present=_of_section,
)


def _seed_sets(seeder: Seeder) -> Iterator[Record]:
    for number, name in zip(seeder.ids(), ("Tender", "Construction"), strict=False):
        yield {"id": number, "name": name, "date": seeder.day(-300, -100), **seeder.times()}


SETS = Resource(
    name="specification_sets",
    tool=_TOOL,
    template={"id": None, "name": None, "date": None, "created_at": None, "updated_at": None},
    inputs={"name": text("name"), "date": day("date")},
    required=("name",),
    refusal=Refusal.MESSAGE,
    count=2,
    seed=_seed_sets,
)
UPLOADS = Resource(
    name="specification_uploads",
    tool=_TOOL,
    template={
        "id": None,
        "specification_set_id": None,
        "spec_format": None,
        "issued_date": None,
        "received_date": None,
        "status": "processing",
        "locale": "en",
    },
    inputs={
        "specification_set_id": integer("specification_set_id"),
        "spec_format": choice("spec_format", "CSI", "NCS", "no_format"),
        "issued_date": day("issued_date"),
        "received_date": day("received_date"),
    },
    required=("specification_set_id", "spec_format"),
    refusal=Refusal.MESSAGE,
    filters={"specification_set_id": among("specification_set_id")},
    count=0,
)


def _upload(call: Call) -> Reply:
    """Take an upload; the answer is a list, one for each file."""
    wanted = call.body.get("specification_set_id")
    number = to_integer(wanted)
    if wanted is not None and (number is None or call.lookup(SETS.name, number) is None):
        raise not_found("Specification set")
    row = insert(UPLOADS, call, call.body)
    shown = present(UPLOADS, call, row)
    return json_reply([{name: shown[name] for name in UPLOADS.template}], status=201)


def _revision(section: Record) -> Record:
    return {
        "id": section["id"],
        "specification_section_id": section["id"],
        "specification_section_division_id": section["division"],
        "number": section["number"],
        "description": section["description"],
        "revision": "0",
    }


_REVISIONS = Resource(
    name="specification_section_revisions",
    tool=_TOOL,
    template={
        "id": None,
        "specification_section_id": None,
        "specification_section_division_id": None,
        "specification_set_id": None,
        "number": None,
        "description": None,
        "url": None,
        "revision": None,
        "issued_date": None,
        "received_date": None,
        "updated_at": None,
    },
)


def _list_revisions(call: Call) -> Reply:
    division = call.request.argument("specification_section_division_id")
    if division in (None, ""):
        raise missing_parameter("specification_section_division_id")
    rows = [_revision(row) for row in call.collection(SECTIONS.name).rows()]
    key = "specification_section_division_id"
    return list_reply(_REVISIONS, call, [row for row in rows if str(row[key]) == division])


def _show_revision(call: Call) -> Reply:
    return show_reply(_REVISIONS, call, _revision(stored(SECTIONS, call)))


_route = partial(route, tool=_TOOL)
_PROJECT = "/rest/v1.0/projects/{project_id}"
_REVISION_PATH = "/rest/v1.0/specification_section_revisions"
RESOURCES = (DIVISIONS, SECTIONS, SETS, UPLOADS)
ROUTES: tuple[Route, ...] = (
    *crud_routes(DIVISIONS, f"/rest/v1.0/{DIVISIONS.name}", "L"),
    *crud_routes(SECTIONS, f"/rest/v1.0/{SECTIONS.name}", "LC"),
    *crud_routes(SETS, f"{_PROJECT}/{SETS.name}", "LSC"),
    _route("GET", _REVISION_PATH, _list_revisions, _REVISIONS.name),
    _route("GET", f"{_REVISION_PATH}/{{id}}", _show_revision, _REVISIONS.name),
    *crud_routes(UPLOADS, f"{_PROJECT}/{UPLOADS.name}", "L"),
    _route("POST", f"{_PROJECT}/{UPLOADS.name}", _upload, UPLOADS.name),
)
