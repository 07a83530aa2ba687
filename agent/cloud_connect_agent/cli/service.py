"""``cloud-connect service``: the agent as a service of this machine."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import click

from cloud_connect.command_line import CommandsByName
from cloud_connect_agent.cli.invocation import Invocation, pass_invocation, shared_options

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloud_connect_agent.hosting.service import ServiceBackend, ServiceWish

__all__ = [
    "install",
    "lend",
    "restart",
    "service",
    "start",
    "status",
    "stop",
    "take_back",
    "uninstall",
    "verify",
]

_HERE: Final = "cloud_connect_agent.cli.service"
_COMMANDS: Final = (
    *("install", "uninstall", "start", "stop", "restart", "status", "verify"),
    *("lend", "take-back"),
)


@click.group(
    cls=CommandsByName,
    modules=dict.fromkeys(_COMMANDS, _HERE),
    epilog=(
        "\b\nExamples:\n"
        "  cloud-connect service install --dry-run\n"
        "  cloud-connect service install\n"
        "  cloud-connect service install --name site-2\n"
        "  cloud-connect service status"
    ),
)
@shared_options
def service() -> None:
    """Run the agent as a service: systemd on Linux, the service control manager on Windows.

    `install` says what it does, changes only what differs, and may be run again at any time. With
    --name, a machine has several agents, each with an account, a folder and a relay of its own.
    """


def _named(command: "Callable[..., Any]") -> "Callable[..., Any]":
    """Add ``--name``."""
    return click.option(
        "--name", "instance", metavar="N", help="Which of several agents on this machine."
    )(command)


def _dry_run(command: "Callable[..., Any]") -> "Callable[..., Any]":
    """Add ``--dry-run``."""
    return click.option(
        "--dry-run", is_flag=True, help="Print what would be done, and change nothing."
    )(command)


@click.command(
    epilog=(
        "The service runs the installation whose command this is; it must be root's (Linux) or an "
        "administrator's (Windows). Settings and policy stay as they are.\n\n"
        "\b\nExamples:\n"
        "  sudo /opt/cloud-connect/bin/cloud-connect service install\n"
        "  sudo cloud-connect service install --adopt ~/.config/cloud-connect"
    )
)
@_named
@click.option(
    "--adopt",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Linux: move the enrolled agent with its settings in DIR into the service.",
)
@click.option(
    "--seal-vault",
    type=click.Choice(["auto", "yes", "no"]),
    default="auto",
    show_default=True,
    help="Linux: let only this machine open a new vault (systemd-creds).",
)
@click.option(
    "--hosted",
    is_flag=True,
    help="Linux: a hosted connector, run beside the relay for the subscription that --name names.",
)
@click.option("--no-start", is_flag=True, help="Do not start an enrolled agent.")
@_dry_run
@shared_options
@pass_invocation
def install(
    invocation: Invocation,
    *,
    instance: str | None,
    adopt: Path | None,
    seal_vault: Literal["auto", "yes", "no"],
    hosted: bool,
    no_start: bool,
    dry_run: bool,
) -> int:
    """Make this machine run the agent, from its next start on, too."""
    from cloud_connect.services.commands import carry_out, show_plan
    from cloud_connect_agent.hosting.service import service_of

    wish = _wish(
        invocation,
        instance,
        adopt=adopt,
        seal_vault=seal_vault,
        start=not no_start,
        hosted=hosted,
    )
    plan = service_of(wish).installation()
    if dry_run:
        return show_plan(plan, as_json=invocation.json)
    return carry_out(plan, as_json=invocation.json, verb="installed")


@click.command()
@_named
@click.option(
    "--purge",
    is_flag=True,
    help="Also the account and all files: identity, credentials, policy, records, logs.",
)
@click.option("--yes", is_flag=True, help="Do not ask before --purge.")
@_dry_run
@shared_options
@pass_invocation
def uninstall(
    invocation: Invocation, *, instance: str | None, purge: bool, yes: bool, dry_run: bool
) -> int:
    """Stop the service and remove it; the agent's files stay unless --purge."""
    from cloud_connect.services.commands import carry_out, show_plan

    backend = _backend(invocation, instance)
    plan = backend.removal(purge=purge)
    if dry_run:
        return show_plan(plan, as_json=invocation.json)
    if purge and not yes and not plan.refusals:
        click.confirm(
            f"Remove {backend.name} with its identity, credentials and records, for good?",
            abort=True,
            err=True,
        )
    return carry_out(plan, as_json=invocation.json, verb="removed")


@click.command()
@_named
@shared_options
@pass_invocation
def start(invocation: Invocation, *, instance: str | None) -> int:
    """Start the service, and return once it takes calls."""
    return _control(invocation, instance, "start")


@click.command()
@_named
@shared_options
@pass_invocation
def stop(invocation: Invocation, *, instance: str | None) -> int:
    """Stop the service once the running calls have ended, which takes 25 seconds at most."""
    return _control(invocation, instance, "stop")


@click.command()
@_named
@shared_options
@pass_invocation
def restart(invocation: Invocation, *, instance: str | None) -> int:
    """Stop the service and start it again, as after an upgrade."""
    return _control(invocation, instance, "restart")


@click.command()
@_named
@shared_options
@pass_invocation
def status(invocation: Invocation, *, instance: str | None) -> int:
    """Say what the service manager knows; exit 0 only if the service runs.

    Whether the agent is connected is another question: `cloud-connect status`.
    """
    from cloud_connect.services.commands import show_status

    found = _backend(invocation, instance).status()
    named = "" if instance is None else f" --name {instance}"
    return show_status(
        found, as_json=invocation.json, install=f"cloud-connect service install{named}"
    )


@click.command()
@_named
@shared_options
@pass_invocation
def verify(invocation: Invocation, *, instance: str | None) -> int:
    """Read back from this machine what the installation set; exit 1 if anything differs."""
    from cloud_connect.services.commands import show_findings

    return show_findings(_backend(invocation, instance).verify(), as_json=invocation.json)


@click.command(hidden=True)
@_named
@shared_options
@pass_invocation
def lend(invocation: Invocation, *, instance: str | None) -> None:
    """Let the stopped service's account replace policy and approvals, for a restore."""
    from cloud_connect_agent.hosting.systemd_service import systemd_service

    systemd_service(_wish(invocation, instance)).lend()


@click.command(hidden=True)
@_named
@shared_options
@pass_invocation
def take_back(invocation: Invocation, *, instance: str | None) -> None:
    """Give policy and approvals back to root."""
    from cloud_connect_agent.hosting.systemd_service import systemd_service

    systemd_service(_wish(invocation, instance)).take_back()


def _backend(invocation: Invocation, instance: str | None) -> "ServiceBackend":
    from cloud_connect_agent.hosting.service import service_of

    return service_of(_wish(invocation, instance))


def _wish(
    invocation: Invocation,
    instance: str | None,
    *,
    adopt: Path | None = None,
    seal_vault: Literal["auto", "yes", "no"] = "auto",
    start: bool = True,
    hosted: bool = False,
) -> "ServiceWish":
    from cloud_connect_agent.hosting.service import ServiceWish

    return ServiceWish(
        instance=instance,
        home=invocation.home,
        adopt=adopt,
        seal_vault=seal_vault,
        start=start,
        hosted=hosted,
    )


def _control(invocation: Invocation, instance: str | None, verb: str) -> int:
    from cloud_connect.services.backend import Verb
    from cloud_connect.services.commands import command_service

    return command_service(_backend(invocation, instance), Verb(verb), as_json=invocation.json)
