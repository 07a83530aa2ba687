"""Downloads: redirects followed by hand, bodies that break off asked for again from there."""

import asyncio
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import unquote

import structlog

from cloud_connect.calls import Source
from cloud_connect.errors import (
    CloudConnectError,
    DeadlineExceededError,
    SourceUnavailableError,
)
from cloud_connect_agent.procore.client import ProcoreClient
from cloud_connect_agent.procore.files.hosts import FileUrl, HostRefusedError
from cloud_connect_agent.procore.files.storage import Storage
from cloud_connect_agent.procore.streaming import StreamedResponse, TruncatedAnswerError

__all__ = ["CONDITIONS", "REDIRECTS", "Download", "Downloads", "Wanted"]

log = structlog.get_logger(__name__)

REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS: Final = 5
_MAX_RESUMES: Final = 5  # of one body
_AGAIN: Final = frozenset({500, 502, 503, 504})
# Together less than the 60 seconds without a byte after which the relay gives up.
_STALL: Final = 15.0  # seconds without a byte, after which the rest is asked for
_RESUME_SECONDS: Final = 25.0  # until the rest begins to come, attempts and pauses together
_RESUME_PAUSE: Final = 0.1  # seconds before the first; doubles
_TOKEN_REFUSED: Final = frozenset({400, 401, 403})
_AGED: Final = frozenset({401, 403, 404, 410})  # what a signed link that aged answers
_RANGE: Final = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", re.ASCII)
CONDITIONS: Final = frozenset(
    {"if-match", "if-modified-since", "if-none-match", "if-range", "if-unmodified-since", "range"}
)
_PACKING: Final = frozenset({"accept", "accept-encoding"})
_PASSED: Final = CONDITIONS | _PACKING  # to a storage host, of the caller's headers

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A file that a call asks for.

    Attributes:
        headers: By lower-case name: ranges, conditions, and how the bytes may be packed.
        allow: Raises for a target at the API that the policy does not allow.
        renew: Gives a fresh link for one that aged, by a deadline.
        asked: The target at the API that answers the links, which may be relative to it.
    """

    source: Source
    headers: Headers
    deadline: float
    allow: Callable[[str], None]
    renew: Callable[[float], Awaitable[str]]
    interactive: bool = True
    asked: str | None = None


class Downloads:
    """Fetches files from wherever Procore says they are."""

    def __init__(
        self,
        client: ProcoreClient,
        storage: Storage,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client: Final = client
        self._storage: Final = storage
        self.clock: Final = clock

    @asynccontextmanager
    async def open(self, wanted: Wanted, link: str) -> AsyncIterator["Download"]:
        """Open the file behind *link*, following redirects.

        Raises:
            HostRefusedError: If it is where files may not come from.
            CloudConnectError: Why there is no answer.
        """
        async with AsyncExitStack() as stack:
            url, answer = await self._follow(stack, wanted, self._checked(wanted, link))
            if answer.status == 403 and not url.api:
                await stack.aclose()
                fresh = self._checked(wanted, await wanted.renew(wanted.deadline))
                url, answer = await self._follow(stack, wanted, fresh)
            # It closes its answer before it asks for the rest, so as never to hold two.
            download = Download(self, wanted, url, answer, stack=stack.pop_all())
            stack.push_async_callback(download.aclose)
            yield download

    def _checked(self, wanted: Wanted, link: str, *, base: FileUrl | None = None) -> FileUrl:
        environment = wanted.source.environment
        if base is None and wanted.asked is not None and "://" not in link:
            api = self._storage.rules(environment).api.rstrip("/")
            base = self._storage.check(environment, f"{api}{wanted.asked}")
        return self._storage.check(environment, link, base=base)

    async def _follow(
        self, stack: AsyncExitStack, wanted: Wanted, url: FileUrl
    ) -> tuple[FileUrl, StreamedResponse]:
        """Follow redirects until there is an answer, which *stack* holds open."""
        for _ in range(_MAX_REDIRECTS + 1):
            hop = AsyncExitStack()
            async with hop:
                answer = await self._ask(hop, wanted, url)
                location = answer.headers.get("location")
                if answer.status not in REDIRECTS or location is None:
                    stack.push_async_exit(hop.pop_all())
                    return url, answer
            url = self._checked(wanted, location, base=url)
        raise SourceUnavailableError(
            f"The file is behind more than {_MAX_REDIRECTS} redirects; the last host was "
            f"{url.host}."
        )

    async def _ask(self, stack: AsyncExitStack, wanted: Wanted, url: FileUrl) -> StreamedResponse:
        if url.api:
            wanted.allow(url.target.removeprefix("/"))
            return await stack.enter_async_context(
                self._client.stream(
                    "GET",
                    url.target,
                    source=wanted.source,
                    headers=wanted.headers,
                    deadline=wanted.deadline,
                    interactive=wanted.interactive,
                )
            )
        if not url.procore:
            return await self._ask_storage(stack, wanted, url)
        if _is_api(url.target):  # the web hosts serve the API, too
            wanted.allow(url.target.removeprefix("/"))
        hop = AsyncExitStack()
        async with hop:
            answer = await self._ask_storage(hop, wanted, url, token=await self._token(wanted))
            if answer.status not in _TOKEN_REFUSED:
                stack.push_async_exit(hop.pop_all())
                return answer
        # A link that is signed already may not take a token beside it.
        log.info("file_token_refused", host=url.host, status=answer.status)
        return await self._ask_storage(stack, wanted, url)

    async def _ask_storage(
        self,
        stack: AsyncExitStack,
        wanted: Wanted,
        url: FileUrl,
        *,
        token: bytes | None = None,
    ) -> StreamedResponse:
        headers = [
            (name.encode("ascii"), value.encode("latin-1"))
            for name, value in wanted.headers
            if name in _PASSED
        ]
        if token is not None:
            headers.append((b"authorization", token))
        retries = self._client.retries()
        while True:
            hop = AsyncExitStack()
            async with hop:
                try:
                    answer = await hop.enter_async_context(
                        self._storage.open(
                            "GET",
                            url,
                            environment=wanted.source.environment,
                            headers=headers,
                            deadline=wanted.deadline,
                        )
                    )
                except SourceUnavailableError:
                    pause = retries.next_pause(wanted.deadline)
                    if pause is None:
                        raise
                else:
                    again = answer.status in _AGAIN
                    pause = retries.next_pause(wanted.deadline) if again else None
                    if pause is None:
                        stack.push_async_exit(hop.pop_all())
                        return answer
            await asyncio.sleep(pause)

    async def _token(self, wanted: Wanted) -> bytes:
        authenticator = self._client.authenticator
        whose = (wanted.source.environment, wanted.source.company_id)
        token = authenticator.ready(*whose)
        if token is None:
            try:
                async with asyncio.timeout(max(0.0, wanted.deadline - self.clock())):
                    token = await authenticator.token(*whose)
            except TimeoutError as exc:
                raise DeadlineExceededError(
                    "Procore's login host gave no token before the call's deadline."
                ) from exc
        return token.header

    async def resume(
        self, stack: AsyncExitStack, wanted: Wanted, url: FileUrl
    ) -> tuple[FileUrl, StreamedResponse]:
        """Ask again, by a fresh link if the old one has aged."""
        url, answer = await self._follow(stack, wanted, url)
        if answer.status in _AGED:
            await stack.aclose()
            fresh = self._checked(wanted, await wanted.renew(wanted.deadline))
            url, answer = await self._follow(stack, wanted, fresh)
        return url, answer


class Download:
    """A file on its way: status and headers, and its body to the byte or an error.

    Args:
        stack: What holds *answer* open; closed with the download, if not before.
    """

    def __init__(
        self,
        downloads: Downloads,
        wanted: Wanted,
        url: FileUrl,
        answer: StreamedResponse,
        *,
        stack: AsyncExitStack,
    ) -> None:
        self._downloads: Final = downloads
        self._wanted: Final = wanted
        self._url = url
        self._answer = answer
        self._stack: Final = stack
        self.status: Final = answer.status
        self.headers: Final[Mapping[str, str]] = answer.headers
        self.raw_headers: Final[Sequence[tuple[bytes, bytes]]] = answer.raw_headers
        self.length: Final = answer.length
        self._span: Final = _span_of(answer)

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Yield the body; where it breaks off, the rest is asked for, if the host allows it.

        Raises:
            TruncatedAnswerError: If the rest does not come.
        """
        came, resumes = 0, 0
        while True:
            try:
                async with aclosing(self._pieces()) as pieces:
                    async for piece in pieces:
                        came += len(piece)
                        yield piece
            except TruncatedAnswerError as error:
                if self._span is None:
                    raise
                broken: CloudConnectError = error
            else:
                return
            until = self._downloads.clock() + _RESUME_SECONDS
            while resumes < _MAX_RESUMES and self._downloads.clock() < until:
                await asyncio.sleep(_RESUME_PAUSE * 2**resumes)
                resumes += 1
                try:
                    await self._resume(self._span, came, deadline=until)
                except HostRefusedError:
                    raise
                except CloudConnectError as error:
                    broken = error
                else:
                    break
            else:
                raise TruncatedAnswerError(broken.message) from broken
            log.info("download_resumed", host=self._url.host, offset=came)

    async def _pieces(self) -> AsyncGenerator[bytes, None]:
        """Yield the answer's body as far as it comes, wherever it is from."""
        async with aclosing(self._answer.chunks()) as chunks:
            while True:
                try:
                    async with asyncio.timeout(_STALL):
                        chunk = await anext(chunks)
                except StopAsyncIteration:
                    return
                except TimeoutError as exc:
                    raise TruncatedAnswerError(
                        f"{self._url.host} sent nothing of the file for {_STALL:.0f} s."
                    ) from exc
                yield chunk

    async def aclose(self) -> None:
        """Give up what is open."""
        await self._stack.aclose()

    async def _resume(self, span: "_Span", came: int, *, deadline: float) -> None:
        await self._stack.aclose()
        headers = span.headers(came, self._wanted.headers)
        wanted = replace(self._wanted, headers=headers, deadline=deadline)
        self._url, answer = await self._downloads.resume(self._stack, wanted, self._url)
        if _span_of(answer) != replace(span, first=span.first + came):
            raise TruncatedAnswerError(
                f"{self._url.host} broke off the file, and does not go on where it did."
            )
        self._answer = answer


