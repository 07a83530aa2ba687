"""The platform's own calls of a data source: ``test``, ``tree`` and ``query``."""

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Final

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from cloud_connect.calls import Operation
from cloud_connect.errors import (
    CloudConnectError,
    DataSourceIncompleteError,
    ErrorCode,
    InvalidRequestError,
)
from cloud_connect.query import is_dry_run
from cloud_connect_relay.api.agent_words import understood
from cloud_connect_relay.api.bodies import to_json
from cloud_connect_relay.api.call_response import (
    CallResponse,
    Reply,
    answer_headers,
    call_problem,
    lookup_of,
    with_call,
)
from cloud_connect_relay.api.call_specs import signed_in, spec_for, target_for
from cloud_connect_relay.api.problems import describe, error_response
from cloud_connect_relay.api.query_reply import write_query_answer
from cloud_connect_relay.api.request_body import read_object
from cloud_connect_relay.api.security import Principal, check_scope, require, services
from cloud_connect_relay.api.strong_calls import is_signed
from cloud_connect_relay.calls.idempotency import canonical, checked_key, fingerprint, seed_of
from cloud_connect_relay.calls.spec import target_of
from cloud_connect_relay.services import Services
from cloud_connect_relay.storage.datasources import DataSourceStatus

if TYPE_CHECKING:
    from cloud_connect_relay.storage.datasources import DataSource

__all__ = ["router"]

router: Final = APIRouter(prefix="/api/datasources/{datasource_id}", tags=["Platform calls"])

Shared = Annotated[Services, Depends(services)]

_SUCCEEDED: Final = "Connection test succeeded"  # the platform shows exactly this
_MAX_TEST_BYTES: Final = 1024 * 1024
_MAX_TREE_BYTES: Final = 4 * 1024 * 1024  # more would hold everybody else up

_READS: Final = frozenset({"select", "read"})
_INSERTS: Final = frozenset({"insert", "create"})
_WRITES: Final = _INSERTS | {"update", "delete", "remove"}

# These are ours to answer, not the source's or the agent's: the caller's program is told.
_NATIVE: Final = frozenset(
    {
        ErrorCode.IDEMPOTENCY_CONFLICT,
        ErrorCode.IDEMPOTENCY_MISMATCH,
        ErrorCode.INTERNAL_ERROR,
        ErrorCode.QUOTA_EXCEEDED,
    }
)

# Where a test ends that its agent did not begin, or not finish.
_STEPS: Final = {
    ErrorCode.DATA_SOURCE_INCOMPLETE: "Details",
    ErrorCode.POLICY_DENIED: "Policy",
}


class _TestAnswer(BaseModel):
    model_config = ConfigDict(extra="ignore")

    success: bool
    message: str
    steps: list[dict[str, Any]] = []


class _Tree(BaseModel):
    model_config = ConfigDict(extra="ignore")

    items: list[Any]


_RESULT: Final = {
    "type": "object",
    "required": ["success"],
    "properties": {
        "success": {"type": "boolean"},
        "message": {"type": "string", "description": "A sentence for the form's user."},
        "data": {
            "type": "object",
            "description": "Of a failure: `code`, `outcome`, `call_id`, `retry_safe`, `lookup`, …",
        },
        "items": {"type": "array", "items": {"type": "object"}},
        "paging": {"type": "string", "description": "Send it back for the rows that remain."},
    },
}
_ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "What came of it; a refusal of the source or the agent, too.",
        "content": {"application/json": {"schema": _RESULT}},
    }
}
_QUERY_BODY: Final = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["action", "info"],
                    "properties": {
                        "action": {
                            "type": "string",
                            "enum": ["select", "insert", "update", "delete"],
                        },
                        "info": {
                            "type": "object",
                            "required": ["name"],
                            "properties": {"name": {"type": "string"}},
                        },
                        "dryRun": {
                            "type": "boolean",
                            "description": "Tell what would be changed; write nothing.",
                        },
                        "records": {
                            "type": "array",
                            "items": {"type": "object"},
                            "description": "New records of an insert, instead of `mappings`.",
                        },
                    },
                }
            }
        },
    }
}


@router.post("/test", response_class=Response, responses=_ANSWERS)
async def test_connection(
    datasource_id: str,
    request: Request,
    principal: Annotated[Principal, Depends(require("calls:test"))],
    services: Shared,
) -> Response:
    """Test the connection, step by step, and keep the result as the data source's status."""
    sources = services.calls.sources
    source = await sources.find(principal.subscription_id, datasource_id)
    try:
        target = target_of(source)
    except DataSourceIncompleteError as error:
        return _untested(error)
    spec = spec_for(services, principal, request, target=target, operation=Operation.TEST)

    async def run(reply: Reply) -> None:
        try:
            async with services.calls.read(spec) as answer:
                told = understood(_TestAnswer, await answer.collect(max_bytes=_MAX_TEST_BYTES))
        except CloudConnectError as error:
            if error.code not in _NATIVE:
                await _keep(services, source, success=False, message=error.message)
            raise
        message = _SUCCEEDED if told.success else told.message
        await _keep(services, source, success=told.success, message=message)
        document = {"success": told.success, "message": message, "steps": told.steps}
        headers = answer_headers(answer, media_type="application/json")
        await reply.whole(200, headers, to_json(document))

    return CallResponse(run, refuse=_untested)


