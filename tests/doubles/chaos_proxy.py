"""A TCP proxy that misbehaves on demand, each direction for itself, while it runs."""

import asyncio
import contextlib
import random
import socket
import struct
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, Literal

__all__ = ["ChaosProxy", "Direction", "Weather"]

Cut = Literal["reset", "close", "half-close"]
READ_SIZE: Final = 64 * 1024
MAX_WAITING_BYTES: Final = 1024 * 1024  # what a direction holds while its bytes are under way
LINGER_ZERO: Final = struct.pack("ii", 1, 0)  # close() sends RST instead of FIN


@dataclass(slots=True, kw_only=True)
class Weather:
    """What happens to the bytes of one direction; change it at any time.

    Attributes:
        latency: Seconds that each byte is under way, one way.
        jitter: Up to so many seconds more, chosen anew for each segment; order is kept.
        rate: Bytes per second and connection; ``None`` is unlimited.
        slice_bytes: Largest segment; 1 sends byte by byte.
        corrupt: Probability that one bit of a segment is turned.
        cut_after: Each new connection is cut once so many bytes went this way.
        cut: How it is cut.
    """

    latency: float = 0.0
    jitter: float = 0.0
    rate: float | None = None
    slice_bytes: int | None = None
    corrupt: float = 0.0
    cut_after: int | None = None
    cut: Cut = "reset"


class Direction:
    """One direction: its weather, and whether anything gets through at all."""

    def __init__(self) -> None:
        self.weather = Weather()
        self.bytes = 0
        self._passing = asyncio.Event()
        self._passing.set()

    def blackhole(self) -> None:
        """Let nothing through, neither bytes nor ends, as when packets are lost silently."""
        self._passing.clear()

    def heal(self) -> None:
        """Let through what waits, and what comes; fair weather again."""
        self.weather = Weather()
        self._passing.set()

    async def passing(self) -> None:
        """Wait until bytes get through."""
        await self._passing.wait()


@dataclass(slots=True, kw_only=True, eq=False)
class _Pair:
    client: asyncio.StreamWriter
    server: asyncio.StreamWriter | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    half_closed: set[asyncio.StreamWriter] = field(default_factory=set)

    def half_close(self, writer: asyncio.StreamWriter) -> None:
        """End this way in order; what comes for it later goes nowhere."""
        self.half_closed.add(writer)
        with contextlib.suppress(OSError, RuntimeError):
            writer.write_eof()

    def end(self, *, reset: bool) -> None:
        for writer in (self.client, self.server):
            if writer is not None:
                _close(writer, reset=reset)
        self.ended.set()


class ChaosProxy:
    """Listens on a free port and passes on to one target.

    Attributes:
        up: What clients send.
        down: What the target sends.
        accepted: Connections accepted so far.
        refusing: Reset each new connection at once.
    """

    def __init__(self, host: str, port: int, *, seed: int) -> None:
        self.target = (host, port)
        self.up = Direction()
        self.down = Direction()
        self.accepted = 0
        self.refusing = False
        self.address: tuple[str, int] = ("", 0)
        self._dice: Final = random.Random(seed)
        self._pairs: Final[set[_Pair]] = set()

    @classmethod
    @asynccontextmanager
    async def open(
        cls, host: str, port: int, *, seed: int = 1, listen: str = "127.0.0.1"
    ) -> AsyncIterator["ChaosProxy"]:
        """Serve until the block ends, then reset what is still open."""
        proxy = cls(host, port, seed=seed)
        serving: set[asyncio.Task[None]] = set()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            serving.add(asyncio.create_task(proxy._serve(reader, writer)))

        server = await asyncio.start_server(accept, listen, 0, limit=READ_SIZE)
        proxy.address = server.sockets[0].getsockname()[:2]
        try:
            yield proxy
        finally:
            server.close()
            proxy.reset_all()
            proxy.heal()
            # No task group: an assertion of the test's would come out wrapped in one per proxy.
            for ended in await asyncio.gather(*serving, return_exceptions=True):
                if isinstance(ended, Exception):
                    raise ended

    @property
    def port(self) -> int:
        """Where it listens."""
        return self.address[1]

    @property
    def url(self) -> str:
        """The proxy as an origin of HTTP."""
        return f"http://{self.address[0]}:{self.port}"

    @property
    def opened(self) -> int:
        """Connections that are open."""
        return len(self._pairs)

    def blackhole(self) -> None:
        """Let nothing through either way."""
        self.up.blackhole()
        self.down.blackhole()

    def heal(self) -> None:
        """Fair weather both ways; new connections are taken."""
        self.up.heal()
        self.down.heal()
        self.refusing = False

    def weather(self, **changes: float | str | None) -> None:
        """Set the same weather both ways: the attributes of :class:`Weather`."""
        self.up.weather = Weather(**changes)  # type: ignore[arg-type]  # checked at run time
        self.down.weather = Weather(**changes)  # type: ignore[arg-type]  # checked at run time

    def reset_all(self) -> int:
        """Reset every open connection on both sides; return how many there were."""
        return self._end_all(reset=True)

    def drop_all(self) -> int:
        """Close every open connection on both sides; return how many there were."""
        return self._end_all(reset=False)

    def half_close_all(self, *, towards: Literal["client", "server"]) -> None:
        """End one direction of every connection in order; the other one goes on."""
        for pair in self._pairs:
            writer = pair.client if towards == "client" else pair.server
            if writer is not None:
                pair.half_close(writer)

    def _end_all(self, *, reset: bool) -> int:
        pairs = list(self._pairs)
        for pair in pairs:
            pair.end(reset=reset)
        return len(pairs)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        if self.refusing:
            _close(writer, reset=True)
            return
        pair = _Pair(client=writer)
        self._pairs.add(pair)
        try:
            async with asyncio.TaskGroup() as tasks:
                serving = tasks.create_task(self._connect(pair, reader))
                await pair.ended.wait()
                serving.cancel()
        finally:
            self._pairs.discard(pair)
            pair.end(reset=False)

    async def _connect(self, pair: _Pair, reader: asyncio.StreamReader) -> None:
        try:
            await self.up.passing()  # a lost SYN reaches nobody
            back, pair.server = await asyncio.open_connection(*self.target, limit=READ_SIZE)
            _no_delay(pair.client)
            _no_delay(pair.server)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(_Pump(self, pair, self.up, self.down).run(reader, pair.server))
                tasks.create_task(_Pump(self, pair, self.down, self.up).run(back, pair.client))
            pair.end(reset=False)
        except OSError:
            pair.end(reset=True)

    def chance(self, probability: float) -> bool:
        """Throw the seeded dice."""
        return probability > 0 and self._dice.random() < probability

    def below(self, limit: float) -> float:
        """Return a seeded number between 0 and *limit*."""
        return self._dice.random() * limit


