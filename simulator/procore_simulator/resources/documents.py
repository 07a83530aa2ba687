"""Folders and files of projects and companies: one unpaged tree, and one flat list."""

from collections.abc import Iterator

from procore_simulator.attachments import link, uploaded
from procore_simulator.bodies import UploadedPart
from procore_simulator.calls import Call
from procore_simulator.crud import (
    change,
    crud_routes,
    envelope_of,
    insert,
    list_reply,
    present,
    show_reply,
    stored,
)
from procore_simulator.failures import ApiError, bad_request, invalid
from procore_simulator.filtering import among, containing, flagged, ranged, select_among
from procore_simulator.inputs import flag, integer, text
from procore_simulator.messages import Json, JsonObject, Reply, json_reply
from procore_simulator.records import Record
from procore_simulator.resource import UNPAGED, Resource
from procore_simulator.routing import Handler, Reach, Route, route
from procore_simulator.seeding import words
from procore_simulator.seeding.seeder import Seeder
from procore_simulator.storage.objects import CONTENT

__all__ = ["RESOURCES", "ROUTES"]

_FOLDERS = ("Drawings", "Specifications", "Photos", "Meeting minutes", "Safety", "As-built")


def _seed_folders(seeder: Seeder) -> Iterator[Record]:
    root = seeder.first_id
    yield {"id": root, "name": "Root Folder", "name_with_path": "", **seeder.times(-500, -400)}
    for index, name in enumerate(_FOLDERS):
        yield {
            "id": root + 1 + index,
            "name": name,
            "parent_id": root,
            "name_with_path": name,
            "is_tracked": index % 3 == 0,
            **seeder.times(-400, -300),
        }


def _root_id(call: Call) -> int:
    return int(call.collection("folders").rows()[0]["id"])


def _complete_place(resource: str, call: Call, row: Record) -> None:
    """Settle the parent and the path, and refuse a name that is taken there."""
    parent_id = row.get("parent_id") or _root_id(call)
    parent = call.lookup("folders", parent_id)
    if parent is None or (resource == "folders" and parent_id == row["id"]):
        raise invalid({"parent_id": ["is invalid"]})
    row["parent_id"] = parent_id
    twin = call.collection(resource).find(
        lambda other: (
            other.get("parent_id") == parent_id
            and other["name"] == row["name"]
            and other["id"] != row["id"]
        )
    )
    if twin is not None:
        raise _name_taken(resource, twin)
    above = parent.get("name_with_path")
    row["name_with_path"] = f"{above}/{row['name']}" if above else row["name"]


def _name_taken(resource: str, twin: Record) -> ApiError:
    if resource == "folders":
        return bad_request("A folder with this name already exists", fields="name")
    message = "A file with this name already exists in this folder"
    return ApiError(
        409,
        {"errors": {"base": [message]}, "error_type": "name_taken", "file": {"id": twin["id"]}},
        message=message,
    )


FOLDERS = Resource(
    name="folders",
    tool="documents",
    envelope="folder",
    template={
        "id": None,
        "name": None,
        "parent_id": None,
        "name_with_path": None,
        "is_deleted": False,
        "is_recycle_bin": False,
        "is_tracked": False,
        "private": False,
        "has_children": False,
        "tracked_folder": None,
        "custom_fields": {},
        "created_by": None,
        "created_at": None,
        "updated_at": None,
    },
    inputs={
        "name": text("name"),
        "parent_id": integer("parent_id"),
        "is_tracked": flag("is_tracked"),
        "private": flag("private"),
        "explicit_permissions": flag("private"),
    },
    required=("name",),
    paging=UNPAGED,
    filters={"id": among("id"), "search": containing("name")},
    seed=_seed_folders,
    normalize=lambda call, row, _before: _complete_place("folders", call, row),
)


def _seed_files(seeder: Seeder) -> Iterator[Record]:
    rng = seeder.rng
    folders = seeder.world.rows("folders", company=seeder.company, project=seeder.project)
    for index, number in enumerate(seeder.ids()):
        folder = folders[1 + index % (len(folders) - 1)]
        kind = rng.choice(("pdf", "pdf", "dwg", "docx", "jpg"))
        name = f"{rng.choice(words.SPECIFICATIONS)} {index + 1}.{kind}"
        yield {
            "id": number,
            "name": name,
            "parent_id": folder["id"],
            "size": rng.randint(20_000, 9_000_000),
            "file_type": kind,
            "name_with_path": f"{folder['name_with_path']}/{name}",
            "created_by": seeder.person(),
            **seeder.times(),
        }


def _read_upload(value: Json, call: Call) -> JsonObject:
    found = uploaded(value, call)
    return {CONTENT: found[CONTENT], "size": found["size"]}


def _complete_file(call: Call, row: Record, before: Record | None) -> None:
    if before is not None and (before.get("checked_out_until") or "") > call.now():
        message = "The file is checked out by another user"
        raise ApiError(
            409,
            {"errors": {"base": [message]}, "error_type": "checked_out", "file": {"id": row["id"]}},
            message=message,
        )
    row["file_type"] = str(row["name"]).rpartition(".")[2].lower()
    _complete_place("files", call, row)


def _present_file(call: Call, shown: Record, _listed: bool) -> Record:  # noqa: FBT001 - Resource.present's shape
    shown["file_versions"] = [
        {
            "id": shown["id"],
            "number": 1,
            "notes": None,
            "size": shown["size"],
            "url": link(call, shown, name=str(shown["name"])),
            "created_at": shown["created_at"],
            "created_by": shown["created_by"],
        }
    ]
    return shown


