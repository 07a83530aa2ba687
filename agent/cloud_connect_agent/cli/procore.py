"""``cloud-connect procore``: the accounts that this PC uses at Procore."""

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cloud_connect.calls import Environment
from cloud_connect.terminal import print_json
from cloud_connect_agent.cli.environments import environment_option
from cloud_connect_agent.cli.invocation import Invocation, pass_invocation, shared_options
from cloud_connect_agent.cli.terminal import ask_secret, note
from cloud_connect_agent.control import AgentNotRunningError, ask

if TYPE_CHECKING:
    from cloud_connect_agent.procore.client import ProcoreClient
    from cloud_connect_agent.toml_text import Value

__all__ = ["procore"]


@click.group()
@shared_options
def procore() -> None:
    """Store an app's credentials, sign in and out, and list what there is.

    Credentials are kept in the vault of this PC, and sent to Procore only.
    """


@procore.command(
    epilog=(
        "\b\nExamples:\n"
        "  cloud-connect procore app --environment live --client-id ID\n"
        "  pass show procore | cloud-connect procore app --environment live --client-id ID "
        "--secret-stdin\n"
        "  cloud-connect procore app --environment developer-sandbox --client-id ID "
        "--secret-stdin \\\n"
        "      --api-url http://127.0.0.1:9000 --login-url http://127.0.0.1:9001"
    )
)
@environment_option()
@click.option("--client-id", required=True, metavar="ID", help="Of your app at Procore.")
@click.option(
    "--secret-stdin", is_flag=True, help="Read the client secret from standard input, not a prompt."
)
@click.option(
    "--api-url", metavar="URL", help="Send this environment's calls elsewhere; '' undoes it."
)
@click.option(
    "--login-url", metavar="URL", help="Sign this environment in elsewhere; '' undoes it."
)
@click.option(
    "--ca",
    type=click.Path(exists=True, dir_okay=False, resolve_path=True, path_type=Path),
    metavar="FILE",
    help="Trust the certificate authorities in FILE as well.",
)
@shared_options
@pass_invocation
def app(
    invocation: Invocation,
    *,
    environment: Environment,
    client_id: str,
    secret_stdin: bool,
    api_url: str | None,
    login_url: str | None,
    ca: Path | None,
) -> None:
    """Store the credentials of an app that you created at Procore."""
    import asyncio
    import sys

    from cloud_connect_agent.config_file import change_settings
    from cloud_connect_agent.procore.tokens import app_secret_name
    from cloud_connect_agent.vault import open_vault

    if not client_id.strip():
        raise click.UsageError("--client-id is empty.")
    if not secret_stdin and not sys.stdin.isatty():
        raise click.UsageError("Say --secret-stdin to read the client secret from standard input.")
    secret = ask_secret("Client secret", what="The client secret")
    invocation.configure_logs()
    paths = invocation.paths
    table = ("procore", "environments", environment.flag)
    given = {"api_url": api_url, "login_url": login_url, "ca_file": ca and str(ca)}
    changes: dict[tuple[str, ...], Value] = {
        (*table, key): value or None for key, value in given.items() if value is not None
    }
    if changes:
        change_settings(paths, changes)
    invocation.settings()  # what is there must be usable, too
    credentials = {"client_id": client_id.strip(), "client_secret": secret}

    async def store() -> None:
        async with open_vault(paths) as vault:
            await vault.put(app_secret_name(environment), json.dumps(credentials).encode())

    asyncio.run(store())
    _tell_running(invocation)
    hint = f"cloud-connect{invocation.hint()} procore login --environment {environment.flag}"
    if invocation.json:
        print_json({"environment": environment.value, "client_id": client_id.strip()})
    else:
        click.echo(f"The app's credentials for {environment.flag} are in the vault of this PC.")
        note(f"Next: {hint} --grant client-credentials")


@procore.command(
    epilog=(
        "\b\nExample:\n  cloud-connect procore login --environment live --grant client-credentials"
    )
)
@environment_option()
@click.option(
    "--grant",
    type=click.Choice(["client-credentials"]),
    default="client-credentials",
    show_default=True,
    help="client-credentials signs in as the app's own service account.",
)
@shared_options
@pass_invocation
def login(invocation: Invocation, *, environment: Environment, grant: str) -> None:
    """Sign in to Procore with the stored app, and keep the grant."""

    async def sign_in(client: "ProcoreClient") -> dict[str, Any]:
        report = await client.authenticator.sign_in(environment, grant)
        return report.model_dump(mode="json")

    report = _with_client(invocation, sign_in)
    _tell_running(invocation)
    if invocation.json:
        print_json(report)
    else:
        click.echo(f"Signed in to Procore {environment.flag} as app {report['client_id']}.")


@procore.command()
@environment_option()
@shared_options
@pass_invocation
def logout(invocation: Invocation, *, environment: Environment) -> None:
    """Forget the grant and have Procore revoke its token; the app's credentials stay."""

    async def sign_out(client: "ProcoreClient") -> None:
        await client.authenticator.sign_out(environment)

    try:
        _with_client(invocation, sign_out)
    finally:
        _tell_running(invocation)
    if invocation.json:
        print_json({"environment": environment.value, "state": "no_grant"})
    else:
        click.echo(f"Signed out of Procore {environment.flag}.")


@procore.command("list")
@shared_options
@pass_invocation
def list_grants(invocation: Invocation) -> None:
    """List the accounts of this PC, without their secrets."""
    from cloud_connect_agent.cli.status import describe_grant

    async def grants(client: "ProcoreClient") -> list[dict[str, Any]]:
        return [grant.model_dump(mode="json") for grant in await client.authenticator.grants()]

    found = _with_client(invocation, grants)
    if invocation.json:
        print_json({"items": found})
    elif not found:
        note(
            "No Procore app is stored; run "
            f"`cloud-connect{invocation.hint()} procore app --environment live --client-id ID`."
        )
    else:
        for grant in found:
            click.echo(describe_grant(grant))


def _with_client(invocation: Invocation, work: Any) -> Any:
    """Run *work* with a client of this PC's vault."""
    import asyncio

    from cloud_connect_agent.procore.client import ProcoreClient
    from cloud_connect_agent.vault import open_vault

    invocation.configure_logs()
    settings = invocation.settings()

    async def run() -> Any:
        async with (
            open_vault(invocation.paths) as vault,
            ProcoreClient.open(settings.procore, vault) as client,
        ):
            return await work(client)

    return asyncio.run(run())


def _tell_running(invocation: Invocation) -> None:
    """Have a running agent use what has changed at once."""
    with contextlib.suppress(AgentNotRunningError):
        ask(invocation.paths.control_socket, {"command": "reload"})
