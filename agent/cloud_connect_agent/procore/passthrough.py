"""Raw calls: Procore's own requests and answers, checked, but neither parsed nor kept."""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import orjson

from cloud_connect.calls import PassthroughParams
from cloud_connect.errors import InvalidRequestError, Outcome, PolicyDeniedError
from cloud_connect_agent.policy import Access, Verb
from cloud_connect_agent.procore.failures import is_throttled
from cloud_connect_agent.procore.messages import READ_METHODS, clean_header
from cloud_connect_agent.procore.target import (
    Target,
    check_company,
    parse_target,
    read_scope,
    split_pairs,
)

__all__ = [
    "BodyStart",
    "RawCall",
    "answer_headers",
    "length_of",
    "outcome_of",
    "prepare",
    "read_start",
]

_START_BYTES: Final = 64 * 1024  # of a body: sent as one piece, and looked into, up to this

_REQUEST_HEADERS: Final = frozenset(
    {
        "accept",
        "accept-encoding",
        "accept-language",
        "content-type",
        "idempotency-token",
        "if-match",
        "if-modified-since",
        "if-none-match",
        "if-range",
        "if-unmodified-since",
        "procore-sdk-language",
        "procore-sdk-version",
        "range",
    }
)
_ANSWER_HEADERS: Final = frozenset(
    {
        b"accept-ranges",
        b"cache-control",
        b"content-disposition",
        b"content-encoding",
        b"content-language",
        b"content-length",
        b"content-range",
        b"content-type",
        b"etag",
        b"expires",
        b"last-modified",
        b"link",
        b"per-page",
        b"retry-after",
        b"total",
        b"x-rate-limit-limit",
        b"x-rate-limit-remaining",
        b"x-rate-limit-reset",
        b"x-request-id",
    }
)
_MAX_VALUE: Final = 4096  # bytes of one header value
_MAX_VALUES: Final = 7 * 1024  # bytes of all of them: in JSON, they must fit one head


