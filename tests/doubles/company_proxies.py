"""Proxies as companies run them: tinyproxy and squid, real processes on loopback."""

import asyncio
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

from doubles.tools import tool

__all__ = ["PASSWORD", "USER", "CompanyProxy", "squid", "tinyproxy"]

USER: Final = "pc-12"
PASSWORD: Final = "canary-of-the-proxy"
READY_TIMEOUT: Final = 20.0  # seconds: squid reads a lot before it listens


class CompanyProxy:
    """A proxy that can be killed and started again on its port."""

    def __init__(self, command: Sequence[str], port: int, *, log: Path) -> None:
        self.port = port
        self._command = tuple(command)
        self._log = log
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        with self._log.open("ab") as sink:
            self._process = await asyncio.create_subprocess_exec(
                *self._command, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink
            )
        async with asyncio.timeout(READY_TIMEOUT):
            while not await self._listens():
                assert self._process.returncode is None, self._log.read_text()
                await asyncio.sleep(0.02)

    async def kill(self) -> None:
        """End it at once, with every tunnel through it."""
        assert self._process is not None
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def _listens(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.close()
        await writer.wait_closed()
        return True


@asynccontextmanager
async def tinyproxy(*, password: bool = False) -> AsyncIterator[CompanyProxy]:
    """Serve with tinyproxy; *password* wants the one above."""
    with _folder() as folder:
        port = _free_port()
        lines = [f"Port {port}", "Listen 127.0.0.1", "MaxClients 100", "Timeout 600"]
        if password:
            lines.append(f"BasicAuth {USER} {PASSWORD}")
        configuration = folder / "tinyproxy.conf"
        configuration.write_text("\n".join([*lines, ""]))
        words = [tool("tinyproxy"), "-d", "-c", str(configuration)]
        async with _running(CompanyProxy(words, port, log=folder / "log")) as proxy:
            yield proxy


@asynccontextmanager
async def squid(*, password: bool = False) -> AsyncIterator[CompanyProxy]:
    """Serve with squid; *password* wants the one above."""
    with _folder() as folder:
        port = _free_port()
        lines = [f"http_port 127.0.0.1:{port}", "cache deny all", "pid_filename none"]
        lines += ["access_log none", "cache_log /dev/null", "coredump_dir /"]
        lines += ["shutdown_lifetime 0 seconds", "dns_nameservers 127.0.0.1", "pinger_enable off"]
        if password:
            hashed = await _hashed(PASSWORD)
            users = folder / "users"
            users.write_text(f"{USER}:{hashed}\n")
            lines += [
                f"auth_param basic program /usr/lib/squid/basic_ncsa_auth {users}",
                "auth_param basic children 1",
                "acl known proxy_auth REQUIRED",
                "http_access allow known",
                "http_access deny all",
            ]
        else:
            lines.append("http_access allow all")
        configuration = folder / "squid.conf"
        configuration.write_text("\n".join([*lines, ""]))
        words = [tool("squid"), "-N", "-f", str(configuration)]
        async with _running(CompanyProxy(words, port, log=folder / "log")) as proxy:
            yield proxy


async def _hashed(password: str) -> str:
    """The password as squid's helper reads it."""
    process = await asyncio.create_subprocess_exec(
        *(tool("openssl"), "passwd", "-apr1", "-stdin"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    output, _ = await process.communicate(password.encode())
    return output.decode().strip()


@asynccontextmanager
async def _running(proxy: CompanyProxy) -> AsyncIterator[CompanyProxy]:
    try:
        await proxy.start()
        yield proxy
    finally:
        await proxy.kill()


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder that the account which squid changes to can read, too."""
    with tempfile.TemporaryDirectory(prefix="proxy-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port
