"""``cloud-connect procore``: the accounts that this PC uses at Procore."""

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cloud_connect.calls import Environment
from cloud_connect.terminal import print_json
from cloud_connect_agent.cli.accounts import account_option, as_flags, binding, binding_options
from cloud_connect_agent.cli.environments import environment_option
from cloud_connect_agent.cli.invocation import Invocation, pass_invocation, shared_options
from cloud_connect_agent.cli.opening import open_client
from cloud_connect_agent.cli.recording import record_event
from cloud_connect_agent.cli.terminal import ask_secret, note
from cloud_connect_agent.control import AgentNotRunningError, ask

if TYPE_CHECKING:
    from cloud_connect.calls import ReportedGrant
    from cloud_connect_agent.procore.grants.accounts import Account
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
    settings = invocation.settings()  # what is there must be usable, too
    made = Account(environment=environment, name=account)
    credentials = {"client_id": client_id.strip(), "client_secret": secret}

    async def store() -> "StoredToken | None":
        async with open_vault(paths, settings.vault) as vault:
            await vault.put(app_secret_name(made), json.dumps(credentials).encode())
            with contextlib.suppress(DamagedSecretError):  # the next sign-in replaces it
                grant = await vault.get(token_secret_name(made))
                return StoredToken.parse(grant) if grant else None
        return None

    kept = asyncio.run(store())
    _tell_running(invocation)
    record_event(
        paths,
        "procore.app_stored",
        environment=environment.value,
        account=account,
        client_id=client_id.strip(),
    )
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
    import asyncio

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

    invocation.configure_logs()

    async def run() -> "tuple[Account, ReportedGrant]":
        async with open_client(paths, settings) as client:
            chosen = client.authenticator.accounts.named(environment, account)
            return chosen, await sign_in(
                client.authenticator, chosen, ways, configured=section.redirect_uri
            )

    used, report = asyncio.run(run())
    if changes:  # a sign-in that was refused changes nothing
        change_settings(paths, changes)
    _tell_running(invocation)
    record_event(
        paths,
        "procore.signed_in",
        environment=environment.value,
        account=used.name,
        grant=grant,
        login=report.login or None,
    )
    if invocation.json:
        print_json(report.model_dump(mode="json"))
        return
    who = report.login or f"app {report.client_id}"
    click.echo(f"Signed in to Procore for {used.label} as {who}.")


@procore.command()
@environment_option()
@account_option()
@shared_options
@pass_invocation
def logout(invocation: Invocation, *, environment: Environment, account: str) -> None:
    """Forget the grant and have Procore revoke its tokens; the app's credentials stay."""
    import asyncio

    from cloud_connect_agent.procore.grants.accounts import Account

    invocation.configure_logs()
    settings = invocation.settings()

    async def sign_out() -> None:
        async with open_client(invocation.paths, settings) as client:
            await client.authenticator.sign_out(environment, account=account)

    try:
        asyncio.run(sign_out())
    finally:
        _tell_running(invocation)
        record_event(
            invocation.paths, "procore.signed_out", environment=environment.value, account=account
        )
    if invocation.json:
        print_json({"environment": environment.value, "account": account, "state": "no_grant"})
    else:
        used = Account(environment=environment, name=account)
        click.echo(f"Signed out of Procore for {used.label}.")


@procore.command("list")
@shared_options
@pass_invocation
def list_grants(invocation: Invocation) -> None:
    """List the accounts of this PC, without their secrets."""
    import asyncio

    from cloud_connect_agent.cli.status import describe_grant, stored_grants
    from cloud_connect_agent.vault import describe_vault

    invocation.configure_logs()
    found = asyncio.run(stored_grants(invocation.paths, invocation.settings()))
    vault = describe_vault(invocation.paths)
    if invocation.json:
        print_json({"items": found, "vault": vault})
    elif not found:
        note(
            "No Procore app is stored; run "
            f"`cloud-connect{invocation.hint()} procore app --environment live --client-id ID`."
        )
    else:
        for grant in found:
            head, facts = describe_grant(grant)
            click.echo("\n  ".join((head, *facts)))
        if vault is not None:
            click.echo(f"Vault: {vault['description']} ({vault['key']})")
            if vault["warning"]:
                note(vault["warning"])


def _tell_running(invocation: Invocation) -> None:
    """Have a running agent use what has changed at once."""
    with contextlib.suppress(AgentNotRunningError):
        ask(invocation.paths.control_socket, {"command": "reload"})
