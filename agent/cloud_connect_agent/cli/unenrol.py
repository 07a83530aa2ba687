"""``cloud-connect unenrol``: leave the relay and keep nothing on this PC."""

import contextlib
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cloud_connect.errors import CloudConnectError, ConfigurationError, VaultLockedError
from cloud_connect.terminal import print_json
from cloud_connect_agent.cli.invocation import Invocation, pass_invocation, shared_options
from cloud_connect_agent.cli.opening import open_client
from cloud_connect_agent.cli.terminal import note
from cloud_connect_agent.durable import make_private_dir

if TYPE_CHECKING:
    from cloud_connect_agent.settings import RelaySettings

__all__ = ["unenrol"]


@click.command(
    epilog=(
        "\b\nExamples:\n  cloud-connect unenrol\n"
        "  cloud-connect unenrol --yes --keep-audit /srv/audit/pc-12"
    )
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--keep-audit",
    type=click.Path(resolve_path=True, path_type=Path),
    metavar="DIR",
    help="Keep the audit log in DIR, a new folder; otherwise it goes, too.",
)
@shared_options
@pass_invocation
def unenrol(invocation: Invocation, *, yes: bool, keep_audit: Path | None) -> None:
    """Leave the relay, sign out of Procore, and remove everything from this PC.

    The relay revokes this connector; this PC's key, credentials, settings, policy and logs go.
    What cannot be reached keeps nothing here: a relay that is not told lists the connector as
    offline until somebody revokes it there.
    """
    from cloud_connect_agent.run_lock import run_lock

    invocation.configure_logs()
    settings = invocation.enrolled()
    paths = invocation.paths
    connector = settings.relay.connector_id
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("Say --yes to remove everything without being asked.")
        click.confirm(
            f"Remove {connector} and everything in {paths.config_dir} from this PC?",
            abort=True,
            err=True,
        )
    with run_lock(paths):
        if keep_audit is not None:
            _keep_audit(paths.audit_dir, keep_audit)
        revoked = _leave(invocation, settings.relay)
        _sign_out(invocation)
        left = _remove(invocation, administered=settings.policy.owner == "administrator")
    if left:
        raise CloudConnectError(
            f"All else is gone, but these could not be removed: {', '.join(left)}. Remove them as "
            "an administrator."
        )
    if invocation.json:
        print_json({"connector_id": connector, "revoked": revoked, "removed": True})
        return
    click.echo(f"{connector} is gone from this PC{' and revoked' if revoked else ''}.")


def _keep_audit(audit_dir: Path, kept: Path) -> None:
    """Copy the audit log before anything is removed; there may be none."""
    try:
        make_private_dir(kept.parent)
        if audit_dir.exists():
            shutil.copytree(audit_dir, kept, ignore=shutil.ignore_patterns("audit.lock"))
        else:
            kept.mkdir(mode=0o700)
    except OSError as exc:
        where = exc.filename or kept
        raise CloudConnectError(
            f"The audit log cannot be kept in {where} ({exc.strerror}); nothing was removed."
        ) from exc


def _leave(invocation: Invocation, relay: "RelaySettings") -> bool:
    """Have the relay revoke this connector, while there is a key to prove it with."""
    import asyncio

    from cloud_connect_agent.identity import AgentKeys
    from cloud_connect_agent.keyring import Keyring
    from cloud_connect_agent.leave import leave
    from cloud_connect_agent.proxies import Proxies
    from cloud_connect_agent.relay_address import RelayAddress
    from cloud_connect_agent.relay_api import RelayRefusedError
    from cloud_connect_agent.tls import client_context
    from cloud_connect_agent.vault import open_vault

    async def ask() -> None:
        if relay.url is None:
            raise ConfigurationError("The setting relay.url is missing.")
        async with open_vault(invocation.paths, invocation.settings().vault) as vault:
            keyring = await Keyring.load(AgentKeys(vault))
        tls = client_context(relay.ca_file)
        proxy = await Proxies.of(invocation.settings().proxy).way(relay.url)
        # While keys change, this PC may not know yet which of both the relay goes by.
        keys = [key for key in (keyring.following, keyring.current) if key is not None]
        for number, key in enumerate(keys, start=1):
            address = RelayAddress.of(relay, key=key, tls=tls)
            try:
                await leave(relay.url, address.credentials, tls=tls, proxy=proxy)
            except RelayRefusedError:
                if number == len(keys):
                    raise
            else:
                return

    try:
        asyncio.run(ask())
    except CloudConnectError as exc:
        where = relay.url or "The relay"
        note(
            f"{exc.message} {where} still lists {relay.connector_id}, as offline: revoke it there."
        )
        return False
    return True


def _sign_out(invocation: Invocation) -> None:
    """Have Procore revoke the tokens; what cannot be reached must not keep secrets here."""
    import asyncio

    async def sign_out() -> None:
        async with open_client(invocation.paths, invocation.settings()) as client:
            for account in client.authenticator.accounts.all():
                try:
                    await client.authenticator.sign_out(account.environment, account=account.name)
                except CloudConnectError as exc:
                    note(exc.message)

    try:
        asyncio.run(sign_out())
    except (CloudConnectError, ExceptionGroup):
        note("The vault could not be opened, so Procore was not told to revoke its tokens.")


def _remove(invocation: Invocation, *, administered: bool) -> list[str]:
    """Remove the key first, then everything else; return what could not be removed."""
    from cloud_connect_agent.vault import vault_of

    paths = invocation.paths
    try:
        with contextlib.suppress(VaultLockedError):  # what nobody can name, nobody can open
            vault_of(paths, invocation.settings().vault).destroy()
        paths.vault_key_file.unlink(missing_ok=True)
    except OSError as exc:
        return [f"{exc.filename} ({exc.strerror})"]
    left: list[str] = []
    for file in (paths.config_file, paths.policy_file, paths.approvals_file):
        try:
            file.unlink(missing_ok=True)
        except OSError as exc:
            if administered and file != paths.config_file:
                note(f"{file} stays: it is the administrator's.")
            else:
                left.append(f"{file} ({exc.strerror})")
    for folder in (paths.log_dir, paths.state_dir):
        shutil.rmtree(folder, onerror=lambda _, name, error: left.append(f"{name} ({error[1]})"))
    if not any(paths.config_dir.iterdir()):
        with contextlib.suppress(OSError):  # its parent belongs to the administrator
            paths.config_dir.rmdir()
    return left
