"""A proxy that reads along in TLS with a certificate of its own, as companies run them."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from doubles.certificates import Authority

__all__ = ["COMPANY", "InspectingProxy", "inspecting_proxy"]

COMPANY = "company"  # what the authority calls itself


@dataclass
class InspectingProxy:
    """What it saw.

    Attributes:
        seen: Every byte in plain text, both ways.
    """

    port: int = 0
    seen: bytearray = field(default_factory=bytearray)


@asynccontextmanager
async def inspecting_proxy(
    folder: Path, authority: Authority, *, host: str, port: int
) -> AsyncIterator[InspectingProxy]:
    """Stand before ``host:port`` with a certificate that *authority* made for that name."""
    certificate, key = authority.issue(folder, host, issuer=COMPANY)
    shown = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    shown.load_cert_chain(certificate, key)
    far = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    far.check_hostname = False
    far.verify_mode = ssl.CERT_NONE  # such proxies have ideas of their own
    proxy = InspectingProxy()
    serving: set[asyncio.Task[None]] = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                proxy.seen += data
                writer.write(data)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port, ssl=far)
        await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.create_task(serve(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=shown)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)
