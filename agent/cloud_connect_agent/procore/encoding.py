"""Requests as bytes on their way to Procore, and answers as they come back."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Final, NamedTuple
from urllib.parse import quote, urlencode

import orjson

from cloud_connect.errors import InternalError, OutcomeUnknownError, SourceUnavailableError
from cloud_connect.strict_json import MAX_DEPTH, is_deep
from cloud_connect_agent.procore.failures import UNCLEAR
from cloud_connect_agent.procore.messages import NOT_THE_API, ApiRequest, ApiResponse

__all__ = ["Answer", "body_of", "decode", "target_of"]

_QUERY_SAFE: Final = "[]:,"  # as Procore's own examples write filters


class Answer(NamedTuple):
    """A 2xx answer as it came: what is decoded of it, a caller may change."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def target_of(request: ApiRequest) -> bytes:
    """Return path and query as they are sent.

    Raises:
        InternalError: If it is no path of the API.
    """
    if not request.path.startswith("/rest/"):
        raise InternalError("A request's path must begin with /rest/.")
    target = request.path
    if request.query:
        target += f"?{urlencode(request.query, quote_via=quote, safe=_QUERY_SAFE)}"
    return target.encode("ascii")


def body_of(
    request: ApiRequest,
) -> tuple[bytes | Callable[[], AsyncIterator[bytes]] | None, tuple[tuple[bytes, bytes], ...]]:
    """Return the body, if there is one, and the headers that belong to the request."""
    headers = tuple(
        (name.encode("ascii"), value.encode("latin-1")) for name, value in request.headers
    )
    if request.json is not None:
        return orjson.dumps(request.json), (*headers, (b"content-type", b"application/json"))
    if request.form is not None:
        kind = (b"content-type", b"application/x-www-form-urlencoded")
        return urlencode(request.form).encode("ascii"), (*headers, kind)
    return request.content, headers


def decode(answer: Answer, *, write: bool, later: bool = False) -> ApiResponse:
    """Read a 2xx answer; a write's was carried out, unless it is a web page that answers.

    Args:
        later: Decode a read's body at its first use.

    Raises:
        OutcomeUnknownError: If a write's is a page, such as a proxy's: it says 200, too.
        SourceUnavailableError: If a read's is not the JSON that it says it is.
    """
    status, headers, body = answer
    if not body.strip():
        return ApiResponse(status=status, headers=headers)
    declared = "json" in headers.get("content-type", "application/json").lower()
    if declared and later:
        return ApiResponse(status=status, headers=headers, unpack=partial(_loads, body))
    if declared and not write:
        return ApiResponse(status=status, headers=headers, json=_loads(body))
    if declared or body.lstrip()[:1] in {b"[", b"{"}:
        with suppress(orjson.JSONDecodeError):
            value = orjson.loads(body)
            if not is_deep(value):
                return ApiResponse(status=status, headers=headers, json=value)
    if write and body.lstrip().startswith(b"<"):
        raise OutcomeUnknownError(f"{NOT_THE_API} {UNCLEAR}")
    return ApiResponse(status=status, headers=headers, text=body.decode("utf-8", "replace"))


def _loads(body: bytes) -> object:
    try:
        value: object = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise SourceUnavailableError(
            "Procore's answer is not the JSON that it says it is."
        ) from exc
    if is_deep(value):
        raise SourceUnavailableError(f"Procore's answer nests deeper than {MAX_DEPTH} levels.")
    return value
