"""RFIs, with the rules that are theirs alone."""

from collections.abc import Iterator
from functools import partial

from procore_simulator.attachments import attached, linked, made_attachment, sent_attachments
from procore_simulator.calls import Call
from procore_simulator.crud import (
    change,
    crud_routes,
    envelope_of,
    insert,
    list_reply,
    next_number,
    present,
    show_reply,
    stored,
)
from procore_simulator.custom_fields import custom_field_template
from procore_simulator.failures import invalid, missing_parameter, not_found
from procore_simulator.filtering import among, containing, ranged, referring
from procore_simulator.inputs import (
    day,
    flag,
    people,
    person,
    reference,
    text,
    to_integer,
    valued,
)
from procore_simulator.messages import Json, JsonObject, Reply, json_reply
from procore_simulator.records import Record
from procore_simulator.resource import Resource
from procore_simulator.resources.rfi_replies import REPLIES
from procore_simulator.routing import Handler, Route, route
from procore_simulator.seeding import words
from procore_simulator.seeding.seeder import Seeder
from procore_simulator.tenancy import Level

__all__ = ["RESOURCES", "ROUTES"]

_PRIORITIES = ("Low", "Normal", "High", None)
_ADDED = "_added_attachments"
_ADMIN_ONLY = ("assignee_ids", "assignee_id", "due_date")


def _read_attachments(value: Json, call: Call) -> JsonObject:
    return {_ADDED: attached(value, call)}


def _question(number: int, body: str, author: str | None) -> JsonObject:
    return {
        "id": number,
        "body": body,
        "plain_text_body": body,
        "rich_text_body": f"<p>{body}</p>",
        "created_by": author,
        "attachments": [],
        "answers": [],
    }


def _sketch(number: int) -> JsonObject:
    return made_attachment(number, f"sketch-{number}.pdf", 20_000 + number % 1000)


def _seed_rfis(seeder: Seeder) -> Iterator[Record]:
    rng = seeder.rng
    for index, number in enumerate(seeder.ids()):
        place = rng.choice(words.PLACES)
        closed = rng.random() < 0.45
        draft = not closed and rng.random() < 0.1
        times = seeder.times()
        assignee, asker = seeder.person(), seeder.person()
        priority = rng.choice(_PRIORITIES)
        yield {
            "id": number,
            "number": str(index + 1),
            "full_number": str(index + 1),
            "subject": rng.choice(words.SUBJECTS).format(place=place),
            "status": "closed" if closed else "draft" if draft else "open",
            "due_date": seeder.sometimes(seeder.day(-120, 40), chance=0.8),
            "draft": draft,
            "accepted": closed,
            "private": rng.random() < 0.1,
            "rfi_manager": seeder.person(),
            "received_from": asker if rng.random() < 0.5 else None,
            "ball_in_court": None if closed or draft else assignee,
            "assignee": assignee,
            "assignees": [assignee],
            "created_by": asker,
            "questions": [
                _question(number, rng.choice(words.QUESTIONS), asker["name"])
                | ({"attachments": [_sketch(number)]} if index % 8 == 0 else {})
            ],
            "priority": {"name": priority, "value": priority and priority.lower()},
            "location": seeder.location(),
            "responsible_contractor": seeder.vendor() if rng.random() < 0.4 else None,
            "initiated_at": None if draft else times["created_at"],
            "time_resolved": times["updated_at"] if closed else None,
            **times,
        }


def _read_question(value: Json, call: Call) -> JsonObject:
    body = value.get("body") if isinstance(value, dict) else value
    if not isinstance(body, str) or not body:
        raise invalid({"question": ["can't be blank"]})
    asked = _question(0, body, call.actor()["name"])
    if isinstance(value, dict):
        asked["attachments"] = sent_attachments(call, value)
    return {"questions": [asked]}


def _read_assignees(value: Json, call: Call) -> JsonObject:
    found = people("assignees")(value, call)["assignees"]
    return {"assignees": found, "assignee": found[0] if found else None}


def _read_accepted(value: Json, call: Call) -> JsonObject:
    accepted = bool(flag("accepted")(value, call)["accepted"])
    return {
        "accepted": accepted,
        "status": "closed" if accepted else "open",
        "time_resolved": call.now() if accepted else None,
    }


