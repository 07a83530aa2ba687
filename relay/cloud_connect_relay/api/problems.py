"""Errors as answers: one table from errors to problem documents or the platform's own shapes."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match

from cloud_connect.errors import (
    BodyTooLargeError,
    CloudConnectError,
    ErrorCode,
    InternalError,
    InvalidRequestError,
    NotFoundError,
    Outcome,
    SourceRejectedError,
    UnauthorizedError,
)
from cloud_connect_relay.api.bodies import to_json
from cloud_connect_relay.calls.over_quota import OverQuotaError

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.requests import Request

__all__ = [
    "PROBLEM_TYPE",
    "describe",
    "error_response",
    "install",
    "is_platform_path",
    "not_found",
    "problem_response",
]

PROBLEM_TYPE: Final = "application/problem+json"

_TITLES: Final = {
    ErrorCode.CONNECTOR_DRAINING: "The connector is finishing its calls",
    ErrorCode.CONNECTOR_OFFLINE: "No connector is connected",
    ErrorCode.CONNECTOR_PAUSED: "The connector is paused",
    ErrorCode.DATA_SOURCE_INCOMPLETE: "The data source is incomplete",
    ErrorCode.DEADLINE_EXCEEDED: "The deadline has passed",
    ErrorCode.IDEMPOTENCY_CONFLICT: "The same call is still running",
    ErrorCode.IDEMPOTENCY_KEY_REQUIRED: "A write needs an Idempotency-Key",
    ErrorCode.IDEMPOTENCY_MISMATCH: "The Idempotency-Key belongs to another request",
    ErrorCode.INSUFFICIENT_SCOPE: "The credential does not allow this",
    ErrorCode.INTERNAL_ERROR: "Something went wrong",
    ErrorCode.INVALID_REQUEST: "The request is not valid",
    ErrorCode.JOURNAL_UNAVAILABLE: "The connector takes no writes",
    ErrorCode.NOT_FOUND: "Not found",
    ErrorCode.OUTCOME_UNKNOWN: "The outcome is unknown",
    ErrorCode.PAYLOAD_TOO_LARGE: "The body is too large",
    ErrorCode.POLICY_DENIED: "The connector's policy does not allow this",
    ErrorCode.QUOTA_EXCEEDED: "Too many requests",
    ErrorCode.RATE_LIMITED: "Procore's rate limit is used up",
    ErrorCode.SIGN_IN_REQUIRED: "Somebody has to sign in to Procore",
    ErrorCode.SOURCE_REJECTED: "Procore refused the request",
    ErrorCode.SOURCE_UNAVAILABLE: "Procore is not available",
    ErrorCode.UNAUTHORIZED: "No valid credential",
    ErrorCode.UNSUPPORTED_OPERATION: "The resource does not support this",
}

# What the platform calls expects its own shapes, down to the letter.
_PLATFORM: Final = re.compile(
    r"/Token|/api/datasources/[^/]+/(?:test|tree|query)|/custom-connector(?:/.*)?", re.ASCII
)
_PLATFORM_MESSAGES: Final = {
    ErrorCode.UNAUTHORIZED: "Authorization has been denied for this request.",
    ErrorCode.INTERNAL_ERROR: "An error has occurred.",
}
_METHODS: Final = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")
_NO_OBJECT: Final = frozenset({"model_attributes_type", "model_type", "dict_type"})
_MAX_NAMED: Final = 5  # wrong fields named in one sentence


def is_platform_path(path: str) -> bool:
    """Whether callers of *path* expect the platform's own shapes."""
    return _PLATFORM.fullmatch(path) is not None


def not_found() -> NotFoundError:
    """Return the one error for what is not there, or not the caller's, or no id at all."""
    return NotFoundError("There is nothing here, or it is not yours.")


