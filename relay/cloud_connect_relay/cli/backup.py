"""``cloud-connect-relay backup``: the relay in one file, sealed by a passphrase."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cloud_connect.backup_commands import ask_passphrase, passphrase_option
from cloud_connect.terminal import fields, print_json
from cloud_connect_relay.cli.invocation import Invocation, pass_invocation, shared_options

if TYPE_CHECKING:
    from cloud_connect_relay.settings import RelaySettings

__all__ = ["backup"]


@click.command(
    epilog=(
        "\b\nExamples:\n  cloud-connect-relay backup -o relay.backup\n"
        "  cloud-connect-relay backup -o relay.backup --passphrase-file /run/secrets/backup"
    )
)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    metavar="FILE",
    help="The backup; no file may be there.",
)
@passphrase_option
@shared_options
@pass_invocation
def backup(invocation: Invocation, *, output: Path, passphrase_file: Path | None) -> None:
    """Save the relay into one file that only a passphrase opens, also while it serves.

    The file holds the relay's key, the pepper of stored hashes, its settings, and the SQLite
    store as it is at one moment. A store that `database_url` names stays out: save that with its
    own tools, such as pg_dump, at about the same time.
    """
    invocation.configure_logs()
    settings = invocation.settings()
    passphrase = ask_passphrase(passphrase_file, new=True)
    size, with_store = invocation.run(
        _save(invocation, settings, output=output, passphrase=passphrase)
    )
    if invocation.json:
        print_json({"file": str(output), "bytes": size, "store": with_store})
        return
    click.echo(click.style("The backup is made.", fg="green"))
    fields((("File", str(output)), ("Bytes", f"{size:,}")))
    if not with_store:
        click.echo(
            "The store is where database_url says: save it with its own tools (pg_dump), too.",
            err=True,
        )


async def _save(
    invocation: Invocation, settings: "RelaySettings", *, output: Path, passphrase: str
) -> tuple[int, bool]:
    import asyncio

    from cloud_connect_relay.cli.store import open_store
    from cloud_connect_relay.upkeep.saving import save

    async with open_store(invocation, settings) as (storage, identity):
        size = await asyncio.to_thread(
            save,
            settings.paths,
            relay_id=identity.relay_id,
            database=storage.file if settings.alone else None,
            file=output,
            passphrase=passphrase,
        )
        return size, settings.alone
