"""``cloud-connect-relay`` itself, and what its commands do."""

from collections.abc import Sequence
from typing import Final

import click

from cloud_connect.command_line import CommandsByName, ExitStatus, run_and_exit
from cloud_connect.errors import CloudConnectError, ConfigurationError
from cloud_connect_relay.cli.invocation import shared_options

__all__ = ["main"]

# Each is in the module of its name.
_COMMANDS: Final = {
    "init": "Create the store, a subscription, an administrator and a key.",
    "serve": "Run the relay in the foreground.",
    "subscription": "Create, list and revoke subscriptions.",
    "user": "Create, list, change and revoke the people who may sign in.",
    "key": "Create, list, rotate and revoke API keys.",
    "connector": "List, approve, recover and revoke enrolled agents.",
    "token": "Create, list and revoke join tokens for agents.",
    "custom-connector": "Create, list and delete ways for Kianda to call the relay.",
    "audit": "Verify, list and export the record of who did what.",
    "service": "Install, remove, start and stop the relay as a service.",
    "backup": "Save the relay into one sealed file, also while it runs.",
    "restore": "Make this machine the relay that a backup holds.",
    "recover": "After a restored backup: let every connector connect once.",
    "demo": "Try the whole way on this machine, without an account.",
}


class _Commands(CommandsByName):
    """Lists the commands without importing them."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  click's signature
        """Write what each command does."""
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(
    cls=_Commands,
    modules={name: f"cloud_connect_relay.cli.{name.replace('-', '_')}" for name in _COMMANDS},
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
    run_and_exit(
        cloud_connect_relay, arguments, program="cloud-connect-relay", status_of=_status_of
    )


def _status_of(error: CloudConnectError) -> ExitStatus:
    wrong = isinstance(error, ConfigurationError)
    return ExitStatus.BAD_CONFIGURATION if wrong else ExitStatus.FAILED
