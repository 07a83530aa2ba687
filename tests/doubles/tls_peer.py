"""``openssl s_server``: peers that speak TLS as they should not, and show what reaches them."""

import asyncio
import re
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from doubles.tools import tool

__all__ = ["TlsPeer", "self_signed", "tls_peer"]

READY_TIMEOUT: Final = 20.0  # seconds: the machine may be busy with other tests
_LISTENS: Final = re.compile(rb"^ACCEPT 127\.0\.0\.1:(\d+)", re.MULTILINE)


@dataclass
class TlsPeer:
    """One server.

    Attributes:
        said: Its file of what it received after a handshake, and of what it says itself.
    """

    port: int
    said: Path

    @property
    def received(self) -> bytes:
        """Everything so far."""
        return self.said.read_bytes()


@asynccontextmanager
async def tls_peer(folder: Path, name: str, *options: str) -> AsyncIterator[TlsPeer]:
    """Serve with these options of ``s_server``, one connection after the other."""
    said = folder / f"{name}.txt"
    with said.open("wb") as sink:
        process = await asyncio.create_subprocess_exec(
            *(tool("openssl"), "s_server", "-accept", "127.0.0.1:0", *options),
            stdin=subprocess.PIPE,  # it ends with its input
            stdout=sink,
            stderr=subprocess.STDOUT,
        )
    try:
        async with asyncio.timeout(READY_TIMEOUT):
            while (found := _LISTENS.search(said.read_bytes())) is None:
                assert process.returncode is None, said.read_text()
                await asyncio.sleep(0.02)
        yield TlsPeer(int(found[1]), said)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def self_signed(folder: Path) -> Sequence[str]:
    """The options of a certificate that vouches for itself, for localhost."""
    key, certificate = folder / "self.key", folder / "self.pem"
    process = await asyncio.create_subprocess_exec(
        *(tool("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
        *("-nodes", "-days", "1", "-subj", "/CN=localhost"),
        *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
        *("-keyout", str(key), "-out", str(certificate)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    assert await process.wait() == 0
    return ("-cert", str(certificate), "-key", str(key))
