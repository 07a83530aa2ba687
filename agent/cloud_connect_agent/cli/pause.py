"""``cloud-connect pause`` and ``resume``: take no calls for a while."""

import re

import click

from cloud_connect.terminal import print_json
from cloud_connect_agent.cli.invocation import Invocation, pass_invocation, shared_options
from cloud_connect_agent.control import ask

__all__ = ["pause", "resume"]

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_MAX_SECONDS = 30 * 86400


def _seconds(_: click.Context, __: click.Parameter, value: str | None) -> float | None:
    if value is None:
        return None
    found = re.fullmatch(r"([0-9]{1,9})([smhd]?)", value)
    seconds = int(found[1]) * _UNITS[found[2] or "s"] if found else 0
    if not 0 < seconds <= _MAX_SECONDS:
        raise click.BadParameter(f"{value!r} is no duration; write 90s, 10m, 2h or 1d.")
    return float(seconds)


@click.command(epilog="\b\nExamples:\n  cloud-connect pause\n  cloud-connect pause --for 10m")
@click.option("--for", "seconds", callback=_seconds, metavar="TIME", help="Resume by itself then.")
@shared_options
@pass_invocation
def pause(invocation: Invocation, seconds: float | None) -> None:
    """Take no new calls until `resume`; what runs is finished, the connection stays."""
    invocation.enrolled()
    ask(invocation.paths.control_socket, {"command": "pause", "seconds": seconds})
    if invocation.json:
        print_json({"paused": True, "seconds": seconds})
    else:
        click.echo("Paused." if seconds is None else f"Paused for {seconds:g} seconds.")


@click.command()
@shared_options
@pass_invocation
def resume(invocation: Invocation) -> None:
    """Take calls again after `pause`."""
    invocation.enrolled()
    ask(invocation.paths.control_socket, {"command": "resume"})
    if invocation.json:
        print_json({"paused": False})
    else:
        click.echo("Resumed.")
