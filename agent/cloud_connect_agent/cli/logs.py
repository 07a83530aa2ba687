"""``cloud-connect logs``: what the agent did."""

import contextlib
import json
import sys

import click

from cloud_connect.terminal import print_json
from cloud_connect_agent.cli.invocation import Invocation, pass_invocation, shared_options
from cloud_connect_agent.cli.terminal import note

__all__ = ["logs"]


@click.command(epilog="\b\nExamples:\n  cloud-connect logs -n 200\n  cloud-connect logs --follow")
@click.option("-f", "--follow", is_flag=True, help="Go on printing what is logged, until Ctrl-C.")
@click.option(
    "-n",
    "--lines",
    type=click.IntRange(0, 1_000_000),
    default=50,
    show_default=True,
    help="How many of the last lines to begin with.",
)
@shared_options
@pass_invocation
def logs(invocation: Invocation, *, follow: bool, lines: int) -> None:
    """Print the agent's log in readable form; with --json, as it is in the file."""
    from cloud_connect_agent.logs import follow_lines, last_lines, readable

    file = invocation.paths.log_file
    found = last_lines(file, lines) if lines else []
    if invocation.json and not follow:
        print_json([json.loads(line) for line in found])
        return
    if not found and not follow and lines:
        note("Nothing is logged yet; the log begins with `cloud-connect run`.")
        return
    colors = sys.stdout.isatty()

    def show(line: str) -> None:
        click.echo(line if invocation.json else readable(line, colors=colors))

    # Ctrl-C is how following usually ends, and no failure.
    ending = contextlib.suppress(KeyboardInterrupt) if follow else contextlib.nullcontext()
    with ending:
        for line in found:
            show(line)
        if follow:
            for line in follow_lines(file):
                show(line)
