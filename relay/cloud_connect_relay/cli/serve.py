"""``cloud-connect-relay serve``: runs a node in the foreground."""

import asyncio
import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cloud_connect.memory import bound_heaps, settle
from cloud_connect_relay.cli.invocation import Invocation, pass_invocation, shared_options
from cloud_connect_relay.cli.open_files import allow_open_files
from cloud_connect_relay.cli.parameters import database_option

if TYPE_CHECKING:
    from cloud_connect_relay.addresses import Addresses
    from cloud_connect_relay.settings import RelaySettings

__all__ = ["serve"]

_PORT = click.IntRange(0, 65_535)
_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.option("--host", metavar="H", help="Address to bind.  [default: 127.0.0.1]")
@click.option("--port", type=_PORT, help="Port of the API; 0 picks one.  [default: 8080]")
@click.option("--tunnel-port", type=_PORT, help="Port that agents dial.  [default: 8081]")
@click.option("--public-url", metavar="URL", help="Where the relay is reached from outside.")
@database_option
@click.option("--node", metavar="NAME", help="Name of this process among several.")
@click.option("--tls-cert", type=_FILE, metavar="FILE", help="Certificate (PEM): speak TLS.")
@click.option("--tls-key", type=_FILE, metavar="FILE", help="Its private key (PEM).")
@shared_options
@pass_invocation
def serve(invocation: Invocation, /, **flags: Any) -> None:
    """Run the relay until SIGTERM or Ctrl-C, which let the running calls end.

    The first line on standard output says where it listens. Plain HTTP is for loopback
    addresses; elsewhere give --tls-cert and --tls-key, or --public-url https://… if a proxy in
    front ends TLS.
    """
    settings = invocation.settings(flags)
    invocation.configure_logs(level=settings.log.level, style=settings.log.format)
    allow_open_files()
    bound_heaps()
    with (
        _sole_server(settings),
        asyncio.Runner(loop_factory=_loop_factory()) as runner,
    ):
        runner.run(_serve(invocation, settings))


def _sole_server(settings: "RelaySettings") -> contextlib.AbstractContextManager[None]:
    """Keep a second process off a store that is a file of this machine."""
    from cloud_connect_relay.cli.sole_process import sole_process

    if not settings.alone:
        return contextlib.nullcontext()
    return sole_process(settings.paths.lock_file)


async def _serve(invocation: Invocation, settings: "RelaySettings") -> None:
    import os

    from cloud_connect.services.notifying import ServiceManager
    from cloud_connect_relay.app import run_relay
    from cloud_connect_relay.cli.signals import stop_signals
    from cloud_connect_relay.cli.store import open_store

    def say_ready(addresses: "Addresses") -> None:
        settle()
        click.echo(_ready_line(settings, addresses, as_json=invocation.json))

    with stop_signals() as stop:
        async with open_store(invocation, settings) as (storage, identity):
            await run_relay(
                settings,
                storage=storage,
                identity=identity,
                stop=stop,
                on_ready=say_ready,
                manager=ServiceManager.of(os.environ),  # noqa: TID251 - not a setting of ours
            )


def _ready_line(settings: "RelaySettings", addresses: "Addresses", *, as_json: bool) -> str:
    if not as_json:
        return f"ready api={addresses.base_url} tunnel={addresses.tunnel_url}"
    return json.dumps(
        {
            "ready": True,
            "event": "ready",
            "url": addresses.base_url,
            "api_url": addresses.api_url,
            "tunnel_url": addresses.tunnel_url,
            "public_url": addresses.base_url,
            "docs_url": f"{addresses.base_url}/docs",
            "node": settings.node,
            "port": addresses.port,
            "tunnel_port": addresses.tunnel_port,
        }
    )


def _loop_factory() -> Any:
    try:
        import uvloop
    except ImportError:  # there is none for Windows
        return None
    return uvloop.new_event_loop
