"""Files of records: taken from uploads or multipart bodies, answered with links."""

import mimetypes
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from procore_simulator.bodies import UploadedPart
from procore_simulator.failures import plain_text
from procore_simulator.inputs import objects
from procore_simulator.messages import Json, JsonObject
from procore_simulator.settings import LinkHost
from procore_simulator.storage.disk import DiskFullError
from procore_simulator.storage.objects import CONTENT, MADE

if TYPE_CHECKING:
    from procore_simulator.calls import Call

__all__ = ["attached", "link", "linked", "made_attachment", "sent_attachments", "uploaded"]

_KEYS = ("upload_ids", "upload_uuids", "attachments", "attachment_ids")
_BY_UUID = "attachments_by_uuid"  # the same as objects, for change events


def uploaded(value: Json, call: "Call") -> JsonObject:
    """Return ``name``, ``size``, ``content_type`` and object of an upload or a form's file.

    Raises:
        ApiError: If an upload cannot be used, or no more bytes may be kept.
    """
    if isinstance(value, UploadedPart):
        try:
            return call.world.objects.keep(value)
        except DiskFullError as exc:
            raise plain_text(507, str(exc)) from exc
    upload = call.claim(str(value))
    return {
        CONTENT: upload.id,
        "name": upload.filename,
        "size": upload.size,
        "content_type": upload.content_type,
    }


def attached(values: Json, call: "Call") -> list[JsonObject]:
    """Make attachments of upload ids and files of a form; a single one may come bare."""
    if not isinstance(values, list):
        values = [] if values in (None, "") else [values]
    return [
        {"id": call.world.new_id(call.home), **uploaded(value, call)}
        for value in values
        if value not in (None, "") and not isinstance(value, dict)
    ]


def sent_attachments(call: "Call", sent: Mapping[str, Json]) -> list[JsonObject]:
    """Make the attachments that a write brings, in its record or beside it."""
    found: list[JsonObject] = []
    for source in (sent, call.body) if sent is not call.body else (sent,):
        for key in _KEYS:
            found += attached(source.get(key), call)
        for item in objects(source.get(_BY_UUID) or [], _BY_UUID):
            found += attached(item.get("upload_uuid"), call)
    return found


def made_attachment(number: int, name: str, size: int) -> JsonObject:
    """Make an attachment that nobody uploaded, for seeded rows."""
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    return {
        "id": number,
        "name": name,
        "size": size,
        "content_type": kind,
        CONTENT: f"{MADE}{size}",
    }


def linked(call: "Call", attachments: Iterable[JsonObject]) -> list[JsonObject]:
    """Write attachments as answers show them: with links, which age."""
    return [
        {
            "id": item["id"],
            "name": item["name"],
            "filename": item["name"],
            "content_type": item["content_type"],
            "size": item["size"],
            "url": link(call, item, name=item["name"], content_type=item["content_type"]),
        }
        for item in attachments
    ]


def link(
    call: "Call",
    row: Mapping[str, Json],
    *,
    name: str,
    content_type: str | None = None,
    size: int | None = None,
) -> str:
    """Return a fresh link to a row's file, on the origin that links lead to.

    Args:
        size: Of made-up bytes in the file's place, such as a thumbnail.
    """
    behaviour = call.behaviour
    kind = content_type or mimetypes.guess_type(name)[0] or "application/octet-stream"
    held = row.get(CONTENT) if size is None else None
    target = held or f"{MADE}{row.get('size') or 0 if size is None else size}"
    objects = call.world.objects
    if behaviour.link_host is LinkHost.STORAGE:
        return objects.address(
            target, filename=name, content_type=kind, seconds=behaviour.link_seconds
        )
    return objects.link(
        call.base_url,
        target,
        filename=name,
        content_type=kind,
        hops=behaviour.redirect_hops,
        seconds=behaviour.link_seconds,
    )
