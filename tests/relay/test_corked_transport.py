import asyncio
from collections.abc import Iterable

import pytest

from cloud_connect_relay.corked_transport import CorkedTransport


class Wire(asyncio.Transport):
    """A transport that keeps what it was given, a packet each."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1)})
        self.packets: list[bytes] = []
        self.log: list[str] = []

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
