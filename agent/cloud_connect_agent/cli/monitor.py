"""``cloud-connect monitor``: this PC's agent as a window in the terminal."""

import sys

import click

from cloud_connect_agent.cli.invocation import Invocation, pass_invocation, shared_options

__all__ = ["monitor"]


@click.command(
    epilog=(
        "Keys: p pause, r resume, c clear the log, ? help, q quit. Works over SSH and in Windows "
        "Terminal, without a mouse.\n\n"
        "\b\nExample:\n  cloud-connect monitor"
    )
)
@shared_options
@pass_invocation
def monitor(invocation: Invocation) -> None:
    """Show this PC's agent in a window: status, accounts, calls, log.

    The window may be opened before the agent runs and stays open when it stops; closing it
    changes nothing.
    """
    if invocation.json:
        raise click.UsageError(
            "The monitor is a window for people; programs ask `cloud-connect status --json`."
        )
    # The window is drawn on standard error, as textual does it.
    if not (sys.stdin.isatty() and sys.stdout.isatty() and sys.stderr.isatty()):
        raise click.UsageError(
            "The monitor needs a terminal; elsewhere use `cloud-connect status`."
        )
    settings = invocation.enrolled()
    import socket

    from cloud_connect_agent.monitor.agent import WatchedAgent
    from cloud_connect_agent.monitor.reading import Identity
    from cloud_connect_agent.monitor.window import MonitorWindow

    identity = Identity(
        machine=socket.gethostname(),
        name=settings.name,
        connector_id=settings.relay.connector_id or "",
        relay=settings.relay.url or "",
    )
    agent = WatchedAgent(paths=invocation.paths, identity=identity)
    window = MonitorWindow(agent, log_file=invocation.paths.log_file)
    window.run(mouse=False)  # so that the terminal's own selection works, for ids to be copied
    if window.failure is not None:
        raise window.failure
