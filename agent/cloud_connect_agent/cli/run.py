"""``cloud-connect run``: the agent, in the foreground."""

from typing import TYPE_CHECKING

import click

from cloud_connect_agent.cli.invocation import Invocation, pass_invocation, shared_options

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Callable

    from cloud_connect_agent.hosting.manager import Manager

__all__ = ["loop_factory", "run", "serve_agent"]


@click.command(
    epilog=(
        "SIGTERM or Ctrl-C ends it after the running calls, 25 seconds at most; a second one ends "
        "it at once. SIGHUP reads settings and policy again.\n\n"
        "\b\nExample:\n  cloud-connect --home /var/lib/cloud-connect run"
    )
)
@shared_options
@pass_invocation
def run(invocation: Invocation) -> int:
    """Connect to the relay and serve calls until told to stop."""
    import os

    from cloud_connect_agent.cli.exits import NotEnrolledError
    from cloud_connect_agent.hosting.manager import SignalledManager

    manager = SignalledManager.of(os.environ)  # noqa: TID251 - not a setting of ours
    try:
        return serve_agent(invocation, manager)
    except NotEnrolledError:
        manager.done("Not enrolled.")
        raise


def serve_agent(invocation: Invocation, manager: "Manager") -> int:
    """Run the agent until it ends; return the exit status.

    Args:
        manager: What runs it as a service, or the terminal.

    Raises:
        CloudConnectError: If it cannot start; the message says why.
    """
    import asyncio
    import os
    from functools import partial

    from cloud_connect.memory import bound_heaps
    from cloud_connect_agent.app import run_agent
    from cloud_connect_agent.cli.config import settings_document
    from cloud_connect_agent.logs import configure_logs
    from cloud_connect_agent.run_lock import run_lock
    from cloud_connect_agent.upkeep.migrating import migrate

    settings = invocation.enrolled()
    paths = invocation.paths
    with run_lock(paths):
        log_as = partial(
            configure_logs,
            file=paths.log_file,
            debug=invocation.debug,
            journal=os.environ.get("JOURNAL_STREAM"),  # noqa: TID251 - not a setting of ours
        )
        log_as(settings.log)
        migrate(paths)
        bound_heaps()
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            return runner.run(
                run_agent(
                    paths,
                    load=invocation.settings,
                    manager=manager,
                    log_as=log_as,
                    list_settings=partial(settings_document, invocation),
                )
            )


def loop_factory() -> "Callable[[], AbstractEventLoop] | None":
    """Return what makes the fastest event loop here; ``None`` is asyncio's own."""
    try:
        import uvloop
    except ImportError:  # there is none for Windows
        return None
    return uvloop.new_event_loop
