"""The proxy that misbehaves: what it does to bytes, and that it does nothing else."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from hashlib import sha256

import pytest

from doubles.chaos_proxy import ChaosProxy, Weather

pytestmark = pytest.mark.timeout(30)
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
PAYLOAD = bytes(range(256)) * 40


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except OSError:
        pass
    finally:
        writer.close()


@asynccontextmanager
async def proxied(handler: Handler = echo, *, seed: int = 7) -> AsyncIterator[ChaosProxy]:
    server = await asyncio.start_server(handler, "127.0.0.1", 0)
    async with server, ChaosProxy.open(*server.sockets[0].getsockname(), seed=seed) as proxy:
        yield proxy


@asynccontextmanager
async def dialled(
    proxy: ChaosProxy,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(*proxy.address)
    try:
        async with asyncio.timeout(15):
            yield reader, writer
    finally:
        writer.close()


async def exchange(proxy: ChaosProxy, data: bytes = PAYLOAD) -> bytes:
    async with dialled(proxy) as (reader, writer):
        writer.write(data)
        writer.write_eof()
        return await reader.read()


async def test_fair_weather_changes_nothing() -> None:
    async with proxied() as proxy:
        data = PAYLOAD * 100
        assert sha256(await exchange(proxy, data)).digest() == sha256(data).digest()
        assert (proxy.up.bytes, proxy.down.bytes) == (len(data), len(data))
        assert proxy.accepted == 1


async def test_latency_is_added_each_way_and_jitter_keeps_the_order() -> None:
    async with proxied() as proxy:
        proxy.weather(latency=0.1, jitter=0.05)
        begin = time.monotonic()
        assert await exchange(proxy) == PAYLOAD
        assert 0.2 <= time.monotonic() - begin < 2


async def test_latency_holds_up_nobody_s_throughput() -> None:
    async with proxied() as proxy:
        proxy.weather(latency=0.2)
        begin = time.monotonic()
        data = PAYLOAD * 50
        assert await exchange(proxy, data) == data
        assert time.monotonic() - begin < 2, "each segment waited for the one before"


async def test_rate_bounds_what_goes_through() -> None:
    async with proxied() as proxy:
        proxy.up.weather = Weather(rate=20_000)
        begin = time.monotonic()
        assert await exchange(proxy) == PAYLOAD
        assert time.monotonic() - begin >= 0.4


async def test_slices_are_no_larger_than_asked_for() -> None:
    sizes: list[int] = []

    async def measure(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            sizes.append(len(data))
            writer.write(data)
        writer.close()

    async with proxied(measure) as proxy:
        proxy.up.weather = Weather(slice_bytes=1, rate=1000)
        assert await exchange(proxy, b"x" * 40) == b"x" * 40
    assert len(sizes) > 20


async def test_blackhole_holds_bytes_back_until_it_heals() -> None:
    async with proxied() as proxy, dialled(proxy) as (reader, writer):
        writer.write(b"before")
        assert await reader.readexactly(6) == b"before"
        proxy.down.blackhole()
        writer.write(b"lost")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await reader.read(1)
        assert proxy.up.bytes == len("beforelost"), "the other way stays open"
        proxy.heal()
        assert await reader.readexactly(4) == b"lost"


async def test_blackhole_hides_that_the_other_end_is_gone() -> None:
    async with proxied() as proxy, dialled(proxy) as (reader, writer):
        writer.write(b"x")
        await reader.readexactly(1)
        async with dialled(proxy) as (other, silent):
            silent.write(b"x")
            await other.readexactly(1)
            proxy.blackhole()
            writer.close()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await other.read(1)
        assert proxy.opened == 2


async def test_reset_reaches_both_ends() -> None:
    seen: asyncio.Future[type[BaseException] | None] = asyncio.get_running_loop().create_future()

    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.read(1)
            seen.set_result(None)
        except OSError as exc:
            seen.set_result(type(exc))
        finally:
            writer.close()

    async with proxied(wait) as proxy, dialled(proxy) as (reader, _):
        while not proxy.opened:
            await asyncio.sleep(0)
        await asyncio.sleep(0.05)
        assert proxy.reset_all() == 1
        with pytest.raises(ConnectionResetError):
            await reader.read(1)
        assert await seen is ConnectionResetError


async def test_refused_connection_is_reset_at_once() -> None:
    async with proxied() as proxy:
        proxy.refusing = True
        with pytest.raises(ConnectionResetError):
            await exchange(proxy)


@pytest.mark.parametrize(("cut", "error"), [("reset", ConnectionResetError), ("close", None)])
async def test_connection_is_cut_after_so_many_bytes(
    cut: str, error: type[Exception] | None
) -> None:
    async with proxied() as proxy:
        proxy.down.weather = Weather(cut_after=100, cut=cut)  # type: ignore[arg-type]
        async with dialled(proxy) as (reader, writer):
            writer.write(PAYLOAD)
            received = b""
            try:
                while part := await reader.read(4096):
                    received += part
                ended: type[Exception] | None = None
            except OSError as exc:
                ended = type(exc)
        assert len(received) <= 100
        assert ended is error
        if error is None:
            assert received == PAYLOAD[:100]


async def test_half_closed_connection_goes_on_the_other_way() -> None:
    async with proxied() as proxy, dialled(proxy) as (reader, writer):
        writer.write(b"x")
        await reader.readexactly(1)
        proxy.half_close_all(towards="client")
        assert await reader.read() == b""
        writer.write(b"more")
        while proxy.up.bytes < 5:
            await asyncio.sleep(0.01)


async def test_corruption_turns_bits_and_the_same_seed_the_same_ones() -> None:
    async def corrupted() -> bytes:
        async with proxied(seed=3) as proxy:
            proxy.up.weather = Weather(corrupt=1.0, slice_bytes=1024)
            return await exchange(proxy)

    first = await corrupted()
    assert len(first) == len(PAYLOAD)
    assert first != PAYLOAD
    assert sum(a != b for a, b in zip(first, PAYLOAD, strict=True)) == len(PAYLOAD) // 1024
    assert await corrupted() == first


async def test_connections_are_counted_while_they_are_open() -> None:
    async with proxied() as proxy:
        async with dialled(proxy) as (reader, writer):
            writer.write(b"x")
            await reader.readexactly(1)
            assert proxy.opened == 1
        async with asyncio.timeout(5):
            while proxy.opened:
                await asyncio.sleep(0.01)
        assert await exchange(proxy, b"again") == b"again"
        assert proxy.accepted == 2
