"""Files: a record's bytes, uploads, and files that hang on records."""

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any, Final

import orjson
from fastapi import Depends, Request
from starlette.responses import Response

from cloud_connect.calls import ContentParams, Operation
from cloud_connect.errors import InvalidRequestError
from cloud_connect_relay.access import Use
from cloud_connect_relay.api.call_response import CallResponse, Reply, answer_headers
from cloud_connect_relay.api.call_specs import on_behalf, spec_for, target_for
from cloud_connect_relay.api.endpoints import Routes
from cloud_connect_relay.api.file_parameters import (
    UPLOAD_NAMES,
    checked,
    headers_that_go_on,
    reference_of,
    upload_params,
)
from cloud_connect_relay.api.raw_answer import pass_on
from cloud_connect_relay.api.record_parameters import resource_params
from cloud_connect_relay.api.request_body import declared_length, read_object
from cloud_connect_relay.api.security import Principal, require, services
from cloud_connect_relay.api.uploads import Intake, take_in
from cloud_connect_relay.calls.idempotency import canonical, fingerprint, required_key
from cloud_connect_relay.calls.spec import CallSpec
from cloud_connect_relay.services import Services

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cloud_connect_relay.calls.spec import Target

__all__ = ["router"]

router: Final = Routes(prefix="/api/datasources/{datasource_id}", tags=["Files"])

Shared = Annotated[Services, Depends(services)]
Reads = Annotated[Principal, Depends(require("calls:read"))]
Writes = Annotated[Principal, Depends(require("calls:write"))]

_JSON: Final = "application/json"
_BYTES: Final = "application/octet-stream"
_MAX_TOLD_BYTES: Final = 1024 * 1024  # of an answer that describes files
_MAX_RECORD_BYTES: Final = 16 * 1024 * 1024  # of a record
_SANDBOX: Final = ((b"content-security-policy", b"sandbox"), (b"cache-control", b"no-store"))

_TEXT: Final = {"type": "string"}
_OBJECT: Final = {"type": "object", "additionalProperties": True}


def _query(name: str, about: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": about, "schema": _TEXT, **more}


_PROJECT: Final = _query("project_id", "One of the scope ids; a resource may take others.")
_DEADLINE: Final = {
    "name": "Cloud-Connect-Deadline-Ms",
    "in": "header",
    "description": "Until the first byte; the time that a file's bytes take is not counted.",
    "schema": {"type": "integer", "minimum": 1, "maximum": 300000, "default": 60000},
}
_KEY: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": True,
    "description": "A repeat with it, the same name and the same bytes attaches nothing twice.",
    "schema": {"type": "string", "maxLength": 255},
}
_FLOW: Final = _query(
    "flow",
    "How Procore takes the bytes; `simple` needs no disk space on the connector's PC.",
    schema={"type": "string", "enum": ["simple", "segmented", "unified"], "default": "simple"},
)
_CONTENT_TYPE: Final = _query(
    "content_type", "The file's type, `application/octet-stream` unless told."
)
_TOOL: Final = _query("tool", "Procore's name of the tool, which the unified flow may ask for.")
_FILE_BODY: Final = {
    "required": True,
    "content": {_BYTES: {"schema": {"type": "string", "format": "binary"}}},
}
_CONTENT_EXTRA: Final = {
    "parameters": [
        _PROJECT,
        _query(
            "field",
            "The field that links to the file, such as `pdf_url` or `attachments.0.url`; without"
            " it, the file that the record stands for.",
        ),
        {"name": "Range", "in": "header", "schema": _TEXT},
        {"name": "If-None-Match", "in": "header", "schema": _TEXT},
        _DEADLINE,
    ]
}
_LIST_EXTRA: Final = {"parameters": [_PROJECT, _DEADLINE]}
_UPLOAD_EXTRA: Final = {
    "parameters": [
        _query("filename", "The file's name.", required=True),
        _CONTENT_TYPE,
        _query(
            "project_id", "Upload to this project; without it to the data source's, or the company."
        ),
        _FLOW,
        _TOOL,
        _DEADLINE,
    ],
    "requestBody": _FILE_BODY,
}
_ATTACH_EXTRA: Final = {
    "parameters": [
        _query("filename", "The file's name; the body is the file then."),
        _CONTENT_TYPE,
        _PROJECT,
        _FLOW,
        _TOOL,
        _KEY,
        _DEADLINE,
    ],
    "requestBody": {
        "required": True,
        "description": 'The file; or, without `filename`, `{"upload": …}` with the `uuid` or'
        " `upload_id` of one that was uploaded before.",
        "content": {
            **_FILE_BODY["content"],  # type: ignore[dict-item]
            _JSON: {"schema": {"type": "object", "properties": {"upload": _TEXT}}},
        },
    },
}
_FILE: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "The file's bytes, with its type, length and name.",
        "content": {_BYTES: {}},
    },
    206: {"description": "The part that was asked for."},
    304: {"description": "It is still the one that the caller has."},
}
_LISTED: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "The files, each with the `field` that `content` takes.",
        "content": {_JSON: {"schema": {"type": "array", "items": _OBJECT}}},
    }
}
_UPLOADED: Final[dict[int | str, dict[str, Any]]] = {
    201: {
        "description": "How a record refers to the file: its `uuid` or `upload_id`.",
        "content": {_JSON: {"schema": _OBJECT}},
    }
}
_ATTACHED: Final[dict[int | str, dict[str, Any]]] = {
    201: {"description": "The record.", "content": {_JSON: {"schema": _OBJECT}}}
}


