"""Reverse proxies in front of a relay, as its operators run them: nginx and HAProxy."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from doubles.tools import tool

__all__ = ["FrontProxy", "free_port", "haproxy", "nginx", "running_front"]

START_TIMEOUT: Final = 10.0


@dataclass(frozen=True, kw_only=True)
class FrontProxy:
    """A proxy that runs.

    Attributes:
        requested: The targets of the requests that it has taken for one each, so far.
    """

    name: str
    port: int
    requested: Callable[[], list[str]]


def free_port() -> int:
    """A port that nothing listens on; somebody else may be quicker to take it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


@asynccontextmanager
async def nginx(folder: Path, upstream: int) -> AsyncIterator[FrontProxy]:
    """nginx, which keeps its connections to the relay for anybody's next request."""
    program = tool("nginx")
    port, log = free_port(), folder / "nginx-requests.log"
    log.touch()
    config = folder / "nginx.conf"
    config.write_text(f"""
        daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/nginx.log;
        events {{ worker_connections 512; }}
        http {{
          log_format target '$request_uri';
          access_log {log} target;
          client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
          fastcgi_temp_path {folder}/fast; uwsgi_temp_path {folder}/uw; scgi_temp_path {folder}/sc;
          client_header_timeout 1s; client_body_timeout 1s; underscores_in_headers on;
          upstream relay {{ server 127.0.0.1:{upstream}; keepalive 8; }}
          server {{
            listen 127.0.0.1:{port};
            location / {{
              proxy_pass http://relay; proxy_http_version 1.1; proxy_set_header Connection "";
              proxy_request_buffering off; proxy_next_upstream off;
            }}
          }}
        }}""")
    command = (program, "-p", str(folder), "-c", str(config))
    async with running_front(command, folder / "nginx.out", port):
        yield FrontProxy(name="nginx", port=port, requested=lambda: log.read_text().splitlines())


@asynccontextmanager
async def haproxy(folder: Path, upstream: int) -> AsyncIterator[FrontProxy]:
    """HAProxy, which does the same."""
    program = tool("haproxy")
    port, log = free_port(), folder / "haproxy.out"
    config = folder / "haproxy.cfg"
    config.write_text(f"""
global
    log stdout format raw local0
    maxconn 512
defaults
    mode http
    log global
    log-format "asked %HU"
    http-reuse always
    timeout connect 2s
    timeout client 1s
    timeout http-request 1s
    timeout server 5s
frontend front
    bind 127.0.0.1:{port}
    default_backend relay
backend relay
    server one 127.0.0.1:{upstream}
""")

    def requested() -> list[str]:
        lines = log.read_text(errors="replace").splitlines()
        return [line.removeprefix("asked ") for line in lines if line.startswith("asked ")]

    async with running_front((program, "-db", "-f", str(config)), log, port):
        yield FrontProxy(name="haproxy", port=port, requested=requested)


def _last_words(output: Path) -> str:
    return output.read_text(errors="replace")


@asynccontextmanager
async def running_front(command: tuple[str, ...], output: Path, port: int) -> AsyncIterator[None]:
    """Run a proxy until the block ends; it listens on *port* when the block begins."""
    with output.open("wb") as sink:
        process = await asyncio.create_subprocess_exec(*command, stdout=sink, stderr=sink)
    try:
        async with asyncio.timeout(START_TIMEOUT):
            while True:
                assert process.returncode is None, _last_words(output)
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    await asyncio.sleep(0.05)
                else:
                    writer.close()
                    break
        yield
    finally:
        if process.returncode is None:
            process.terminate()
        try:
            async with asyncio.timeout(5):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
