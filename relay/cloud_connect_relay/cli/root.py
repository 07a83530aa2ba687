"""``cloud-connect-relay`` itself: its commands, and how their errors are shown."""

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Final

import click

from cloud_connect.errors import CloudConnectError, ConfigurationError
from cloud_connect_relay.cli.invocation import shared_options

__all__ = ["main"]

BAD_CONFIGURATION: Final = 78  # EX_CONFIG of sysexits.h

# A command's module is imported when it is used: the others would only cost time.
_COMMANDS: Final = {
    "init": ("init", "Create the store, a subscription, an administrator and a key."),
    "serve": ("serve", "Run the relay in the foreground."),
    "subscription": ("subscription", "Create, list and revoke subscriptions."),
    "user": ("user", "Create, list and revoke the people who may sign in."),
    "key": ("key", "Create, list and revoke API keys."),
    "token": ("token", "Create, list and revoke join tokens for agents."),
    "demo": ("demo", "Try the whole way on this machine, without an account."),
}


class _Commands(click.Group):
    """Finds commands by name, without importing the rest."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        """Return the names in the order in which they are needed."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  click's signature
        """Import the command."""
        if cmd_name not in _COMMANDS:
            return None
        module = import_module(f"cloud_connect_relay.cli.{_COMMANDS[cmd_name][0]}")
        command = getattr(module, cmd_name)
        return command if isinstance(command, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  click's signature
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in _COMMANDS.items()])


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="\b\nFirst steps:\n  cloud-connect-relay init\n  cloud-connect-relay serve",
)
@click.version_option(package_name="cloud-connect", prog_name="cloud-connect-relay")
@shared_options
def cloud_connect_relay() -> None:
    """Route calls of a low-code platform to the connector PCs chosen for a data source.

    Agents on those PCs dial out to this relay; they alone hold the credentials of Procore.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with the status that says how it went."""
    sys.exit(_run(list(sys.argv[1:] if arguments is None else arguments)))


def _run(arguments: list[str]) -> int:
    try:
        result = cloud_connect_relay.main(arguments, "cloud-connect-relay", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("Stopped.", err=True)
        return 1
    except BrokenPipeError:
        # Whoever read the output went away, such as `head`; spare Python's complaint at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:  # the border of the process: no traceback for people
        if "--debug" in arguments:
            raise
        known = _known(error)
        if known is None:
            _show(
                f"Something unexpected happened ({_name(error)}); run the command again with"
                " --debug and report what it says."
            )
            return 1
        _show(known.message)
        return BAD_CONFIGURATION if isinstance(known, ConfigurationError) else 1
    return result if isinstance(result, int) else 0


def _show(sentence: str) -> None:
    click.echo(f"{click.style('Error:', fg='red')} {sentence}", err=True)


def _name(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return _name(error.exceptions[0])
    return type(error).__name__


def _known(error: BaseException) -> CloudConnectError | None:
    """Return the error of ours, which a task group may have wrapped."""
    if isinstance(error, CloudConnectError):
        return error
    if isinstance(error, BaseExceptionGroup):
        found = (_known(inner) for inner in error.exceptions)
        return next((inner for inner in found if inner is not None), None)
    return None
