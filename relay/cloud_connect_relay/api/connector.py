"""The platform's own calls of a data source: ``test``, ``tree`` and ``query``."""

from typing import Annotated, Any, Final

from fastapi import Depends, Request
from starlette.responses import Response

from cloud_connect.calls import Operation
from cloud_connect.errors import (
    CloudConnectError,
    DataSourceIncompleteError,
    ErrorCode,
)
from cloud_connect_relay.access import Use
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
from cloud_connect_relay.api.endpoints import Routes
from cloud_connect_relay.api.problems import describe, error_response
from cloud_connect_relay.api.query_calls import (
    OURS,
    action_of,
    failed_before_agent,
    is_write,
    run_test,
    run_tree,
)
from cloud_connect_relay.api.query_reply import write_query_answer
from cloud_connect_relay.api.query_requests import UnusableQueryError, query_call
from cloud_connect_relay.api.request_body import read_object
from cloud_connect_relay.api.security import Principal, check_scope, require, services
from cloud_connect_relay.calls.idempotency import checked_key
from cloud_connect_relay.calls.spec import target_of
from cloud_connect_relay.services import Services

__all__ = ["router"]

router: Final = Routes(prefix="/api/datasources/{datasource_id}", tags=["Platform calls"])

Shared = Annotated[Services, Depends(services)]

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
    source = await services.calls.sources.checked(
        principal.subscription_id, datasource_id, subject=principal.subject, use=Use.TEST
    )
    try:
        target = target_of(source)
    except DataSourceIncompleteError as error:
        return _untested(error)
    spec = spec_for(services, principal, request, target=target, operation=Operation.TEST)

    async def run(reply: Reply) -> None:
        told, answer = await run_test(services, spec, source)
        document = {"success": told.success, "message": told.message, "steps": told.steps}
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
        target = await target_for(services, principal, datasource_id, use=Use.TREE)
    except DataSourceIncompleteError as error:
        return _refused(error)
    spec = spec_for(
        services,
        principal,
        request,
        target=target.confined(),
        operation=Operation.TREE,
        params={"refresh": True} if refresh else {},
    )

    async def run(reply: Reply) -> None:
        items, answer = await run_tree(services, spec, target.partner_rules)
        document = {"success": True, "message": "", "items": items}
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
    writes = is_write(action_of(document))
    check_scope(principal, "calls:write" if writes else "calls:read")
    key = checked_key(request.headers.get("Idempotency-Key")) if writes else None
    try:
        call = await query_call(
            services, principal, request, datasource_id, document, body=body, key=key
        )
    except DataSourceIncompleteError as error:
        return _refused(error)
    except UnusableQueryError as error:
        return _unsuccessful(error.message, error)

    async def run(reply: Reply) -> None:
        async with call.run(services) as answer:
            await write_query_answer(answer, reply, dry_run=call.rehearsal)

    return CallResponse(run, refuse=_refused)


def _refused(error: CloudConnectError) -> Response:
    """Return a refusal of the source, the agent or the way to it, in the platform's shape."""
    if error.code is ErrorCode.INTERNAL_ERROR:
        return with_call(error_response(error, "/api/datasources/-/query"), error)
    if error.code in OURS:
        return call_problem(error)
    return with_call(_unsuccessful(error.message, error), error)


def _untested(error: CloudConnectError) -> Response:
    """Return why a test did not get to its agent's steps, as the step before them."""
    if error.code in OURS:
        return _refused(error)
    told = failed_before_agent(error)
    return with_call(_unsuccessful(told.message, error, steps=told.steps), error)


def _unsuccessful(message: str, error: CloudConnectError | None = None, **more: Any) -> Response:
    """Return the platform's ``success: false``; programs read under ``data`` what it means."""
    document: dict[str, Any] = {"success": False, "message": message, **more}
    if error is not None:
        document["data"] = describe(error, call_id=error.call_id, lookup=lookup_of(error))
    return Response(to_json(document), media_type="application/json")
