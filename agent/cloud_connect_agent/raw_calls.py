"""Raw calls to Procore: checked, allowed, and streamed both ways as they are."""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import replace
from typing import Final

from cloud_connect.calls import PassthroughParams
from cloud_connect.errors import CloudConnectError, SourceUnavailableError, TunnelError
from cloud_connect.tunnel import ResponseHead
from cloud_connect_agent.journal import MAX_BODY_BYTES
from cloud_connect_agent.policy.gate import Gate
from cloud_connect_agent.procore.client import ProcoreClient
from cloud_connect_agent.procore.files.downloads import REDIRECTS, Download, Downloads, Wanted
from cloud_connect_agent.procore.passthrough import (
    RawCall,
    answer_headers,
    outcome_of,
    prepare,
    read_start,
    start_bytes,
)
from cloud_connect_agent.procore.streaming import StreamedResponse
from cloud_connect_agent.raw_targets import target_check
from cloud_connect_agent.reply import Call, by_deadline, stream_body
from cloud_connect_agent.write_answers import Answer, send_answer
from cloud_connect_agent.write_calls import Settle, WriteCalls, fingerprint_of

__all__ = ["RawCalls"]


class RawCalls:
    """Serves pass-through calls."""

    def __init__(
        self,
        client: ProcoreClient,
        downloads: Downloads,
        writes: WriteCalls,
        *,
        gate: Gate,
    ) -> None:
        self._client: Final = client
        self._downloads: Final = downloads
        self._writes: Final = writes
        self._gate: Final = gate

    async def serve(self, call: Call, params: PassthroughParams) -> None:
        """Answer a raw call.

        Raises:
            CloudConnectError: Why there is no answer, or not all of it.
        """
        headers = call.head.headers
        start = await read_start(call.exchange, headers, start_bytes(params.target, headers))
        raw = prepare(params, headers, start)
        async with by_deadline(call):
            granted = await self._gate.allow(
                raw.accesses, call.deadline, executes=not params.replay_only
            )
        granted.check_body(max(len(start.data), start.length or 0))
        raw = replace(raw, granted=granted)
        if not raw.writes:
            async with self._send(call, params, raw) as answer:
                location = _leads_to(raw, answer)
                if location is None:
                    await self._stream(call, answer)
                    return
            await self._follow(call, params, raw, location)
            return
        fingerprint = fingerprint_of(call.operation, call.head.params, start.data, seal=call.seal)
        if params.replay_only:
            stored: Answer | None = await self._writes.replay(call, fingerprint)
        else:

            async def work(settle: Settle) -> Answer | None:
                return await self._write(call, params, raw, settle)

            stored = await self._writes.run(call, call.operation, fingerprint, work)
        if stored is not None:
            await send_answer(call, stored)

    async def _follow(
        self, call: Call, params: PassthroughParams, raw: RawCall, location: str
    ) -> None:
        """Answer with the file that Procore's answer only points to."""

        async def renew(deadline: float) -> str:
            async with self._send(call, params, raw, deadline=deadline) as answer:
                fresh = _leads_to(raw, answer)
            if fresh is None:
                raise SourceUnavailableError("Procore does not say any more where the file is.")
            return fresh

        wanted = Wanted(
            source=params.source,
            headers=raw.headers,
            deadline=call.deadline,
            allow=target_check(params.source, self._gate.check),
            renew=renew,
            interactive=params.interactive,
            asked=raw.target.raw,
        )
        async with self._downloads.open(wanted, location) as file:
            if raw.method == "HEAD":  # a signed link is good for GET only
                await call.reply.send_head(_head_of(file, writes=False), end_stream=True)
            else:
                await self._stream(call, file)

    def _send(
        self,
        call: Call,
        params: PassthroughParams,
        raw: RawCall,
        *,
        deadline: float | None = None,
    ) -> AbstractAsyncContextManager[StreamedResponse]:
        return self._client.stream(
            raw.method,
            raw.target.raw,
            source=params.source,
            headers=raw.headers,
            content=raw.content(call.exchange, call.progress),
            deadline=call.deadline if deadline is None else deadline,
            interactive=params.interactive,
        )

    async def _write(
        self, call: Call, params: PassthroughParams, raw: RawCall, settle: Settle
    ) -> Answer | None:
        """Carry a write out; a short answer is returned, a long one streamed from here."""
        async with self._send(call, params, raw) as answer, aclosing(answer.chunks()) as chunks:
            kept = bytearray()
            async for chunk in chunks:
                kept += chunk
                if len(kept) > MAX_BODY_BYTES:
                    break
            else:
                return Answer(head=_head_of(answer, writes=True), body=bytes(kept))
            head = _head_of(answer, writes=True)
            await settle(Answer(head=head, body=None))
            try:
                await call.reply.send_head(head)
                await call.exchange.send(bytes(kept))
                async for chunk in chunks:
                    await call.exchange.send(chunk)
                await call.exchange.end()
            except TunnelError:
                return None  # the caller went away; what it asked for is done
            except CloudConnectError as error:
                await call.reply.fail(error)
        return None

    async def _stream(self, call: Call, answer: "StreamedResponse | Download") -> None:
        await call.reply.send_head(_head_of(answer, writes=False, hops=call.hops))
        await stream_body(call.exchange, answer)


def _leads_to(raw: RawCall, answer: StreamedResponse) -> str | None:
    """Return where an answer says that the file is, if it only says that."""
    if answer.status not in REDIRECTS or raw.start.data:
        return None
    return answer.headers.get("location")


def _head_of(
    answer: "StreamedResponse | Download",
    *,
    writes: bool,
    hops: Mapping[str, float] | None = None,
) -> ResponseHead:
    return ResponseHead(
        status=answer.status,
        headers=answer_headers(answer.raw_headers),
        outcome=outcome_of(answer.status, answer.headers, writes=writes),
        hops=dict(hops or {}),
    )
