"""``cloud-connect-relay demo``: the whole way once, on this machine, without an account."""

import asyncio
import contextlib
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import click
from rich.console import Console
from rich.table import Table

from cloud_connect.errors import CloudConnectError
from cloud_connect_relay.cli.signals import stop_signals
from cloud_connect_relay.demo import Ensemble, start_ensemble, tell_story

__all__ = ["demo"]

_LOOK_SECONDS: Final = 1.0  # between two looks at whether all of it still runs


@click.command()
@click.option("--once", is_flag=True, help="Exit after the last step instead of running on.")
def demo(*, once: bool) -> None:
    """Start a relay, a Procore simulator and two agents, and run calls through them.

    Everything runs on this machine, in a temporary folder that is removed at the end.
    """
    console = Console(highlight=False)
    try:
        asyncio.run(_run(console, once=once))
    except KeyboardInterrupt:
        console.print("\nStopped.")
    except CloudConnectError as error:
        console.print(f"  [red]✗[/red] {error.message}", soft_wrap=True)
        sys.exit(1)


async def _run(console: Console, *, once: bool) -> None:
    console.print("[bold]Cloud Connect demo[/bold]  relay, simulator and agents on this machine\n")
    began = time.monotonic()

    def tell(title: str, detail: str) -> None:
        seconds = time.monotonic() - began
        line = Table.grid(padding=(0, 1), expand=True)
        line.add_column(width=3, justify="right")
        line.add_column(width=26)
        line.add_column(ratio=1, style="dim", overflow="fold")
        line.add_column(justify="right", style="dim")
        line.add_row("[green]✓[/green]", title, detail, f"{seconds:.1f} s")
        console.print(line)

    with tempfile.TemporaryDirectory(prefix="cloud-connect-demo-") as folder:
        async with start_ensemble(Path(folder), tell=tell, hosted=True) as ensemble:
            datasource_id = await tell_story(ensemble, tell=tell)
            console.print("\n[bold green]Every step succeeded.[/bold green]")
            if once:
                return
            _show_signpost(console, ensemble, datasource_id)
            await _until_stopped(ensemble)
        console.print("\nStopped.")


def _show_signpost(console: Console, ensemble: Ensemble, datasource_id: str) -> None:
    """Say what to try; each thing to copy stays in one piece, however narrow the terminal."""
    records = f"{ensemble.api_url}/api/datasources/{datasource_id}/records/rfis?limit=3"
    login = f"{ensemble.administrator['username']} / {ensemble.administrator['password']}"
    status = f"{_beside('cloud-connect')} status --home {ensemble.home}"
    call = f"curl -H 'Authorization: Bearer {ensemble.api_key}' '{records}'"
    console.print("\n[bold]Running until Ctrl-C[/bold]\n")
    for title, text in (
        ("Console", f"{ensemble.api_url}/console/"),
        ("Login", login),
        ("API, docs", f"{ensemble.api_url}/docs"),
        ("API key", ensemble.api_key),
        ("Read RFIs", call),
        ("Agent", status),
    ):
        console.print(f"  [bold]{title:<10}[/bold] {text}", soft_wrap=True)


def _beside(command: str) -> str:
    """Return the path of another command of this installation, as it can be pasted here."""
    path = Path(sys.executable).parent / command
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


async def _until_stopped(ensemble: Ensemble) -> None:
    """Wait for Ctrl-C or SIGTERM, or raise when one of the programs ends before."""
    with stop_signals() as stopped:
        while not stopped.is_set():
            await ensemble.check()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_SECONDS):
                    await stopped.wait()