@router.get(
    "/records/{resource}/{record_id}/content",
    response_class=Response,
    responses=_FILE,
    openapi_extra=_CONTENT_EXTRA,
)
async def read_content(
    datasource_id: str,
    resource: str,
    record_id: str,
    *,
    request: Request,
    principal: Reads,
    services: Shared,
) -> Response:
    """Stream a file that a record links to."""
    target = await target_for(services, principal, datasource_id, use=Use.FILES)
    pairs = request.query_params.multi_items()
    fields = [value for name, value in pairs if name == "field"]
    if len(fields) > 1:
        raise InvalidRequestError("The parameter 'field' comes twice.")
    params = resource_params(resource, record_id, _without(pairs, {"field"}))
    if fields:
        params = checked(ContentParams, target, {**params, "field": fields[0]})
    caller = _Caller(services=services, principal=principal, request=request, target=target)
    spec = caller.spec(
        Operation.CONTENT, params, resource=resource, headers=headers_that_go_on(request)
    )

    async def run(reply: Reply) -> None:
        async with services.calls.read(spec) as answer:
            await pass_on(answer, reply, more=_SANDBOX)

    return CallResponse(run)


@router.get(
    "/records/{resource}/{record_id}/attachments",
    response_class=Response,
    responses=_LISTED,
    openapi_extra=_LIST_EXTRA,
)
async def list_attachments(
    datasource_id: str,
    resource: str,
    record_id: str,
    *,
    request: Request,
    principal: Reads,
    services: Shared,
) -> Response:
    """List the files that hang on a record."""
    target = await target_for(services, principal, datasource_id, use=Use.FILES)
    params = resource_params(resource, record_id, request.query_params.multi_items())
    caller = _Caller(services=services, principal=principal, request=request, target=target)
    spec = caller.spec(Operation.ATTACHMENTS, params, resource=resource)

    async def run(reply: Reply) -> None:
        async with services.calls.read(spec) as answer:
            told = await answer.collect(max_bytes=_MAX_RECORD_BYTES)
        await reply.whole(200, answer_headers(answer, media_type=_JSON), told)

    return CallResponse(run)


@router.post(
    "/uploads",
    status_code=201,
    response_class=Response,
    responses=_UPLOADED,
    openapi_extra=_UPLOAD_EXTRA,
)
async def upload_file(
    datasource_id: str, *, request: Request, principal: Writes, services: Shared
) -> Response:
    """Upload a file, for a record that will refer to it."""
    target = await target_for(services, principal, datasource_id, use=Use.FILES)
    params = upload_params(request.query_params.multi_items(), target)
    caller = _Caller(services=services, principal=principal, request=request, target=target)
    intake = await take_in(request.scope, request.receive, whole=False)

    async def run(reply: Reply) -> None:
        _, told, headers = await caller.upload(intake, params)
        await reply.whole(201, headers, orjson.dumps(told))

    return CallResponse(run, body=intake.pump)


