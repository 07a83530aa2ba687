"""``cloud-connect reset``: make a copied PC a connector of its own."""

import shutil
import sys
from pathlib import Path

import click

from cloud_connect.errors import CloudConnectError
from cloud_connect.terminal import print_json
from cloud_connect_agent.cli.enrol import enrol
from cloud_connect_agent.cli.invocation import Invocation, pass_invocation, shared_options
from cloud_connect_agent.cli.terminal import note

__all__ = ["reset"]

_IDENTITY = ("connector_id", "key_id", "relay_id", "relay_public_key", "tunnel_url")


@click.command(
    epilog=(
        "\b\nExamples:\n  cloud-connect reset --new-identity\n"
        "  cloud-connect reset --new-identity --yes --token-file token.txt"
    )
)
@click.option("--new-identity", is_flag=True, help="Forget who this PC is at its relay.")
@click.option(
    "--token-file",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
    metavar="FILE",
    help="Enrol again at the same relay at once, with the join token in FILE.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@shared_options
@click.pass_context
@pass_invocation
def reset(
    invocation: Invocation,
    context: click.Context,
    *,
    new_identity: bool,
    token_file: Path | None,
    yes: bool,
) -> None:
    """Give a PC whose disk was copied from another one an identity of its own.

    Key, connector, record of writes and the sign-ins at Procore belong to the PC that was
    copied: they are forgotten here, and stay valid there. Its audit log is set aside. Settings,
    policy and the credentials of Procore's app stay. The relay and Procore are told nothing.
    """
    from cloud_connect_agent.run_lock import run_lock

    if not new_identity:
        raise click.UsageError("Say --new-identity: nothing else can be reset.")
    invocation.configure_logs()
    before = invocation.enrolled().relay
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("Say --yes to forget the identity without being asked.")
        click.confirm(
            f"Forget that this PC is {before.connector_id}, and its record of writes? Only do that"
            " on a copy, never on the PC that was copied.",
            abort=True,
            err=True,
        )
    with run_lock(invocation.paths):
        _forget(invocation, before.connector_id or "unknown")
    if token_file is not None:
        context.invoke(enrol, relay=before.url, token_file=token_file, ca=before.ca_file)
        return
    if invocation.json:
        print_json({"former_connector_id": before.connector_id, "enrolled": False})
        return
    click.echo(f"This PC is {before.connector_id} no more.")
    command = f"cloud-connect{invocation.hint()} enrol --relay {before.url}"
    note(f"Next, with a new join token:\n  {command}")


def _forget(invocation: Invocation, former: str) -> None:
    """Forget the identity; settings last, so that what breaks off can be repeated."""
    import asyncio

    from cloud_connect_agent.cli.opening import open_client
    from cloud_connect_agent.config_file import change_settings
    from cloud_connect_agent.identity import AgentKeys
    from cloud_connect_agent.procore.tokens import token_secret_name
    from cloud_connect_agent.sealing_keys import SealingKeys
    from cloud_connect_agent.vault import open_vault

    paths = invocation.paths

    async def forget() -> None:
        async with open_client(paths, invocation.settings()) as client:
            accounts = client.authenticator.accounts.all()
        async with open_vault(paths, invocation.settings().vault) as vault:
            if vault.is_lost():  # its key did not come along
                vault.destroy()
                return
            await AgentKeys(vault).forget()
            await SealingKeys(vault).renew()
            for account in accounts:
                await vault.delete(token_secret_name(account))

    asyncio.run(forget())
    journal = paths.journal_file
    try:
        for file in (paths.generation_file, paths.key_age_file):
            file.unlink(missing_ok=True)
        for file in journal.parent.glob(f"{journal.name}*"):
            file.unlink()
        if paths.audit_dir.exists():
            paths.audit_dir.rename(paths.audit_dir.with_name(f"audit.of-{former}"))
        for folder in (paths.spool_dir, paths.metadata_dir):
            shutil.rmtree(folder, ignore_errors=True)
    except OSError as exc:
        raise CloudConnectError(f"{exc.filename} cannot be removed: {exc.strerror}.") from exc
    change_settings(paths, {("relay", name): None for name in _IDENTITY})
