"""Drawings: areas and sets without an envelope, drawings below an area, and their revisions."""

from collections.abc import Iterator

from procore_simulator.attachments import link
from procore_simulator.calls import Call
from procore_simulator.crud import crud_routes, list_reply
from procore_simulator.filtering import among, ranged, select_among
from procore_simulator.inputs import day, flag, integer, text
from procore_simulator.messages import Json, JsonObject, Reply
from procore_simulator.records import Record
from procore_simulator.resource import UNPAGED, Resource
from procore_simulator.resources.nested import nested_routes
from procore_simulator.routing import Route, route
from procore_simulator.seeding.seeder import Seeder

__all__ = ["RESOURCES", "ROUTES"]

_TOOL = "drawings"
_FILE_BYTES = 4096
_DISCIPLINES = (("Architectural", "A"), ("Structural", "S"), ("Mechanical", "M"))


def _seed_areas(seeder: Seeder) -> Iterator[Record]:
    for number, name in zip(seeder.ids(), ("Tower", "Podium"), strict=False):
        yield {"id": number, "name": name, **seeder.times(-400, -300)}


AREAS = Resource(
    name="drawing_areas",
    tool=_TOOL,
    template={
        "id": None,
        "name": None,
        "description": None,
        "drawings_count": 0,
        "created_at": None,
        "updated_at": None,
    },
    inputs={"name": text("name"), "description": text("description")},
    required=("name",),
    count=2,
    seed=_seed_areas,
)


def _seed_sets(seeder: Seeder) -> Iterator[Record]:
    for number, name in zip(seeder.ids(), ("Tender", "Construction"), strict=False):
        yield {"id": number, "name": name, "date": seeder.day(-300, -100), **seeder.times()}


SETS = Resource(
    name="drawing_sets",
    tool=_TOOL,
    template={
        "id": None,
        "name": None,
        "date": None,
        "position": None,
        "created_at": None,
        "updated_at": None,
    },
    inputs={"name": text("name"), "date": day("date")},
    required=("name",),
    count=2,
    seed=_seed_sets,
)


def _seed_drawings(seeder: Seeder) -> Iterator[Record]:
    areas = seeder.rows("drawing_areas")
    for index, number in enumerate(seeder.ids()):
        discipline, letter = _DISCIPLINES[index % len(_DISCIPLINES)]
        yield {
            "id": number,
            "area": areas[index % len(areas)]["id"],
            "number": f"{letter}-{100 + index}",
            "title": f"{discipline} plan {index + 1}",
            "discipline": discipline,
        }


def _read_discipline(value: Json, _call: Call) -> JsonObject:
    return {"discipline": value.get("name") if isinstance(value, dict) else None}


def _without_area(_call: Call, shown: Record, _listed: bool) -> Record:  # noqa: FBT001 - Resource.present's shape
    del shown["area"]
    return shown


DRAWINGS = Resource(
    name="drawings",
    tool=_TOOL,
    envelope="drawing",
    template={
        "id": None,
        "area": None,
        "number": None,
        "title": None,
        "discipline": None,
        "obsolete": False,
    },
    inputs={
        "number": text("number"),
        "title": text("title"),
        "obsolete": flag("obsolete"),
        "drawing_discipline": _read_discipline,
    },
    required=("number", "drawing_discipline"),
    count=20,
    seed=_seed_drawings,
    normalize=lambda call, row, before: (
        None if before else row.update(area=call.item_id("drawing_area_id"))
    ),
    present=_without_area,
)


def _seed_revisions(seeder: Seeder) -> Iterator[Record]:
    drawings = seeder.rows("drawings")
    sets = seeder.rows("drawing_sets")
    for index, number in enumerate(seeder.ids()):
        drawing = drawings[index % len(drawings)]
        turn = index // len(drawings)
        yield {
            "id": number,
            "drawing_id": drawing["id"],
            "number": drawing["number"],
            "title": drawing.get("title"),
            "revision_number": str(turn),
            "drawing_date": seeder.day(-200, -10),
            "received_date": seeder.day(-10, -1),
            "current": turn == 1,
            "obsolete": index % 10 == 9,
            "drawing_set": {"id": sets[turn % len(sets)]["id"]},
            "drawing_area": {"id": drawing["area"]},
            "updated_at": seeder.instant(-90, -1),
        }


