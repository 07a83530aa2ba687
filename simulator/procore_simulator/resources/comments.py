"""Comments on tasks, and the response logs of observations; both may move what they are about."""

from collections.abc import Iterator
from typing import Final

from procore_simulator.calls import Call
from procore_simulator.crud import crud_routes, envelope_of, insert, show_reply
from procore_simulator.failures import invalid, missing_parameter
from procore_simulator.filtering import among
from procore_simulator.inputs import choice, integer, text
from procore_simulator.messages import Reply
from procore_simulator.records import Record
from procore_simulator.resource import Resource
from procore_simulator.resources.nested import holder_of, nested_routes
from procore_simulator.routing import Route, route
from procore_simulator.seeding.seeder import Seeder

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


def _create_response(call: Call) -> Reply:
    if "project_id" not in call.body:
        raise missing_parameter("project_id")
    observation = holder_of(call, "observations", "item_id")
    sent = dict(envelope_of(RESPONSES, call.body))
    # The status stands beside the envelope, and moves the observation.
    sent["status"] = call.body.get("status") or observation["status"]
    row = insert(RESPONSES, call, sent)
    moved = str(row["status"])
    call.collection("observations").put({**observation, "status": moved})
    row |= {"item_id": observation["id"], "status": _titled(moved)}
    call.collection("observation_response_logs").put(row)
    return show_reply(RESPONSES, call, row, status=201)


RESOURCES = (COMMENTS, RESPONSES)
_COMMENTS = "/rest/v1.0/companies/{company_id}/projects/{project_id}/task_item_comments"
_RESPONSES = "/rest/v1.0/observations/items/{item_id}/response_logs"
ROUTES: tuple[Route, ...] = (
    *crud_routes(COMMENTS, _COMMENTS, "LCUD"),
    *nested_routes(
        RESPONSES,
        _RESPONSES,
        "LS",
        holder="observations",
        holder_id="item_id",
        belongs=lambda response, observation: bool(response["item_id"] == observation["id"]),
    ),
    route("POST", _RESPONSES, _create_response, RESPONSES.name, tool=RESPONSES.tool),
)
