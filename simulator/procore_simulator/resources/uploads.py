"""Uploads on the API origin: create, complete, ask; and the links that lead to files."""

import base64
import re

import orjson

from procore_simulator.calls import Call
from procore_simulator.clock import iso_time
from procore_simulator.failures import ApiError, bad_request, conflict, forbidden, missing_parameter
from procore_simulator.inputs import to_integer
from procore_simulator.messages import Json, JsonObject, Reply, json_reply
from procore_simulator.resource import Resource
from procore_simulator.routing import Handler, Reach, Route, route
from procore_simulator.settings import ProcessingWord
from procore_simulator.storage.objects import LINK_PATH
from procore_simulator.storage.signing import SignatureError
from procore_simulator.storage.uploads import START_SECONDS, Flow, Segment, Status, Upload
from procore_simulator.tenancy import Level

__all__ = ["RESOURCES", "ROUTES"]

_FIVE_MIB = 5 * 1024 * 1024
_MAX_SEGMENT = {Flow.SEGMENTED: 5 * 1024**3, Flow.UNIFIED: 100 * 1024**2}
_MAX_SEGMENTS = 10_000
_UPLOADER_TOOLS = frozenset(
    {
        "certifications",
        "daily_hazard_analyses",
        "document_management",
        "estimating",
        "lessons_learned",
        "orientations",
        "scheduling",
        "tool_studio",
        "toolbox_talks",
    }
)
_SHA256 = re.compile(r"^[0-9a-fA-F]{64}$")
_MD5 = re.compile(r"^[0-9a-fA-F]{32}$")


def _segments(call: Call, flow: Flow) -> list[Segment]:
    """Read the declared segments.

    Raises:
        ApiError: 400 naming what is wrong with which of them.
    """
    sent = call.body.get("segments")
    if not isinstance(sent, list) or not sent:
        raise missing_parameter("segments")
    if len(sent) > _MAX_SEGMENTS:
        raise bad_request(f"at most {_MAX_SEGMENTS} segments", fields="segments")
    return [
        _segment(item, flow, index=index, is_last=index == len(sent) - 1)
        for index, item in enumerate(sent)
    ]


def _segment(item: Json, flow: Flow, *, index: int, is_last: bool) -> Segment:
    where = f"segments[{index}]"
    if not isinstance(item, dict):
        raise bad_request(f"{where} must be an object", fields="segments")
    size = to_integer(item.get("size"))
    sha256, md5 = item.get("sha256"), item.get("md5")
    if size is None or size < 0:
        raise bad_request(f"{where}.size must be a number of bytes", fields="segments")
    if not isinstance(sha256, str) or _SHA256.match(sha256) is None:
        raise bad_request(f"{where}.sha256 must be 64 hex digits", fields="segments")
    if md5 is not None and (not isinstance(md5, str) or _MD5.match(md5) is None):
        raise bad_request(f"{where}.md5 must be 32 hex digits", fields="segments")
    if size > _MAX_SEGMENT[flow]:
        raise bad_request(f"{where}.size is more than {_MAX_SEGMENT[flow]}", fields="segments")
    # Version 2.1 refuses exactly 5 MiB, too.
    least = _FIVE_MIB + 1 if flow is Flow.UNIFIED else _FIVE_MIB
    if not is_last and size < least:
        raise bad_request(f"{where}.size is less than {least}", fields="segments")
    headers = {"Content-Length": str(size)}
    if flow is Flow.SEGMENTED:
        headers = {"x-amz-content-sha256": sha256, "content-length": str(size)}
        if md5 is not None:
            headers["content-md5"] = base64.b64encode(bytes.fromhex(md5)).decode()
    return Segment(size=size, sha256=sha256.lower(), md5=md5 and md5.lower(), headers=headers)


def _declare(
    call: Call, flow: Flow, *, filename: Json, content_type: Json, segments: list[Segment]
) -> Upload:
    upload = call.world.uploads.create(
        flow,
        owner=call.principal.key,
        company_id=call.home.id,
        project_id=call.project.id if call.project else None,
        filename=str(filename or "file"),
        content_type=str(content_type or "application/octet-stream"),
        segments=segments,
    )
    call.record_id = upload.id
    return upload


def _address(call: Call, upload: Upload, index: int, seconds: float) -> str:
    objects = call.world.objects
    path = f"/{call.world.environment}/uploads/{upload.id}/parts/{index + 1}"
    facts = {"user_id": str(call.principal.user_id)}
    signed = objects.signer.sign(path, facts, expires_at=call.world.clock.now() + seconds)
    return f"{objects.base_url}{signed}"


