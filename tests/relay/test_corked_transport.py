import asyncio
from collections.abc import Callable, Iterable

import pytest
import uvloop

from cloud_connect_relay import corked_transport
from cloud_connect_relay.corked_transport import CorkedTransport


class Wire(asyncio.Transport):
    """A transport that keeps what it was given, a packet each."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1)})
        self.packets: list[bytes] = []
        self.log: list[str] = []
        self.unsent = 0

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.packets.append(bytes(data))

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        self.packets.append(b"".join(list_of_data))

    def close(self) -> None:
        self.log.append("close")

    def abort(self) -> None:
        self.log.append("abort")

    def is_closing(self) -> bool:
        return bool(self.log)

    def pause_reading(self) -> None:
        self.log.append("pause")

    def resume_reading(self) -> None:
        self.log.append("resume")


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
async def corked(wire: Wire) -> CorkedTransport:
    return CorkedTransport(wire, asyncio.get_running_loop())


async def test_small_writes_of_one_turn_are_one_packet(wire: Wire, corked: CorkedTransport) -> None:
    for piece in (b"head", b"", b"body"):
        corked.write(piece)
    assert wire.packets == []
    await asyncio.sleep(0)
    assert wire.packets == [b"headbody"]


async def test_what_is_ready_does_not_wait_for_the_next_turn(
    wire: Wire, corked: CorkedTransport
) -> None:
    corked.write(b"all of it")
    corked.flush()
    await asyncio.sleep(0)
    assert wire.packets == [b"all of it"]


async def test_large_write_goes_at_once_behind_what_is_held(
    wire: Wire, corked: CorkedTransport
) -> None:
    corked.write(b"head")
    corked.write(bytes(16 * 1024))
    assert wire.packets == [b"head" + bytes(16 * 1024)]


async def test_closing_sends_what_is_held(wire: Wire, corked: CorkedTransport) -> None:
    corked.write(b"last words")
    corked.close()
    assert corked.is_closing()
    assert wire.packets == [b"last words"]


async def test_aborting_drops_what_is_held(wire: Wire, corked: CorkedTransport) -> None:
    corked.write(b"last words")
    corked.abort()
    await asyncio.sleep(0)
    assert (wire.packets, wire.log) == ([], ["abort"])


async def test_reading_is_the_real_transports(wire: Wire, corked: CorkedTransport) -> None:
    corked.pause_reading()
    corked.resume_reading()
    assert wire.log == ["pause", "resume"]
    assert corked.get_extra_info("peername") == ("127.0.0.1", 1)


async def test_closing_waits_for_who_reads_and_for_nobody_who_does_not(
    wire: Wire, corked: CorkedTransport
) -> None:
    wire.unsent = 1000
    corked.close()
    corked.close()  # as a server does that stops meanwhile
    for left in (900, 800):
        before, wire.unsent = wire.unsent, left
        corked._look(before)
    corked._look(800)
    assert wire.log == ["close", "abort"]
    corked.lost()
    corked.lost()


class Serving(asyncio.Protocol):
    """Sends more than networks and kernels hold, and closes."""

    def __init__(self, lost: asyncio.Event) -> None:
        self._lost = lost

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvloop's is none
        self._corked = CorkedTransport(transport, asyncio.get_running_loop())
        self._corked.write(bytes(SENT))
        self._corked.close()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._corked.lost()
        self._lost.set()


SENT = 32 * 1024 * 1024


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
@pytest.mark.parametrize("reads", [False, True])
def test_connection_that_is_closed_ends_though_its_far_end_reads_nothing(
    loop: Callable[[], asyncio.AbstractEventLoop], monkeypatch: pytest.MonkeyPatch, *, reads: bool
) -> None:
    monkeypatch.setattr(corked_transport, "UNREAD_SECONDS", 5 if reads else 0.3)

    async def serve() -> int:
        lost, got = asyncio.Event(), 0
        server = await asyncio.get_running_loop().create_server(lambda: Serving(lost), "127.0.0.1")
        async with asyncio.timeout(20):
            port = server.sockets[0].getsockname()[1]
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            while reads and (part := await reader.read(2 * 1024 * 1024)):
                got += len(part)
                await asyncio.sleep(0.02)
            await lost.wait()
        writer.close()
        server.close()
        return got

    with asyncio.Runner(loop_factory=loop) as runner:
        assert runner.run(serve()) == (SENT if reads else 0)
