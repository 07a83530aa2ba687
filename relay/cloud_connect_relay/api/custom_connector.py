"""The platform's microservice contract: ``test``, ``metadata`` and ``query`` of a registration."""

import asyncio
import base64
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final

import structlog
from fastapi import Depends, Request
from sqlalchemy.exc import SQLAlchemyError
from starlette.responses import Response

from cloud_connect.errors import (
    CloudConnectError,
    IdempotencyConflictError,
    InternalError,
    InvalidRequestError,
    NotFoundError,
    Outcome,
    OutcomeUnknownError,
)
from cloud_connect_relay.api.bodies import check_large_json, to_json
from cloud_connect_relay.api.custom_calls import key_of, metadata_of, query_of, refusal, test_of
from cloud_connect_relay.api.endpoints import Routes
from cloud_connect_relay.api.security import services, source_of
from cloud_connect_relay.calls.times import server_timing
from cloud_connect_relay.custom_connector.answers import FirstAnswers
from cloud_connect_relay.custom_connector.entrance import Entrance, Visit
from cloud_connect_relay.quota import NO_QUOTA
from cloud_connect_relay.services import Services
from cloud_connect_relay.storage.calls import CallState
from cloud_connect_relay.storage.custom_requests import Admission

if TYPE_CHECKING:
    from cloud_connect_relay.api.custom_calls import QueryResult

__all__ = ["router"]

log = structlog.get_logger(__name__)

router: Final = Routes(prefix="/custom-connector/{registration}", tags=["Custom connectors"])

Shared = Annotated[Services, Depends(services)]
Carried = Callable[[Services, Visit], Awaitable["QueryResult"]]

# Of a write that was carried out, or may have been; one that was not has no answer to wait for.
_ENDED: Final = frozenset({CallState.COMPLETED, CallState.UNKNOWN})
_LOOK_INTERVAL: Final = 0.1  # seconds between two looks for the first answer
_GRACE_SECONDS: Final = 30.0  # beyond the longest deadline, after which no answer will come

_RESULT: Final = {
    "type": "object",
    "required": ["requestId", "signature", "encryptedSettingsPropertyBag", "queryResult"],
    "properties": {
        "requestId": {"type": "string"},
        "signature": {"type": "string", "description": "HMAC-SHA256 of the request id, base64."},
        "encryptedSettingsPropertyBag": {"type": "string"},
        "iv": {"type": "string", "description": "Fresh for each answer; dialect A only."},
        "queryResult": {
            "type": "object",
            "required": ["success", "message", "data", "items", "resultCount", "signature"],
            "properties": {
                "success": {"type": "boolean"},
                "message": {"type": "string", "description": "A sentence for the form's user."},
                "data": {"type": "object"},
                "items": {"type": "array", "items": {"type": "object"}},
                "resultCount": {"type": "string"},
                "signature": {"type": "string"},
            },
        },
    },
}
_ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "What came of it; a refusal of the source or the agent, too.",
        "content": {"application/json": {"schema": _RESULT}},
    },
    401: {
        "description": "Whatever is wrong with the request or its sealed settings.",
        "content": {
            "application/json": {
                "schema": {"type": "object", "properties": {"Message": {"type": "string"}}}
            }
        },
    },
}
_BODY: Final = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["requestId", "encryptedSettingsPropertyBag"],
                    "properties": {
                        "requestId": {"type": "string"},
                        "encryptedSettingsPropertyBag": {"type": "string"},
                        "iv": {"type": "string"},
                        "query": {"type": "object"},
                    },
                }
            }
        },
    }
}


@router.post("/test", response_class=Response, responses=_ANSWERS, openapi_extra=_BODY)
async def test_custom_connector(registration: str, request: Request, services: Shared) -> Response:
    """Test the connection of the data source that the sealed settings name."""
    return await _answer(registration, request, services, test_of)


@router.post("/metadata", response_class=Response, responses=_ANSWERS, openapi_extra=_BODY)
async def describe_custom_source(registration: str, request: Request, services: Shared) -> Response:
    """Return the tables and fields that there are to pick from."""
    return await _answer(registration, request, services, metadata_of)


@router.post("/query", response_class=Response, responses=_ANSWERS, openapi_extra=_BODY)
async def query_custom_source(registration: str, request: Request, services: Shared) -> Response:
    """Run a query; what the source or the agent refuses is a 200 with `success: false`."""
    return await _answer(registration, request, services, query_of)