def _form_fields(call: Call, upload: Upload) -> dict[str, str]:
    owner = call.project.id if call.project else call.home.id
    kind = "projects" if call.project else "companies"
    policy = {"expiration": iso_time(upload.created_at + START_SECONDS), "key": upload.id}
    encoded = base64.b64encode(orjson.dumps(policy)).decode()
    return {
        "key": f"{kind}/{owner}/{upload.id}",
        "Content-Type": upload.content_type,
        "Content-Disposition": f'inline; filename="{upload.filename}"',
        "policy": encoded,
        "x-amz-algorithm": "AWS4-HMAC-SHA256",
        "x-amz-signature": call.world.objects.signer.digest(encoded),
    }


def _create_simple(call: Call) -> Reply:
    upload = _declare(
        call,
        Flow.SIMPLE,
        filename=call.body.get("response_filename"),
        content_type=call.body.get("response_content_type"),
        segments=[],
    )
    upload.fields = _form_fields(call, upload)
    url = f"{call.world.objects.base_url}/{call.world.environment}/uploads"
    return json_reply({"uuid": upload.id, "url": url, "fields": upload.fields}, status=201)


def _create_v1(call: Call) -> Reply:
    if "segments" not in call.body:
        return _create_simple(call)
    upload = _declare(
        call,
        Flow.SEGMENTED,
        filename=call.body.get("response_filename"),
        content_type=call.body.get("response_content_type"),
        segments=_segments(call, Flow.SEGMENTED),
    )
    return json_reply(_v1(call, upload), status=201)


def _v1(call: Call, upload: Upload) -> JsonObject:
    return {
        "uuid": upload.id,
        "segments": [
            {
                **({} if segment.etag is None else {"etag": segment.etag}),
                "size": segment.size,
                "sha256": segment.sha256,
                "md5": segment.md5,
                "url": _address(call, upload, index, START_SECONDS),
                "headers": segment.headers,
            }
            for index, segment in enumerate(upload.segments)
        ],
        "status": upload.status,
    }


def _own(call: Call) -> Upload:
    upload = call.world.uploads.find(call.params["upload_id"], owner=call.principal.key)
    call.record_id = upload.id
    return upload


def _complete_v1(call: Call) -> Reply:
    upload = _own(call)
    sent = call.body.get("segments")
    if upload.flow is not Flow.SEGMENTED or not isinstance(sent, list):
        raise missing_parameter("segments")
    etags = [item.get("etag") if isinstance(item, dict) else None for item in sent]
    _take_etags(call, upload, etags)
    return json_reply(_v1(call, upload))


def _take_etags(call: Call, upload: Upload, etags: list[Json]) -> None:
    """Hold the etags to what was received, and complete the upload when none is missing.

    Raises:
        ApiError: 400 on a count, order or value that is wrong; 409 when it is complete.
    """
    if upload.finished_at is not None:
        raise conflict("The upload is complete")
    if len(etags) != len(upload.segments):
        raise bad_request(f"{len(upload.segments)} etags are needed, in order", fields="etag")
    for index, (segment, etag) in enumerate(zip(upload.segments, etags, strict=True)):
        if etag is None and upload.flow is Flow.UNIFIED:
            continue
        received = None if segment.piece is None else segment.piece.md5
        if received is None or str(etag).strip('"') != received:
            raise bad_request(f"the etag of segment {index + 1} is wrong", fields="etag")
    for segment, etag in zip(upload.segments, etags, strict=True):
        segment.etag = None if etag is None else str(etag).strip('"')
    pieces = [segment.piece for segment in upload.segments if segment.etag is not None]
    whole = [piece for piece in pieces if piece is not None]
    if len(whole) == len(upload.segments):
        call.world.uploads.finish(upload, *whole)
    else:
        upload.status = Status.RECEIVING


def _create_v2(call: Call) -> Reply:
    body = call.body
    for name in ("file_name", "file_size", "content_type"):
        if body.get(name) in (None, ""):
            raise bad_request(f"{name} is required", fields=name)
    if call.behaviour.uploader_tool and body.get("uploader_tool_name") not in _UPLOADER_TOOLS:
        raise bad_request("uploader_tool_name is required", fields="uploader_tool_name")
    segments = _segments(call, Flow.UNIFIED)
    if to_integer(body["file_size"]) != sum(segment.size for segment in segments):
        raise bad_request("file_size is not the sum of the segments", fields="file_size")
    upload = _declare(
        call,
        Flow.UNIFIED,
        filename=body["file_name"],
        content_type=body["content_type"],
        segments=segments,
    )
    return json_reply({"data": _v2(call, upload)}, status=201)


