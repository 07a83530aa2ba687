"""The generic list, show, create, update and delete, and their routes."""

from collections.abc import Mapping
from typing import Any

import orjson

from procore_simulator.attachments import linked, sent_attachments
from procore_simulator.calls import Call
from procore_simulator.custom_fields import (
    as_defined,
    demand_custom_fields,
    read_custom_fields,
)
from procore_simulator.failures import ApiError, bad_request, blank, missing_parameter, not_found
from procore_simulator.filtering import demand_known_filters, selected_rows
from procore_simulator.messages import Json, JsonObject, Reply, json_reply
from procore_simulator.paging import demand_page_size, page_of
from procore_simulator.records import Record
from procore_simulator.resource import Paging, Refusal, Resource
from procore_simulator.routing import Handler, Reach, Route
from procore_simulator.settings import TooLargePage
from procore_simulator.storage.objects import CONTENT
from procore_simulator.tenancy import Level

__all__ = [
    "apply",
    "change",
    "creating",
    "crud_routes",
    "deleting",
    "envelope_of",
    "insert",
    "list_reply",
    "listing",
    "next_number",
    "present",
    "show_reply",
    "showing",
    "stored",
    "updating",
]


_MAX_DIGITS = 15
"""Of a number in text; a longer one is somebody's own code."""


def present(resource: Resource, call: Call, row: Record, *, listed: bool = False) -> Record:
    """Write a row as an answer shows it: every key of the template, null or not."""
    shown = {**resource.template, **row}
    if resource.present is not None:
        shown = resource.present(call, shown, listed)
    company = call.company
    if resource.custom_fields and company is not None and company.changed_custom_fields:
        shown["custom_fields"] = as_defined(shown["custom_fields"], company)
    if shown.get("attachments"):
        shown["attachments"] = linked(call, shown["attachments"])
    shown.pop(CONTENT, None)
    if listed:
        for name in resource.list_omits:
            shown.pop(name, None)
    return shown


def list_reply(
    resource: Resource,
    call: Call,
    rows: list[Record],
    *,
    paging: Paging | None = None,
    v2: bool = False,
) -> Reply:
    """Answer with the page of *rows* that the query asks for."""
    paging = _as_chosen(paging or resource.paging, call.behaviour.default_page_size)
    if call.behaviour.too_large_page is TooLargePage.REFUSE:
        demand_page_size(call.request.query, paging)
    if call.behaviour.refuse_unknown_filters:
        demand_known_filters(resource, call.request.query)
    page = page_of(
        rows,
        call.request.query,
        paging,
        url=call.url,
        keep_query=call.behaviour.link_keeps_query,
        always_link=v2,
    )
    shown: Json = [present(resource, call, row, listed=True) for row in page.rows]
    if v2:
        shown = {"data": [with_text_ids(item) for item in shown]}
    return Reply(body=orjson.dumps(shown), content_type="application/json", headers=page.headers)


def _as_chosen(paging: Paging, default: int) -> Paging:
    if not default or not paging.maximum:
        return paging
    return Paging(default=min(default, paging.maximum), maximum=paging.maximum)


