"""``cloud-connect`` itself: its commands, and how their errors are shown."""

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Final

import click

from cloud_connect.errors import CloudConnectError
from cloud_connect_agent.cli.exits import ExitStatus, exit_status_of
from cloud_connect_agent.cli.invocation import shared_options
from cloud_connect_agent.version import VERSION

__all__ = ["main"]

# A command's module is imported when it is used: the others would only cost time.
_COMMANDS: Final = {
    "enrol": "enrol",
    "run": "run",
    "status": "status",
    "procore": "procore",
    "test": "connection",
    "policy": "policy",
    "logs": "logs",
    "pause": "pause",
    "resume": "pause",
    "unenrol": "unenrol",
}
_ALIASES: Final = {"enroll": "enrol", "unenroll": "unenrol"}


class _Commands(click.Group):
    """Finds commands by name, without importing the rest."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names in the order in which they are needed."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Import the command."""
        name = _ALIASES.get(cmd_name, cmd_name)
        if name not in _COMMANDS:
            return None
        module = import_module(f"cloud_connect_agent.cli.{_COMMANDS[name]}")
        command = getattr(module, name)
        return command if isinstance(command, click.Command) else None


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=(
        "\b\nFirst steps:\n"
        "  cloud-connect enrol --relay https://relay.example.com\n"
        "  cloud-connect procore app --environment live --client-id ID\n"
        "  cloud-connect procore login --environment live --grant client-credentials\n"
        "  cloud-connect run"
    ),
)
@click.version_option(VERSION, prog_name="cloud-connect")
@shared_options
def cloud_connect() -> None:
    """Run Procore calls of a low-code platform from this PC.

    The agent on this PC dials out to a relay, takes calls from it as far as the policy on this
    PC allows, and executes them at Procore with credentials that never leave the PC.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with the status that says how it went."""
    sys.exit(_run(list(sys.argv[1:] if arguments is None else arguments)))


def _run(arguments: list[str]) -> int:
    try:
        result = cloud_connect.main(arguments, "cloud-connect", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as exc:
        exc.show()
        return exc.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("Stopped.", err=True)
        return ExitStatus.FAILED
    except BrokenPipeError:
        # Whoever read the output went away, such as `head`; spare Python's complaint at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitStatus.FAILED
    except Exception as exc:  # the border of the process: no traceback for people
        if "--debug" in arguments:
            raise
        known = _known(exc)
        if known is not None:
            click.echo(f"{click.style('Error:', fg='red')} {known.message}", err=True)
            return exit_status_of(known)
        click.echo(
            f"{click.style('Error:', fg='red')} Something unexpected happened "
            f"({type(exc).__name__}); run the command again with --debug and report what it says.",
            err=True,
        )
        return ExitStatus.FAILED
    return result if isinstance(result, int) else ExitStatus.DONE


def _known(error: BaseException) -> CloudConnectError | None:
    """Return the error of ours, which a task group may have wrapped."""
    if isinstance(error, CloudConnectError):
        return error
    if isinstance(error, BaseExceptionGroup):
        found = (_known(inner) for inner in error.exceptions)
        return next((inner for inner in found if inner is not None), None)
    return None
