"""A small HTTP/1.1 load generator: keep-alive connections, no client library in the way."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

CHUNK = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where requests go, and with which headers."""

    url: str
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.url)
        return parts.hostname or "127.0.0.1", parts.port or 80

    def head(self, method: str, *extra: tuple[str, str]) -> bytes:
        parts = urlsplit(self.url)
        path = f"{parts.path}?{parts.query}" if parts.query else parts.path
        lines = [f"{method} {path} HTTP/1.1", f"Host: {parts.netloc}"]
        lines += [f"{name}: {value}" for name, value in (*self.headers, *extra)]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()


@asynccontextmanager
async def connection(
    target: Target,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(*target.address, limit=1024 * 1024)
    try:
        yield reader, writer
    finally:
        writer.close()
        await writer.wait_closed()


async def read_head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    block = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    status, *lines = block.split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines if line)
    return int(status.split(" ")[1]), headers


async def read_body(
    reader: asyncio.StreamReader,
    headers: dict[str, str],
    taken: Callable[[int], object] = lambda _count: None,
) -> int:
    """Read one body and return its size; *taken* hears of each piece."""
    total = 0
    if headers.get("transfer-encoding") == "chunked":
        while size := int((await reader.readline()).split(b";")[0], 16):
            left = size
            while left:
                piece = await reader.read(min(left, CHUNK))
                left -= len(piece)
                taken(len(piece))
            total += size
            await reader.readline()
        await reader.readline()
        return total
    left = int(headers.get("content-length", "0"))
    while left:
        piece = await reader.read(min(left, CHUNK))
        if not piece:
            raise ConnectionResetError("the body ended early")
        left -= len(piece)
        total += len(piece)
        taken(len(piece))
    return total


async def latencies(target: Target, *, count: int) -> list[float]:
    """Milliseconds of *count* GETs on one connection, one after the other."""
    head = target.head("GET")
    spent = []
    async with connection(target) as (reader, writer):
        for _ in range(count):
            began = time.perf_counter()
            writer.write(head)
            status, headers = await read_head(reader)
            await read_body(reader, headers)
            spent.append((time.perf_counter() - began) * 1000)
            assert status == 200, status
    return spent


async def throughput(target: Target, *, clients: int, seconds: float) -> float:
    """Requests per second of *clients* connections."""
    head = target.head("GET")
    done = 0
    end = time.perf_counter() + seconds

    async def client() -> None:
        nonlocal done
        async with connection(target) as (reader, writer):
            while time.perf_counter() < end:
                writer.write(head)
                status, headers = await read_head(reader)
                await read_body(reader, headers)
                assert status == 200, status
                done += 1

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(client())
    return done / (time.perf_counter() - began)


async def download(target: Target) -> float:
    """Megabytes per second of one GET."""
    async with connection(target) as (reader, writer):
        began = time.perf_counter()
        writer.write(target.head("GET"))
        status, headers = await read_head(reader)
        assert status == 200, status
        size = await read_body(reader, headers)
        return size / 1e6 / (time.perf_counter() - began)


async def upload(target: Target, *, size: int) -> float:
    """Megabytes per second of one POST of *size* bytes."""
    block = bytes(CHUNK)
    async with connection(target) as (reader, writer):
        began = time.perf_counter()
        writer.write(
            target.head(
                "POST",
                ("Content-Length", str(size)),
                ("Content-Type", "application/octet-stream"),
            )
        )
        for _ in range(size // CHUNK):
            writer.write(block)
            await writer.drain()
        status, headers = await read_head(reader)
        await read_body(reader, headers)
        assert status in {200, 201}, status
        return size / 1e6 / (time.perf_counter() - began)


async def slow_download(target: Target, *, bytes_per_second: int, seconds: float) -> int:
    """Read one GET at a fixed pace for some seconds, then hang up; returns the bytes taken."""
    taken = 0
    reader, writer = await asyncio.open_connection(*target.address, limit=CHUNK)
    try:
        writer.write(target.head("GET"))
        await read_head(reader)
        began = time.perf_counter()
        while (elapsed := time.perf_counter() - began) < seconds:
            if taken > elapsed * bytes_per_second:
                await asyncio.sleep(0.02)
                continue
            taken += len(await reader.read(CHUNK))
        return taken
    finally:
        writer.transport.abort()


async def paced_body(
    target: Target,
    *,
    bytes_per_second: int,
    seconds: float,
    taken: Callable[[bytes], object],
) -> None:
    """Read one chunked GET: at a fixed pace for some seconds, then as fast as it comes."""
    async with connection(target) as (reader, writer):
        writer.write(target.head("GET"))
        status, headers = await read_head(reader)
        assert status == 200, status
        assert headers.get("transfer-encoding") == "chunked", headers
        began = time.perf_counter()
        total = 0
        while size := int((await reader.readline()).split(b";")[0], 16):
            left = size
            while left:
                while (elapsed := time.perf_counter() - began) < seconds and (
                    total > elapsed * bytes_per_second
                ):
                    await asyncio.sleep(0.02)
                piece = await reader.read(min(left, CHUNK))
                assert piece, "the body ended early"
                left -= len(piece)
                total += len(piece)
                taken(piece)
            await reader.readline()