def with_text_ids(value: Json) -> Json:
    """Turn every id into text, as version 2 does."""
    if isinstance(value, dict):
        return {
            key: str(item)
            if (key == "id" or key.endswith("_id")) and isinstance(item, int)
            else with_text_ids(item)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [with_text_ids(item) for item in value]
    return value


def show_reply(
    resource: Resource, call: Call, row: Record, *, status: int = 200, v2: bool = False
) -> Reply:
    """Answer with one row."""
    shown: Json = present(resource, call, row)
    if v2:
        shown = {"data": with_text_ids(shown)}
    return json_reply(shown, status=status)


def stored(resource: Resource, call: Call, *, name: str = "id") -> Record:
    """Return the row the path names.

    Raises:
        ApiError: 404 if it is not in this project or company.
    """
    row = call.collection(resource.name).get(call.item_id(name))
    if row is None:
        raise not_found()
    call.record_id = row["id"]
    return row


def listing(resource: Resource, *, paging: Paging | None = None, v2: bool = False) -> Handler:
    """Make a list operation."""

    def handle(call: Call) -> Reply:
        rows = selected_rows(
            resource,
            call.collection(resource.name),
            call.request.query,
            today=call.world.clock.today(),
        )
        return list_reply(resource, call, rows, paging=paging, v2=v2)

    return handle


def showing(resource: Resource, *, v2: bool = False) -> Handler:
    """Make a show operation."""

    def handle(call: Call) -> Reply:
        return show_reply(resource, call, stored(resource, call), v2=v2)

    return handle


def envelope_of(resource: Resource, body: JsonObject) -> JsonObject:
    """Take the record out of its envelope.

    Raises:
        ApiError: 400 when the envelope is missing or is no object.
    """
    if resource.envelope is None:
        return body
    inner = body.get(resource.envelope)
    if not isinstance(inner, dict) or not inner:
        raise missing_parameter(resource.envelope)
    return inner


def apply(resource: Resource, call: Call, sent: Mapping[str, Json], row: Record) -> Record:
    """Return *row* changed by what was sent; unknown keys are ignored."""
    changed = dict(row)
    for name, value in sent.items():
        read = resource.inputs.get(name)
        if read is not None:
            changed.update(read(value, call))
    if resource.custom_fields:
        custom = read_custom_fields(sent, call.company)
        if custom:
            changed["custom_fields"] = {**row.get("custom_fields", {}), **custom}
    if "attachments" in resource.template:
        added = sent_attachments(call, sent)
        if added:
            changed["attachments"] = [*row.get("attachments", ()), *added]
    return changed


def _demand(resource: Resource, sent: Mapping[str, Json]) -> None:
    missing = [name for name in resource.required if sent.get(name) in (None, "", [])]
    if not missing:
        return
    if resource.refusal is Refusal.FIELDS:
        raise blank(*missing)
    raise bad_request(f"{missing[0]} is required", fields=missing[0])


def insert(resource: Resource, call: Call, sent: Mapping[str, Json]) -> Record:
    """Check what was sent and commit a new row."""
    _demand(resource, sent)
    if resource.custom_fields and call.request.argument("run_configurable_validations") == "true":
        demand_custom_fields(sent)
    _check_origin(resource, call, sent, own_id=None)
    moment = call.now()
    row = apply(resource, call, sent, {})
    if "created_at" in resource.template:
        row["created_at"] = moment
    if "updated_at" in resource.template:
        row["updated_at"] = moment
    if "created_by" in resource.template:
        row["created_by"] = call.actor()
    row["id"] = call.world.new_id(call.home)
    if resource.normalize is not None:
        resource.normalize(call, row, None)
    call.collection(resource.name).put(row)
    call.settle()
    call.record_id = row["id"]
    return row


def next_number(call: Call, resource: str, *, field: str = "number", prefix: str = "") -> int:
    """Return the number behind the highest there is, as people number; not how many there are.

    Args:
        field: Where rows have theirs, after *prefix*; what is no number there is passed over.
    """
    rows = call.collection(resource).rows()
    taken = (str(row.get(field) or "").removeprefix(prefix) for row in rows)
    numbers = (int(text) for text in taken if text.isdecimal() and len(text) <= _MAX_DIGITS)
    return max(numbers, default=0) + 1


def change(resource: Resource, call: Call, row: Record, sent: Mapping[str, Json]) -> Record:
    """Check what was sent and commit the changed row."""
    _check_origin(resource, call, sent, own_id=row["id"])
    emptied = [name for name in resource.required if name in sent and sent[name] in (None, "")]
    if emptied:
        raise blank(*emptied)
    changed = apply(resource, call, sent, row)
    if "updated_at" in resource.template:
        changed["updated_at"] = call.now()
    if resource.normalize is not None:
        resource.normalize(call, changed, row)
    call.collection(resource.name).put(changed)
    call.settle()
    call.record_id = changed["id"]
    return changed


def _check_origin(
    resource: Resource, call: Call, sent: Mapping[str, Json], *, own_id: int | None
) -> None:
    origin = sent.get("origin_id")
    if "origin_id" not in resource.inputs or origin in (None, ""):
        return
    owners = [None] if resource.company_wide else call.world.projects_of(call.home)
    for project in owners:
        rows = call.world.collection(resource.name, company=call.home, project=project)
        twin = rows.find(lambda row: row.get("origin_id") == str(origin))
        if twin is not None and twin["id"] != own_id:
            raise ApiError(
                call.behaviour.duplicate_status,
                {"errors": {"origin_id": ["has already been taken"]}},
                message="origin_id has already been taken",
                reason="DUPLICATE_ORIGIN_ID",
            )


def creating(resource: Resource, *, status: int = 201, v2: bool = False) -> Handler:
    """Make a create operation."""

    def handle(call: Call) -> Reply:
        row = insert(resource, call, envelope_of(resource, call.body))
        return show_reply(resource, call, row, status=status, v2=v2)

    return handle


def updating(resource: Resource, *, v2: bool = False) -> Handler:
    """Make an update operation."""

    def handle(call: Call) -> Reply:
        row = stored(resource, call)
        row = change(resource, call, row, envelope_of(resource, call.body))
        return show_reply(resource, call, row, v2=v2)

    return handle


def deleting(resource: Resource, *, status: int = 200) -> Handler:
    """Make a delete operation."""

    def handle(call: Call) -> Reply:
        row = stored(resource, call)
        call.collection(resource.name).remove(row["id"])
        return Reply(status=204) if status == 204 else json_reply({}, status=status)

    return handle


def crud_routes(
    resource: Resource,
    path: str,
    verbs: str,
    *,
    item: str | None = None,
    created: int = 201,
    deleted: int = 200,
    paging: Paging | None = None,
    v2: bool = False,
    idempotent: bool = False,
    reach: Reach | None = None,
) -> list[Route]:
    """Declare the operations *verbs* of a resource: ``L``, ``S``, ``C``, ``U``, ``D``.

    Args:
        path: The collection's template.
        item: The item's template, *path* plus ``/{id}`` if not given.
    """
    one = item or f"{path}/{{id}}"
    kinds: dict[str, tuple[str, str, Handler, Level]] = {
        "L": ("GET", path, listing(resource, paging=paging, v2=v2), Level.READ),
        "S": ("GET", one, showing(resource, v2=v2), Level.READ),
        "C": ("POST", path, creating(resource, status=created, v2=v2), Level.STANDARD),
        "U": ("PATCH", one, updating(resource, v2=v2), Level.STANDARD),
        "D": ("DELETE", one, deleting(resource, status=deleted), Level.ADMIN),
    }
    shared: dict[str, Any] = {
        "resource": resource.name,
        "tool": resource.tool,
        "reach": reach or (Reach.COMPANY if resource.company_wide else Reach.PROJECT),
    }
    return [
        Route(
            method=method,
            template=template,
            handler=handler,
            level=level,
            idempotent=idempotent and verb in "CU",
            **shared,
        )
        for verb in verbs
        for method, template, handler, level in (kinds[verb],)
    ]