class _Pump:
    """Carries one direction of one connection."""

    def __init__(self, proxy: ChaosProxy, pair: _Pair, way: Direction, back: Direction) -> None:
        self._proxy = proxy
        self._pair = pair
        self._way = way
        self._back = back
        self._waiting: deque[tuple[float, bytes]] = deque()
        self._waiting_bytes = 0
        self._moved = asyncio.Event()
        self._cut_after = way.weather.cut_after
        self._sent = 0

    async def run(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._read(reader))
            tasks.create_task(self._write(writer))

    async def _read(self, reader: asyncio.StreamReader) -> None:
        loop = asyncio.get_running_loop()
        due = 0.0
        data = b"-"
        while data:
            await self._way.passing()
            await self._until(lambda: self._waiting_bytes < MAX_WAITING_BYTES)
            try:
                data = await reader.read(READ_SIZE)
            except OSError:
                await self._way.passing()
                self._pair.end(reset=True)
                return
            weather = self._way.weather
            due = max(due, loop.time() + weather.latency + self._proxy.below(weather.jitter))
            self._waiting.append((due, data))
            self._waiting_bytes += len(data)
            self._moved.set()

    async def _write(self, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._until(lambda: bool(self._waiting))
            due, data = self._waiting.popleft()
            if data:
                await asyncio.sleep(max(0.0, due - loop.time()))
            await self._way.passing()
            if not data:
                self._pair.half_close(writer)
                return
            try:
                await self._send(writer, data)
            except OSError:
                await self._back.passing()  # that the reader is gone is told on the way back
                self._pair.end(reset=True)
                return
            self._waiting_bytes -= len(data)
            self._moved.set()

    async def _send(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        view = memoryview(data)
        while view and writer not in self._pair.half_closed:
            weather = self._way.weather
            size = min(len(view), weather.slice_bytes or len(view))
            if weather.rate is not None:
                size = min(size, max(1, int(weather.rate / 20)))
            if self._cut_after is not None:
                size = min(size, self._cut_after - self._sent)
            if size:
                part = bytes(view[:size])
                if self._proxy.chance(weather.corrupt):
                    at = int(self._proxy.below(size))
                    part = part[:at] + bytes([part[at] ^ 0x10]) + part[at + 1 :]
                await self._way.passing()
                writer.write(part)
                await writer.drain()
                self._sent += size
                self._way.bytes += size
                view = view[size:]
            if self._cut_after is not None and self._sent >= self._cut_after:
                self._cut(writer, weather.cut)
            if weather.rate is not None:
                await asyncio.sleep(size / weather.rate)
            elif weather.slice_bytes is not None:
                await asyncio.sleep(0)  # so that the kernel sends it by itself

    def _cut(self, writer: asyncio.StreamWriter, how: Cut) -> None:
        if how == "half-close":
            self._pair.half_close(writer)
        else:
            self._pair.end(reset=how == "reset")
            raise ConnectionAbortedError

    async def _until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            self._moved.clear()
            await self._moved.wait()


def _no_delay(writer: asyncio.StreamWriter) -> None:
    taken: socket.socket = writer.get_extra_info("socket")
    taken.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _close(writer: asyncio.StreamWriter, *, reset: bool) -> None:
    taken: socket.socket | None = writer.get_extra_info("socket")
    if reset and taken is not None and not writer.transport.is_closing():
        with contextlib.suppress(OSError):
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_ZERO)
        writer.transport.abort()
    else:
        writer.close()