def _status(call: Call, upload: Upload) -> str:
    if upload.status == Status.COMPLETE:
        return str(call.behaviour.processing_word)
    return upload.status


def _v2(call: Call, upload: Upload) -> JsonObject:
    seconds = call.behaviour.url_seconds
    shown: JsonObject = {
        "upload_id": upload.id,
        "file_name": upload.filename,
        "sanitized_file_name": re.sub(r"[^\w. -]", "_", upload.filename),
        "file_size": sum(segment.size for segment in upload.segments),
        "content_type": upload.content_type,
        "total_parts": len(upload.segments),
        "upload_expires_at": int(upload.expires_at),
        "custom_metadata": {},
        "segments": [
            {
                "url": _address(call, upload, index, seconds),
                "url_expires_at": int(call.world.clock.now() + seconds),
                "headers": segment.headers,
            }
            for index, segment in enumerate(upload.segments)
            if upload.finished_at is None and segment.etag is None
        ],
        "status": _status(call, upload),
    }
    if upload.status == Status.FAILED:
        shown["error"] = {
            "type": "SCAN_FAILED",
            "message": "The file did not pass its scan.",
            "retryable": False,
        }
    return shown


def _show_v2(call: Call) -> Reply:
    return json_reply({"data": _v2(call, _own(call))})


def _complete_v2(call: Call) -> Reply:
    upload = _own(call)
    etags = call.body.get("part_etags")
    if upload.flow is not Flow.UNIFIED or not isinstance(etags, list):
        raise missing_parameter("part_etags")
    _take_etags(call, upload, etags)
    # "complete" is what the answer says, however soon the file becomes available.
    done = upload.finished_at is not None
    word = ProcessingWord(call.behaviour.processing_word) if done else upload.status
    return json_reply({"data": {"upload_id": upload.id, "status": str(word)}})


def _follow(call: Call) -> Reply:
    """Answer a link: another redirect to itself, or the one to the storage origin."""
    objects, behaviour = call.world.objects, call.behaviour
    request = call.request
    try:
        facts = objects.signer.open(
            request.path, request.query_string.decode("latin-1"), now=call.world.clock.now()
        )
    except SignatureError as exc:
        raise forbidden("The link has expired.") from exc
    name = call.params["name"]
    if objects.find(name) is None:
        message = "File not found"
        raise ApiError(404, {"code": 404, "message": message}, message=message)
    hops = int(facts["hops"])
    described = {"filename": facts["filename"], "content_type": facts["content_type"]}
    target = (
        objects.address(name, seconds=behaviour.link_seconds, **described)
        if hops <= 1
        else objects.link(
            call.base_url, name, hops=hops - 1, seconds=behaviour.link_seconds, **described
        )
    )
    return Reply(status=behaviour.redirect_status, headers=(("Location", target),))


def _routes(
    version: str, prefix: str, reach: Reach, *operations: tuple[str, str, Handler]
) -> list[Route]:
    return [
        route(
            method,
            f"/rest/{version}{prefix}/uploads{suffix}",
            handler,
            "uploads",
            reach=reach,
            level=Level.STANDARD,
        )
        for method, suffix, handler in operations
    ]


_COMPANY = "/companies/{company_id}"
_PROJECT = "/projects/{project_id}"
_ONE = "/{upload_id}"
_V1 = (("POST", "", _create_v1), ("PATCH", _ONE, _complete_v1))
_V2 = (("POST", "", _create_v2), ("GET", _ONE, _show_v2), ("PATCH", _ONE, _complete_v2))

RESOURCES: tuple[Resource, ...] = ()
ROUTES: tuple[Route, ...] = (
    *_routes("v1.0", _COMPANY, Reach.COMPANY, ("POST", "", _create_simple)),
    *_routes("v1.0", _PROJECT, Reach.PROJECT, ("POST", "", _create_simple)),
    *_routes("v1.1", _COMPANY, Reach.COMPANY, *_V1),
    *_routes("v1.1", _PROJECT, Reach.PROJECT, *_V1),
    *_routes("v2.1", _COMPANY, Reach.COMPANY, *_V2),
    *_routes("v2.1", f"{_COMPANY}{_PROJECT}", Reach.PROJECT, *_V2),
    route("GET", f"{LINK_PATH}/{{name}}", _follow, "links", reach=Reach.SIGNED),
)
