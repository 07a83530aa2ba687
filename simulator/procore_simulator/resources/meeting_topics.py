"""Topics of meetings: written below a project, read with their meeting, in its categories."""

from collections.abc import Iterator

from procore_simulator.calls import Call
from procore_simulator.crud import crud_routes
from procore_simulator.failures import missing_parameter, not_found
from procore_simulator.inputs import choice, day, flag, people, text, to_integer
from procore_simulator.messages import Json
from procore_simulator.records import Record
from procore_simulator.resource import Resource
from procore_simulator.routing import Route
from procore_simulator.seeding.seeder import Seeder

__all__ = ["RESOURCES", "ROUTES", "categories_of"]

_CATEGORY = "General"


def _seed(seeder: Seeder) -> Iterator[Record]:
    meetings = seeder.rows("meetings")
    for index, number in enumerate(seeder.ids()):
        yield {
            "id": number,
            "meeting_id": meetings[index % len(meetings)]["id"],
            "number": str(index // len(meetings) + 1),
            "title": ("Programme", "Deliveries", "Open points")[index % 3],
            "due_date": seeder.day(1, 20),
            "created_on": seeder.today.isoformat(),
            "position": index // len(meetings) + 1,
        }


def _complete(call: Call, row: Record, before: Record | None) -> None:
    given = call.body.get("meeting_id")
    if given in (None, ""):
        raise missing_parameter("meeting_id")
    number = to_integer(given)
    meeting = None if number is None else call.lookup("meetings", number)
    if meeting is None:
        raise not_found("Meeting")
    if before is None:
        others = [one for one in call.collection("meeting_topics").rows() if _in(one, meeting)]
        row["meeting_id"] = meeting["id"]
        row["position"] = len(others) + 1
        row["number"] = str(row["position"])
        row["created_on"] = call.now()[:10]


def _in(topic: Record, meeting: Record) -> bool:
    return bool(topic["meeting_id"] == meeting["id"])


TOPICS = Resource(
    name="meeting_topics",
    tool="meetings",
    envelope="meeting_topic",
    template={
        "id": None,
        "meeting_id": None,
        "number": None,
        "title": None,
        "description": None,
        "minutes": None,
        "status": "Open",
        "priority": None,
        "due_date": None,
        "created_on": None,
        "position": None,
        "is_private": False,
        "assignments": [],
        "attachments": [],
    },
    inputs={
        "title": text("title"),
        "description": text("description"),
        "minutes": text("minutes"),
        "status": choice("status", "Open", "On Hold", "Closed"),
        "priority": choice("priority", "Low", "Medium", "High"),
        "due_date": day("due_date"),
        "is_private": flag("is_private"),
        "assignment_ids": people("assignments"),
    },
    count=24,
    seed=_seed,
    normalize=_complete,
)


def categories_of(call: Call, meeting: Record) -> list[Json]:
    """What a shown meeting says of its topics; the list of meetings leaves it out."""
    topics = [row for row in call.collection("meeting_topics").rows() if _in(row, meeting)]
    if not topics:
        return []
    shown: list[Json] = [{**TOPICS.template, **row} for row in topics]
    return [{"id": meeting["id"], "title": _CATEGORY, "meeting_topic": shown}]


RESOURCES = (TOPICS,)
ROUTES: tuple[Route, ...] = tuple(
    crud_routes(TOPICS, "/rest/v1.1/projects/{project_id}/meeting_topics", "CU")
)
