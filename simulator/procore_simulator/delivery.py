"""Getting an answer to the caller, properly or in one of the broken manners."""

import asyncio
import gzip
import socket
import struct
from collections.abc import Iterable
from typing import cast

from procore_simulator.clock import SimulatorClock
from procore_simulator.faults import Fault, FaultKind
from procore_simulator.ledger import AuditEntry
from procore_simulator.messages import Receive, Reply, Request, Scope, Send

__all__ = ["TRANSPORT", "Delivery"]

TRANSPORT = "procore_simulator.transport"
"""The scope's extension under which the server hands out the connection."""

_SLICE = 65_536


class Delivery:
    """The way back to one caller."""

    def __init__(
        self, request: Request, send: Send, entry: AuditEntry, clock: SimulatorClock
    ) -> None:
        self._scope: Scope = request.scope
        self._receive: Receive = request.receive
        self._send = send
        self._entry = entry
        self._clock = clock
        self.extra: list[tuple[bytes, bytes]] = []
        """Headers of the origin: rate limits and the like."""

    async def caller_left(self, seconds: float | None) -> bool:
        """Wait up to *seconds* (``None``: for ever); tell whether the caller hung up.

        Call it only when the request's body has been read.
        """
        try:
            async with asyncio.timeout(seconds):
                while (await self._receive())["type"] != "http.disconnect":
                    pass
        except TimeoutError:
            return False
        self._entry.ended = "disconnected"
        return True

    async def answer(self, reply: Reply) -> None:
        """Send the whole answer."""
        await self.start(reply)
        await self._body(reply)

    async def _body(self, reply: Reply) -> None:
        if reply.source is None or self._scope["method"] == "HEAD":
            await self._send({"type": "http.response.body", "body": reply.body})
        else:
            for part in reply.source:
                if self.is_cut:
                    return
                await self.piece(part)
            await self.piece(b"", more=False)
        self.answered()

    async def start(
        self,
        reply: Reply,
        *,
        size: int | None = None,
        more: Iterable[tuple[bytes, bytes]] = (),
        chunked: bool = False,
    ) -> None:
        """Send status and headers."""
        self._entry.status = reply.status
        headers = [
            (b"date", self._clock.http_date()),
            (b"x-request-id", b"sim-%d" % self._entry.id),
        ]
        if reply.content_type is not None:
            headers.append((b"content-type", reply.content_type.encode()))
        if reply.status not in {204, 304} and not chunked:
            length = reply.length if size is None else size
            headers.append((b"content-length", b"%d" % length))
        headers += self.extra
        for name, value in reply.headers:
            headers.append((name.lower().encode(), value.encode("latin-1")))
        headers += more
        await self._send(
            {"type": "http.response.start", "status": reply.status, "headers": headers}
        )

    async def piece(self, data: bytes | bytearray | memoryview, *, more: bool = True) -> None:
        """Send a part of the body; waits while the caller does not read."""
        await self._send({"type": "http.response.body", "body": data, "more_body": more})

    @property
    def is_cut(self) -> bool:
        """Whether the caller hung up in the middle of the answer; noted as such."""
        if self._transport().is_closing():
            self._entry.ended = "disconnected"
        return self._entry.ended == "disconnected"

    def answered(self) -> None:
        """Note that the answer is out."""
        if self._entry.ended == "open":
            self._entry.ended = "answered"

    def reset(self) -> None:
        """Cut the connection with a TCP reset."""
        transport = self._transport()
        raw = transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
        self._entry.ended = "dropped"

    def drop(self) -> None:
        """Close the connection without another byte."""
        self._transport().close()
        self._entry.ended = "dropped"

    def _transport(self) -> asyncio.Transport:
        # The server's protocol class puts it there; ASGI types extensions as anything.
        return cast("asyncio.Transport", self._scope["extensions"][TRANSPORT])

    async def fail(self, fault: Fault, reply: Reply) -> None:
        """Let *fault* happen to the answer *reply*."""
        match fault.kind:
            case FaultKind.STATUS:
                await self.answer(fault.reply())
            case FaultKind.RESET:
                self.reset()
            case FaultKind.DROP:
                self.drop()
            case FaultKind.HANG:
                if not await self.caller_left(fault.seconds):
                    self.drop()
            case FaultKind.SLOW_FIRST_BYTE:
                if not await self.caller_left(fault.seconds or 1.0):
                    await self.answer(reply)
            case _:
                await self._bend(fault, reply)

    async def _bend(self, fault: Fault, reply: Reply) -> None:
        match fault.kind:
            case FaultKind.SLOW_BODY:
                await self._slowly(reply, fault)
            case FaultKind.TRUNCATE:
                await self._cut_short(reply, fault)
            case FaultKind.CLOSE_AFTER:
                await self.answer(reply)
                await asyncio.sleep(fault.seconds or 0.0)
                self._transport().close()
            case FaultKind.MANY_HEADERS:
                many = [(b"x-filler-%d" % index, b"x" * 32) for index in range(fault.count)]
                await self.start(reply, more=many)
                await self._body(reply)
            case FaultKind.GZIP_BOMB:
                await self._bomb(fault.size or 100_000_000)
            case _:
                await self._endless(fault)

    async def _cut_short(self, reply: Reply, fault: Fault) -> None:
        left = reply.length // 2 if fault.size is None else fault.size
        await self.start(reply)
        for part in reply.parts():
            await self.piece(part[:left])
            left -= len(part)
            if left <= 0:
                break
        self.drop()

    async def _slowly(self, reply: Reply, fault: Fault) -> None:
        await self.start(reply)
        step = fault.size or 1
        pause = 1.0 if fault.seconds is None else fault.seconds
        for part in reply.parts():
            for offset in range(0, len(part), step):
                await self.piece(part[offset : offset + step])
                if await self.caller_left(pause):
                    return
        await self.piece(b"", more=False)
        self.answered()

    async def _bomb(self, size: int) -> None:
        body = await asyncio.to_thread(gzip.compress, bytes(size), 9)
        reply = Reply(body=body, content_type="application/json")
        await self.start(reply, more=[(b"content-encoding", b"gzip")])
        await self.piece(body, more=False)
        self.answered()

    async def _endless(self, fault: Fault) -> None:
        await self.start(Reply(content_type="application/json"), chunked=True)
        pause = fault.seconds or 0.0
        while not await self.caller_left(pause):
            await self.piece(b" " * (fault.size or _SLICE))