FILES = Resource(
    name="files",
    tool="documents",
    envelope="file",
    template={
        "id": None,
        "name": None,
        "parent_id": None,
        "name_with_path": None,
        "description": None,
        "size": None,
        "file_type": None,
        "file_versions": [],
        "is_deleted": False,
        "is_tracked": False,
        "private": False,
        "checked_out_until": None,
        "checked_out_by": None,
        "legacy_id": None,
        "custom_fields": {},
        "created_by": None,
        "created_at": None,
        "updated_at": None,
    },
    inputs={
        "name": text("name"),
        "description": text("description"),
        "parent_id": integer("parent_id"),
        "is_tracked": flag("is_tracked"),
        "private": flag("private"),
        "checked_out_until": text("checked_out_until"),
        "data": _read_upload,
        "upload_uuid": _read_upload,
    },
    required=("name",),
    filters={"id": among("id"), "search": containing("name")},
    count=60,
    seed=_seed_files,
    normalize=_complete_file,
    present=_present_file,
)


def _tree(call: Call) -> Reply:
    folders, files = call.collection("folders"), call.collection("files")

    def make() -> list[Record]:
        shown = {
            row["id"]: {**present(FOLDERS, call, row), "folders": [], "files": []}
            for row in folders.rows()
        }
        for row in files.rows():
            if row["parent_id"] in shown:
                shown[row["parent_id"]]["files"].append(present(FILES, call, row))
        root = shown[folders.rows()[0]["id"]]
        for row in folders.rows()[1:]:
            folder = shown[row["id"]]
            folder["has_children"] = bool(folder["folders"] or folder["files"])
            shown.get(row["parent_id"], root)["folders"].append(folder)
        root["has_children"] = len(shown) > 1
        return [root]

    # Made anew before its links are old.
    age = int(call.world.clock.now() // max(1.0, call.behaviour.link_seconds / 10))
    key = ("tree", files.version, call.base_url, call.behaviour, age)
    return json_reply(folders.selection(key, make)[0])


def _show_folder(call: Call) -> Reply:
    row = stored(FOLDERS, call)
    below = [other for other in call.collection("folders").rows() if _is_in(other, row)]
    files = [other for other in call.collection("files").rows() if _is_in(other, row)]
    return json_reply(
        {
            **present(FOLDERS, call, row),
            "has_children": bool(below or files),
            "folders": [present(FOLDERS, call, other) for other in below],
            "files": [present(FILES, call, other) for other in files],
        }
    )


def _is_in(row: Record, folder: Record) -> bool:
    return bool(row.get("parent_id") == folder["id"])


def _delete_folder(call: Call) -> Reply:
    row = stored(FOLDERS, call)
    if row["id"] == _root_id(call):
        raise bad_request("The root folder cannot be deleted")
    _remove_below(call, row)
    return json_reply({})


def _remove_below(call: Call, folder: Record) -> None:
    folders, files = call.collection("folders"), call.collection("files")
    for other in [row for row in files.rows() if _is_in(row, folder)]:
        files.remove(other["id"])
    for other in [row for row in folders.rows() if _is_in(row, folder)]:
        _remove_below(call, other)
    folders.remove(folder["id"])


def _named(sent: JsonObject) -> JsonObject:
    data = sent.get("data")
    if isinstance(data, UploadedPart) and not sent.get("name"):
        return {**sent, "name": data.filename}
    return sent


def _create_file(call: Call) -> Reply:
    row = insert(FILES, call, _named(envelope_of(FILES, call.body)))
    return show_reply(FILES, call, row, status=201)


def _update_file(call: Call) -> Reply:
    row = change(FILES, call, stored(FILES, call), envelope_of(FILES, call.body))
    return show_reply(FILES, call, row)


DOCUMENTS = Resource(
    name="documents",
    tool="documents",
    template={**FILES.template, "document_type": None},
    filters={
        "id": among("id"),
        "document_type": among("document_type"),
        "is_in_recycle_bin": flagged("is_deleted"),
        "search": containing("name"),
        "created_at": ranged("created_at"),
        "updated_at": ranged("updated_at"),
    },
    sorts=frozenset({"id", "name", "created_at", "updated_at"}),
    count=0,
)


def _documents(call: Call) -> Reply:
    folders, files = call.collection("folders"), call.collection("files")

    def make() -> list[Record]:
        return [
            *({**row, "document_type": "folder"} for row in folders.rows()[1:]),
            *({**row, "document_type": "file"} for row in files.rows()),
        ]

    rows = folders.selection(("documents", files.version), make)
    found = select_among(DOCUMENTS, rows, call.request.query)
    return list_reply(DOCUMENTS, call, found)


def _document_routes(prefix: str, reach: Reach) -> list[Route]:
    def one(method: str, path: str, handler: Handler) -> Route:
        resource = path.partition("/")[0]
        return route(method, f"{prefix}/{path}", handler, resource, reach=reach, tool="documents")

    return [
        one("GET", "folders", _tree),
        one("GET", "folders/{id}", _show_folder),
        *crud_routes(FOLDERS, f"{prefix}/folders", "CU", reach=reach),
        one("DELETE", "folders/{id}", _delete_folder),
        *crud_routes(FILES, f"{prefix}/files", "SD", reach=reach),
        one("POST", "files", _create_file),
        one("PATCH", "files/{id}", _update_file),
    ]


RESOURCES = (FOLDERS, FILES, DOCUMENTS)
ROUTES: tuple[Route, ...] = (
    *_document_routes("/rest/v1.0", Reach.PROJECT),
    *_document_routes("/rest/v1.0/companies/{company_id}", Reach.COMPANY),
    route(
        "GET",
        "/rest/v1.0/projects/{project_id}/documents",
        _documents,
        "documents",
        tool="documents",
    ),
)
