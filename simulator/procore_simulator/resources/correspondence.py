"""Correspondence, which the API calls generic tools and their items, and PDF forms."""

from collections.abc import Iterator

from procore_simulator.calls import Call
from procore_simulator.crud import crud_routes, next_number
from procore_simulator.failures import invalid
from procore_simulator.filtering import among, containing, ranged, referring
from procore_simulator.inputs import day, flag, integer, kept, people, person, text, valued
from procore_simulator.messages import JsonObject
from procore_simulator.records import Record
from procore_simulator.resource import Resource
from procore_simulator.resources.nested import holder_of, nested_routes
from procore_simulator.routing import Route
from procore_simulator.seeding import words
from procore_simulator.seeding.seeder import Seeder

__all__ = ["RESOURCES", "ROUTES"]

_KINDS = (("Notice of delay", "NOD"), ("Site instruction", "SI"))


def _seed_tools(seeder: Seeder) -> Iterator[Record]:
    for number, (title, abbreviation) in zip(seeder.ids(), _KINDS, strict=False):
        yield {"id": number, "title": title, "abbreviation": abbreviation, "domain_id": 40}


TOOLS = Resource(
    name="generic_tools",
    tool="correspondence",
    envelope="generic_tool",
    template={
        "id": None,
        "title": None,
        "abbreviation": None,
        "domain_id": None,
        "private_by_default": False,
        "new_project_default": True,
        "send_overdue_notifications": False,
    },
    inputs={
        "title": text("title"),
        "abbreviation": text("abbreviation"),
        "private_by_default": flag("private_by_default"),
        "new_project_default": flag("new_project_default"),
    },
    required=("title",),
    company_wide=True,
    count=len(_KINDS),
    seed=_seed_tools,
)


def _shown_tool(tool: Record) -> JsonObject:
    return {name: tool.get(name) for name in ("id", "title", "abbreviation", "domain_id")}


def _seed_items(seeder: Seeder) -> Iterator[Record]:
    tools = seeder.world.rows("generic_tools", company=seeder.company)
    for index, number in enumerate(seeder.ids()):
        yield {
            "id": number,
            "position": str(index + 1),
            "title": f"About {seeder.rng.choice(words.PLACES)}",
            "status": seeder.rng.choice(("Open", "Closed")),
            "status_type": "Open",
            "due_date": seeder.day(-10, 30),
            "generic_tool": _shown_tool(tools[index % len(tools)]),
            "received_from": seeder.person(),
            "created_by": seeder.person(),
            **seeder.times(-60, -1),
        }


def _complete_item(call: Call, row: Record, before: Record | None) -> None:
    if before is None:
        row["generic_tool"] = _shown_tool(holder_of(call, "generic_tools", "generic_tool_id"))
        row.setdefault("position", str(next_number(call, "generic_tool_items", field="position")))


ITEMS = Resource(
    name="generic_tool_items",
    tool="correspondence",
    envelope="generic_tool_item",
    template={
        "id": None,
        "position": None,
        "title": None,
        "description": None,
        "status": "Open",
        "status_type": "Open",
        "due_date": None,
        "private": False,
        "cost_impact": None,
        "schedule_impact": None,
        "generic_tool": None,
        "received_from": None,
        "assignees": [],
        "distribution_members": [],
        "attachments": [],
        "created_by": None,
        "issued_at": None,
        "closed_at": None,
        "created_at": None,
        "updated_at": None,
    },
    inputs={
        "position": text("position"),
        "title": text("title"),
        "description": text("description"),
        "status": text("status"),
        "due_date": day("due_date"),
        "private": flag("private"),
        "cost_impact": valued("cost_impact"),
        "schedule_impact": valued("schedule_impact"),
        "received_from_id": person("received_from"),
        "assignee_ids": people("assignees"),
        "distribution_member_ids": people("distribution_members"),
    },
    filters={
        "id": among("id"),
        "status": among("status"),
        "generic_tool_id": referring("generic_tool"),
        "received_from_id": referring("received_from"),
        "created_by_id": referring("created_by"),
        "query": containing("title"),
        "created_at": ranged("created_at"),
        "updated_at": ranged("updated_at"),
    },
    sorts=frozenset({"due_date", "position", "status", "title", "updated_at", "created_at"}),
    count=14,
    seed=_seed_items,
    normalize=_complete_item,
)


