"""Sessions: drive a multiplexer over a link, with heartbeats, handlers and draining."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, assert_never

from cloud_connect.closing import CloseCode
from cloud_connect.ending import DRAINED, STOPPED, Ending, ending_of
from cloud_connect.errors import (
    LocalProtocolError,
    Outcome,
    RemoteProtocolError,
    TunnelClosedError,
    TunnelError,
)
from cloud_connect.exchange import Exchange
from cloud_connect.handlers import Handler, Handlers
from cloud_connect.link import LINK_GONE, Link, close_link
from cloud_connect.liveness import Liveness, SessionSettings
from cloud_connect.tunnel import (
    DataReceived,
    Event,
    GoAwayCode,
    GoAwayReceived,
    Multiplexer,
    PingAnswered,
    RequestHead,
    RequestReceived,
    ResetCode,
    ResponseReceived,
    Role,
    SettingsReceived,
    StreamClosed,
    StreamReset,
    StreamWritable,
    TrailersReceived,
)
from cloud_connect.waiters import Waiters

__all__ = ["Clock", "Handler", "Link", "Role", "Session", "SessionSettings"]

Clock = Callable[[], float]

# A check so much late means that this process stood still: what came in meanwhile is read first.
_STALL: Final = 1.0
_CATCH_UP: Final = 0.5
_CLOSE_DEAD: Final = 0.1  # seconds; who has fallen silent will not answer a farewell either

_TO_EXCHANGE: Final = (DataReceived, ResponseReceived, TrailersReceived, StreamWritable)
_SessionEvent = (
    RequestReceived | StreamClosed | StreamReset | PingAnswered | SettingsReceived | GoAwayReceived
)


class Session:
    """One live connection between an agent and a relay, or between two relay nodes.

    Attributes:
        go_away: The peer's GOAWAY, once it came: why it drains, and over which window it
            wants reconnects to spread.
        sent_away: Set when it came.
    """

    def __init__(
        self,
        link: Link,
        *,
        role: Role,
        handler: Handler | None = None,
        settings: SessionSettings | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        self._link = link
        self._settings = settings or SessionSettings()
        self._clock = clock
        self._multiplexer = Multiplexer(role, self._settings.limits)
        self._exchanges: dict[int, Exchange] = {}
        self._group = asyncio.TaskGroup()
        self._handlers = Handlers(
            handler,
            group=self._group,
            max_tasks=self._settings.limits.max_streams,
            served=self._served,
        )
        self._unconfirmed: set[int] = set()
        self._openers: Waiters[None] = Waiters()  # for the peer's SETTINGS
        self._ending: asyncio.Future[Ending] | None = None
        self._over: Ending | None = None  # the first of them, which counts
        self._epitaph: str | None = None  # why the session is over
        self._writer: asyncio.Future[None] | None = None
        self._pings: Waiters[float] = Waiters()
        self._farewell = False
        self._liveness = Liveness(self._settings, now=clock())
        self.go_away: GoAwayReceived | None = None
        self.sent_away = asyncio.Event()

    # What callers use.

    @property
    def in_flight(self) -> int:
        """Exchanges of both sides that have not ended, handlers that still run included."""
        return len(self._exchanges)

    @property
    def round_trip(self) -> float | None:
        """Seconds that the last ping took."""
        return self._multiplexer.round_trip

    @property
    def last_received(self) -> float:
        """When the last bytes came in, on the session's clock."""
        return self._liveness.last_received

    @property
    def draining(self) -> bool:
        """Whether this side takes no more streams."""
        return self._multiplexer.draining

    @property
    def peer_draining(self) -> bool:
        """Whether the peer takes no more streams."""
        return self._multiplexer.peer_draining

    async def run(self) -> None:
        """Serve until the link ends; return after an orderly drain.

        Raises:
            TunnelClosedError: If the link was lost, the peer fell silent or broke the protocol.
        """
        if self._ending is not None:
            raise LocalProtocolError("a session runs once")
        self._ending = asyncio.get_running_loop().create_future()
        if self._over is not None:
            self._ending.set_result(self._over)
        self._liveness = Liveness(self._settings, now=self._clock())
        ending = STOPPED
        try:
            async with self._group as group:
                workers = [
                    group.create_task(self._work(self._read), name="tunnel-read"),
                    group.create_task(self._work(self._write), name="tunnel-write"),
                    group.create_task(self._work(self._watch), name="tunnel-watch"),
                ]
                try:
                    ending = await self._ending
                finally:
                    self._shut(ending)
                    for worker in workers:
                        worker.cancel()
                await self._close_link(ending)
        finally:
            if ending is STOPPED:
                await self._close_link(ending)
        if ending.error is not None:
            raise ending.error

    async def open(self, head: RequestHead, *, end_stream: bool = False) -> Exchange:
        """Open an exchange; wait for the peer's SETTINGS if they did not come yet.

        Raises:
            TunnelClosedError: If the session is over or one of its sides drains.
            QuotaExceededError: If the peer allows no more streams at the moment.
            BodyTooLargeError: If the head is over its limit.
        """
        if not self._liveness.ready and self._epitaph is None:
            await self._openers.wait()
        stream_id = self._live().open_stream(head, now=self._clock(), end_stream=end_stream)
        exchange = Exchange(self, stream_id, head, inbound=False, send_ended=end_stream)
        self._exchanges[stream_id] = exchange
        self.wake()
        return exchange

    def drain(
        self,
        *,
        code: GoAwayCode = GoAwayCode.NO_ERROR,
        reconnect_window_ms: int = 0,
        reason: str = "",
    ) -> None:
        """Take no more streams, finish those that run, then end the session."""
        multiplexer = self.multiplexer
        if multiplexer is not None and not multiplexer.draining:
            multiplexer.go_away(code=code, reconnect_window_ms=reconnect_window_ms, reason=reason)
            self._check_drained()
            self.wake()

    async def ping(self) -> float:
        """Measure the way to the peer and back, in seconds.

        Raises:
            TunnelClosedError: If the session ends meanwhile.
        """
        self._live().ping(now=self._clock())
        self.wake()
        return await self._pings.wait()

    def fence(self, code: CloseCode, reason: str) -> None:
        """End the session at once: no frame is taken from here on, whenever it was sent."""
        self._end(Ending(error=TunnelClosedError(reason), code=code, reason=reason))

    @property
    def multiplexer(self) -> Multiplexer | None:
        """The multiplexer; ``None`` once the session is over."""
        return self._multiplexer if self._epitaph is None else None

    def wake(self) -> None:
        """Have what is queued sent, in the loop's next turn."""
        writer = self._writer
        if writer is not None and not writer.done():
            writer.set_result(None)

    def reset(self, stream_id: int, code: ResetCode) -> None:
        """End a stream early; without effect if it is closed or reset already."""
        if self._epitaph is None:
            self._multiplexer.reset_stream(stream_id, code, now=self._clock())
            self.wake()

    def consume(self, stream_id: int, size: int) -> None:
        """Return credit for bytes of a stream that were read or dropped."""
        if self._epitaph is None:
            self._multiplexer.consume(stream_id, size, now=self._clock())
            if self._multiplexer.has_messages:
                self.wake()

    # The three tasks of a session.

    async def _work(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except (TunnelError, *LINK_GONE) as exc:
            orderly = not self._exchanges and (self.draining or self.peer_draining)
            known = self._liveness.suspicion(self._clock())
            if known is not None and not orderly and not isinstance(exc, TunnelError):
                exc = TunnelClosedError(known)
            self._end(ending_of(exc, orderly=orderly))

    async def _read(self) -> None:
        recv, clock = self._link.recv, self._clock
        multiplexer, liveness = self._multiplexer, self._liveness
        while True:
            message = await recv()
            if self._over is not None:
                return
            liveness.last_received = now = clock()
            if isinstance(message, str):
                raise RemoteProtocolError("text message after the handshake")
            self._deliver(multiplexer.receive_frame(message, now=now))
            if multiplexer.has_messages:
                self.wake()

    async def _write(self) -> None:
        send, clock = self._link.send, self._clock
        multiplexer, liveness = self._multiplexer, self._liveness
        loop = asyncio.get_running_loop()
        while True:
            for message in multiplexer.messages_to_send():
                self._deliver(multiplexer.take_events())
                liveness.sending_since = clock()
                await send(message)
                liveness.sending_since = None
            self._writer = loop.create_future()
            await self._writer

    async def _watch(self) -> None:
        clock, liveness = self._clock, self._liveness
        while True:
            now = clock()
            delay = liveness.delay(now)
            await asyncio.sleep(delay)
            if clock() - now - delay > _STALL:
                await asyncio.sleep(_CATCH_UP)
            now = clock()
            verdict = liveness.verdict(now)
            if verdict is not None:
                raise TunnelClosedError(verdict)
            if liveness.ping_due(now):
                self._multiplexer.ping(now=now)
                self.wake()

    # Events.

    def _deliver(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, _TO_EXCHANGE):
                self._exchanges[event.stream_id].deliver(event)
            else:
                self._take(event)

    def _take(self, event: _SessionEvent) -> None:
        match event:
            case RequestReceived():
                self._serve(event)
            case StreamClosed(stream_id=stream_id):
                if stream_id not in self._handlers:
                    self._forget(stream_id)
            case StreamReset():
                self._on_reset(event)
            case PingAnswered(round_trip=round_trip):
                self._on_pong(round_trip)
            case SettingsReceived():
                self._liveness.ready = True
                self._openers.release(None)
                # The first ping tells the round trip: windows grow by it.
                self._multiplexer.ping(now=self._clock())
            case GoAwayReceived():
                self.go_away = event
                self.sent_away.set()
            case _:
                assert_never(event)

    def _serve(self, request: RequestReceived) -> None:
        stream_id = request.stream_id
        exchange = Exchange(
            self, stream_id, request.head, inbound=True, receive_ended=request.end_stream
        )
        self._exchanges[stream_id] = exchange
        if not self._handlers.serve(exchange):
            exchange.abandon()
            self.reset(stream_id, ResetCode.REFUSED)

    def _served(self, exchange: Exchange) -> None:
        stream_id = exchange.stream_id
        exchange.abandon()
        multiplexer = self.multiplexer
        if multiplexer is None:
            return
        if stream_id in self._unconfirmed:
            self._unconfirmed.remove(stream_id)
            multiplexer.confirm_reset(stream_id)
        elif exchange.send_ended:
            multiplexer.stop_receiving(stream_id)
        else:
            self.reset(stream_id, ResetCode.INTERNAL)
        self.wake()
        if not multiplexer.is_open(stream_id):
            self._forget(stream_id)

    def _on_reset(self, event: StreamReset) -> None:
        stream_id = event.stream_id
        self._exchanges[stream_id].deliver(event)
        if stream_id in self._handlers:
            self._unconfirmed.add(stream_id)
            self._handlers.cancel(stream_id)
        else:
            self._multiplexer.confirm_reset(stream_id)

    def _on_pong(self, round_trip: float) -> None:
        self._pings.release(round_trip)
        if self._farewell:
            self._end(DRAINED)
        self._check_drained()

    def _forget(self, stream_id: int) -> None:
        if self._exchanges.pop(stream_id, None) is not None:
            self._check_drained()

    def _check_drained(self) -> None:
        # A ping that follows our GOAWAY comes back behind every stream that crossed it: those
        # are refused, not lost.
        if self.draining and not self._exchanges and not self._farewell:
            self._farewell = self._multiplexer.ping(now=self._clock())
            self.wake()

    # The end.

    def _live(self) -> Multiplexer:
        if self._epitaph is not None:
            raise TunnelClosedError(self._epitaph)
        return self._multiplexer

    def _end(self, ending: Ending) -> None:
        if self._over is None:
            self._over = ending
            if self._ending is None:  # nobody may wait until it runs
                self._shut(ending)
            elif not self._ending.done():
                self._ending.set_result(ending)

    def _shut(self, ending: Ending) -> None:
        epitaph = "the session is drained" if ending.error is None else ending.error.message
        self._epitaph = epitaph
        self._openers.release(None)
        self._handlers.cancel_all()
        unsent = self._multiplexer.unsent_requests()
        for stream_id, exchange in self._exchanges.items():
            outcome = Outcome.NOT_EXECUTED if stream_id in unsent else Outcome.UNKNOWN
            exchange.lose(epitaph, outcome)
        self._exchanges.clear()
        self._pings.fail(TunnelClosedError(epitaph))

    async def _close_link(self, ending: Ending) -> None:
        dead = self._liveness.verdict(self._clock()) is not None
        await close_link(
            self._link,
            code=ending.code,
            reason=ending.reason,
            within=_CLOSE_DEAD if dead else self._settings.close_timeout,
        )
