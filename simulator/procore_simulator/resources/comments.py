"""Comments on tasks, and the response logs of observations; both may move what they are about."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from procore_simulator.calls import Call
from procore_simulator.crud import crud_routes, envelope_of, insert, list_reply, show_reply, stored
from procore_simulator.failures import invalid, missing_parameter, not_found
from procore_simulator.filtering import among, select_among
from procore_simulator.inputs import choice, integer, text
from procore_simulator.messages import Reply
from procore_simulator.records import Record
from procore_simulator.resource import Resource
from procore_simulator.routing import Handler, Route
from procore_simulator.seeding.seeder import Seeder
from procore_simulator.tenancy import Level

__all__ = ["RESOURCES", "ROUTES"]

_TASK_STATES: Final = ("initiated", "in_progress", "ready_for_review", "closed", "void")
_OBSERVATION_STATES: Final = ("initiated", "ready_for_review", "not_accepted", "closed")


def _seed_comments(seeder: Seeder) -> Iterator[Record]:
    tasks = seeder.rows("task_items")
    for index, number in enumerate(seeder.ids()):
        task = tasks[index % len(tasks)]
        yield {
            "id": number,
            "task_item_id": task["id"],
            "comment": "Done on the north side; the rest follows.",
            "status": task["status"],
            "created_by": seeder.person(),
            **seeder.times(-60, -1),
        }


def _by_author(row: Record, values: tuple[str, ...]) -> bool:
    author = row["created_by"]
    return isinstance(author, dict) and str(author["id"]) in values


def _complete_comment(call: Call, row: Record, before: Record | None) -> None:
    task = call.collection("task_items").get(row.get("task_item_id") or 0)
    if task is None:
        raise invalid({"task_item": ["must exist"]})
    if before is None and "status" not in row:
        row["status"] = task["status"]
    if row["status"] != task["status"]:
        call.collection("task_items").put({**task, "status": row["status"]})


COMMENTS = Resource(
    name="task_item_comments",
    tool="tasks",
    envelope="task_item_comment",
    template={
        "id": None,
        "task_item_id": None,
        "comment": None,
        "status": None,
        "created_by": None,
        "attachments": [],
        "created_at": None,
        "updated_at": None,
    },
    inputs={
        "task_item_id": integer("task_item_id"),
        "comment": text("comment"),
        "status": choice("status", *_TASK_STATES),
    },
    required=("task_item_id",),
    filters={"task_item_id": among("task_item_id"), "created_by_id": _by_author},
    count=24,
    seed=_seed_comments,
    normalize=_complete_comment,
)


def _seed_responses(seeder: Seeder) -> Iterator[Record]:
    observations = seeder.rows("observations")
    for index, number in enumerate(seeder.ids()):
        observation = observations[(index * 2) % len(observations)]
        yield {
            "id": number,
            "item_id": observation["id"],
            "comment": "See the photo for how it was mended.",
            "status": _titled(observation["status"]),
            "created_by": seeder.person(),
            "created_at": seeder.instant(-60, -1),
        }


def _titled(status: str) -> str:
    """A status as response logs write it."""
    return status.replace("_", " ").title()


RESPONSES = Resource(
    name="observation_response_logs",
    tool="observations",
    envelope="response_log",
    template={
        "id": None,
        "item_id": None,
        "status": None,
        "comment": None,
        "created_by": None,
        "attachments": [],
        "created_at": None,
    },
    inputs={"comment": text("comment"), "status": choice("status", *_OBSERVATION_STATES)},
    count=30,
    seed=_seed_responses,
)


def _observation(call: Call) -> Record:
    row = call.collection("observations").get(call.item_id("item_id"))
    if row is None:
        raise not_found("Observation")
    return row


def _list_responses(call: Call) -> Reply:
    observation = _observation(call)
    rows = call.collection("observation_response_logs").rows()
    own = [row for row in rows if row["item_id"] == observation["id"]]
    return list_reply(RESPONSES, call, select_among(RESPONSES, own, call.request.query))


def _create_response(call: Call) -> Reply:
    if "project_id" not in call.body:
        raise missing_parameter("project_id")
    observation = _observation(call)
    sent = dict(envelope_of(RESPONSES, call.body))
    # The status stands beside the envelope, and moves the observation.
    sent["status"] = call.body.get("status") or observation["status"]
    row = insert(RESPONSES, call, sent)
    moved = str(row["status"])
    call.collection("observations").put({**observation, "status": moved})
    row |= {"item_id": observation["id"], "status": _titled(moved)}
    call.collection("observation_response_logs").put(row)
    return show_reply(RESPONSES, call, row, status=201)


def _below(handler: Handler) -> Handler:
    """Let a response log be found below its own observation only."""

    def handle(call: Call) -> Reply:
        if stored(RESPONSES, call)["item_id"] != _observation(call)["id"]:
            raise not_found()
        return handler(call)

    return handle


RESOURCES = (COMMENTS, RESPONSES)
_COMMENTS = "/rest/v1.0/companies/{company_id}/projects/{project_id}/task_item_comments"
_RESPONSES = "/rest/v1.0/observations/items/{item_id}/response_logs"
ROUTES: tuple[Route, ...] = (
    *crud_routes(COMMENTS, _COMMENTS, "LCUD"),
    *(
        Route(
            method=method,
            template=_RESPONSES,
            handler=handler,
            resource=RESPONSES.name,
            tool=RESPONSES.tool,
            level=level,
        )
        for method, handler, level in (
            ("GET", _list_responses, Level.READ),
            ("POST", _create_response, Level.STANDARD),
        )
    ),
    *(
        replace(route, handler=_below(route.handler))
        for route in crud_routes(RESPONSES, _RESPONSES, "S")
    ),
)
