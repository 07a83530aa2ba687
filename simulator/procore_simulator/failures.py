"""The error answers of the API, in the body shapes Procore uses."""

from collections.abc import Mapping
from http import HTTPStatus

from procore_simulator.messages import Json, Reply, json_reply, text_reply

__all__ = [
    "ApiError",
    "bad_request",
    "blank",
    "conflict",
    "forbidden",
    "invalid",
    "missing_parameter",
    "not_connected",
    "not_found",
    "plain_text",
]


_RENAMED = {413: "PAYLOAD_TOO_LARGE", 422: "UNPROCESSABLE_ENTITY"}
"""Statuses whose name differs between versions of the standard library."""


class ApiError(Exception):
    """A refusal; ``reply()`` writes it in the shape of the path's version.

    Args:
        payload: The JSON body on a v1 path, or a string for a plain-text one.
        reason: The ``reason_code`` on a v2 path.
    """

    def __init__(
        self,
        status: int,
        payload: Json,
        *,
        message: str,
        reason: str | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.payload = payload
        self.message = message
        self.reason = reason
        self.headers = headers

    def reply(self, *, v2: bool) -> Reply:
        """Write the answer; a v2 path has one standard error object."""
        if v2:
            code = _RENAMED.get(self.status) or HTTPStatus(self.status).name
            details = [{"reason_code": self.reason or code, "message": self.message}]
            body = {"error": {"code": code, "message": self.message, "details": details}}
            return json_reply(body, status=self.status, headers=self.headers)
        if isinstance(self.payload, str):
            return text_reply(self.payload, status=self.status, headers=self.headers)
        if self.payload is None:
            return Reply(status=self.status, headers=self.headers)
        return json_reply(self.payload, status=self.status, headers=self.headers)


def bad_request(message: str, *, fields: str | None = None) -> ApiError:
    """Refuse with the generic v1 shape and 400."""
    payload: dict[str, Json] = {"code": 400, "message": message}
    if fields is not None:
        payload["fields"] = fields
    return ApiError(400, payload, message=message, reason="INVALID_PROPERTY")


def missing_parameter(name: str) -> ApiError:
    """Refuse a request that lacks the parameter or envelope *name*."""
    return bad_request(f"param is missing or the value is empty: {name}", fields=name)


def invalid(errors: Mapping[str, list[str]], *, status: int = 422) -> ApiError:
    """Refuse with one list of messages for each field."""
    message = "; ".join(f"{name} {' and '.join(texts)}" for name, texts in errors.items())
    return ApiError(status, {"errors": dict(errors)}, message=message, reason="INVALID_PROPERTY")


def blank(*names: str) -> ApiError:
    """Refuse with 422 because the fields *names* are required."""
    return invalid({name: ["can't be blank"] for name in names})


def forbidden(message: str) -> ApiError:
    """Refuse with 403 and a list of errors."""
    return ApiError(403, {"errors": [message]}, message=message, reason="FORBIDDEN")


def not_connected() -> ApiError:
    """Refuse because the company's admin has not connected the app."""
    return forbidden("App is not connected to this company.")


def not_found(what: str = "Record") -> ApiError:
    """Say that there is no such thing, or none this user may see."""
    message = f"{what} not found"
    return ApiError(404, {"code": 404, "message": message}, message=message, reason="NOT_FOUND")


def conflict(message: str) -> ApiError:
    """Refuse a duplicate or a state conflict."""
    return ApiError(409, {"code": 409, "message": message}, message=message, reason="CONFLICT")


def plain_text(status: int, text: str, *, headers: tuple[tuple[str, str], ...] = ()) -> ApiError:
    """Refuse with plain text, as the rate limiter and the missing header do."""
    return ApiError(status, text, message=text, headers=headers)
