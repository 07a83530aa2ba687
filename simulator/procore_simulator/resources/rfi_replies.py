"""Replies to RFIs; an official one does not close its RFI."""

from collections.abc import Iterator

from procore_simulator.calls import Call
from procore_simulator.filtering import among, ranged
from procore_simulator.inputs import flag, text
from procore_simulator.records import Record
from procore_simulator.resource import Resource
from procore_simulator.resources.nested import nested_routes
from procore_simulator.routing import Route
from procore_simulator.seeding.seeder import Seeder

__all__ = ["REPLIES", "RESOURCES", "ROUTES"]


def _seed_replies(seeder: Seeder) -> Iterator[Record]:
    rfis = seeder.rows("rfis")
    if not rfis:
        return
    for index, number in enumerate(seeder.ids()):
        author = seeder.person()
        body = "See the revised detail; proceed as shown there."
        yield {
            "id": number,
            "rfi_id": rfis[(index * 3) % len(rfis)]["id"],
            "body": body,
            "plain_text_body": body,
            "rich_text_body": f"<p>{body}</p>",
            "official": index % 4 == 0,
            "answer_date": seeder.instant(-60, -1),
            "created_by": author["name"],
            "created_by_id": author["id"],
            **seeder.times(-60, -1),
        }


def _complete_reply(call: Call, row: Record, before: Record | None) -> None:
    if before is None:
        row["rfi_id"] = call.item_id("rfi_id")
        row["created_by_id"] = row["created_by"]["id"]
        row["created_by"] = row["created_by"]["name"]
        row["answer_date"] = call.now()


REPLIES = Resource(
    name="rfi_replies",
    tool="rfis",
    envelope="reply",
    template={
        "id": None,
        "rfi_id": None,
        "body": None,
        "plain_text_body": None,
        "rich_text_body": None,
        "official": False,
        "answer_date": None,
        "created_by": None,
        "created_by_id": None,
        "attachments": [],
        "created_at": None,
        "updated_at": None,
    },
    inputs={
        "body": lambda value, _call: {
            "body": value,
            "plain_text_body": value,
            "rich_text_body": None if value is None else f"<p>{value}</p>",
        },
        "plain_text_body": text("plain_text_body"),
        "official": flag("official"),
    },
    required=("body",),
    filters={"official": among("official"), "created_at": ranged("created_at")},
    count=60,
    seed=_seed_replies,
    normalize=_complete_reply,
)


RESOURCES = (REPLIES,)
_PATH = "/rest/v1.0/projects/{project_id}/rfis/{rfi_id}/replies"
ROUTES: tuple[Route, ...] = nested_routes(
    REPLIES,
    _PATH,
    "LSCUD",
    holder="rfis",
    holder_id="rfi_id",
    belongs=lambda reply, rfi: bool(reply["rfi_id"] == rfi["id"]),
)
