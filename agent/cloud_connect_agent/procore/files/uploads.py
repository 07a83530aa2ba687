"""Uploads: the three ways in which Procore takes a file's bytes, before it is attached.

Nothing of an upload is visible in Procore until a record refers to it, so its steps may be
repeated: what a lost answer leaves behind is removed by Procore itself. How far a long one came
stands in the journal, so that a repeat with the same file sends the rest only.
"""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Final

import structlog

from cloud_connect.calls import UploadFlow
from cloud_connect.errors import (
    BodyTooLargeError,
    InvalidRequestError,
    SourceRejectedError,
    SourceUnavailableError,
)
from cloud_connect_agent.procore.client import ProcoreClient
from cloud_connect_agent.procore.files.forms import FileForm
from cloud_connect_agent.procore.files.resuming import Resumption, StepJournal, UploadState
from cloud_connect_agent.procore.files.spool import Spool, SpooledFile, wrong_length
from cloud_connect_agent.procore.files.steps import (
    LinkRefusedError,
    NewFile,
    Progress,
    UploadSteps,
    text_of,
)
from cloud_connect_agent.procore.files.storage import Storage

__all__ = ["Uploads"]

log = structlog.get_logger(__name__)

_MAX_SIMPLE_BYTES: Final = 5 * 1024**3  # what object stores take in one form
_POLL_PAUSE: Final = 0.25  # seconds before an uploaded file is asked about again; doubles
_POLL_SECONDS: Final = 30.0  # for which it is asked about until it is available
_NO_ROOM: Final = (
    "Send it in the simple flow with its Content-Length, so that it need not be kept there."
)
_TOOL: Final = "document_management"  # of those that Procore knows, the one for any file


_Send = Callable[[UploadSteps, SpooledFile, UploadState], Awaitable[dict[str, object]]]


