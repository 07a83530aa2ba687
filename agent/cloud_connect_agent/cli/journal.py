"""``cloud-connect journal``: the record of writes, and what to do when it was damaged."""

import sys
from datetime import UTC, datetime

import click

from cloud_connect.command_line import ExitStatus
from cloud_connect.errors import CloudConnectError
from cloud_connect.terminal import fields, print_json
from cloud_connect_agent.cli.invocation import Invocation, pass_invocation, shared_options
from cloud_connect_agent.cli.recording import record_event

__all__ = ["journal"]


@click.group()
@shared_options
def journal() -> None:
    """Look after the record of writes, by which none is lost or carried out twice."""


@journal.command(epilog="Exit status: 0 if the journal is whole, else 1.")
@shared_options
@pass_invocation
def status(invocation: Invocation) -> int:
    """Say whether the journal is whole; if not, why, and since when writes are refused."""
    from cloud_connect_agent.journal import Damage

    try:
        damage = Damage.read(invocation.paths.journal_file)
    except OSError as exc:
        raise CloudConnectError(f"The state folder cannot be read: {exc.strerror}.") from exc
    if invocation.json:
        print_json(
            {
                "damaged": damage is not None,
                "reason": damage and damage.reason,
                "found_at": damage and _iso(damage.found_at),
                "kept_as": damage and damage.kept_as,
            }
        )
    elif damage is None:
        click.echo("The journal is not known to be damaged.")
    else:
        fields(
            [
                ("Damage", damage.reason),
                ("Found", _iso(damage.found_at) or ""),
                ("Kept as", str(invocation.paths.journal_file.with_name(damage.kept_as))),
                ("Writes", "refused; reads go on"),
            ]
        )
    return ExitStatus.DONE if damage is None else ExitStatus.FAILED


@journal.command(
    "accept-loss",
    epilog=(
        "Before you do: what became of the writes in the damaged journal can only be seen in "
        "Procore. The relay calls those whose answer it has not got “unknown”, for good.\n\n"
        "\b\nExamples:\n  cloud-connect journal accept-loss\n"
        "  cloud-connect journal accept-loss --yes"
    ),
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@shared_options
@pass_invocation
def accept_loss(invocation: Invocation, *, yes: bool) -> None:
    """Begin a new journal in place of a damaged one, so that writes are taken again.

    The damaged file stays where it was moved to. An agent that runs notices within seconds.
    """
    from cloud_connect_agent.journal import Damage
    from cloud_connect_agent.journal import accept_loss as accept

    path = invocation.paths.journal_file
    try:
        if not yes and Damage.read(path) is not None:
            if not sys.stdin.isatty():
                raise click.UsageError("Say --yes to accept the loss without being asked.")
            click.confirm("Begin a new journal and take writes again?", abort=True, err=True)
        lost = accept(path)
    except OSError as exc:
        raise CloudConnectError(f"The journal cannot be replaced: {exc.strerror}.") from exc
    if lost is not None:
        record_event(invocation.paths, "journal.loss_accepted", kept_as=lost.kept_as)
    if invocation.json:
        print_json({"accepted": lost is not None, "kept_as": lost and lost.kept_as})
    elif lost is None:
        click.echo("The journal is not damaged; there is nothing to accept.")
    else:
        click.echo(f"Writes are taken again. The damaged journal is kept as {lost.kept_as}.")


def _iso(seconds: float) -> str | None:
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")[:-6] + "Z"
    except (ValueError, OverflowError, OSError):
        return None