@dataclass(frozen=True, slots=True, kw_only=True)
class _Span:
    """The part of a file that an answer holds, and which state of the file it is.

    Attributes:
        last: Its last byte's place.
    """

    etag: str
    first: int
    last: int

    def headers(self, came: int, given: Headers) -> Headers:
        """Return the headers that ask for what is left of it, of that state only."""
        kept = tuple(pair for pair in given if pair[0] in _PACKING)
        rest = f"bytes={self.first + came}-{self.last}"
        return (*kept, ("range", rest), ("if-range", self.etag))


def _is_api(target: str) -> bool:
    path = unquote(target.partition("?")[0]).lower()
    return "/rest/" in path or "/vapid/" in path


def _span_of(answer: StreamedResponse) -> _Span | None:
    """Return what an answer holds, if the host could go on with it exactly."""
    etag = answer.headers.get("etag", "")
    if not etag.startswith('"') or answer.headers.get("accept-ranges") == "none":
        return None  # RFC 9110, 13.1.5: If-Range takes a strong validator
    if answer.status == 200 and answer.length:
        return _Span(etag=etag, first=0, last=answer.length - 1)
    match = _RANGE.fullmatch(answer.headers.get("content-range", ""))
    if answer.status == 206 and match:
        return _Span(etag=etag, first=int(match[1]), last=int(match[2]))
    return None
