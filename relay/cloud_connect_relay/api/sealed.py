"""Sealed calls: routed by what stands outside; what is inside is between caller and connector."""

from dataclasses import replace
from typing import Annotated, Any, Final

from fastapi import Depends, Query, Request
from starlette.responses import Response

from cloud_connect.calls import Operation
from cloud_connect.errors import InvalidRequestError
from cloud_connect.sealing import SEALED_TYPE
from cloud_connect_relay.access import Use
from cloud_connect_relay.api.call_response import CallResponse, Reply, answer_headers
from cloud_connect_relay.api.call_specs import on_behalf, signed_in, spec_for, target_for
from cloud_connect_relay.api.endpoints import Routes
from cloud_connect_relay.api.request_body import MAX_INLINE_BYTES, read_body
from cloud_connect_relay.api.security import Principal, check_scope, services
from cloud_connect_relay.api.strong_calls import CONNECTOR_HEADER
from cloud_connect_relay.calls.idempotency import canonical, fingerprint, required_key
from cloud_connect_relay.services import Services

__all__ = ["router"]

router: Final = Routes(prefix="/api/datasources/{datasource_id}", tags=["Sealed calls"])

Shared = Annotated[Services, Depends(services)]

_MAX_ANSWER_BYTES: Final = 16 * 1024 * 1024  # of a write, which is answered as a whole
_BINARY: Final = {"type": "string", "format": "binary"}
_EXTRA: Final = {
    "parameters": [
        {
            "name": "Cloud-Connect-Connector",
            "in": "header",
            "required": True,
            "description": "The connector that the call is sealed to.",
            "schema": {"type": "string"},
        },
        {
            "name": "Idempotency-Key",
            "in": "header",
            "description": "As of records; a repeat has to be the same bytes.",
            "schema": {"type": "string", "maxLength": 255},
        },
    ],
    "requestBody": {"required": True, "content": {SEALED_TYPE: {"schema": _BINARY}}},
}
_ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "The sealed answer; what the connector refused is told inside.",
        "content": {SEALED_TYPE: {"schema": _BINARY}},
    }
}


@router.post("/sealed", response_class=Response, responses=_ANSWERS, openapi_extra=_EXTRA)
async def run_sealed(
    datasource_id: str,
    request: Request,
    principal: Annotated[Principal, Depends(signed_in)],
    services: Shared,
    *,
    writes: Annotated[bool, Query(description="The connector holds the call to it.")] = False,
) -> Response:
    """Run a call that only its connector can read; its answer only the caller can.

    Needs `calls:read`, or `calls:write` with `writes=true`, and then an `Idempotency-Key`.
    """
    check_scope(principal, "calls:write" if writes else "calls:read")
    key = required_key(request.headers.get("Idempotency-Key")) if writes else None
    if CONNECTOR_HEADER not in request.headers:
        raise InvalidRequestError(
            "A sealed call has to name the connector that it is sealed to, in the header"
            " Cloud-Connect-Connector."
        )
    body = await read_body(request.scope, request.receive, max_bytes=MAX_INLINE_BYTES)
    spec = spec_for(
        services,
        principal,
        request,
        target=await target_for(services, principal, datasource_id, use=Use.SEALED),
        operation=Operation.SEALED,
        params={"writes": writes},
        writes=writes,
        body=body,
    )
    if key is not None:
        spec = replace(
            spec,
            idempotency_key=key,
            fingerprint=fingerprint(
                "sealed",
                datasource_id,
                canonical(spec.target.source),
                body,
                *on_behalf(principal),
            ),
        )

    async def run(reply: Reply) -> None:
        if not writes:
            async with services.calls.read(spec) as answer:
                await reply.start(200, answer_headers(answer, media_type=SEALED_TYPE))
                async for piece in answer.chunks():
                    await reply.write(piece)
                await reply.end()
            return
        async with services.calls.write(spec) as answer:
            told = await answer.collect(max_bytes=_MAX_ANSWER_BYTES)
            kind = SEALED_TYPE if answer.body_available else "application/json"
            await reply.whole(200, answer_headers(answer, media_type=kind), told)

    return CallResponse(run)
