"""A caller who costs little: one keep-alive connection, one request at a time."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final, NamedTuple
from urllib.parse import urlsplit

__all__ = ["Hammer", "Hit", "hammer", "p99"]


class Hit(NamedTuple):
    """One answer: its status, and the seconds that it took to its last byte."""

    status: int
    seconds: float
    body: bytes


class Hammer:
    """Asks one origin over one connection."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        origin: str,
        headers: Mapping[str, str],
    ) -> None:
        self._reader: Final = reader
        self._writer: Final = writer
        lines = {"Host": urlsplit(origin).netloc, **headers}
        self._head: Final = "".join(f"{name}: {value}\r\n" for name, value in lines.items())

    async def get(self, target: str, *, authorization: str | None = None) -> Hit:
        """Ask for *target* and read all of the answer."""
        own = "" if authorization is None else f"Authorization: {authorization}\r\n"
        began = time.monotonic()
        self._writer.write(f"GET {target} HTTP/1.1\r\n{self._head}{own}\r\n".encode())
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines if line)
        body = b""
        if headers.get("transfer-encoding") == "chunked":
            while size := int(await self._reader.readline(), 16):
                body += (await self._reader.readexactly(size + 2))[:-2]
            await self._reader.readline()
        else:
            body = await self._reader.readexactly(int(headers.get("content-length", "0")))
        return Hit(int(first.split(" ")[1]), time.monotonic() - began, body)


@asynccontextmanager
async def hammer(origin: str, headers: Mapping[str, str]) -> AsyncIterator[Hammer]:
    """Connect to *origin*."""
    parts = urlsplit(origin)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        yield Hammer(reader, writer, origin, headers)
    finally:
        writer.transport.abort()


def p99(took: list[float]) -> float:
    """The time that one of a hundred is above."""
    return sorted(took)[min(len(took) - 1, int(len(took) * 0.99))]