def describe(
    error: CloudConnectError,
    *,
    call_id: str | None = None,
    lookup: str | None = None,
    extra: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the members of the problem document of *error*.

    Args:
        lookup: URL that tells what became of the call.
        extra: Further members.
    """
    document: dict[str, Any] = {
        "type": f"urn:cloud-connect:problem:{error.code}",
        "title": _TITLES[error.code],
        "status": error.status,
        "detail": error.message,
        "code": error.code.value,
        "outcome": error.outcome.value,
        "call_id": call_id,
        "retry_safe": error.retry_safe,
        "lookup": lookup,
        "connector": error.connector_id,
    }
    if isinstance(error, SourceRejectedError) or error.body is not None:
        document["source"] = error.body
    return {**document, **(extra or {})}


def problem_response(
    error: CloudConnectError,
    *,
    call_id: str | None = None,
    lookup: str | None = None,
    extra: Mapping[str, Any] | None = None,
) -> Response:
    """Return *error* as ``application/problem+json``."""
    return Response(
        to_json(describe(error, call_id=call_id, lookup=lookup, extra=extra)),
        status_code=error.status,
        headers=_headers(error),
        media_type=PROBLEM_TYPE,
    )


def error_response(error: CloudConnectError, path: str) -> Response:
    """Return *error* as the callers of *path* expect it."""
    message = _PLATFORM_MESSAGES.get(error.code) if is_platform_path(path) else None
    if message is None:
        return problem_response(error)
    return Response(
        to_json({"Message": message}),
        status_code=error.status,
        headers=_headers(error),
        media_type="application/json",
    )


def install(app: "FastAPI") -> None:
    """Make *app* answer every error from the table."""

    async def on_error(request: "Request", error: Exception) -> Response:
        response = error_response(_translate(error), request.url.path)
        if isinstance(error, HTTPException) and error.status_code == 405:
            response.headers["allow"] = ", ".join(_methods_of(request))
        return response

    for kind in (CloudConnectError, HTTPException, RequestValidationError):
        app.add_exception_handler(kind, on_error)


def _methods_of(request: "Request") -> list[str]:
    """Return what the path takes, by all of its routes; each alone knows its own only."""
    routes = request.app.routes
    return [
        method
        for method in _METHODS
        if any(
            route.matches({**request.scope, "method": method})[0] is Match.FULL for route in routes
        )
    ]


def _translate(error: Exception) -> CloudConnectError:
    match error:
        case CloudConnectError():
            return error
        case RequestValidationError():
            return InvalidRequestError(_sentence(error))
        case HTTPException(status_code=404):
            return not_found()
        case HTTPException(status_code=405):
            return _with_status(
                InvalidRequestError("This path does not take that method; see /docs."), 405
            )
        case HTTPException(status_code=413):
            return BodyTooLargeError("The body is too large.")
        case HTTPException(status_code=401):
            return UnauthorizedError("No valid credential came with the request.")
        case HTTPException() if 400 <= error.status_code < 500:
            return _with_status(InvalidRequestError(str(error.detail)), error.status_code)
        case _:
            return InternalError("The relay failed; its log has the reason.")


def _with_status(error: CloudConnectError, status: int) -> CloudConnectError:
    error.status = status
    return error


def _sentence(error: RequestValidationError) -> str:
    """Name the wrong fields and what is wrong with them, without repeating their values."""
    wrong = []
    for item in error.errors()[:_MAX_NAMED]:
        place, *names = item["loc"]
        if item["type"] == "json_invalid":
            return "The body is not valid JSON."
        if not names and item["type"] in _NO_OBJECT:
            return "The body must be a JSON object, sent with Content-Type: application/json."
        name = ".".join(str(part) for part in names)
        reason = str(item["msg"]).removeprefix("Value error, ")
        wrong.append(f"{name or place}: {reason[:1].lower()}{reason[1:]}")
    return "; ".join(wrong) + "."


def _headers(error: CloudConnectError) -> dict[str, str]:
    headers = {"cache-control": "no-store"}
    if error.retry_after is not None:
        headers["retry-after"] = str(max(1, -int(-error.retry_after // 1)))
    if error.code is ErrorCode.UNAUTHORIZED:
        headers["www-authenticate"] = "Bearer"
    if error.outcome is Outcome.UNKNOWN:
        headers["should-retry"] = "false"
    if isinstance(error, OverQuotaError):  # draft-ietf-httpapi-ratelimit-headers
        window = "" if error.window is None else f";w={error.window:.0f}"
        headers["ratelimit-policy"] = f'"{error.limit}";q={error.quantity}{window}'
        headers["ratelimit"] = f'"{error.limit}";r=0;t={headers["retry-after"]}'
    return headers