class Receiving(Protocol):
    """An exchange, as far as its request's body goes."""

    @property
    def receive_ended(self) -> bool:
        """Whether the body is complete."""
        ...

    async def receive(self) -> bytes:
        """Return the next piece, ``b""`` at the end."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyStart:
    """The first bytes of a body.

    Attributes:
        length: What the caller's ``Content-Length`` says.
        complete: Whether they are all of it.
    """

    data: bytes
    complete: bool
    length: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RawCall:
    """A raw call that may go to Procore once the policy has agreed.

    Attributes:
        headers: Those that go along.
        access: For the policy.
    """

    method: str
    target: Target
    headers: tuple[tuple[str, str], ...]
    access: Access
    start: BodyStart

    @property
    def writes(self) -> bool:
        """Whether it may change something."""
        return self.method not in READ_METHODS

    def content(
        self, exchange: Receiving, progress: Callable[[], None]
    ) -> bytes | AsyncIterator[bytes] | None:
        """Return the body: in one piece if it is complete, else as it comes.

        Args:
            progress: Called with each piece that came.
        """
        if self.start.complete:
            return self.start.data or None
        return _flow(self.start, exchange, progress)


async def read_start(exchange: Receiving, headers: Iterable[tuple[str, str]]) -> BodyStart:
    """Read a body's first bytes.

    Raises:
        InvalidRequestError: If it is complete and not as long as its header says.
    """
    length = length_of(headers)
    if exchange.receive_ended:
        data = await exchange.receive()
        if not data:
            return BodyStart(data=b"", complete=True, length=length)
    else:
        data = b""
    parts, size = [data], len(data)
    while size < _START_BYTES:
        chunk = await exchange.receive()
        if not chunk:
            if length is not None and length != size:
                raise InvalidRequestError("The body is not as long as its Content-Length says.")
            return BodyStart(data=b"".join(parts), complete=True, length=length)
        parts.append(chunk)
        size += len(chunk)
    return BodyStart(data=b"".join(parts), complete=False, length=length)


def prepare(
    params: PassthroughParams, headers: Iterable[tuple[str, str]], start: BodyStart
) -> RawCall:
    """Check a raw call.

    Raises:
        InvalidRequestError: If its target is not a plain path.
        PolicyDeniedError: If it names another company, or two projects.
    """
    source, target = params.source, parse_target(params.target)
    companies, projects = set(target.companies), set(target.projects)
    kept: list[tuple[str, str]] = []
    encoding, kind = "identity", ""
    for name, value in headers:
        lower = name.lower()
        if lower == "procore-company-id":
            companies.add(value.strip())
        elif lower == "accept-encoding":
            encoding = clean_header(value)
        elif lower in _REQUEST_HEADERS:
            kept.append((lower, clean_header(value)))
            kind = value.lower() if lower == "content-type" else kind
    kept.append(("accept-encoding", encoding))
    writes = params.method not in READ_METHODS
    inspected, named, inside = _inspect(start, kind)
    companies |= named
    projects |= inside
    if not start.complete and start.length is not None:
        kept.append(("content-length", str(start.length)))
    check_company(frozenset(companies), source.company_id)
    if len(projects) > 1:
        raise PolicyDeniedError("The call names two projects (rule project-binding).")
    project = next(iter(projects), None)
    known = project is not None and project.isascii() and project.isdecimal()
    return RawCall(
        method=params.method,
        target=target,
        headers=tuple(kept),
        access=Access(
            verb=Verb.PASSTHROUGH_WRITE if writes else Verb.PASSTHROUGH_READ,
            environment=source.environment,
            company_id=source.company_id,
            # A body that was not looked into may name a project: then none is known.
            project_id=int(project)
            if project and known and (inspected or target.in_project)
            else None,
            path=target.path,
        ),
        start=start,
    )


def _inspect(start: BodyStart, kind: str) -> tuple[bool, set[str], set[str]]:
    """Return whether a body was understood, and the companies and projects it names."""
    if not start.data:
        return start.complete, set(), set()
    if start.complete and "json" in kind:
        try:
            return True, *read_scope(orjson.loads(start.data))
        except orjson.JSONDecodeError:
            return False, set(), set()  # Procore's to judge
    if start.complete and "urlencoded" in kind:
        pairs = split_pairs(start.data.decode("latin-1"))
        return (
            True,
            {value for name, value in pairs if name == "company_id"},
            {value for name, value in pairs if name == "project_id"},
        )
    return False, set(), set()


def answer_headers(headers: Iterable[tuple[bytes, bytes]]) -> tuple[tuple[str, str], ...]:
    """Return the headers of an answer that its caller may see, without control characters."""
    kept = []
    total = 0
    for name, value in headers:
        lower = name.lower()
        if lower not in _ANSWER_HEADERS or len(value) > _MAX_VALUE:
            continue
        total += len(name) + len(value)
        if total > _MAX_VALUES:
            break
        kept.append((lower.decode("ascii"), clean_header(value.decode("latin-1"))))
    return tuple(kept)


def outcome_of(status: int, headers: Mapping[str, str], *, writes: bool) -> Outcome:
    """Return what an answer makes certain."""
    if is_throttled(status, headers):
        return Outcome.NOT_EXECUTED
    if writes and (status == 408 or not 200 <= status < 500 or 300 <= status < 400):
        return Outcome.UNKNOWN
    return Outcome.COMPLETED


def length_of(headers: Iterable[tuple[str, str]]) -> int | None:
    """Return what a request's ``Content-Length`` says, if it has one.

    Raises:
        InvalidRequestError: If it is no number, or there are two.
    """
    lengths = {value.strip() for name, value in headers if name.lower() == "content-length"}
    if not lengths:
        return None
    text = lengths.pop()
    if lengths or not (text.isascii() and text.isdecimal()) or len(text) > 18:
        raise InvalidRequestError("The Content-Length is not a number.")
    return int(text)


async def _flow(
    start: BodyStart, exchange: Receiving, progress: Callable[[], None]
) -> AsyncIterator[bytes]:
    sent = len(start.data)
    yield start.data
    while chunk := await exchange.receive():
        progress()
        sent += len(chunk)
        if start.length is not None and sent > start.length:
            break
        yield chunk
    if start.length is not None and sent != start.length:
        raise InvalidRequestError(
            "The body is not as long as its Content-Length says.", outcome=Outcome.UNKNOWN
        )