async def _answer(
    registration: str, request: Request, services: Services, carry_out: Carried
) -> Response:
    """Let the request in, carry it out unless it came before, and answer."""
    entrance = Entrance(services.storage, services.identity.pepper)
    document = await _decoded(await request.body())
    visit = await entrance.admit(registration, document, now=services.clock())
    if visit is None:
        raise services.authenticator.failure(source_of(request.scope), kind="custom_connector")
    answers = FirstAnswers(services.storage, services.identity.pepper)
    if visit.admission is Admission.REPEATED:
        known = await _by_its_key(services, answers, visit) if carry_out is query_of else None
        first = known or await _first_answer(services, answers, visit)
        return _response(visit, first, repeated=True)
    connector = visit.connector
    services.calls.quotas.learn(
        connector.subscription_id,
        connector.id,
        of_subscription=visit.subscription_quota,
        of_key=NO_QUOTA,
    )
    try:
        result = await carry_out(services, visit)
    except CloudConnectError as error:
        result = refusal(error)
    except Exception:  # the border: its repeats must not wait for an answer that never comes
        log.exception("custom_call_failed", registration=connector.id)
        result = refusal(_failed())
    answered = result.document()
    try:
        await answers.keep(visit, to_json(answered))
    except SQLAlchemyError:  # it was carried out: whoever waits shall hear of it all the same
        log.warning("first_answer_not_kept", registration=connector.id, exc_info=True)
    return _response(visit, answered, hops=result.hops)


async def _decoded(body: bytes) -> object:
    try:
        return await check_large_json(body)
    except InvalidRequestError:
        return None


async def _by_its_key(
    services: Services, answers: FirstAnswers, visit: Visit
) -> dict[str, Any] | None:
    """Return what the write's idempotency key tells of it where its first answer is missing.

    The relay may have stopped before it was kept; the call's record tells all the same. ``None``
    if the registration's requests have no such key, or the first attempt has not ended: it must
    not find its key taken by its own repeat.
    """
    key = key_of(visit)
    if key is None:
        return None
    seen = await answers.find(visit)
    if seen is None or seen.answer is not None:
        return None
    try:
        record = await services.calls.find_by_key(visit.connector.subscription_id, key)
        if record.state not in _ENDED:
            return None
        return (await query_of(services, visit)).document()
    except NotFoundError:
        return None
    except CloudConnectError as error:
        return refusal(error).document()


async def _first_answer(services: Services, answers: FirstAnswers, visit: Visit) -> dict[str, Any]:
    """Return what the request was answered when it came first, or is about to be."""
    settings = services.calls.settings
    given_up = settings.max_deadline + _GRACE_SECONDS
    try:
        async with asyncio.timeout(settings.default_deadline):
            while True:
                seen = await answers.find(visit)
                if seen is None or (seen.answer is None and seen.at < services.clock() - given_up):
                    return refusal(_lost()).document()
                if seen.answer is not None:
                    return answers.opened(visit, seen.answer)
                await asyncio.sleep(_LOOK_INTERVAL)
    except TimeoutError:
        conflict = IdempotencyConflictError(
            "The same request came before and is still being carried out; ask again in a moment."
        )
        return refusal(conflict).document()


def _failed() -> InternalError:
    return InternalError(
        "The relay failed; its log has the reason. Look in Procore before you repeat a write.",
        outcome=Outcome.UNKNOWN,
    )


def _lost() -> OutcomeUnknownError:
    return OutcomeUnknownError(
        "The same request came before, and the relay stopped before it was answered. Look in"
        " Procore for what it should do before you send a new one."
    )


def _response(
    visit: Visit,
    result: dict[str, Any],
    *,
    hops: Mapping[str, float] | None = None,
    repeated: bool = False,
) -> Response:
    """Return an answer: signed, with the settings sealed once more."""
    request_id = visit.envelope.requestId
    signature = visit.secret.sign(request_id)
    bag, iv = visit.secret.encrypt(visit.settings_text)
    document: dict[str, Any] = {
        "requestId": request_id,
        "signature": signature,
        "encryptedSettingsPropertyBag": base64.b64encode(bag).decode(),
    }
    if iv is not None:
        document["iv"] = base64.b64encode(iv).decode()
    # An older sample of the platform reads the signature there.
    document["queryResult"] = {**result, "signature": signature}
    response = Response(to_json(document), media_type="application/json")
    call_id = result["data"].get("call_id")
    if call_id is not None:
        response.headers["Cloud-Connect-Call-Id"] = call_id
    if hops:
        response.headers["Server-Timing"] = server_timing(hops)
    if repeated:
        response.headers["Idempotency-Replayed"] = "true"
    return response