class Uploads:
    """Uploads files."""

    def __init__(
        self,
        client: ProcoreClient,
        storage: Storage,
        spool: Spool,
        *,
        journal: StepJournal | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client: Final = client
        self._storage: Final = storage
        self._spool: Final = spool
        self._resumption: Final = Resumption(journal)
        self._clock: Final = clock

    async def run(
        self, file: NewFile, body: AsyncIterator[bytes], progress: Progress
    ) -> dict[str, object]:
        """Upload a file and return how a record refers to it.

        Raises:
            CloudConnectError: If it is not there; nothing was changed that anybody sees.
        """
        steps = UploadSteps(self._client, self._storage, file, progress, clock=self._clock)
        if file.flow is UploadFlow.SIMPLE and file.size is not None:
            if file.size > _MAX_SIMPLE_BYTES:
                raise BodyTooLargeError(
                    "Procore takes files up to 5 GB in the simple flow; send it in the segmented "
                    "one."
                )
            return await self._simple(steps, _Passing(body, file.size))
        async with self._spool.keep(body, size=file.size, advice=_NO_ROOM) as spooled:
            if file.flow is UploadFlow.SIMPLE:
                return await self._simple(steps, spooled)
            if not spooled.size:
                raise InvalidRequestError(
                    "An empty file has no segments; send it in the simple flow."
                )
            if file.flow is UploadFlow.SEGMENTED:
                return await self._resumed(steps, spooled, self._segmented)
            return await self._resumed(steps, spooled, self._unified)

    async def _simple(
        self, steps: UploadSteps, content: "SpooledFile | _Passing"
    ) -> dict[str, object]:
        file = steps.file
        made = await steps.ask("POST", f"/rest/v1.1{file.place}", _named(file))
        fields = made.get("fields")
        form = FileForm(
            fields if isinstance(fields, dict) else {},
            filename=file.filename,
            content_type=file.content_type,
            size=content.size,
        )
        body = form.content(content.read(0, content.size))
        await steps.send_form(made, form.headers, body)
        uuid = text_of(made, "uuid")
        return file.told({"uuid": uuid, "status": "complete", "flow": file.flow}, content)

    async def _resumed(
        self, steps: UploadSteps, spooled: SpooledFile, send: _Send
    ) -> dict[str, object]:
        """Go on where an earlier attempt with the same file ended; if that fails, begin anew."""
        async with self._resumption.state(steps.file, spooled) as state:
            try:
                return await send(steps, spooled, state)
            except (SourceRejectedError, LinkRefusedError) as exc:
                if not state.is_resumed:
                    raise
                log.info("upload_begun_anew", reason=exc.message)
                await state.over()
            return await send(steps, spooled, state)

    async def _segmented(
        self, steps: UploadSteps, spooled: SpooledFile, state: UploadState
    ) -> dict[str, object]:
        file = steps.file
        path = f"/rest/v1.1{file.place}"

        async def create() -> Mapping[str, object]:
            declared = {**_named(file), "segments": _declared(spooled)}
            return await steps.ask("POST", path, declared)

        uuid = await self._send_pieces(steps, spooled, state, create=create, key="uuid")
        body = {"segments": [{"etag": etag} for etag in state.etags]}
        done = await steps.ask("PATCH", f"{path}/{uuid}", body)
        await state.over()
        status = done.get("status") or "complete"
        return file.told({"uuid": uuid, "status": status, "flow": file.flow}, spooled)

    async def _unified(
        self, steps: UploadSteps, spooled: SpooledFile, state: UploadState
    ) -> dict[str, object]:
        file = steps.file
        place = f"/rest/v2.1{file.unified_place}"
        upload_id = await self._send_pieces(
            steps,
            spooled,
            state,
            create=lambda: self._create_unified(steps, spooled, place),
            key="upload_id",
            renewed_below=place,
        )
        path = f"{place}/{upload_id}"
        done = await steps.ask("PATCH", path, {"part_etags": state.etags})
        status = await self._until_available(steps, path, done)
        await state.over()
        return file.told({"upload_id": upload_id, "status": status, "flow": file.flow}, spooled)

    async def _send_pieces(
        self,
        steps: UploadSteps,
        spooled: SpooledFile,
        state: UploadState,
        *,
        create: Callable[[], Awaitable[Mapping[str, object]]],
        key: str,
        renewed_below: str | None = None,
    ) -> str:
        """Send the pieces that storage lacks, and return the name that Procore gave the upload.

        Args:
            create: Asks Procore for the upload, if no earlier attempt did.
            key: Where its answer has the name.
            renewed_below: The path below which Procore gives fresh links, if it does.
        """
        made = state.made or await create()
        name, parts = text_of(made, key), _parts(made, spooled)
        if state.made is None:
            await state.created(made)  # of use: another answer would fail each repeat
        for number in range(len(state.etags), len(spooled.segments)):
            segment = spooled.segments[number]
            try:
                etag = await steps.send_segment(spooled, segment, parts[number])
            except LinkRefusedError:
                if renewed_below is None:
                    raise
                fresh = await steps.ask("GET", f"{renewed_below}/{name}")
                part = _fresh_part(fresh, number, len(parts))
                etag = await steps.send_segment(spooled, segment, part)
            await state.stored(etag)
        return name

    async def _create_unified(
        self, steps: UploadSteps, spooled: SpooledFile, path: str
    ) -> Mapping[str, object]:
        file = steps.file
        body: dict[str, object] = {
            "file_name": file.filename,
            "file_size": spooled.size,
            "content_type": file.content_type,
            "sha256": spooled.sha256,
            "segments": _declared(spooled),
        }
        if file.tool is not None:
            body["uploader_tool_name"] = file.tool
        try:
            return await steps.ask("POST", path, body)
        except SourceRejectedError as refused:
            # The reference asks for the tool's name, the guide does not.
            if file.tool is not None or "uploader_tool_name" not in str(refused.body):
                raise
            log.info("upload_tool_named", tool=_TOOL)
            return await steps.ask("POST", path, {**body, "uploader_tool_name": _TOOL})

    async def _until_available(
        self, steps: UploadSteps, path: str, done: Mapping[str, object]
    ) -> str:
        """Ask until the file is available, and return the status it has then."""
        status, pause = str(done.get("status") or "complete"), _POLL_PAUSE
        until = self._clock() + _POLL_SECONDS
        while status != "available":
            if status == "failed":
                raise SourceRejectedError(
                    "Procore could not take the file in; its reason is under “source”.",
                    status=422,
                    body=dict(done),
                )
            if self._clock() + pause > until:
                log.info("upload_not_available_yet", status=status)
                break
            await asyncio.sleep(pause)
            pause = min(pause * 2, 4.0)
            done = await steps.ask("GET", path)
            status = str(done.get("status") or status)
        return status


class _Passing:
    """A body of known length, hashed as it passes, that can be read once."""

    def __init__(self, body: AsyncIterator[bytes], size: int) -> None:
        self._body: Final = body
        self._hash: Final = hashlib.sha256()
        self.size: Final = size

    @property
    def sha256(self) -> str:
        """Of what passed, in hex."""
        return self._hash.hexdigest()

    async def read(self, offset: int, size: int) -> AsyncIterator[bytes]:
        """Yield the body.

        Raises:
            InvalidRequestError: If it is not as long as its header said.
        """
        came = offset
        async for chunk in self._body:
            came += len(chunk)
            if came > size:
                break
            self._hash.update(chunk)
            yield chunk
        if came != size:
            raise wrong_length()


def _named(file: NewFile) -> dict[str, object]:
    return {"response_filename": file.filename, "response_content_type": file.content_type}


def _declared(spooled: SpooledFile) -> list[dict[str, object]]:
    return [{"size": one.size, "sha256": one.sha256, "md5": one.md5} for one in spooled.segments]


def _parts(made: Mapping[str, object], spooled: SpooledFile) -> list[Mapping[str, object]]:
    parts = _segments_of(made)
    if len(parts) != len(spooled.segments):
        raise SourceUnavailableError(
            f"Procore answered {len(parts)} places for {len(spooled.segments)} pieces of a file."
        )
    return parts


def _fresh_part(made: Mapping[str, object], number: int, total: int) -> Mapping[str, object]:
    """Return where a piece goes by an answer that may tell of the remaining pieces only."""
    parts = _segments_of(made)
    place = number - (total - len(parts))
    if not 0 <= place < len(parts):
        raise LinkRefusedError("The links to upload to have aged; upload the file again.")
    return parts[place]


def _segments_of(made: Mapping[str, object]) -> list[Mapping[str, object]]:
    found = made.get("segments")
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