def _read_draft(value: Json, call: Call) -> JsonObject:
    draft = bool(flag("draft")(value, call)["draft"])
    return {"draft": draft, "status": "draft" if draft else "open"}


def _complete_rfi(call: Call, row: Record, before: Record | None) -> None:
    if before is None:
        if not row.get("assignees") and not row.get("draft") and call.level is Level.ADMIN:
            raise invalid({"assignees": ["required"]})
        row["number"] = row.get("number") or str(next_number(call, "rfis"))
        row["questions"] = [{**question, "id": row["id"]} for question in row["questions"]]
        row.setdefault("status", "open")
        row["initiated_at"] = None if row.get("draft") else call.now()
    added = row.pop(_ADDED, None)
    if added:
        first, *others = row["questions"]
        row["questions"] = [{**first, "attachments": [*first["attachments"], *added]}, *others]
    row["full_number"] = f"{row.get('prefix') or ''}{row['number']}"
    open_now = row["status"] == "open"
    row["ball_in_court"] = row.get("assignee") if open_now else None


def _present_rfi(call: Call, shown: Record, listed: bool) -> Record:  # noqa: FBT001 - Resource.present's shape
    shown["link"] = f"https://app.procore.com/{call.site.id}/project/rfi/show/{shown['id']}"
    if any(question["attachments"] for question in shown["questions"]):
        shown["questions"] = [
            {**question, "attachments": linked(call, question["attachments"])}
            for question in shown["questions"]
        ]
    if not listed:
        answers = [
            present(REPLIES, call, row)
            for row in call.collection("rfi_replies").rows()
            if row["rfi_id"] == shown["id"]
        ]
        shown["questions"] = [
            {**question, "answers": answers if index == 0 else []}
            for index, question in enumerate(shown["questions"])
        ]
    return shown


RFIS = Resource(
    name="rfis",
    tool="rfis",
    envelope="rfi",
    template={
        "id": None,
        "number": None,
        "full_number": None,
        "prefix": None,
        "subject": None,
        "status": "open",
        "due_date": None,
        "private": False,
        "draft": False,
        "accepted": False,
        "rfi_manager": None,
        "received_from": None,
        "ball_in_court": None,
        "assignee": None,
        "assignees": [],
        "distribution_list": [],
        "questions": [],
        "priority": {"name": None, "value": None},
        "custom_textfield_1": {"label": "Custom Field 1", "value": None},
        "custom_textfield_2": {"label": "Custom Field 2", "value": None},
        "cost_impact": {"status": None, "value": None},
        "schedule_impact": {"status": None, "value": None},
        "cost_code": None,
        "location": None,
        "project_stage": None,
        "responsible_contractor": None,
        "specification_section": None,
        "sub_job": None,
        "reference": None,
        "drawing_number": None,
        "created_by": None,
        "initiated_at": None,
        "time_resolved": None,
        "deleted_at": None,
        "link": None,
        "custom_fields": custom_field_template(),
        "created_at": None,
        "updated_at": None,
    },
    inputs={
        "subject": text("subject"),
        "number": text("number"),
        "prefix": text("prefix"),
        "reference": text("reference"),
        "drawing_number": text("drawing_number"),
        "private": flag("private"),
        "draft": _read_draft,
        "accepted": _read_accepted,
        "due_date": day("due_date"),
        "question": _read_question,
        "upload_ids": _read_attachments,
        "attachments": _read_attachments,
        "assignee_ids": _read_assignees,
        "assignee_id": lambda value, call: _read_assignees([value], call),
        "rfi_manager_id": person("rfi_manager"),
        "received_from_id": person("received_from"),
        "received_from_login_information_id": person("received_from"),
        "distribution_ids": people("distribution_list"),
        "location_id": reference("location", "locations", "id", "name", "node_name", "parent_id"),
        "responsible_contractor_id": reference("responsible_contractor", "vendors"),
        "cost_code_id": reference("cost_code", "cost_codes", "id", "name", "full_code"),
        "cost_impact": valued("cost_impact"),
        "schedule_impact": valued("schedule_impact"),
        "priority": lambda value, _call: {
            "priority": {"name": value and str(value).title(), "value": value and str(value)}
        },
        "custom_textfield_1": lambda value, _call: {
            "custom_textfield_1": {"label": "Custom Field 1", "value": value}
        },
        "custom_textfield_2": lambda value, _call: {
            "custom_textfield_2": {"label": "Custom Field 2", "value": value}
        },
    },
    required=("subject", "question", "rfi_manager_id"),
    filters={
        "id": among("id"),
        "status": among("status"),
        "number": among("number"),
        "search": containing("subject", "number"),
        "assigned_id": referring("assignees"),
        "ball_in_court_id": referring("ball_in_court"),
        "rfi_manager_id": referring("rfi_manager"),
        "received_from_login_information_id": referring("received_from"),
        "responsible_contractor_id": referring("responsible_contractor"),
        "location_id": referring("location"),
        "due_date": ranged("due_date"),
        "created_at": ranged("created_at"),
        "updated_at": ranged("updated_at"),
    },
    sorts=frozenset({"id", "number", "subject", "status", "due_date", "created_at", "updated_at"}),
    custom_fields=True,
    count=520,
    seed=_seed_rfis,
    normalize=_complete_rfi,
    present=_present_rfi,
)