@router.post(
    "/records/{resource}/{record_id}/attachments",
    status_code=201,
    response_class=Response,
    responses=_ATTACHED,
    openapi_extra=_ATTACH_EXTRA,
)
async def attach_file(
    datasource_id: str,
    resource: str,
    record_id: str,
    *,
    request: Request,
    principal: Writes,
    services: Shared,
) -> Response:
    """Hang a file on a record: the body itself, or one that was uploaded before."""
    target = await target_for(services, principal, datasource_id, use=Use.FILES)
    key = required_key(request.headers.get("Idempotency-Key"))
    pairs = request.query_params.multi_items()
    place = resource_params(resource, record_id, _without(pairs, UPLOAD_NAMES))
    caller = _Caller(services=services, principal=principal, request=request, target=target)
    bound = canonical(target.source)
    asked: tuple[str | bytes, ...] = (
        Operation.ATTACH,
        datasource_id,
        bound,
        orjson.dumps(place, option=orjson.OPT_SORT_KEYS),
        *on_behalf(principal),
    )
    about = [pair for pair in pairs if pair[0] in UPLOAD_NAMES]
    if not about:
        reference = reference_of((await read_object(request.scope, request.receive))[1])

        async def refer(reply: Reply) -> None:
            digest = fingerprint(*asked, reference)
            await caller.attach(reply, {**place, "upload": reference}, key, digest)

        return CallResponse(refer)
    project = place.get("scope", {}).get("project_id")
    params = upload_params(about, target, project=project, resource=resource)
    intake = await take_in(request.scope, request.receive, whole=False)

    async def run(reply: Reply) -> None:
        connector_id, told, _ = await caller.upload(intake, params)
        digest = fingerprint(*asked, params["filename"], str(told.get("sha256")))
        pinned = caller.of_connector(connector_id)
        await pinned.attach(
            reply, {**place, "upload": reference_of(told)}, key, digest, intake=intake
        )

    return CallResponse(run, body=intake.pump)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Caller:
    """One request's way to the calls that it is made of."""

    services: Services
    principal: Principal
    request: Request
    target: "Target"

    def spec(
        self,
        operation: Operation,
        params: dict[str, Any],
        *,
        resource: str | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> CallSpec:
        """Return a call of this request."""
        return spec_for(
            self.services,
            self.principal,
            self.request,
            target=self.target,
            operation=operation,
            params=params,
            resource=resource,
            headers=headers,
        )

    def of_connector(self, connector_id: str | None) -> "_Caller":
        """Return the same on one connector only.

        Procore lets nobody attach an upload but the user who made it, and another PC may be
        signed in as another user.
        """
        if connector_id is None:
            return self
        return dataclasses.replace(self, target=self.target.only(connector_id))

    async def upload(
        self, intake: Intake, params: dict[str, Any]
    ) -> tuple[str | None, dict[str, Any], list[tuple[bytes, bytes]]]:
        """Upload the request's body.

        Returns:
            The connector that did, what it said, and headers for the answer.
        """
        length = declared_length(self.request.scope)
        if intake.upload is None:
            length = len(intake.body or b"")
        headers = () if length is None else (("content-length", str(length)),)
        spec = self.spec(Operation.UPLOAD, params, resource=params.get("resource"), headers=headers)
        spec = dataclasses.replace(spec, body=intake.body)
        calls = self.services.calls
        async with calls.read(spec, upload=intake.upload) as answer:
            told = await answer.collect(max_bytes=_MAX_TOLD_BYTES)
            record = await calls.find(self.principal.subscription_id, answer.call_id)
        return record.connector_id, orjson.loads(told), answer_headers(answer, media_type=_JSON)

    async def attach(
        self,
        reply: Reply,
        params: dict[str, Any],
        key: str,
        digest: str,
        *,
        intake: Intake | None = None,
    ) -> None:
        """Hang an upload on a record, once, and answer with the record.

        Args:
            intake: The file, if the same request brought it: its deadline is that of both calls.
        """
        spec = self.spec(Operation.ATTACH, params, resource=params["resource"])
        spec = dataclasses.replace(
            spec,
            writes=True,
            idempotency_key=key,
            fingerprint=digest,
            timeout=spec.timeout if intake is None else intake.left(spec.timeout),
        )
        async with self.services.calls.write(spec) as answer:
            told = await answer.collect(max_bytes=_MAX_RECORD_BYTES)
            await reply.whole(201, answer_headers(answer, media_type=_JSON), told)


def _without(
    pairs: "Iterable[tuple[str, str]]", names: "frozenset[str] | set[str]"
) -> list[tuple[str, str]]:
    return [pair for pair in pairs if pair[0] not in names]
