"""JSON in and out: strict about what comes, fast about what goes."""

import asyncio
import json
from typing import Any, Final

import orjson

from cloud_connect import strict_json
from cloud_connect.errors import InvalidRequestError
from cloud_connect.strict_json import MAX_DEPTH

__all__ = ["MAX_DEPTH", "check_json", "check_large_json", "passed_on", "to_json"]

_LARGE_BYTES: Final = 64 * 1024  # from here on, others need not wait until a body is read
_OPTIONS: Final = orjson.OPT_NON_STR_KEYS


def to_json(document: object) -> bytes:
    """Encode a document compactly, in UTF-8."""
    return orjson.dumps(document, option=_OPTIONS)


def passed_on(document: object) -> bytes:
    """Encode what a caller sent, which may hold whole numbers of more than 64 bits."""
    try:
        return to_json(document)
    except orjson.JSONEncodeError:
        return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def check_json(body: bytes) -> Any:
    """Decode a JSON body, refusing what parsers disagree about.

    Raises:
        InvalidRequestError: If it is malformed, too deep, repeats a member, or holds a number
            that is none or endless.
    """
    try:
        return strict_json.parse(body)
    except strict_json.StrictJsonError as error:
        raise InvalidRequestError(f"The body {error}.") from error


async def check_large_json(body: bytes) -> Any:
    """Decode a JSON body as :func:`check_json` does, and let others go on meanwhile."""
    if len(body) < _LARGE_BYTES:
        return check_json(body)
    return await asyncio.to_thread(check_json, body)