def _permitted(call: Call, sent: JsonObject) -> JsonObject:
    if call.level is Level.ADMIN:
        return sent
    return {name: value for name, value in sent.items() if name not in _ADMIN_ONLY}


def _create(call: Call) -> Reply:
    row = insert(RFIS, call, _permitted(call, envelope_of(RFIS, call.body)))
    return show_reply(RFIS, call, row, status=201)


def _update(call: Call) -> Reply:
    row = stored(RFIS, call)
    row = change(RFIS, call, row, _permitted(call, envelope_of(RFIS, call.body)))
    return show_reply(RFIS, call, row)


def _update_many(call: Call) -> Reply:
    items = call.body.get("data")
    if not isinstance(items, list):
        raise missing_parameter("data")
    rows: list[tuple[Record, JsonObject]] = []
    for item in items:
        number = to_integer(item.get("id")) if isinstance(item, dict) else None
        row = None if number is None else call.collection("rfis").get(number)
        if row is None:
            raise not_found("RFI")
        rows.append((row, _permitted(call, {**item})))
    done = [change(RFIS, call, row, sent) for row, sent in rows]
    call.record_id = ",".join(str(row["id"]) for row in done)
    return json_reply({"data": [present(RFIS, call, row) for row in done]})


def _move(source: str, target: str, *, deleted: bool) -> Handler:
    def handle(call: Call) -> Reply:
        row = call.collection(source).remove(call.item_id())
        if row is None:
            raise not_found("RFI")
        row = {**row, "deleted_at": call.now() if deleted else None}
        call.collection(target).put(row)
        call.record_id = row["id"]
        return show_reply(RFIS, call, row)

    return handle


def _recycled(call: Call) -> Reply:
    return list_reply(RFIS, call, call.collection("recycled_rfis").rows())


def _pdf(call: Call) -> Reply:
    row = call.collection("rfis").get(call.item_id())
    if row is None:
        raise not_found("RFI")
    return Reply(
        body=f"%PDF-1.4\n% RFI {row['number']}: {row['subject']}\n%%EOF\n".encode(),
        content_type="application/pdf",
        headers=(("Content-Disposition", f'attachment; filename="rfi-{row["number"]}.pdf"'),),
    )


RECYCLED = Resource(name="recycled_rfis", tool="rfis", template=RFIS.template, count=0)


_route = partial(route, resource="rfis", tool="rfis")
_PATH = "/rest/v1.0/projects/{project_id}/rfis"
RESOURCES = (RFIS, RECYCLED)
ROUTES: tuple[Route, ...] = (
    *crud_routes(RFIS, _PATH, "LS"),
    # Undocumented, but observed to work.
    *crud_routes(RFIS, "/rest/v1.0/rfis", "L"),
    _route("POST", _PATH, _create),
    _route("PATCH", _PATH, _update_many),
    _route("PATCH", f"{_PATH}/{{id}}", _update),
    _route("GET", f"{_PATH}/{{id}}.pdf", _pdf),
    _route("GET", f"{_PATH}/recycle_bin", _recycled),
    _route(
        "PATCH",
        f"{_PATH}/{{id}}/recycle",
        _move("rfis", "recycled_rfis", deleted=True),
        level=Level.ADMIN,
    ),
    _route(
        "PATCH",
        f"{_PATH}/{{id}}/retrieve",
        _move("recycled_rfis", "rfis", deleted=False),
        level=Level.ADMIN,
    ),
)
