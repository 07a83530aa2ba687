"""Custom fields as a company defines them, and the field sets that show and demand them."""

from dataclasses import replace
from functools import partial

from procore_simulator.calls import Call
from procore_simulator.crud import list_reply
from procore_simulator.custom_fields import CHOICES, DEFINITIONS, Definition
from procore_simulator.failures import missing_parameter, not_found
from procore_simulator.filtering import among, containing, select_among
from procore_simulator.inputs import to_integer
from procore_simulator.messages import JsonObject, Reply, json_reply
from procore_simulator.records import Record
from procore_simulator.resource import Paging, Resource
from procore_simulator.routing import Handler, Reach, Route, route

__all__ = ["RESOURCES", "ROUTES"]

_MADE_AT = "2025-03-01T08:00:00Z"
_CLASSES = (
    ("Rfi::Header", "RFIs", ("subject", "question", "assignees", "due_date")),
    ("PunchItem", "Punch items", ("name", "due_date", "location")),
    ("Observations::Item", "Observations", ("name", "type", "assignee")),
)
_FIRST_SET = 8101

CUSTOM_FIELDS = Resource(
    name="custom_field_definitions",
    tool="admin",
    template={
        "id": None,
        "label": None,
        "active": True,
        "company_id": None,
        "data_type": None,
        "variant": None,
        "description": None,
        "default_value": None,
        "created_at": None,
    },
    filters={"id": among("id"), "with_label": containing("label")},
    sorts=frozenset({"created_at", "label"}),
    paging=Paging(default=100, maximum=100),
    company_wide=True,
    count=0,
)
FIELD_SETS = Resource(
    name="configurable_field_sets",
    tool="admin",
    template={
        "id": None,
        "name": None,
        "type": None,
        "category": None,
        "class_name": None,
        "fields": {},
        "sections": [],
        "inspection_type_id": None,
        "generic_tool_id": None,
        "action_plan_type_id": None,
        "observations_category_id": None,
        "updated_at": None,
        "updated_by": None,
    },
    filters={"type": among("type"), "id": among("id")},
    company_wide=True,
    count=0,
)


def _defined(call: Call) -> list[Definition]:
    home = call.home
    return [
        replace(one, data_type=home.retyped_custom_fields.get(one.id, one.data_type))
        for one in DEFINITIONS
        if one.id not in home.retired_custom_fields
    ]


def _entries() -> list[JsonObject]:
    return [
        {"id": number, "label": label, "active": True, "position": number}
        for number, label in CHOICES.items()
    ]


def _definition(call: Call, definition: Definition, *, entries: bool) -> Record:
    row: Record = {
        "id": definition.id,
        "label": definition.label,
        "company_id": call.home.id,
        "data_type": definition.data_type,
        "description": definition.description,
        "created_at": _MADE_AT,
    }
    if call.request.argument("includes_configurable_field_sets_count") == "true":
        row["configurable_field_sets_count"] = len(_CLASSES)
    if entries and definition.data_type.startswith("lov_"):
        row["custom_field_lov_entries"] = _entries()
    return row


def _definitions(call: Call) -> Reply:
    entries = call.request.argument("view") in {"with_lov_entries", "extended"}
    rows = [_definition(call, definition, entries=entries) for definition in _defined(call)]
    found = select_among(CUSTOM_FIELDS, rows, call.request.query)
    return list_reply(CUSTOM_FIELDS, call, found)


def _one(call: Call) -> Definition:
    number = call.item_id()
    found = next((item for item in _defined(call) if item.id == number), None)
    if found is None:
        raise not_found("Custom field definition")
    return found


def _show_definition(call: Call) -> Reply:
    row = _definition(call, _one(call), entries=True)
    return json_reply({**CUSTOM_FIELDS.template, **row})


def _lov_entries(call: Call) -> Reply:
    return json_reply(_entries() if _one(call).data_type.startswith("lov_") else [])


def _field_set(call: Call, index: int) -> Record:
    class_name, title, native = _CLASSES[index]
    fields: JsonObject = {
        name: {"name": name, "visible": True, "required": position == 0}
        for position, name in enumerate(native)
    }
    for position, definition in enumerate(_defined(call)):
        shown: JsonObject = {
            "id": definition.id * 10 + index,
            "name": definition.name,
            "company_id": call.home.id,
            "label": definition.label,
            "description": definition.description,
            "custom_field_definition_id": definition.id,
            "data_type": definition.data_type,
            "variant": None,
            "custom_fields_section_id": _FIRST_SET + index,
            "default_value": None,
            "position": position + 1,
            "required": definition.required,
            "visible": True,
            "row": position,
            "column": 0,
            "column_width": 4,
        }
        lists = definition.data_type.startswith("lov_")
        if lists and call.request.argument("include_lov_entries") != "false":
            shown["lov_entries"] = _entries()
        fields[definition.name] = shown
    return {
        "id": call.home.first_id + _FIRST_SET + index,
        "name": f"Standard {title}",
        "type": f"ConfigurableFieldSet::{class_name}",
        "class_name": class_name,
        "category": "quality" if class_name.startswith("Observations") else "",
        "fields": fields,
        "sections": [
            {
                "id": _FIRST_SET + index,
                "name": "More",
                "description": None,
                "position": 1,
                "from_v1_custom_fields": False,
            }
        ],
        "updated_at": _MADE_AT,
        "updated_by": call.actor(),
    }


def _field_sets(call: Call) -> Reply:
    rows = [_field_set(call, index) for index in range(len(_CLASSES))]
    wanted = {value for key, value in call.request.query if key == "types[]"}
    rows = [row for row in rows if not wanted or row["type"] in wanted]
    return list_reply(FIELD_SETS, call, select_among(FIELD_SETS, rows, call.request.query))


def _show_field_set(call: Call) -> Reply:
    number = call.item_id() - call.home.first_id - _FIRST_SET
    if not 0 <= number < len(_CLASSES):
        raise not_found("Configurable field set")
    return json_reply({**FIELD_SETS.template, **_field_set(call, number)})


def _by_query(handler: Handler) -> Handler:
    """Demand ``company_id`` in the query, where version 1.0 has it."""

    def handle(call: Call) -> Reply:
        if to_integer(call.request.argument("company_id")) is None:
            raise missing_parameter("company_id")
        return handler(call)

    return handle


_route = partial(route, "GET", reach=Reach.COMPANY)
_COMPANY = "/companies/{company_id}"
_DEFINITIONS = "custom_field_definitions"
_SETS = "configurable_field_sets"
RESOURCES = (CUSTOM_FIELDS, FIELD_SETS)
ROUTES: tuple[Route, ...] = (
    _route(f"/rest/v1.1{_COMPANY}/{_DEFINITIONS}", _definitions, _DEFINITIONS),
    _route(f"/rest/v1.0/{_DEFINITIONS}", _by_query(_definitions), _DEFINITIONS),
    _route(f"/rest/v1.0/{_DEFINITIONS}/{{id}}", _by_query(_show_definition), _DEFINITIONS),
    _route(
        f"/rest/v1.0/{_DEFINITIONS}/{{id}}/custom_field_lov_entries",
        _by_query(_lov_entries),
        "custom_field_lov_entries",
    ),
    _route(f"/rest/v1.0{_COMPANY}/{_SETS}", _field_sets, _SETS),
    _route(f"/rest/v1.0{_COMPANY}/{_SETS}/{{id}}", _show_field_set, _SETS),
    _route(f"/rest/v1.0/projects/{{project_id}}/{_SETS}", _field_sets, _SETS, reach=Reach.PROJECT),
)
