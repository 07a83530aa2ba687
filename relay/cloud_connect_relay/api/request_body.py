"""Request bodies of calls, whole and bounded."""

import asyncio
from typing import TYPE_CHECKING, Any, Final

from cloud_connect.errors import BodyTooLargeError, InvalidRequestError
from cloud_connect_relay.api.bodies import check_large_json

if TYPE_CHECKING:
    from starlette.types import Receive, Scope

__all__ = [
    "MAX_INLINE_BYTES",
    "CallerGoneError",
    "declared_length",
    "next_piece",
    "read_body",
    "read_object",
    "read_records",
]

MAX_INLINE_BYTES: Final = 1024 * 1024  # of a body that is one JSON document
_STALL_SECONDS: Final = 60.0  # without a byte of the body, after which a request is given up


class CallerGoneError(InvalidRequestError):
    """The caller hung up before its request was complete; nobody reads an answer."""


async def next_piece(receive: "Receive") -> tuple[bytes, bool]:
    """Return the next piece of a request's body, and whether more follows.

    Raises:
        CallerGoneError: If the caller hangs up instead.
        InvalidRequestError: If nothing comes for too long.
    """
    try:
        async with asyncio.timeout(_STALL_SECONDS):
            message = await receive()
    except TimeoutError:
        raise InvalidRequestError("The request's body stopped coming.") from None
    if message["type"] == "http.disconnect":
        raise CallerGoneError("The caller hung up before its request was complete.")
    return message.get("body", b""), message.get("more_body", False)


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
    more = True
    while more:
        piece, more = await next_piece(receive)
        size += len(piece)
        if size > max_bytes:
            raise _too_large(max_bytes)
        pieces.append(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


async def read_object(scope: "Scope", receive: "Receive") -> tuple[bytes, dict[str, Any]]:
    """Return the body, which must be one JSON object, as it came and decoded.

    Raises:
        BodyTooLargeError: If it is too long for one document.
        InvalidRequestError: If it is anything else.
        CallerGoneError: If the caller hangs up meanwhile.
    """
    body, document = await _read_document(scope, receive, wanted="one JSON object")
    if not isinstance(document, dict):
        raise InvalidRequestError("The body must be one JSON object.")
    return body, document


async def read_records(
    scope: "Scope", receive: "Receive"
) -> tuple[bytes, dict[str, Any] | list[Any]]:
    """Return the body, a record or a list of records, as it came and decoded.

    Raises:
        BodyTooLargeError: If it is too long for one document.
        InvalidRequestError: If it is anything else.
        CallerGoneError: If the caller hangs up meanwhile.
    """
    wanted = "one JSON object, or a list of them"
    body, document = await _read_document(scope, receive, wanted=wanted)
    records = document if isinstance(document, list) else [document]
    if not records or not all(isinstance(record, dict) for record in records):
        raise InvalidRequestError(f"The body must be {wanted}.")
    return body, document


async def _read_document(scope: "Scope", receive: "Receive", *, wanted: str) -> tuple[bytes, Any]:
    body = await read_body(scope, receive, max_bytes=MAX_INLINE_BYTES)
    if not body.strip():
        raise InvalidRequestError(f"The request needs a body: {wanted}.")
    return body, await check_large_json(body)


def _too_large(max_bytes: int) -> BodyTooLargeError:
    return BodyTooLargeError(
        f"The body is larger than {max_bytes} bytes, which is the most that is taken here."
    )
