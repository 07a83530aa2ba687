"""Request bodies of calls, whole and bounded."""

from typing import TYPE_CHECKING, Any, Final

from cloud_connect.errors import BodyTooLargeError, InvalidRequestError
from cloud_connect_relay.api.bodies import check_json

if TYPE_CHECKING:
    from starlette.types import Receive, Scope

__all__ = ["MAX_INLINE_BYTES", "CallerGoneError", "declared_length", "read_body", "read_object"]

MAX_INLINE_BYTES: Final = 1024 * 1024  # of a body that is one JSON document


class CallerGoneError(Exception):
    """The caller hung up before its request was complete; nobody reads an answer."""


def declared_length(scope: "Scope") -> int | None:
    """Return the length that the request declares, if it declares one."""
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value)
    return None


async def read_body(scope: "Scope", receive: "Receive", *, max_bytes: int) -> bytes:
    """Return the whole body.

    Raises:
        BodyTooLargeError: As soon as it is known to be longer than *max_bytes*.
        CallerGoneError: If the caller hangs up meanwhile.
    """
    if (declared_length(scope) or 0) > max_bytes:
        raise _too_large(max_bytes)
    pieces: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise CallerGoneError
        piece: bytes = message.get("body", b"")
        size += len(piece)
        if size > max_bytes:
            raise _too_large(max_bytes)
        pieces.append(piece)
        if not message.get("more_body", False):
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)


async def read_object(scope: "Scope", receive: "Receive") -> tuple[bytes, dict[str, Any]]:
    """Return the body, which must be one JSON object, as it came and decoded.

    Raises:
        BodyTooLargeError: If it is too long for one document.
        InvalidRequestError: If it is anything else.
        CallerGoneError: If the caller hangs up meanwhile.
    """
    body = await read_body(scope, receive, max_bytes=MAX_INLINE_BYTES)
    if not body.strip():
        raise InvalidRequestError("The request needs a body: one JSON object.")
    document = check_json(body)
    if not isinstance(document, dict):
        raise InvalidRequestError("The body must be one JSON object.")
    return body, document


def _too_large(max_bytes: int) -> BodyTooLargeError:
    return BodyTooLargeError(
        f"The body is larger than {max_bytes} bytes, which is the most that is taken here."
    )
