"""Photo albums and photos: metadata only, with the two ways to name an upload."""

from collections.abc import Iterator

from procore_simulator.attachments import link, uploaded
from procore_simulator.bodies import UploadedPart
from procore_simulator.calls import Call
from procore_simulator.crud import crud_routes, insert, show_reply
from procore_simulator.failures import bad_request, missing_parameter
from procore_simulator.filtering import among, containing, flagged, ranged
from procore_simulator.inputs import day, flag, instant, integer, reference, text
from procore_simulator.messages import Reply
from procore_simulator.records import Record
from procore_simulator.resource import Resource
from procore_simulator.routing import Route, route
from procore_simulator.seeding import words
from procore_simulator.seeding.seeder import Seeder
from procore_simulator.storage.objects import CONTENT

__all__ = ["RESOURCES", "ROUTES"]

_THUMBNAIL_BYTES = 16_384


def _seed_albums(seeder: Seeder) -> Iterator[Record]:
    names = ("Unclassified", "Progress", "Safety", "Deliveries")
    for number, name in zip(seeder.ids(), names, strict=False):
        yield {"id": number, "name": name, "private": name == "Safety", **seeder.times()}


def _count_album(call: Call, shown: Record, _listed: bool) -> Record:  # noqa: FBT001 - Resource.present's shape
    photos = call.collection("images").rows()
    shown["image_count"] = sum(row.get("image_category_id") == shown["id"] for row in photos)
    return shown


ALBUMS = Resource(
    name="image_categories",
    tool="photos",
    envelope="image_category",
    template={
        "id": None,
        "name": None,
        "private": False,
        "position": None,
        "cover_image_id": None,
        "image_count": 0,
        "created_at": None,
        "updated_at": None,
    },
    inputs={
        "name": text("name"),
        "private": flag("private"),
        "position": integer("position"),
        "cover_image_id": integer("cover_image_id"),
    },
    required=("name",),
    filters={"id": among("id"), "search": containing("name")},
    sorts=frozenset({"id", "name", "position", "created_at", "updated_at"}),
    count=4,
    seed=_seed_albums,
    present=_count_album,
)


def _seed_photos(seeder: Seeder) -> Iterator[Record]:
    rng = seeder.rng
    albums = seeder.rows("image_categories")
    for index, number in enumerate(seeder.ids()):
        times = seeder.times()
        yield {
            "id": number,
            "image_category_id": rng.choice(albums)["id"],
            "filename": f"IMG_{index + 1:04d}.jpg",
            "description": f"At {rng.choice(words.PLACES)}" if rng.random() < 0.4 else None,
            "size": rng.randint(200_000, 6_000_000),
            "width": 4032,
            "height": 3024,
            "taken_at": times["created_at"],
            "log_date": times["created_at"][:10],
            "location": seeder.location(),
            "starred": rng.random() < 0.1,
            "uploader": seeder.person(),
            **times,
        }


def _link(call: Call, shown: Record, _listed: bool) -> Record:  # noqa: FBT001 - Resource.present's shape
    name = str(shown["filename"])
    shown["url"] = link(call, shown, name=name, content_type="image/jpeg")
    shown["thumbnail_url"] = link(
        call, shown, name=name, content_type="image/jpeg", size=_THUMBNAIL_BYTES
    )
    return shown


PHOTOS = Resource(
    name="images",
    tool="photos",
    envelope="image",
    template={
        "id": None,
        "image_category_id": None,
        "filename": None,
        "description": None,
        "size": None,
        "width": None,
        "height": None,
        "url": None,
        "thumbnail_url": None,
        "taken_at": None,
        "log_date": None,
        "location": None,
        "location_id": None,
        "private": False,
        "starred": False,
        "trades": [],
        "uploader": None,
        "comments": [],
        "links": [],
        "created_at": None,
        "updated_at": None,
    },
    inputs={
        "image_category_id": integer("image_category_id"),
        "description": text("description"),
        "location_id": reference("location", "locations", "id", "name", "node_name", "parent_id"),
        "log_date": day("log_date"),
        "taken_at": instant("taken_at"),
        "private": flag("private"),
        "starred": flag("starred"),
        "filename": text("filename"),
    },
    filters={
        "id": among("id"),
        "image_category_id": among("image_category_id"),
        "private": flagged("private"),
        "starred": flagged("starred"),
        "search": containing("filename", "description"),
        "log_date": ranged("log_date"),
        "created_at": ranged("created_at"),
        "updated_at": ranged("updated_at"),
    },
    sorts=frozenset({"id", "taken_at", "created_at", "updated_at"}),
    count=80,
    seed=_seed_photos,
    present=_link,
)


def _create_photo(call: Call) -> Reply:
    body = call.body
    sent = body.get("image")
    sent = dict(sent) if isinstance(sent, dict) else {}
    upload = body.get("upload")
    # The guide's form is upload.uuid; the reference has upload_uuid and image_name at the top.
    guide = upload.get("uuid") if isinstance(upload, dict) else None
    source = sent.pop("data", None) or guide or body.get("upload_uuid") or sent.get("upload_uuid")
    if source is None:
        raise missing_parameter("upload_uuid")
    name = body.get("image_name") or sent.pop("image_name", None)
    is_named_by_its_file = isinstance(source, UploadedPart) or guide is not None
    if not name and not is_named_by_its_file:
        raise bad_request("image_name is required", fields="image_name")
    found = uploaded(source, call)
    sent["filename"] = str(name or found["name"])
    sent.setdefault("image_category_id", call.collection("image_categories").rows()[0]["id"])
    row = insert(PHOTOS, call, sent)
    row.update({CONTENT: found[CONTENT], "size": found["size"], "uploader": call.actor()})
    return show_reply(PHOTOS, call, row, status=201)


RESOURCES = (ALBUMS, PHOTOS)
ROUTES: tuple[Route, ...] = (
    *crud_routes(ALBUMS, "/rest/v1.0/image_categories", "LSCUD"),
    *crud_routes(PHOTOS, "/rest/v1.0/images", "LSUD"),
    route("POST", "/rest/v1.0/images", _create_photo, "images", tool="photos"),
)
