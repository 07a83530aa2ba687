"""A server on loopback that nobody has a reason to reach: each connection is a finding."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

__all__ = ["CanaryServer"]


class CanaryServer:
    """Counts who comes, and answers as an internal service would.

    Attributes:
        port: Where it listens, on both loopback addresses.
        heard: The first bytes of each connection.
    """

    def __init__(self) -> None:
        self.port = 0
        self.heard: list[bytes] = []

    @classmethod
    @asynccontextmanager
    async def open(cls) -> AsyncIterator["CanaryServer"]:
        """Listen until the block ends."""
        canary = cls()
        first = await asyncio.start_server(canary._serve, "127.0.0.1", 0)
        canary.port = first.sockets[0].getsockname()[1]
        async with first, await asyncio.start_server(canary._serve, "::1", canary.port):
            yield canary

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        at = len(self.heard)
        self.heard.append(b"")
        try:
            async with asyncio.timeout(1):
                self.heard[at] = await reader.read(4096)
        except (TimeoutError, OSError):
            pass
        finally:
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\ninternal")
            writer.close()