def _with_files(call: Call, shown: Record, _listed: bool) -> Record:  # noqa: FBT001 - Resource.present's shape
    for kind in ("pdf", "png"):
        name = f"{shown['number']}.{kind}"
        shown[f"{kind}_url"] = link(call, shown, name=name, size=_FILE_BYTES)
        shown[f"{kind}_size"] = _FILE_BYTES
    return shown


REVISIONS = Resource(
    name="drawing_revisions",
    tool=_TOOL,
    envelope="drawing_revision",
    template={
        "id": None,
        "drawing_id": None,
        "number": None,
        "title": None,
        "revision_number": None,
        "current": False,
        "obsolete": False,
        "floorplan": False,
        "drawing_date": None,
        "received_date": None,
        "drawing_set": None,
        "drawing_area": None,
        "updated_at": None,
    },
    inputs={
        "revision_number": text("revision_number"),
        "drawing_date": day("drawing_date"),
        "received_date": day("received_date"),
        "floorplan": flag("floorplan"),
        "drawing_id": integer("drawing_id"),
    },
    filters={"ids": among("id"), "updated_at": ranged("updated_at")},
    sorts=frozenset({"id"}),
    count=40,
    seed=_seed_revisions,
    present=_with_files,
)


def _list_revisions(call: Call) -> Reply:
    """List them; obsolete ones only when asked for, and filtered by bare parameters."""
    rows = select_among(REVISIONS, call.collection(REVISIONS.name).rows(), call.request.query)
    if call.request.argument("with_obsolete") != "true":
        rows = [row for row in rows if not row.get("obsolete")]
    drawing = call.request.argument("drawing_id")
    if drawing is not None:
        rows = [row for row in rows if str(row["drawing_id"]) == drawing]
    wanted = {value for key, value in call.request.query if key == "id[]"}
    if wanted:
        rows = [row for row in rows if str(row["id"]) in wanted]
    return list_reply(REVISIONS, call, rows)


DISCIPLINES = Resource(
    name="drawing_disciplines",
    tool=_TOOL,
    template={"id": None, "name": None, "position": None, "abbreviations": []},
    paging=UNPAGED,
    count=len(_DISCIPLINES),
    seed=lambda seeder: iter(
        {"id": number, "name": name, "position": place, "abbreviations": [letter]}
        for place, (number, (name, letter)) in enumerate(
            zip(seeder.ids(), _DISCIPLINES, strict=False)
        )
    ),
)


_PROJECT = "/rest/v1.0/projects/{project_id}"
_DRAWINGS = "/rest/v1.1/drawing_areas/{drawing_area_id}/drawings"
RESOURCES = (AREAS, SETS, DRAWINGS, REVISIONS, DISCIPLINES)
ROUTES: tuple[Route, ...] = (
    *crud_routes(AREAS, "/rest/v1.1/projects/{project_id}/drawing_areas", "LCUD"),
    *crud_routes(SETS, f"{_PROJECT}/drawing_sets", "LCUD"),
    *nested_routes(
        DRAWINGS,
        _DRAWINGS,
        "LCU",
        holder="drawing_areas",
        holder_id="drawing_area_id",
        belongs=lambda drawing, area: bool(drawing["area"] == area["id"]),
    ),
    route("GET", f"{_PROJECT}/drawing_revisions", _list_revisions, "drawing_revisions", tool=_TOOL),
    *crud_routes(REVISIONS, f"{_PROJECT}/drawing_revisions", "SU"),
    *crud_routes(DISCIPLINES, f"{_PROJECT}/drawing_disciplines", "L"),
)
