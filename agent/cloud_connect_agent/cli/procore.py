"""``cloud-connect procore``: the accounts that this PC uses at Procore."""

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cloud_connect.calls import Environment
from cloud_connect.terminal import print_json
from cloud_connect_agent.cli.accounts import account_option, as_flags, binding, binding_options
from cloud_connect_agent.cli.environments import environment_option
from cloud_connect_agent.cli.invocation import Invocation, pass_invocation, shared_options
from cloud_connect_agent.cli.terminal import ask_secret, note
from cloud_connect_agent.control import AgentNotRunningError, ask

if TYPE_CHECKING:
    from cloud_connect_agent.procore.client import ProcoreClient
    from cloud_connect_agent.settings import AgentSettings
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
@account_option()
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
@binding_options
@shared_options
@pass_invocation
def app(
    invocation: Invocation,
    *,
    environment: Environment,
    account: str,
    client_id: str,
    secret_stdin: bool,
    api_url: str | None,
    login_url: str | None,
    ca: Path | None,
    companies: tuple[int, ...],
    user: str | None,
) -> None:
    """Store the credentials of an app that you created at Procore."""
    import asyncio
    import sys

    from cloud_connect_agent.config_file import change_settings
    from cloud_connect_agent.procore.grants.accounts import Account
    from cloud_connect_agent.procore.tokens import (
        CLIENT_CREDENTIALS,
        StoredToken,
        app_secret_name,
        token_secret_name,
    )
    from cloud_connect_agent.settings import load_settings
    from cloud_connect_agent.vault import DamagedSecretError, open_vault

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
    changes |= binding(
        load_settings(paths.config_file), environment, account, companies=companies, user=user
    )
    if changes:
        change_settings(paths, changes)
    invocation.settings()  # what is there must be usable, too
    made = Account(environment=environment, name=account)
    credentials = {"client_id": client_id.strip(), "client_secret": secret}

    async def store() -> "StoredToken | None":
        async with open_vault(paths) as vault:
            await vault.put(app_secret_name(made), json.dumps(credentials).encode())
            with contextlib.suppress(DamagedSecretError):  # the next sign-in replaces it
                grant = await vault.get(token_secret_name(made))
                return StoredToken.parse(grant) if grant else None
        return None

    kept = asyncio.run(store())
    _tell_running(invocation)
    hint = f"cloud-connect{invocation.hint()} procore login {made.options}"
    if invocation.json:
        document = {"environment": environment.value, "account": account}
        print_json(document | {"client_id": client_id.strip()})
    else:
        click.echo(f"The app's credentials for {made.label} are in the vault of this PC.")
        # The other grant would end a person's.
        note(f"Next: {hint} --grant {kept.grant if kept else CLIENT_CREDENTIALS}")


@procore.command(
    epilog=(
        "\b\nExamples:\n"
        "  cloud-connect procore login --environment live --grant client-credentials\n"
        "  cloud-connect procore login --environment live --grant authorization-code\n"
        "  cloud-connect procore login --environment live --grant authorization-code --oob"
    )
)
@environment_option()
@account_option()
@click.option(
    "--grant",
    type=click.Choice(["client-credentials", "authorization-code"]),
    default="client-credentials",
    show_default=True,
    help="client-credentials signs in as the app's own service account, authorization-code as "
    "the person who approves it in a browser.",
)
@click.option("--oob", is_flag=True, help="Procore shows a code, which you paste here.")
@click.option("--no-browser", is_flag=True, help="Print the address only.")
@click.option(
    "--redirect-uri",
    metavar="URI",
    help="Where the browser comes back to, as registered at Procore.  "
    "[default: the setting redirect_uri]",
)
@binding_options
@shared_options
@pass_invocation
def login(
    invocation: Invocation,
    *,
    environment: Environment,
    account: str,
    grant: str,
    oob: bool,
    no_browser: bool,
    redirect_uri: str | None,
    companies: tuple[int, ...],
    user: str | None,
) -> None:
    """Sign in to Procore with the stored app, and keep the grant."""
    from cloud_connect_agent.cli.signing_in import Ways, sign_in
    from cloud_connect_agent.config_file import change_settings
    from cloud_connect_agent.settings import load_settings

    ways = Ways(grant=grant, oob=oob, browser=not no_browser, redirect_uri=redirect_uri)
    ways.check()
    paths = invocation.paths
    changes = binding(
        load_settings(paths.config_file), environment, account, companies=companies, user=user
    )
    settings = invocation.settings(as_flags(changes))
    section = settings.procore.environment(environment)

    async def run(client: "ProcoreClient") -> dict[str, Any]:
        chosen = client.authenticator.accounts.named(environment, account)
        report = await sign_in(client.authenticator, chosen, ways, configured=section.redirect_uri)
        return report.model_dump(mode="json")

    report = _with_client(invocation, run, settings)
    if changes:  # a sign-in that was refused changes nothing
        change_settings(paths, changes)
    _tell_running(invocation)
    if invocation.json:
        print_json(report)
        return
    who = report["login"] or f"app {report['client_id']}"
    where = environment.flag if account == "default" else f"{environment.flag}, account {account},"
    click.echo(f"Signed in to Procore {where} as {who}.")


@procore.command()
@environment_option()
@account_option()
@shared_options
@pass_invocation
def logout(invocation: Invocation, *, environment: Environment, account: str) -> None:
    """Forget the grant and have Procore revoke its tokens; the app's credentials stay."""

    async def sign_out(client: "ProcoreClient") -> None:
        await client.authenticator.sign_out(environment, account=account)

    try:
        _with_client(invocation, sign_out)
    finally:
        _tell_running(invocation)
    if invocation.json:
        print_json({"environment": environment.value, "account": account, "state": "no_grant"})
    else:
        where = environment.flag if account == "default" else f"{environment.flag} {account}"
        click.echo(f"Signed out of Procore {where}.")


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
            head, facts = describe_grant(grant)
            click.echo("\n  ".join((head, *facts)))


def _with_client(invocation: Invocation, work: Any, settings: "AgentSettings | None" = None) -> Any:
    """Run *work* with a client of this PC's vault.

    Args:
        settings: Instead of those that are written down.
    """
    import asyncio

    from cloud_connect_agent.procore.client import ProcoreClient
    from cloud_connect_agent.vault import open_vault

    invocation.configure_logs()
    settings = settings or invocation.settings()

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
