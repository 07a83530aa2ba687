"""``cloud-connect`` itself, and where its commands are."""

from collections.abc import Sequence
from typing import Final

import click

from cloud_connect.command_line import CommandsByName, run_and_exit
from cloud_connect_agent.cli.exits import exit_status_of
from cloud_connect_agent.cli.invocation import shared_options
from cloud_connect_agent.version import VERSION

__all__ = ["main"]

_MODULES: Final = {
    "enrol": "enrol",
    "run": "run",
    "status": "status",
    "doctor": "doctor",
    "procore": "procore",
    "test": "connection",
    "policy": "policy",
    "catalog": "catalog",
    "journal": "journal",
    "keys": "keys",
    "audit": "audit",
    "monitor": "monitor",
    "config": "config",
    "reload": "reload",
    "wait": "wait",
    "logs": "logs",
    "requests": "requests",
    "support-bundle": "support_bundle",
    "firewall-sheet": "firewall_sheet",
    "pause": "pause",
    "resume": "pause",
    "rotate-key": "rotate_key",
    "backup": "backup",
    "restore": "restore",
    "update": "update",
    "reset": "reset",
    "unenrol": "unenrol",
    "service": "service",
    "completion": "completion",
    "windows-setup": "windows_setup",
}


@click.group(
    cls=CommandsByName,
    modules={name: f"cloud_connect_agent.cli.{module}" for name, module in _MODULES.items()},
    aliases={"enroll": "enrol", "unenroll": "unenrol"},
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
    run_and_exit(cloud_connect, arguments, program="cloud-connect", status_of=exit_status_of)