@router.post("/tree", response_class=Response, responses=_ANSWERS)
async def tree(
    datasource_id: str,
    request: Request,
    principal: Annotated[Principal, Depends(require("calls:read"))],
    services: Shared,
    *,
    refresh: bool = False,
) -> Response:
    """Return the tables of the data source and their fields, the company's own included.

    `refresh=true` asks Procore what the company defines, however short ago that was done.
    """
    try:
        target = await target_for(services, principal, datasource_id)
    except DataSourceIncompleteError as error:
        return _refused(error)
    spec = spec_for(
        services,
        principal,
        request,
        target=target,
        operation=Operation.TREE,
        params={"refresh": True} if refresh else {},
    )

    async def run(reply: Reply) -> None:
        async with services.calls.read(spec) as answer:
            told = understood(_Tree, await answer.collect(max_bytes=_MAX_TREE_BYTES))
        document = {"success": True, "message": "", "items": told.items}
        headers = answer_headers(answer, media_type="application/json")
        await reply.whole(200, headers, to_json(document))

    return CallResponse(run, refuse=_refused)


@router.post("/query", response_class=Response, responses=_ANSWERS, openapi_extra=_QUERY_BODY)
async def query(
    datasource_id: str,
    request: Request,
    principal: Annotated[Principal, Depends(signed_in)],
    services: Shared,
) -> Response:
    """Run a query of the platform: select, insert, update or delete.

    Needs `calls:read`, or `calls:write` for what changes something. With an `Idempotency-Key`
    a repeated write gets its first answer; without one it runs at most once. With
    `"dryRun": true` a write is rehearsed: the answer tells what it would change.
    """
    if not principal.may("calls:write"):
        check_scope(principal, "calls:read")
    body, document = await read_object(request.scope, request.receive)
    action = _action_of(document)
    writes = action in _WRITES
    check_scope(principal, "calls:write" if writes else "calls:read")
    key = checked_key(request.headers.get("Idempotency-Key")) if writes else None
    try:
        target = await target_for(services, principal, datasource_id)
    except DataSourceIncompleteError as error:
        return _refused(error)
    if not writes and action not in _READS:
        return _unsuccessful(
            f"The action “{action[:60]}” is not known; it is one of select, insert, update, delete."
        )
    try:
        rehearsal = writes and is_dry_run(document)
    except InvalidRequestError as error:
        return _unsuccessful(error.message)
    table = _table_of(document)
    spec = spec_for(
        services,
        principal,
        request,
        target=target,
        operation=Operation.QUERY,
        resource=table,
        headers=(("content-type", "application/json"),),
        writes=writes,
        body=body,
    )
    if rehearsal:
        spec = replace(spec, operation=Operation.QUERY_DRY_RUN, writes=False)
    elif writes:
        spec = replace(
            spec,
            params={} if key is None else {"seed": seed_of(principal.subscription_id, key)},
            idempotency_key=key,
            creates=key is not None and action in _INSERTS,
            # One that is signed carries its own number: two of them are two by their caller's word.
            coalesces=key is None and action in _INSERTS and not is_signed(request),
            fingerprint=fingerprint(
                "query", datasource_id, canonical(target.source), table, canonical(document)
            ),
        )

    async def run(reply: Reply) -> None:
        running = services.calls.write(spec) if spec.writes else services.calls.read(spec)
        async with running as answer:
            await write_query_answer(answer, reply, dry_run=rehearsal)

    return CallResponse(run, refuse=_refused)


def _action_of(document: dict[str, Any]) -> str:
    action = document.get("action")
    return action.strip().lower() if isinstance(action, str) else ""


def _table_of(document: dict[str, Any]) -> str | None:
    info = document.get("info")
    name = info.get("name") if isinstance(info, dict) else None
    return name[:64] if isinstance(name, str) else None


async def _keep(services: Services, source: "DataSource", *, success: bool, message: str) -> None:
    """Keep a test's result as the data source's status."""
    status = DataSourceStatus.READY if success else DataSourceStatus.TEST_FAILED
    datasources = services.storage.of(source.subscription_id).datasources
    await datasources.tested(source, status=status, message=message)


def _refused(error: CloudConnectError) -> Response:
    """Return a refusal of the source, the agent or the way to it, in the platform's shape."""
    if error.code is ErrorCode.INTERNAL_ERROR:
        return with_call(error_response(error, "/api/datasources/-/query"), error)
    if error.code in _NATIVE:
        return call_problem(error)
    return with_call(_unsuccessful(error.message, error), error)


def _untested(error: CloudConnectError) -> Response:
    """Return why a test did not get to its agent's steps, as the step before them."""
    if error.code in _NATIVE:
        return _refused(error)
    name = _STEPS.get(error.code, "Connector")
    step = {"step": 0, "name": name, "status": "FAIL", "message": error.message}
    return with_call(_unsuccessful(error.message, error, steps=[step]), error)


def _unsuccessful(message: str, error: CloudConnectError | None = None, **more: Any) -> Response:
    """Return the platform's ``success: false``; programs read under ``data`` what it means."""
    document: dict[str, Any] = {"success": False, "message": message, **more}
    if error is not None:
        document["data"] = describe(error, call_id=error.call_id, lookup=lookup_of(error))
    return Response(to_json(document), media_type="application/json")
