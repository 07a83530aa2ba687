"""``cloud-connect backup``: this agent in one file, sealed by a passphrase."""

from pathlib import Path
from typing import Any

import click

from cloud_connect.backup_commands import ask_passphrase, passphrase_option
from cloud_connect.terminal import fields, print_json
from cloud_connect_agent.cli.invocation import Invocation, pass_invocation, quoted, shared_options
from cloud_connect_agent.cli.recording import record_event
from cloud_connect_agent.cli.terminal import note

__all__ = ["backup"]


@click.command(
    epilog=(
        "\b\nExamples:\n  cloud-connect backup -o pc-12.backup\n"
        "  cloud-connect backup -o pc-12.backup --passphrase-file /run/secrets/backup"
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
@click.option("--without-audit", is_flag=True, help="Leave the audit log out.")
@shared_options
@pass_invocation
def backup(
    invocation: Invocation, *, output: Path, passphrase_file: Path | None, without_audit: bool
) -> None:
    """Save this agent into one file that only a passphrase opens, also while it runs.

    The file holds settings, policy, approvals, the key of this PC, the credentials for Procore
    and the audit log. The record of writes stays out: it would be out of date at once. Whoever
    has file and passphrase is this PC: keep them apart.
    """
    import asyncio

    from cloud_connect_agent.upkeep.saving import save
    from cloud_connect_agent.vault import open_vault

    invocation.configure_logs()
    settings = invocation.enrolled()
    passphrase = ask_passphrase(passphrase_file, new=True)

    async def make() -> int:
        async with open_vault(invocation.paths, settings.vault) as vault:
            return await asyncio.to_thread(
                save,
                invocation.paths,
                vault,
                settings.relay,
                file=output,
                passphrase=passphrase,
                with_audit=not without_audit,
            )

    size = asyncio.run(make())
    record_event(invocation.paths, "agent.backed_up", bytes=size)
    made: dict[str, Any] = {
        "file": str(output),
        "bytes": size,
        "connector_id": settings.relay.connector_id,
        "audit": not without_audit,
    }
    if invocation.json:
        print_json(made)
        return
    click.echo(click.style("The backup is made.", fg="green"))
    fields((("File", str(output)), ("Bytes", f"{size:,}"), ("Connector", made["connector_id"])))
    note(f"To go back to it: cloud-connect{invocation.hint()} restore {quoted(str(output))}")
