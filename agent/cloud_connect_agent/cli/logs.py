"""``cloud-connect logs``: what the agent did."""

import contextlib
import sys
import time

import click

from cloud_connect.errors import CloudConnectError
from cloud_connect.terminal import print_json
from cloud_connect_agent.cli.invocation import Invocation, pass_invocation, shared_options
from cloud_connect_agent.cli.terminal import note

__all__ = ["logs"]


def _since(context: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    from cloud_connect.audit import parse_moment

    if value is None:
        return None
    try:
        return parse_moment(value, now=time.time())
    except ValueError as exc:
        raise click.BadParameter(f"{value!r}: {exc}.", context, parameter) from exc


@click.command(
    epilog=(
        "\b\nExamples:\n  cloud-connect logs -n 200\n  cloud-connect logs --follow\n"
        "  cloud-connect logs --since 2h --level warning\n  cloud-connect logs --call call_01J9…"
    )
)
@click.option("-f", "--follow", is_flag=True, help="Go on printing what is logged, until Ctrl-C.")
@click.option(
    "-n",
    "--lines",
    type=click.IntRange(0, 1_000_000),
    default=50,
    show_default=True,
    help="How many of the last lines to begin with; all since then, with --since.",
)
@click.option("--since", callback=_since, metavar="TIME", help="From then on: 2h, 2026-11-24, …")
@click.option(
    "--level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    help="Only what is at least as grave.",
)
@click.option("--call", "call_id", metavar="ID", help="Only what was logged for that call.")
@shared_options
@pass_invocation
@click.pass_context
def logs(
    context: click.Context,
    invocation: Invocation,
    *,
    follow: bool,
    lines: int,
    since: float | None,
    level: str | None,
    call_id: str | None,
) -> None:
    """Print the agent's log in readable form; with --json, as it is in the file.

    With --follow --json each event is a line of its own.
    """
    from cloud_connect_agent.logs import (
        Mark,
        Wanted,
        event_of,
        follow_lines,
        last_lines,
        readable,
    )

    file = invocation.paths.log_file
    wanted = Wanted(since=since, level=level, call_id=call_id)
    given = context.get_parameter_source("lines") is click.core.ParameterSource.COMMANDLINE
    most = lines if since is None or given else 1_000_000
    try:
        end = Mark.end_of(file)
        found = last_lines(file, most, wanted=wanted, until=end) if most else []
        exists = file.exists()
    except OSError as exc:
        raise CloudConnectError(
            f"{file} cannot be read: {exc.strerror}; run the command as the account that runs the "
            "agent, or as an administrator."
        ) from exc
    if invocation.json and not follow:
        events = (event_of(line) for line in found)
        print_json([event for event in events if event is not None])
        return
    if not found and not follow and most:
        note(
            "Nothing of the kind is logged."
            if exists
            else "Nothing is logged yet; the log begins with `cloud-connect run`."
        )
        return
    colors = sys.stdout.isatty()

    def show(line: str) -> None:
        if not invocation.json:
            click.echo(readable(line, colors=colors))
        elif event_of(line) is not None:
            click.echo(line)

    # Ctrl-C is how following usually ends, and no failure.
    ending = contextlib.suppress(KeyboardInterrupt) if follow else contextlib.nullcontext()
    with ending:
        for line in found:
            show(line)
        if follow:
            for line in filter(wanted, follow_lines(file, after=end)):
                show(line)