def _seed_form_templates(seeder: Seeder) -> Iterator[Record]:
    for number, name in zip(seeder.ids(), ("Permit", "Handover"), strict=False):
        yield {"id": number, "name": name, "created_by": seeder.person(), **seeder.times()}


FORM_TEMPLATES = Resource(
    name="form_templates",
    tool="forms",
    template={
        "id": None,
        "name": None,
        "description": None,
        "fillable_pdf": None,
        "attachment": None,
        "created_by": None,
        "created_at": None,
        "updated_at": None,
    },
    filters={
        "id": among("id"),
        "created_at": ranged("created_at"),
        "updated_at": ranged("updated_at"),
    },
    count=2,
    seed=_seed_form_templates,
)


def _seed_forms(seeder: Seeder) -> Iterator[Record]:
    templates = seeder.rows("form_templates")
    for index, number in enumerate(seeder.ids()):
        template = templates[index % len(templates)]
        yield {
            "id": number,
            "name": f"{template['name']} {index + 1}",
            "description": f"For {seeder.rng.choice(words.PLACES)}",
            "form_template_id": template["id"],
            "form_template_name": template["name"],
            "created_by": seeder.person(),
            **seeder.times(-60, -1),
        }


def _complete_form(call: Call, row: Record, _before: Record | None) -> None:
    template = call.lookup("form_templates", row.get("form_template_id") or 0)
    if template is None:
        raise invalid({"form_template_id": ["is invalid"]})
    row["form_template_name"] = template["name"]
    if isinstance(row.get("fillable_pdf"), str):
        row["fillable_pdf"] = {"id": row["id"], "filename": f"{row['name']}.pdf", "url": None}


FORMS = Resource(
    name="forms",
    tool="forms",
    envelope="form",
    template={
        "id": None,
        "name": None,
        "description": None,
        "form_template_id": None,
        "form_template_name": None,
        "private": False,
        "fillable_pdf": None,
        "attachments": [],
        "deleted": False,
        "created_by": None,
        "created_at": None,
        "updated_at": None,
    },
    inputs={
        "name": text("name"),
        "description": text("description"),
        "form_template_id": integer("form_template_id"),
        "private": flag("private"),
        "fillable_pdf": kept("fillable_pdf"),
    },
    required=("name", "description", "form_template_id", "fillable_pdf"),
    filters={
        "id": among("id"),
        "form_template_id": among("form_template_id"),
        "created_by_id": referring("created_by"),
        "created_at": ranged("created_at"),
        "updated_at": ranged("updated_at"),
    },
    sorts=frozenset({"description", "name", "created_at", "updated_at"}),
    count=6,
    seed=_seed_forms,
    normalize=_complete_form,
)

_PROJECT = "/rest/v1.0/projects/{project_id}"
_ITEMS = f"{_PROJECT}/generic_tools/{{generic_tool_id}}/generic_tool_items"
RESOURCES = (TOOLS, ITEMS, FORM_TEMPLATES, FORMS)
ROUTES: tuple[Route, ...] = (
    *crud_routes(TOOLS, "/rest/v1.0/companies/{company_id}/generic_tools", "LCU"),
    *nested_routes(
        ITEMS,
        _ITEMS,
        "LSCUD",
        holder="generic_tools",
        holder_id="generic_tool_id",
        belongs=lambda item, tool: bool(item["generic_tool"]["id"] == tool["id"]),
    ),
    *crud_routes(ITEMS, f"{_PROJECT}/correspondence_type_items", "L"),
    *crud_routes(FORMS, f"{_PROJECT}/forms", "LSCUD"),
    *crud_routes(FORM_TEMPLATES, f"{_PROJECT}/form_templates", "L"),
)
