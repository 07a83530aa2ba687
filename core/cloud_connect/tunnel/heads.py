"""Heads: the JSON payload of HEADERS frames, as pydantic models, and its limits."""

from functools import lru_cache
from typing import Annotated, Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cloud_connect import strict_json
from cloud_connect.errors import BodyTooLargeError, LocalProtocolError, Outcome, RemoteProtocolError
from cloud_connect.tunnel.limits import MAX_HEAD_BYTES

__all__ = [
    "Header",
    "Problem",
    "RequestHead",
    "ResponseHead",
    "Trailers",
    "decode_request_head",
    "decode_response_head",
    "decode_trailers",
    "encode_head",
]

_MAX_HEADERS: Final = 256
_MAX_HOPS: Final = 32
_MAX_CACHED_BYTES: Final = 256  # only short heads repeat; the cache stays small
_MAX_DEADLINE_MS: Final = 2**31 - 1

# RFC 9110, 5.1 and 5.5: a token, and a value without control characters: nothing to inject.
HeaderName = Annotated[str, Field(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}$")]
HeaderValue = Annotated[str, Field(pattern=r"^[\t\x20-\x7e\u{80}-\u{ff}]*$")]
Header = tuple[HeaderName, HeaderValue]
Headers = Annotated[tuple[Header, ...], Field(max_length=_MAX_HEADERS)]
Hops = Annotated[dict[str, float], Field(max_length=_MAX_HOPS)]


class _Head(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class RequestHead(_Head):
    """What opens a stream: the operation, its parameters and its deadline.

    Attributes:
        operation: What is asked for (see ``cloud_connect.calls.Operation``).
        call_id: The relay's id of the call.
        deadline_ms: Milliseconds left, counted from when the head is received.
    """

    operation: str = Field(min_length=1, max_length=64)
    call_id: str = Field(max_length=128)
    deadline_ms: int = Field(ge=0, le=_MAX_DEADLINE_MS)
    params: dict[str, Any] = {}
    headers: Headers = ()


class Problem(_Head):
    """A failure as the other end reports it to its caller.

    Attributes:
        source: Procore's own answer, decoded JSON or text, at most 4 kB.
    """

    code: str = Field(max_length=64)
    detail: str
    outcome: Outcome
    status: int = Field(ge=100, le=999)
    retry_after: float | None = None
    source: Any = None


class ResponseHead(_Head):
    """What opens an answer.

    Attributes:
        already_absent: A deletion was repeated; what it deletes was gone by then.
        hops: Milliseconds spent at each hop until here, by its name.
    """

    status: int = Field(ge=100, le=999)
    headers: Headers = ()
    outcome: Outcome | None = None
    total_items: int | None = None
    replayed: bool = False
    message: str | None = None
    already_absent: bool = False
    problem: Problem | None = None
    hops: Hops = {}


class Trailers(_Head):
    """What ends an answer when its end brings news.

    Attributes:
        hops: Milliseconds spent at each hop, by its name.
    """

    outcome: Outcome | None = None
    total_items: int | None = None
    paging: str | None = None
    problem: Problem | None = None
    hops: Hops = {}


_HeadT = TypeVar("_HeadT", RequestHead, ResponseHead, Trailers)


def encode_head(head: RequestHead | ResponseHead | Trailers) -> bytes:
    """Return a head's payload, without the fields that have their default.

    Raises:
        BodyTooLargeError: If it is over the limit: what it carries comes from callers.
        LocalProtocolError: If it holds what JSON cannot.
    """
    try:
        payload = head.__pydantic_serializer__.to_json(head, exclude_defaults=True)
    except ValueError as exc:  # PydanticSerializationError is one
        raise LocalProtocolError(f"head cannot be written as JSON: {type(exc).__name__}") from exc
    if len(payload) > MAX_HEAD_BYTES:
        raise BodyTooLargeError(
            f"the call's parameters and headers take {len(payload)} of {MAX_HEAD_BYTES} bytes"
        )
    return payload


def decode_request_head(payload: bytes) -> RequestHead:
    """Return the request head of a payload.

    Raises:
        RemoteProtocolError: If it is malformed or outside a limit.
    """
    return _decode(RequestHead, payload)


def decode_response_head(payload: bytes) -> ResponseHead:
    """Return the response head of a payload; raises as :func:`decode_request_head`."""
    if len(payload) <= _MAX_CACHED_BYTES:
        return _decode_repeated(payload)
    return _decode(ResponseHead, payload)


def decode_trailers(payload: bytes) -> Trailers:
    """Return the trailers of a payload; raises as :func:`decode_request_head`."""
    return _decode(Trailers, payload)


@lru_cache(maxsize=256)
def _decode_repeated(payload: bytes) -> ResponseHead:
    return _decode(ResponseHead, payload)


def _decode(model: type[_HeadT], payload: bytes) -> _HeadT:
    try:
        value = strict_json.parse(payload)
    except strict_json.StrictJsonError as exc:
        raise RemoteProtocolError(f"{model.__name__} is no acceptable JSON") from exc
    try:
        head: _HeadT = model.__pydantic_validator__.validate_python(value)
    except ValidationError as exc:
        place = ".".join(str(part) for part in exc.errors(include_input=False)[0]["loc"])
        raise RemoteProtocolError(f"{model.__name__} is malformed at {place[:100]!r}") from exc
    return head
