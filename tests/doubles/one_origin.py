"""The proxies of ``service/proxies`` as users run them, on ports and certificates of a test."""

import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from doubles.front_proxies import free_port, running_front
from doubles.tools import tool

__all__ = ["FRONTS", "front"]

EXAMPLES: Final = Path(__file__).parent.parent.parent / "service" / "proxies"
FRONTS: Final = ("nginx", "caddy")


@asynccontextmanager
async def front(
    name: str,
    folder: Path,
    *,
    api: int,
    tunnel: int,
    certificate: tuple[Path, Path],
    port: int | None = None,
) -> AsyncIterator[int]:
    """Run the example of one proxy in front of two ports; yields its own, for ``localhost``."""
    port = free_port() if port is None else port
    write = _nginx if name == "nginx" else _caddy
    command = write(folder, port, certificate, {8080: api, 8081: tunnel})
    async with running_front(command, folder / "output", port):
        yield port


def _changed(text: str, changes: dict[str, str]) -> str:
    """Replace what an example says by what a test has; each has to be there."""
    for before, after in changes.items():
        assert before in text, before
        text = text.replace(before, after)
    return text


def _nginx(
    folder: Path, port: int, certificate: tuple[Path, Path], ports: dict[int, int]
) -> tuple[str, ...]:
    folder.mkdir()
    example = _changed(
        (EXAMPLES / "nginx.conf").read_text(),
        {
            "listen 443 ssl;": f"listen 127.0.0.1:{port} ssl;",
            "listen [::]:443 ssl;": "",
            "server_name relay.example.com;": "server_name localhost;",
            "/etc/ssl/relay/fullchain.pem;": f"{certificate[0]};",
            "/etc/ssl/relay/privkey.pem;": f"{certificate[1]};",
            **{f"127.0.0.1:{before};": f"127.0.0.1:{after};" for before, after in ports.items()},
        },
    )
    config = folder / "nginx.conf"
    config.write_text(f"""
        daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log;
        events {{ worker_connections 512; }}
        http {{
          access_log off;
          client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
          fastcgi_temp_path {folder}/fast; uwsgi_temp_path {folder}/uw; scgi_temp_path {folder}/sc;
          {example}
        }}""")
    return (tool("nginx"), "-p", str(folder), "-c", str(config))


def _caddy(
    folder: Path, port: int, certificate: tuple[Path, Path], ports: dict[int, int]
) -> tuple[str, ...]:
    folder.mkdir()
    example = _changed(
        (EXAMPLES / "Caddyfile").read_text(),
        {
            "\nrelay.example.com {": (
                f"\nlocalhost:{port} {{\n\tbind 127.0.0.1\n\ttls {certificate[0]} {certificate[1]}"
            ),
            **{
                f"127.0.0.1:{before} {{": f"127.0.0.1:{after} {{" for before, after in ports.items()
            },
        },
    )
    config = folder / "Caddyfile"
    config.write_text("{\n\tadmin off\n\tauto_https off\n}\n" + example)
    program = tool("caddy")
    home = ("env", f"XDG_DATA_HOME={folder}", f"XDG_CONFIG_HOME={folder}", f"HOME={folder}")
    assert re.search(r"^\tadmin off$", config.read_text(), re.MULTILINE)
    assert os.access(program, os.X_OK)
    return (*home, program, "run", "--config", str(config), "--adapter", "caddyfile")
