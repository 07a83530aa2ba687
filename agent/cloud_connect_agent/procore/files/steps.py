"""The steps of one upload: asking Procore, sending bytes to storage, each repeated where safe."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from cloud_connect.calls import Source, UploadFlow
from cloud_connect.errors import OutcomeUnknownError, SourceUnavailableError
from cloud_connect_agent.procore.client import ProcoreClient
from cloud_connect_agent.procore.files.spool import Segment, SpooledFile
from cloud_connect_agent.procore.files.storage import Storage
from cloud_connect_agent.procore.messages import ApiRequest
from cloud_connect_agent.procore.transport import RawHeaders

__all__ = ["LinkRefusedError", "NewFile", "Progress", "UploadSteps", "noted", "text_of"]

_STEP_SECONDS: Final = 60.0  # that a request between two pieces of a long file may take
_RETRIES: Final = 3  # of one request that may be repeated
_AGAIN: Final = frozenset({408, 429, 500, 502, 503, 504})
_OURS: Final = frozenset({"connection", "host"})  # of headers: they follow from the address

Told = Mapping[str, object]


class LinkRefusedError(SourceUnavailableError):
    """Storage takes no bytes by a link: it has aged, or what it was for is gone."""


class Progress(Protocol):
    """The call that an upload belongs to, as far as its time goes."""

    @property
    def deadline(self) -> float:
        """When to give up, on the clock; it moves on while bytes do."""
        ...

    def progress(self) -> None:
        """Note that a piece went through."""
        ...


class Content(Protocol):
    """The bytes of a file, once they came."""

    @property
    def size(self) -> int:
        """How many."""
        ...

    @property
    def sha256(self) -> str:
        """Their digest, in hex."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class NewFile:
    """A file that is to be uploaded.

    Attributes:
        project_id: Upload to the project; ``None`` is to the company.
        size: Its bytes, if its caller told.
        tool: What Procore calls the tool it is for, where it asks (unified flow).
        interactive: A person waits for it.
    """

    source: Source
    project_id: int | None
    filename: str
    content_type: str
    flow: UploadFlow
    size: int | None
    tool: str | None = None
    interactive: bool = True

    def told(self, reference: Mapping[str, object], content: "Content") -> dict[str, object]:
        """What its caller is told: how a record refers to it, and what came of it."""
        return {
            **reference,
            "filename": self.filename,
            "content_type": self.content_type,
            "size": content.size,
            "sha256": content.sha256,
        }

    @property
    def place(self) -> str:
        """The path of v1 uploads, below the version."""
        if self.project_id is None:
            return f"/companies/{self.source.company_id}/uploads"
        return f"/projects/{self.project_id}/uploads"

    @property
    def unified_place(self) -> str:
        """The path of v2 uploads, below the version."""
        project = "" if self.project_id is None else f"/projects/{self.project_id}"
        return f"/companies/{self.source.company_id}{project}/uploads"


class UploadSteps:
    """What the flows are made of."""

    def __init__(
        self,
        client: ProcoreClient,
        storage: Storage,
        file: NewFile,
        progress: Progress,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client: Final = client
        self._storage: Final = storage
        self._progress: Final = progress
        self._clock: Final = clock
        self.file: Final = file

    @property
    def _deadline(self) -> float:
        """When to give up a step: it has some time also where the call's own is over."""
        return max(self._progress.deadline, self._clock() + _STEP_SECONDS)

    async def ask(self, method: str, path: str, body: object = None) -> Told:
        """Send a request to Procore, again if its answer was lost.

        Raises:
            CloudConnectError: Why there is no answer.
        """
        request = ApiRequest(method=method, path=path, json=body)
        retries = self._client.retries(_RETRIES)
        while True:
            try:
                answer = await self._client.request(
                    request,
                    source=self.file.source,
                    deadline=self._deadline,
                    interactive=self.file.interactive,
                )
            except OutcomeUnknownError as unknown:
                pause = retries.next_pause(self._deadline)
                if pause is None:
                    raise SourceUnavailableError(unknown.message) from unknown
                await asyncio.sleep(pause)
            else:
                self._progress.progress()
                return _unwrapped(answer.json)

    async def send_form(
        self, made: Told, headers: RawHeaders, content: AsyncIterator[bytes]
    ) -> None:
        """Send a form to where Procore said; its bytes can be read once only.

        Raises:
            SourceUnavailableError: If storage did not take it.
        """
        status, _ = await self._send("POST", made, headers, content)
        _check_stored(status)

    async def send_segment(self, spooled: SpooledFile, segment: Segment, part: Told) -> str:
        """Send a piece, again where that may help, and return its entity tag.

        Raises:
            LinkRefusedError: If storage takes nothing by the link.
            SourceUnavailableError: If storage did not take it.
        """
        headers = _headers_of(part, segment.size)
        retries = self._client.retries(_RETRIES)
        while True:
            content = spooled.read(segment.offset, segment.size)
            pause = None
            try:
                status, tag = await self._send("PUT", part, headers, content)
            except SourceUnavailableError:
                pause = retries.next_pause(self._deadline)
                if pause is None:
                    raise
            else:
                if status in _AGAIN:
                    pause = retries.next_pause(self._deadline)
                if pause is None:
                    _check_stored(status)
                    break
            await asyncio.sleep(pause)
        if not tag:
            raise SourceUnavailableError("The storage host took a piece without an ETag.")
        return tag

    async def _send(
        self, method: str, part: Told, headers: RawHeaders, content: AsyncIterator[bytes]
    ) -> tuple[int, str]:
        environment = self.file.source.environment
        url = self._storage.check(environment, text_of(part, "url"))
        async with self._storage.open(
            method,
            url,
            environment=environment,
            headers=headers,
            content=noted(content, self._progress),
            deadline=None,
        ) as answer:
            tag = answer.headers.get("etag", "").removeprefix("W/").strip('"')
            return answer.status, tag


async def noted(content: AsyncIterator[bytes], progress: Progress) -> AsyncIterator[bytes]:
    """Pass bytes on and note each piece."""
    async for chunk in content:
        progress.progress()
        yield chunk


def text_of(made: Told, name: str) -> str:
    """Return a text of Procore's answer.

    Raises:
        SourceUnavailableError: If it is not there.
    """
    value = made.get(name)
    if not isinstance(value, str) or not value:
        raise SourceUnavailableError(f"Procore's answer to the upload has no “{name}”.")
    return value


def _unwrapped(document: object) -> Told:
    inner = document.get("data") if isinstance(document, dict) else None
    found = inner if isinstance(inner, dict) else document
    return found if isinstance(found, dict) else {}


def _headers_of(part: Told, size: int) -> RawHeaders:
    """Return the headers that a piece is sent with: Procore's, to the letter."""
    given = part.get("headers")
    headers = [
        (str(name).encode("ascii", "replace"), str(value).encode("latin-1", "replace"))
        for name, value in (given if isinstance(given, dict) else {}).items()
        if str(name).lower() not in _OURS
    ]
    if not any(name.lower() == b"content-length" for name, _ in headers):
        headers.append((b"content-length", b"%d" % size))
    return headers


def _check_stored(status: int) -> None:
    if 200 <= status < 300:
        return
    if 400 <= status < 500 and status not in _AGAIN:
        raise LinkRefusedError(f"The storage host refused the file's bytes ({status}).")
    raise SourceUnavailableError(f"The storage host did not take the file: it answered {status}.")
