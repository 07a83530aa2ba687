"""Calls for files: a record's bytes, uploads, and what hangs on a record."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import replace
from typing import Final
from urllib.parse import quote

import orjson

from cloud_connect.calls import (
    AttachParams,
    CallParams,
    ContentParams,
    Operation,
    RecordParams,
    UploadParams,
)
from cloud_connect.errors import (
    PolicyDeniedError,
    SourceRejectedError,
    SourceUnavailableError,
    TunnelError,
)
from cloud_connect.tunnel import ResponseHead
from cloud_connect_agent.policy import Access, Verb
from cloud_connect_agent.policy.gate import Gate, Granted
from cloud_connect_agent.procore.catalog import Resource
from cloud_connect_agent.procore.files.attaching import check_takes_files, reference_to
from cloud_connect_agent.procore.files.downloads import CONDITIONS, Download, Wanted
from cloud_connect_agent.procore.files.links import attachments_of, link_at, main_field, name_at
from cloud_connect_agent.procore.files.parts import ProcoreFiles
from cloud_connect_agent.procore.files.steps import NewFile, noted
from cloud_connect_agent.procore.passthrough import answer_headers, length_of
from cloud_connect_agent.procore.rows import Row
from cloud_connect_agent.raw_targets import target_check
from cloud_connect_agent.record_source import RecordSource
from cloud_connect_agent.reply import (
    JSON_HEADERS,
    Call,
    by_deadline,
    completed,
    params_of,
    pieces_of,
    stream_body,
)
from cloud_connect_agent.tasks import lasting_tasks
from cloud_connect_agent.write_answers import Answer, check_again
from cloud_connect_agent.write_calls import Settle, Work

__all__ = ["FileCalls"]

_BEAT: Final = 15.0  # seconds between signs of life while a file goes on to Procore
_PASSED: Final = frozenset({200, 206, 304, 412, 416})  # what a request for a file may end in
_UPLOADABLE: Final = ("files", "images", "uploads")

Journaled = Callable[[Call, Operation, CallParams, bytes, Work], Awaitable[None]]


class FileCalls:
    """Serves calls for files.

    Args:
        gate: Refuses what the policy does not allow.
        journaled: Runs a write under the journal, and answers.
    """

    operations: Final = frozenset(
        {Operation.CONTENT, Operation.UPLOAD, Operation.ATTACH, Operation.ATTACHMENTS}
    )

    def __init__(
        self,
        executor: RecordSource,
        parts: ProcoreFiles,
        *,
        gate: Gate,
        journaled: Journaled,
    ) -> None:
        self._executor: Final = executor
        self._parts: Final = parts
        self._gate: Final = gate
        self._journaled: Final = journaled

    async def serve(self, call: Call, operation: Operation) -> None:
        """Answer a call.

        Raises:
            CloudConnectError: Why there is no answer, or not all of it.
        """
        match operation:
            case Operation.CONTENT:
                await self._content(call, params_of(ContentParams, call))
            case Operation.UPLOAD:
                await self._upload(call, params_of(UploadParams, call))
            case Operation.ATTACH:
                await self._attach(call, params_of(AttachParams, call))
            case _:
                await self._list(call, params_of(RecordParams, call))

    async def _content(self, call: Call, params: ContentParams) -> None:
        record = await self._record(call, params)
        field = params.field or main_field(record)

        async def renew(deadline: float) -> str:
            return link_at(await self._executor.get(params, deadline), field)

        wanted = Wanted(
            source=params.source,
            headers=_conditions_of(call),
            deadline=call.deadline,
            allow=target_check(params.source, self._gate.check),
            renew=renew,
            interactive=params.interactive,
        )
        async with self._parts.downloads.open(wanted, link_at(record, field)) as file:
            _check_served(file)
            headers = dict(answer_headers(file.raw_headers))
            name = name_at(record, field)
            if "content-disposition" not in headers and name is not None:
                headers["content-disposition"] = f"attachment; filename*=UTF-8''{quote(name, '')}"
            await call.reply.send_head(completed(file.status, tuple(headers.items())))
            await stream_body(call.exchange, file)

    async def _list(self, call: Call, params: RecordParams) -> None:
        record = await self._record(call, params)
        body = orjson.dumps(attachments_of(record))
        await call.reply.send(completed(200, JSON_HEADERS), body)

    async def _record(self, call: Call, params: RecordParams) -> Row:
        accesses = self._executor.accesses(Operation.GET, params)
        async with by_deadline(call):
            await self._gate.allow(accesses, call.deadline)
            return dict(await self._executor.get(params, call.deadline))

    async def _attach(self, call: Call, params: AttachParams) -> None:
        check_again(again=params.again, repeatable=False)
        resource = self._parts.catalog.resource(params.resource)
        by_form = bool(check_takes_files(resource).attach)
        record = {} if by_form else reference_to(resource, params.upload)
        accesses = self._executor.accesses(Operation.UPDATE, params, record)
        async with by_deadline(call):
            await self._gate.allow(accesses, call.deadline)

        async def work(_: Settle) -> Answer:
            if by_form:
                taken = self._parts.held.taken(params.upload, params.source, resource)
                head = ResponseHead(status=200, headers=JSON_HEADERS)  # whose outcome is to come
                async with _beating(call, head), taken as file:
                    passing = replace(file, read=lambda: noted(file.read(), call))
                    done = await self._executor.attach(params, passing, call.deadline)
            else:
                done = await self._executor.update(params, record, call.deadline)
            return Answer(head=completed(200, JSON_HEADERS), body=orjson.dumps(done))

        await self._journaled(call, Operation.ATTACH, params, b"", work)

    async def _upload(self, call: Call, params: UploadParams) -> None:
        source = params.source
        project = params.project_id or source.project_id
        resource = None
        if params.resource is not None:
            resource = self._parts.catalog.resource(params.resource)
            check_takes_files(resource)  # before all the bytes go there for nothing
            if "project_id" not in resource.scope_fields:
                project = None
        async with by_deadline(call):
            granted = await self._allow_upload(call, params, project)
        size = length_of(call.head.headers)
        granted.check_body(size or 0)
        file = NewFile(
            source=source,
            project_id=project,
            filename=params.filename,
            content_type=params.content_type,
            flow=params.flow,
            size=size,
            tool=params.tool,
            interactive=params.interactive,
        )
        head = completed(201, JSON_HEADERS)
        async with _beating(call, head):
            told = await self._taken_in(call, file, resource, granted)
        await call.reply.send(head, orjson.dumps(told))

    async def _taken_in(
        self, call: Call, file: NewFile, resource: Resource | None, granted: Granted
    ) -> dict[str, object]:
        body = _bounded(pieces_of(call), granted)
        if resource is not None and check_takes_files(resource).attach:
            return await self._parts.held.keep(file, resource, body)
        return await self._parts.uploads.run(file, body, call)

    async def _allow_upload(self, call: Call, params: UploadParams, project: int | None) -> Granted:
        """Allow what the file is for; if that is not known, creating files of any kind."""

        def access(verb: Verb, resource: str) -> Access:
            return Access(
                verb=verb,
                environment=params.source.environment,
                company_id=params.source.company_id,
                project_id=project,
                resource=resource,
            )

        if params.resource is not None:
            return await self._gate.allow([access(Verb.UPDATE, params.resource)], call.deadline)
        *others, last = _UPLOADABLE
        for resource in others:
            with suppress(PolicyDeniedError):
                return await self._gate.allow([access(Verb.CREATE, resource)], call.deadline)
        return await self._gate.allow([access(Verb.CREATE, last)], call.deadline)


async def _bounded(pieces: AsyncGenerator[bytes, None], granted: Granted) -> AsyncIterator[bytes]:
    """Pass a file on, as long as it is no longer than the policy lets a body be."""
    size = 0
    async with aclosing(pieces):
        async for piece in pieces:
            size += len(piece)
            granted.check_body(size)
            yield piece


def _conditions_of(call: Call) -> tuple[tuple[str, str], ...]:
    given = [(name.lower(), value) for name, value in call.head.headers]
    kept = tuple(pair for pair in given if pair[0] in CONDITIONS)
    return (("accept-encoding", "identity"), *kept)


def _check_served(file: Download) -> None:
    """Refuse what is not the file: a storage host's page of an error is no content."""
    if file.status in _PASSED:
        return
    if 400 <= file.status < 500:
        raise SourceRejectedError(
            f"The file is not to be had: its host answered {file.status}.", status=file.status
        )
    raise SourceUnavailableError(f"The file's host failed: it answered {file.status}.")


@asynccontextmanager
async def _beating(call: Call, head: ResponseHead) -> AsyncIterator[None]:
    """Give signs of life meanwhile: blanks, with which a JSON document may begin."""
    async with lasting_tasks() as tasks:
        beating = tasks.create_task(_beat(call, head), name="file-beat")
        try:
            yield
        finally:
            beating.cancel()


async def _beat(call: Call, head: ResponseHead) -> None:
    with suppress(TunnelError):  # whoever waits for the answer finds out
        while True:
            await asyncio.sleep(_BEAT)
            if call.exchange.send_ended:
                return
            if call.reply.head is None:
                await call.reply.send_head(head)
            await call.exchange.send(b" ")
