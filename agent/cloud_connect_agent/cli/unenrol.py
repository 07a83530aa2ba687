"""``cloud-connect unenrol``: leave the relay and keep nothing on this PC."""

import shutil
import sys

import click

from cloud_connect.errors import CloudConnectError
from cloud_connect_agent.cli.invocation import Invocation, pass_invocation, shared_options
from cloud_connect_agent.cli.terminal import ask_secret, note, print_json

__all__ = ["unenrol"]


@click.command(
    epilog=(
        "\b\nExamples:\n"
        "  cloud-connect unenrol\n"
        "  cloud-connect unenrol --yes --username admin@example.com"
    )
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--username",
    metavar="USER",
    help="Revoke the connector at the relay as well, with this administrator's password.",
)
@shared_options
@pass_invocation
def unenrol(invocation: Invocation, *, yes: bool, username: str | None) -> None:
    """Remove this PC's key, credentials, settings, policy and logs; sign out of Procore."""
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
    password = (
        None if username is None else ask_secret(f"Password of {username}", what="The password")
    )
    with run_lock(paths):
        revoked = False
        if username is not None and password is not None:
            _revoke(invocation, username, password)
            revoked = True
        _sign_out(invocation)
        left = _remove(invocation)
    if left:
        raise CloudConnectError(f"Not everything could be removed: {', '.join(left)}.")
    if invocation.json:
        print_json({"connector_id": connector, "revoked": revoked, "removed": True})
        return
    click.echo(f"{connector} is gone from this PC.")
    if not revoked:
        note(f"{settings.relay.url} still lists it, as offline; revoke it there.")


def _revoke(invocation: Invocation, username: str, password: str) -> None:
    """Have the relay revoke this connector, before anything is removed here."""
    import httpx

    from cloud_connect.errors import TunnelError
    from cloud_connect_agent.tls import client_context

    relay = invocation.settings().relay
    form = {"grant_type": "password", "username": username, "password": password}
    url = str(relay.url)
    try:
        with httpx.Client(
            base_url=url,
            verify=client_context(relay.ca_file),
            timeout=httpx.Timeout(30, connect=10),
            trust_env=url.startswith("https:"),
        ) as client:
            answer = client.post("/Token", data=form)
            if answer.status_code != 200:
                raise CloudConnectError("The relay does not accept this user and password.")
            bearer = {"Authorization": f"Bearer {answer.json()['access_token']}"}
            answer = client.delete(f"/api/connectors/{relay.connector_id}", headers=bearer)
    except httpx.HTTPError as exc:
        raise TunnelError(
            f"The relay at {url} cannot be reached; leave out --username to remove this PC's "
            "side only."
        ) from exc
    except (ValueError, KeyError) as exc:
        raise CloudConnectError(f"{url} does not answer as a relay does.") from exc
    if answer.status_code not in {204, 404}:  # 404: somebody has revoked it before
        raise CloudConnectError("This user may not revoke connectors; nothing was removed.")


def _sign_out(invocation: Invocation) -> None:
    """Have Procore revoke the tokens; what cannot be reached must not keep secrets here."""
    import asyncio

    from cloud_connect_agent.procore.client import ProcoreClient
    from cloud_connect_agent.vault import open_vault

    async def sign_out() -> None:
        async with (
            open_vault(invocation.paths) as vault,
            ProcoreClient.open(invocation.settings().procore, vault) as client,
        ):
            for grant in await client.authenticator.grants():
                try:
                    await client.authenticator.sign_out(grant.environment)
                except CloudConnectError as exc:
                    note(exc.message)

    try:
        asyncio.run(sign_out())
    except (CloudConnectError, ExceptionGroup):
        note("The vault could not be opened, so Procore was not told to revoke its tokens.")


def _remove(invocation: Invocation) -> list[str]:
    """Remove the key first, then everything else; return what could not be removed."""
    from cloud_connect_agent.vault.encrypted import EncryptedVault

    paths = invocation.paths
    try:
        EncryptedVault(folder=paths.vault_dir, key_file=paths.vault_key_file).destroy()
        for file in (paths.config_file, paths.policy_file):
            file.unlink(missing_ok=True)
    except OSError as exc:
        return [f"{exc.filename} ({exc.strerror})"]
    left: list[str] = []
    for folder in (paths.log_dir, paths.state_dir):
        shutil.rmtree(folder, onerror=lambda _, name, error: left.append(f"{name} ({error[1]})"))
    if not any(paths.config_dir.iterdir()):
        paths.config_dir.rmdir()
    return left
