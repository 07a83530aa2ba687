"""Networks of their own: what is lost, reset or slowed there, and that it stays there."""

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from doubles.namespaces import PrivateNetwork, private_network, with_resolver

pytestmark = pytest.mark.timeout(30)
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def echoing() -> AsyncIterator[tuple[int, Streams]]:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            async with asyncio.timeout(20):
                yield port, (reader, writer)
        finally:
            writer.transport.abort()


async def answers(streams: Streams, data: bytes = b"ping", *, within: float = 0.5) -> bool:
    reader, writer = streams
    writer.write(data)
    try:
        async with asyncio.timeout(within):
            return await reader.readexactly(len(data)) == data
    except TimeoutError:
        return False


@pytest.mark.parametrize("way", ["to", "from", "both"])
async def test_dropped_packets_are_missed_until_the_network_heals(
    network: PrivateNetwork, way: str
) -> None:
    async with echoing() as (port, streams):
        assert await answers(streams)
        network.drop(port, way=way)  # type: ignore[arg-type]  # the parameters above
        assert not await answers(streams, b"lost")
        network.heal()
        async with asyncio.timeout(10):
            assert await streams[0].readexactly(4) == b"lost", "TCP sends again what was lost"


async def test_other_ports_are_left_alone(network: PrivateNetwork) -> None:
    async with echoing() as (port, _), echoing() as (_, other):
        network.drop(port)
        network.slow(port, bits_per_second=8_000)
        assert await answers(other)


async def test_reset_breaks_a_connection_at_its_next_byte(network: PrivateNetwork) -> None:
    async with echoing() as (port, (reader, writer)):
        network.reset(port)
        writer.write(b"x")
        with pytest.raises(ConnectionResetError):
            await reader.read(1)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)


def segments_sent_again() -> int:
    names, counts = [
        line.split()
        for line in Path("/proc/self/net/snmp").read_text().splitlines()
        if line.startswith("Tcp:")
    ]
    return int(counts[names.index("RetransSegs")])


async def test_lossy_network_loses_some_and_delivers_all(network: PrivateNetwork) -> None:
    async with echoing() as (port, streams):
        network.lose(port, percent=5)
        for _ in range(5):
            assert await answers(streams, b"x" * 100_000, within=15)
    assert segments_sent_again() > 5, "500 KB there and back are 700 packets"


async def test_slowed_port_takes_its_time(network: PrivateNetwork) -> None:
    async with echoing() as (port, streams):
        network.slow(port, bits_per_second=1_000_000)
        begin = time.monotonic()
        assert await answers(streams, b"x" * 100_000, within=10)
        assert time.monotonic() - begin > 0.5


def test_network_is_left_behind_with_the_block(network: PrivateNetwork) -> None:  # noqa: ARG001 - one inside another
    here = Path("/proc/thread-self/ns/net").readlink()
    with private_network():
        assert Path("/proc/thread-self/ns/net").readlink() != here
        inside = str(Path("/proc/thread-self/ns/net").readlink())
        command = ["readlink", "/proc/self/ns/net"]
        seen = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert seen.strip() == inside
    assert Path("/proc/thread-self/ns/net").readlink() == here


def test_process_sees_the_resolver_that_it_is_given(tmp_path: Path) -> None:
    configuration = tmp_path / "resolv.conf"
    configuration.write_text("nameserver 127.0.0.77\n")
    command = [*with_resolver(configuration), "cat", "/etc/resolv.conf"]
    seen = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert seen == "nameserver 127.0.0.77\n"
    assert "127.0.0.77" not in Path("/etc/resolv.conf").read_text()
