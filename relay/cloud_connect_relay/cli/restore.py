"""``cloud-connect-relay restore``: makes this data folder the relay that a backup holds."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cloud_connect.backup_commands import ask_passphrase, passphrase_option
from cloud_connect.errors import CloudConnectError, ConfigurationError
from cloud_connect.terminal import fields, print_json
from cloud_connect_relay.cli.invocation import Invocation, pass_invocation, shared_options

if TYPE_CHECKING:
    from cloud_connect_relay.upkeep.restoring import Restored

__all__ = ["restore"]


@click.command(
    epilog=(
        "\b\nExamples:\n  cloud-connect-relay restore relay.backup\n"
        "  cloud-connect-relay restore relay.backup --passphrase-file /run/secrets/backup --force"
    )
)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE")
@passphrase_option
@click.option("--force", is_flag=True, help="Replace the relay that is here; nothing of it stays.")
@shared_options
@pass_invocation
def restore(
    invocation: Invocation, *, file: Path, passphrase_file: Path | None, force: bool
) -> None:
    """Make the data folder the relay that a backup holds.

    The backup is read to its end before anything changes. What was created since is unknown
    afterwards, and what was revoked since is valid again.
    """
    from cloud_connect_relay.cli.sole_process import sole_process
    from cloud_connect_relay.upkeep.restoring import is_used
    from cloud_connect_relay.upkeep.restoring import restore as restore_relay

    invocation.configure_logs()
    paths = invocation.paths
    paths.prepare()
    if is_used(paths) and not force:
        raise CloudConnectError(
            f"There is a relay in {paths.data_dir} already. Say --force to replace it: its keys "
            "and its database go."
        )
    passphrase = ask_passphrase(passphrase_file, new=False)
    with sole_process(paths.lock_file):
        try:
            made = restore_relay(paths, file=file, passphrase=passphrase)
        except OSError as exc:
            raise ConfigurationError(
                f"{exc.filename or paths.data_dir} cannot be written ({exc.strerror}): the folder "
                "holds no relay that could run. Mend that and restore again with --force."
            ) from exc
    _report(invocation, made)


def _report(invocation: Invocation, made: "Restored") -> None:
    if invocation.json:
        print_json(
            {
                "relay_id": made.inventory.relay_id,
                "made_at": made.head.made,
                "program": made.head.program,
                "store": made.database,
            }
        )
        return
    click.echo(click.style(f"This is the relay {made.inventory.relay_id} again.", fg="green"))
    fields((("Made at", made.head.made), ("By version", made.head.program)))
    accept = invocation.command("audit accept --reason …")
    steps = [
        f"{invocation.command('recover --all')}: the PCs are ahead, and would be taken for copies.",
        invocation.starting(),
        "Revoke again what was revoked since the backup: keys, tokens, users, connectors.",
        "PCs that were enrolled or changed their key since then have to be enrolled again.",
        f"{invocation.command('audit verify')}: where it complains, {accept}",
    ]
    if not made.database:
        steps.insert(
            0, "Restore the store that database_url names with its own tools (pg_restore) first."
        )
    click.echo("\nNext:", err=True)
    for number, step in enumerate(steps, start=1):
        click.echo(f"  {number}. {step}", err=True)
