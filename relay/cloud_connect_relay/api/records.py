"""Records of Procore, for programs: five verbs, rows that stream, writes that run once."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Final

from fastapi import Depends, Request
from starlette.responses import Response

from cloud_connect.calls import Operation
from cloud_connect_relay.access import Use
from cloud_connect_relay.api.bodies import passed_on
from cloud_connect_relay.api.call_response import CallResponse, Reply, answer_headers
from cloud_connect_relay.api.call_specs import on_behalf, spec_for, target_for
from cloud_connect_relay.api.endpoints import Routes
from cloud_connect_relay.api.record_parameters import (
    dry_run_of,
    list_params,
    resource_params,
    show_params,
)
from cloud_connect_relay.api.record_rows import LINES, write_array, write_lines
from cloud_connect_relay.api.request_body import read_object, read_records
from cloud_connect_relay.api.security import Principal, require, services
from cloud_connect_relay.api.strong_calls import STRONG_PARAMETERS
from cloud_connect_relay.calls.idempotency import canonical, fingerprint, required_key
from cloud_connect_relay.services import Services

if TYPE_CHECKING:
    from cloud_connect_relay.calls.spec import Target

__all__ = ["router"]

router: Final = Routes(prefix="/api/datasources/{datasource_id}/records", tags=["Records"])

Shared = Annotated[Services, Depends(services)]
Reads = Annotated[Principal, Depends(require("calls:read"))]
Writes = Annotated[Principal, Depends(require("calls:write"))]

_JSON: Final = "application/json"
_MAX_RECORD_BYTES: Final = 16 * 1024 * 1024  # of one record that is read

_RECORD: Final = {"type": "object", "additionalProperties": True}
_DEADLINE: Final = {
    "name": "Cloud-Connect-Deadline-Ms",
    "in": "header",
    "schema": {"type": "integer", "minimum": 1, "maximum": 300000, "default": 60000},
}
_PRIORITY: Final = {
    "name": "Priority",
    "in": "header",
    "description": "RFC 9218: `u=5` to `u=7` lets the calls that people wait for go first.",
    "schema": {"type": "string", "example": "u=7"},
}
_SCOPE: Final = {
    "name": "project_id",
    "in": "query",
    "description": "One of the scope ids; a resource may take others, such as `rfi_id`.",
    "schema": {"type": "string"},
}
_KEY: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": (
        "Up to 255 printable characters; a repeat with it executes nothing. A write needs one, a"
        " dry run does not."
    ),
    "schema": {"type": "string", "maxLength": 255},
}
_DRY_RUN: Final = {
    "name": "dryRun",
    "in": "query",
    "description": "`true` tells what the write would change, and writes nothing.",
    "schema": {"type": "boolean", "default": False},
}
_FIELDS: Final = {
    "name": "fields",
    "in": "query",
    "description": "Fields to return, separated by commas; all without it.",
    "schema": {"type": "string"},
}
_LIST_PARAMETERS: Final = {
    "parameters": [
        _SCOPE,
        _DEADLINE,
        _PRIORITY,
        *STRONG_PARAMETERS,
        {
            "name": "filter",
            "in": "query",
            "style": "deepObject",
            "description": "`filter[field]=value` or `filter[field][operator]=value`.",
            "schema": {"type": "object", "additionalProperties": {"type": "string"}},
        },
        {
            "name": "sort",
            "in": "query",
            "description": "Fields, separated by commas; `-` before one sorts descending.",
            "schema": {"type": "string"},
        },
        _FIELDS,
        {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 0}},
    ]
}
_READ_PARAMETERS: Final = {
    "parameters": [_SCOPE, _FIELDS, _DEADLINE, _PRIORITY, *STRONG_PARAMETERS]
}
_DELETE_PARAMETERS: Final = {
    "parameters": [_SCOPE, _DRY_RUN, _KEY, _DEADLINE, _PRIORITY, *STRONG_PARAMETERS]
}
_WRITE_PARAMETERS: Final = {
    **_DELETE_PARAMETERS,
    "requestBody": {"required": True, "content": {_JSON: {"schema": _RECORD}}},
}
_RECORD_OR_SEVERAL: Final = {"oneOf": [_RECORD, {"type": "array", "items": _RECORD}]}
_CREATE_PARAMETERS: Final = {
    **_DELETE_PARAMETERS,
    "requestBody": {"required": True, "content": {_JSON: {"schema": _RECORD_OR_SEVERAL}}},
}
_ROWS: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "The rows; a stream that fails midway ends without its final chunk.",
        "content": {
            _JSON: {"schema": {"type": "array", "items": _RECORD}},
            LINES: {"schema": {"type": "string"}},
        },
    }
}
_ONE: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "The record.", "content": {_JSON: {"schema": _RECORD}}}
}
_MADE: Final[dict[int | str, dict[str, Any]]] = {
    201: {"description": "The new record.", "content": {_JSON: {"schema": _RECORD}}},
    200: {
        "description": "Of a list of records: what became of each; or a dry run's answer.",
        "content": {_JSON: {"schema": _RECORD}},
    },
}


@router.get("/{resource}", response_class=Response, responses=_ROWS, openapi_extra=_LIST_PARAMETERS)
async def list_records(
    datasource_id: str, resource: str, request: Request, principal: Reads, services: Shared
) -> Response:
    """Stream the rows of a resource, as one array or, asked for NDJSON, one a line."""
    target = await target_for(services, principal, datasource_id, use=Use.LIST_RECORDS)
    params = list_params(resource, request.query_params.multi_items())
    if target.partner_rules is not None:
        params = target.partner_rules.listed(resource, params)
    spec = spec_for(
        services,
        principal,
        request,
        target=target.confined(),
        operation=Operation.LIST,
        params=params,
        resource=resource,
    )
    as_lines = LINES in request.headers.get("Accept", "")

    async def run(reply: Reply) -> None:
        async with services.calls.read(spec) as answer:
            await (write_lines if as_lines else write_array)(answer, reply)

    return CallResponse(run)


@router.get(
    "/{resource}/{record_id}",
    response_class=Response,
    responses=_ONE,
    openapi_extra=_READ_PARAMETERS,
)
async def show_record(
    datasource_id: str,
    resource: str,
    record_id: str,
    *,
    request: Request,
    principal: Reads,
    services: Shared,
) -> Response:
    """Return one record, or the fields of it that were asked for."""
    spec = spec_for(
        services,
        principal,
        request,
        target=await target_for(services, principal, datasource_id, use=Use.ONE_RECORD),
        operation=Operation.GET,
        params=show_params(resource, record_id, request.query_params.multi_items()),
        resource=resource,
    )

    async def run(reply: Reply) -> None:
        async with services.calls.read(spec) as answer:
            record = await answer.collect(max_bytes=_MAX_RECORD_BYTES)
        await reply.whole(200, answer_headers(answer, media_type=_JSON), record)

    return CallResponse(run)


@router.post(
    "/{resource}",
    status_code=201,
    response_class=Response,
    responses=_MADE,
    openapi_extra=_CREATE_PARAMETERS,
)
async def create_record(
    datasource_id: str, resource: str, request: Request, principal: Writes, services: Shared
) -> Response:
    """Create a record and return it; or several, and tell of each what became of it."""
    write = _Write(services=services, principal=principal, request=request)
    return await write.run(Operation.CREATE, datasource_id, resource)


@router.patch(
    "/{resource}/{record_id}",
    response_class=Response,
    responses=_ONE,
    openapi_extra=_WRITE_PARAMETERS,
)
async def update_record(
    datasource_id: str,
    resource: str,
    record_id: str,
    *,
    request: Request,
    principal: Writes,
    services: Shared,
) -> Response:
    """Change the given fields of a record and return it."""
    write = _Write(services=services, principal=principal, request=request)
    return await write.run(Operation.UPDATE, datasource_id, resource, record_id=record_id)


@router.delete(
    "/{resource}/{record_id}",
    response_class=Response,
    responses=_ONE,
    openapi_extra=_DELETE_PARAMETERS,
)
async def delete_record(
    datasource_id: str,
    resource: str,
    record_id: str,
    *,
    request: Request,
    principal: Writes,
    services: Shared,
) -> Response:
    """Delete a record; one that is gone already is no failure of a repeat."""
    write = _Write(services=services, principal=principal, request=request)
    return await write.run(Operation.DELETE, datasource_id, resource, record_id=record_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Write:
    services: Services
    principal: Principal
    request: Request

    async def run(
        self,
        operation: Operation,
        datasource_id: str,
        resource: str,
        *,
        record_id: str | None = None,
    ) -> Response:
        """Check the request and return the response that carries it out."""
        request, services = self.request, self.services
        pairs, dry_run = dry_run_of(request.query_params.multi_items())
        if dry_run:
            params = resource_params(resource, record_id, pairs)
            return await self._rehearse(operation, datasource_id, params)
        key = await self._key()
        params = resource_params(resource, record_id, pairs)
        body, document = await self._body(operation)
        target, params, body, document = await self._bound(
            operation, datasource_id, params, body=body, document=document
        )
        spec = spec_for(
            services,
            self.principal,
            request,
            target=target,
            operation=operation,
            params=params,
            resource=resource,
            headers=(("content-type", _JSON),) if body else (),
            writes=True,
            body=body,
        )
        if key is not None:
            spec = replace(
                spec,
                idempotency_key=key,
                creates=operation is Operation.CREATE,
                fingerprint=fingerprint(
                    operation,
                    datasource_id,
                    canonical(spec.target.source),
                    resource,
                    record_id,
                    canonical(params),
                    b"" if document is None else canonical(document),
                    *on_behalf(self.principal),
                ),
            )
        status = 201 if operation is Operation.CREATE and isinstance(document, dict) else 200

        async def answer_with(reply: Reply) -> None:
            async with services.calls.write(spec) as answer:
                told = await answer.collect(max_bytes=_MAX_RECORD_BYTES)
                await reply.whole(status, answer_headers(answer, media_type=_JSON), told)

        return CallResponse(answer_with)

    async def _key(self) -> str | None:
        """Return the write's key; ``None`` where its subscription lets writes do without.

        Raises:
            IdempotencyKeyRequiredError: If it needs one.
            InvalidRequestError: If it is not fit to be one.
        """
        given = self.request.headers.get("Idempotency-Key")
        if given is None and await self.services.calls.sources.allows_keyless_writes(
            self.principal.subscription_id
        ):
            return None
        return required_key(given)

    async def _rehearse(
        self, operation: Operation, datasource_id: str, params: dict[str, Any]
    ) -> Response:
        """Return the response that tells what the write would change."""
        services = self.services
        body, document = await self._body(operation)
        target, params, body, _ = await self._bound(
            operation, datasource_id, params, body=body, document=document
        )
        spec = spec_for(
            services,
            self.principal,
            self.request,
            target=target,
            operation=Operation.DRY_RUN,
            params={**params, "verb": operation.value.partition(".")[2]},
            resource=params["resource"],
            headers=(("content-type", _JSON),) if body else (),
            body=body,
        )

        async def answer_with(reply: Reply) -> None:
            async with services.calls.read(spec) as answer:
                told = await answer.collect(max_bytes=_MAX_RECORD_BYTES)
                answer.rows = answer.total_items
            await reply.whole(200, answer_headers(answer, media_type=_JSON), told)

        return CallResponse(answer_with)

    async def _bound(
        self,
        operation: Operation,
        datasource_id: str,
        params: dict[str, Any],
        *,
        body: bytes | None,
        document: dict[str, Any] | list[Any] | None,
    ) -> tuple["Target", dict[str, Any], bytes | None, dict[str, Any] | list[Any] | None]:
        """Return where the write goes and what it writes, within what its caller is bound to."""
        creates = operation is Operation.CREATE
        use = Use.CREATE_RECORDS if creates else Use.ONE_RECORD
        target = await target_for(self.services, self.principal, datasource_id, use=use)
        if creates and target.partner_rules is not None:
            params, document = target.partner_rules.created(params["resource"], params, document)
            return target.confined(), params, passed_on(document), document
        return target, params, body, document

    async def _body(
        self, operation: Operation
    ) -> tuple[bytes | None, dict[str, Any] | list[Any] | None]:
        """Read what the operation writes, as it came and decoded."""
        if operation is Operation.DELETE:
            return None, None
        read = read_records if operation is Operation.CREATE else read_object
        return await read(self.request.scope, self.request.receive)
