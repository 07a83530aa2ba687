"""``cloud-connect restore``: makes this PC the agent that a backup holds."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cloud_connect.backup_commands import ask_passphrase, passphrase_option
from cloud_connect.errors import CloudConnectError, ConfigurationError
from cloud_connect.terminal import fields, print_json
from cloud_connect_agent.cli.invocation import Invocation, pass_invocation, shared_options
from cloud_connect_agent.cli.recording import record_event
from cloud_connect_agent.cli.terminal import note

if TYPE_CHECKING:
    from cloud_connect_agent.upkeep.restoring import Restored

__all__ = ["restore"]


@click.command(
    epilog=(
        "\b\nExamples:\n  cloud-connect restore pc-12.backup\n"
        "  cloud-connect restore pc-12.backup --passphrase-file /run/secrets/backup --force"
    )
)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE")
@passphrase_option
@click.option("--force", is_flag=True, help="Replace the agent that is here; nothing of it stays.")
@shared_options
@pass_invocation
def restore(
    invocation: Invocation, *, file: Path, passphrase_file: Path | None, force: bool
) -> None:
    """Make this PC the agent that a backup holds.

    The backup is read to its end before anything changes. It is the same connector afterwards:
    the PC that it was made on must not run any more. If that one has connected since, the relay
    takes this PC for a copy, as it should, until its administrator lets it come back.
    """
    from cloud_connect_agent.run_lock import run_lock
    from cloud_connect_agent.upkeep.restoring import is_used
    from cloud_connect_agent.upkeep.restoring import restore as restore_agent

    invocation.configure_logs()
    paths = invocation.paths
    if is_used(paths) and not force:
        raise CloudConnectError(
            f"There is an agent in {paths.config_dir} already. Say --force to replace it: its key, "
            "its credentials and its record of writes go."
        )
    passphrase = ask_passphrase(passphrase_file, new=False)
    with run_lock(paths):
        try:
            made = restore_agent(
                paths, file=file, passphrase=passphrase, load=invocation.settings_in
            )
        except OSError as exc:
            raise ConfigurationError(
                f"{exc.filename or paths.state_dir} cannot be written ({exc.strerror}): this PC "
                "holds no agent that could run. Mend that and restore again with --force."
            ) from exc
        record_event(
            paths,
            "agent.restored",
            made_at=made.head.made,
            program=made.head.program,
            connector_id=made.inventory.connector_id,
        )
    _report(invocation, made)


def _report(invocation: Invocation, made: "Restored") -> None:
    connector = made.inventory.connector_id
    if invocation.json:
        print_json(
            {
                "connector_id": connector,
                "relay": made.inventory.relay,
                "made_at": made.head.made,
                "program": made.head.program,
                "audit": made.audit_records,
            }
        )
        return
    click.echo(click.style(f"This PC is {connector} again.", fg="green"))
    fields(
        (
            ("Made at", made.head.made),
            ("By version", made.head.program),
            ("Relay", made.inventory.relay),
            ("Audit log", "restored" if made.audit_records else "not in the backup, begun anew"),
        )
    )
    hint = invocation.hint()
    note(
        "\nNext:\n"
        f"  1. Make sure that the PC of the backup never runs as {connector} again.\n"
        f"  2. {invocation.starting()}\n"
        f"  3. cloud-connect{hint} status: does it say that the identity is in use twice? Then\n"
        "     it has connected since the backup; have the relay's administrator run\n"
        f"     cloud-connect-relay connector recover {connector}\n"
        f"  4. cloud-connect{hint} audit verify: records made since the backup are missing here.\n"
        "     Accept that with `cloud-connect audit accept --reason …`; the relay likewise.\n"
        "  5. Sign in to Procore again if status asks for it."
    )
