"""Proxies as companies run them: tinyproxy, squid, mitmproxy, real processes on loopback."""

import asyncio
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

from doubles.tools import tool

__all__ = ["PASSWORD", "USER", "CompanyProxy", "mitmproxy", "squid", "tinyproxy"]

USER: Final = "pc-12"
PASSWORD: Final = "canary-of-the-proxy"
READY_TIMEOUT: Final = 30.0  # seconds: squid and mitmproxy read a lot before they listen
NTLM: Final = "/usr/lib/squid/ntlm_fake_auth"  # squid's own: it only offers, here
# An environment of its own: mitmproxy pins many of the packages that are ours, too.
MITMPROXY: Final = Path(__file__).parents[1] / "proxies" / ".venv" / "bin"


class CompanyProxy:
    """A proxy that can be killed and started again on its port.

    Attributes:
        ca_file: Of one that reads along: the authority that makes its certificates.
        seen_file: And what it wrote down of it.
    """

    def __init__(
        self, command: Sequence[str], port: int, *, log: Path, at: str = "127.0.0.1"
    ) -> None:
        self.port = port
        self.at = at
        self.ca_file = log.parent / "mitmproxy-ca-cert.pem"
        self.seen_file = log.parent / "seen"
        self._command = tuple(command)
        self._log = log
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"http://{f'[{self.at}]' if ':' in self.at else self.at}:{self.port}"

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
            _, writer = await asyncio.open_connection(self.at, self.port)
        except OSError:
            return False
        writer.close()
        await writer.wait_closed()
        return True


@asynccontextmanager
async def tinyproxy(
    *, password: bool = False, to_port: int | None = None, at: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[CompanyProxy]:
    """Serve with tinyproxy.

    Args:
        password: Whether it wants the one above.
        to_port: The only port that it opens tunnels to.
    """
    with _folder() as folder:
        port = port or _free_port(at)
        lines = [f"Port {port}", f"Listen {at}", "MaxClients 100", "Timeout 600"]
        if to_port is not None:
            lines.append(f"ConnectPort {to_port}")
        if password:
            lines.append(f"BasicAuth {USER} {PASSWORD}")
        configuration = folder / "tinyproxy.conf"
        configuration.write_text("\n".join([*lines, ""]))
        words = [tool("tinyproxy"), "-d", "-c", str(configuration)]
        async with _running(CompanyProxy(words, port, log=folder / "log", at=at)) as proxy:
            yield proxy


@asynccontextmanager
async def squid(
    *, password: bool = False, ntlm: bool = False, only: str = ""
) -> AsyncIterator[CompanyProxy]:
    """Serve with squid.

    Args:
        password: Whether it wants the one above.
        ntlm: Whether it wants a sign-in by NTLM, and takes no other.
        only: The one host that it lets anybody connect to.
    """
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
        elif ntlm:
            lines += [
                f"auth_param ntlm program {tool(NTLM)}",
                "auth_param ntlm children 1",
                "acl known proxy_auth REQUIRED",
                "http_access allow known",
                "http_access deny all",
            ]
        elif only:
            lines += [f"acl listed dstdomain {only}", "http_access allow listed"]
            lines.append("http_access deny all")
        else:
            lines.append("http_access allow all")
        configuration = folder / "squid.conf"
        configuration.write_text("\n".join([*lines, ""]))
        words = [tool("squid"), "-N", "-f", str(configuration)]
        async with _running(CompanyProxy(words, port, log=folder / "log")) as proxy:
            yield proxy


@asynccontextmanager
async def mitmproxy(*, trusts: Path, spares: str = "") -> AsyncIterator[CompanyProxy]:
    """Serve with mitmproxy, which reads along in TLS, and writes down what it read.

    Args:
        trusts: The authority of those behind it.
        spares: A pattern of ``host:port`` whose TLS it leaves alone.
    """
    with _folder() as folder:
        port = _free_port()
        # Its own folder: it makes an authority there at its first start.
        words = [tool("mitmdump", folders=[MITMPROXY]), "--listen-host", "127.0.0.1"]
        words += ["--listen-port", str(port), "--set", f"confdir={folder}"]
        words += ["--set", f"ssl_verify_upstream_trusted_ca={trusts}"]
        words += ["--save-stream-file", str(folder / "seen"), "--set", "connection_strategy=lazy"]
        if spares:
            words += ["--ignore-hosts", spares]
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


def _free_port(at: str = "127.0.0.1") -> int:
    with socket.socket(socket.AF_INET6 if ":" in at else socket.AF_INET) as taken:
        taken.bind((at, 0))
        port: int = taken.getsockname()[1]
        return port
