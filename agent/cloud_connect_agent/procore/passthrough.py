"""Raw calls: Procore's own requests and answers, checked, but neither parsed nor kept."""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Protocol

from cloud_connect.calls import MAX_ID, PassthroughParams
from cloud_connect.errors import InvalidRequestError, Outcome, PolicyDeniedError
from cloud_connect_agent.policy import Access, Verb
from cloud_connect_agent.policy.gate import Granted
from cloud_connect_agent.procore.failures import is_throttled
from cloud_connect_agent.procore.forms_watched import FormWatch
from cloud_connect_agent.procore.messages import READ_METHODS, clean_header
from cloud_connect_agent.procore.raw_content import is_parsed, read_content
from cloud_connect_agent.procore.target import Target, check_company, parse_target

__all__ = [
    "BodyStart",
    "RawCall",
    "answer_headers",
    "length_of",
    "outcome_of",
    "prepare",
    "read_start",
    "start_bytes",
]

_MAX_DIGITS: Final = 19  # of an id
_START_BYTES: Final = 64 * 1024  # of a body: sent as one piece, and looked into, up to this
_LONG_START_BYTES: Final = 1024 * 1024

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


_UNLIMITED: Final = Granted()


@dataclass(frozen=True, slots=True, kw_only=True)
class RawCall:
    """A raw call that may go to Procore once the policy has agreed.

    Attributes:
        headers: Those that go along.
        access: For the policy.
        accesses: That, and the same in each project that is named deeper in the body.
        granted: What the policy let through.
        watch: Has to see what comes after the start.
    """

    method: str
    target: Target
    headers: tuple[tuple[str, str], ...]
    access: Access
    accesses: tuple[Access, ...]
    start: BodyStart
    granted: Granted = _UNLIMITED
    watch: FormWatch | None = None

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
        return _flow(self, exchange, progress)


def start_bytes(target: str, headers: Iterable[tuple[str, str]]) -> int:
    """How much of a body is looked into: more, if it may say whose it is and the path does not.

    Raises:
        InvalidRequestError: If the target is not a plain path.
    """
    parsed = parse_target(target)
    telling = any(is_parsed(value) for name, value in headers if name.lower() == "content-type")
    placed = parsed.in_project or parsed.in_company
    return _LONG_START_BYTES if telling and not placed else _START_BYTES


async def read_start(
    exchange: Receiving, headers: Iterable[tuple[str, str]], most: int = _START_BYTES
) -> BodyStart:
    """Read a body's first bytes.

    Args:
        most: How many at least, if there are so many.

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
    while size < most:
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
        PolicyDeniedError: If it names another company, or two projects where one is meant.
    """
    source, target = params.source, parse_target(params.target)
    companies = set(target.companies)
    kept: list[tuple[str, str]] = []
    encoding, kinds = "identity", set[str]()
    for name, value in headers:
        lower = name.lower()
        if lower == "procore-company-id":
            companies.add(value.strip())
        elif lower == "accept-encoding":
            encoding = clean_header(value)
        elif lower in _REQUEST_HEADERS:
            kept.append((lower, clean_header(value)))
            kinds |= {value} if lower == "content-type" else set()
    kept.append(("accept-encoding", encoding))
    writes = params.method not in READ_METHODS
    if len(kinds) > 1:
        raise InvalidRequestError("The call has two content types.")
    placed = target.in_project or target.in_company
    content = read_content(
        start.data, next(iter(kinds), ""), complete=start.complete, placed=placed or not writes
    )
    companies |= content.companies
    if not start.complete and not kinds:
        # Without one, Procore may take it for a form, and find another company in it.
        kept.append(("content-type", "application/octet-stream"))
    if not start.complete and start.length is not None:
        kept.append(("content-length", str(start.length)))
    check_company(frozenset(companies), source.company_id)
    projects = target.projects | content.projects
    if len(projects) > 1:
        raise PolicyDeniedError("The call names two projects (rule project-binding).")
    fields = None if content.fields is None else content.fields | target.fields
    access = Access(
        verb=Verb.PASSTHROUGH_WRITE if writes else Verb.PASSTHROUGH_READ,
        environment=source.environment,
        company_id=source.company_id,
        # A body that was not looked into may name a project: then none is known.
        project_id=_project(next(iter(projects), None))
        if content.understood or target.in_project
        else None,
        path=target.path,
        fields=fields if writes else frozenset(),
        certain=content.understood or placed,
    )
    inner = content.nested | (target.nested if writes else frozenset())
    within = sorted(filter(None, (_project(named) for named in inner - projects)))
    return RawCall(
        method=params.method,
        target=target,
        headers=tuple(kept),
        access=access,
        accesses=(access, *(replace(access, project_id=project) for project in within)),
        start=start,
        watch=content.watch,
    )


def _project(named: str | None) -> int | None:
    """Return a project's id.

    Raises:
        PolicyDeniedError: If no project can have it.
    """
    if named is None:
        return None
    plain = named.isascii() and named.isdecimal() and len(named) <= _MAX_DIGITS
    if not plain or not 0 < int(named) <= MAX_ID:
        raise PolicyDeniedError("The call names a project that cannot be (rule project-binding).")
    return int(named)


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
    call: RawCall, exchange: Receiving, progress: Callable[[], None]
) -> AsyncIterator[bytes]:
    start = call.start
    sent = len(start.data)
    yield start.data
    while chunk := await exchange.receive():
        progress()
        sent += len(chunk)
        if start.length is not None and sent > start.length:
            break
        call.granted.check_body(sent)
        if call.watch is not None:
            call.watch.take(chunk)
        yield chunk
    if start.length is not None and sent != start.length:
        raise InvalidRequestError(
            "The body is not as long as its Content-Length says.", outcome=Outcome.UNKNOWN
        )
