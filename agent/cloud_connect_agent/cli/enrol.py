"""``cloud-connect enrol``: make this PC a connector of a relay."""

import codecs
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cloud_connect.errors import CloudConnectError
from cloud_connect.terminal import fields, print_json
from cloud_connect_agent.cli.invocation import Invocation, pass_invocation, shared_options
from cloud_connect_agent.cli.recording import record_event
from cloud_connect_agent.cli.terminal import ask_secret, note

if TYPE_CHECKING:
    from cloud_connect_agent.enrol import Enrolment
    from cloud_connect_agent.policy import PolicyClass
    from cloud_connect_agent.proxies import Proxy

__all__ = ["enrol"]

_MAX_TOKEN_CHARACTERS = 1000


@click.command(
    epilog=(
        "The token is never given as an argument: other accounts could read it there.\n\n"
        "\b\nExamples:\n"
        "  cloud-connect enrol --relay https://relay.example.com\n"
        "  cloud-connect enrol --relay https://relay.example.com --token-file token.txt "
        "--policy read-write\n"
        "  cloud-connect enrol --relay https://relay.example.com --username admin@example.com"
    )
)
@click.option("--relay", required=True, metavar="URL", help="The relay's address.")
@click.option(
    "--token-file",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
    metavar="FILE",
    help="Read the join token from FILE; otherwise from a prompt or standard input.",
)
@click.option("--name", metavar="NAME", help="How the relay lists this PC.  [default: its name]")
@click.option("--group", metavar="GROUP", help="Connectors of one group stand in for each other.")
@click.option(
    "--policy",
    type=click.Choice(["test-only", "read-only", "read-write"]),
    help="What policy.toml shall allow to begin with.  [default: read-only]",
)
@click.option(
    "--ca",
    type=click.Path(exists=True, dir_okay=False, resolve_path=True, path_type=Path),
    metavar="FILE",
    help="Trust the certificate authorities in FILE as well.",
)
@click.option(
    "--username",
    metavar="USER",
    help="Instead of a token: ask for this administrator's password, and forget it.",
)
@click.option("--force", is_flag=True, help="Replace an earlier enrolment of this PC.")
@shared_options
@pass_invocation
def enrol(
    invocation: Invocation,
    *,
    relay: str,
    token_file: Path | None,
    name: str | None,
    group: str | None,
    policy: str | None,
    ca: Path | None,
    username: str | None,
    force: bool,
) -> None:
    """Make this PC a connector of the relay, with a one-time join token.

    The PC makes a key of its own, which never leaves it. A policy file that is there already
    stays as it is.
    """
    import asyncio

    from cloud_connect_agent.config_file import change_settings
    from cloud_connect_agent.enrol import Enroller, Machine
    from cloud_connect_agent.identity import AgentKeys, Generation
    from cloud_connect_agent.policy import PolicyClass
    from cloud_connect_agent.proxies import Proxies
    from cloud_connect_agent.run_lock import run_lock
    from cloud_connect_agent.tls import client_context
    from cloud_connect_agent.vault import open_vault
    from cloud_connect_agent.version import VERSION

    invocation.configure_logs()
    paths = invocation.paths
    before = invocation.settings()
    if before.relay.enrolled and not force:
        raise CloudConnectError(
            f"This PC is enrolled already, as {before.relay.connector_id} at "
            f"{before.relay.url}; say --force to replace that, or unenrol first."
        )
    if username is not None and token_file is not None:
        raise click.UsageError("Give either --username or --token-file.")
    tls = client_context(ca)
    proxies = Proxies.of(before.proxy)
    secret = _secret(token_file, username)
    machine = Machine.here(name=name or "", version=VERSION)
    if not machine.name:
        machine = Machine.here(name=machine.machine, version=VERSION)

    async def redeem() -> "Enrolment":
        async with open_vault(paths, before.vault) as vault:
            if force and vault.is_lost():
                vault.destroy()
            enroller = Enroller(
                relay,
                keys=AgentKeys(vault),
                generation=Generation(paths.generation_file),
                tls=tls,
                proxies=proxies,
                allow_intercepted=before.relay.allow_intercepted,
            )
            token = secret
            if username is not None:
                token = await enroller.request_token(username, secret, group=group)
            return await enroller.enrol(token, machine, group=group)

    with run_lock(paths):
        change_settings(paths, {})  # before the token is used up: can it be written at all?
        enrolment = asyncio.run(redeem())
        change_settings(
            paths,
            {
                ("name",): enrolment.name or machine.name,
                ("relay", "url"): relay.rstrip("/"),
                ("relay", "tunnel_url"): enrolment.tunnel_url,
                ("relay", "connector_id"): enrolment.connector_id,
                ("relay", "key_id"): enrolment.key_id,
                ("relay", "relay_id"): enrolment.relay_id,
                ("relay", "relay_public_key"): enrolment.relay_public_key,
                ("relay", "ca_file"): None if ca is None else str(ca),
            },
        )
        record_event(
            paths,
            "agent.enrolled",
            relay=relay.rstrip("/"),
            relay_id=enrolment.relay_id,
            connector_id=enrolment.connector_id,
            key_id=enrolment.key_id,
        )
        wanted = PolicyClass(policy or PolicyClass.READ_ONLY)
        written = _write_policy(
            invocation, wanted, cap=enrolment.policy_class, replace=force and policy is not None
        )
    _report(
        invocation,
        enrolment,
        written,
        name=enrolment.name or machine.name,
        relay=relay,
        proxy=proxies.choose(relay),
    )


def _secret(token_file: Path | None, username: str | None) -> str:
    """Return the join token, or the password of *username*."""
    if username is not None:
        return ask_secret(f"Password of {username}", what="The password")
    if token_file is None or str(token_file) == "-":
        return ask_secret("Join token", what="The join token")
    try:
        token = _text_of(token_file)[:_MAX_TOKEN_CHARACTERS].strip()
    except (OSError, UnicodeDecodeError) as exc:
        raise click.UsageError(f"The file {token_file} cannot be read as text.") from exc
    if not token:
        raise click.UsageError(f"The file {token_file} is empty.")
    return token


def _text_of(file: Path) -> str:
    """Return what an editor or a shell wrote; PowerShell's text is UTF-16 with a mark."""
    with file.open("rb") as opened:
        written = opened.read(4 * _MAX_TOKEN_CHARACTERS)
    marked = written.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return written.decode("utf-16" if marked else "utf-8-sig")


def _write_policy(
    invocation: Invocation, wanted: "PolicyClass", *, cap: str, replace: bool
) -> "PolicyClass | None":
    """Write the starter, within what the join token allows; ``None`` if a file was there."""
    from cloud_connect_agent.durable import write_durably
    from cloud_connect_agent.policy import PolicyClass
    from cloud_connect_agent.policy_file import starter

    file = invocation.paths.policy_file
    if file.exists() and not replace:
        note(f"{file} was there already and stays as it is.")
        return None
    # A word that this version does not know is no permission.
    most = PolicyClass(cap) if cap in set(PolicyClass) else PolicyClass.TEST_ONLY
    chosen = min(
        wanted, max(most, PolicyClass.TEST_ONLY, key=lambda it: it.rank), key=lambda it: it.rank
    )
    if chosen is not wanted:
        note(f"The join token allows {chosen.value} at most, so policy.toml says {chosen.value}.")
    write_durably(file, starter(chosen).encode())
    return chosen


def _report(
    invocation: Invocation,
    enrolment: "Enrolment",
    written: "PolicyClass | None",
    *,
    name: str,
    relay: str,
    proxy: "Proxy | None",
) -> None:
    from cloud_connect_agent.policy_file import PolicyFile

    summary = PolicyFile(invocation.paths.policy_file).summary()
    if invocation.json:
        print_json(
            {
                "connector_id": enrolment.connector_id,
                "name": name,
                "group": enrolment.group,
                "relay": relay.rstrip("/"),
                "relay_id": enrolment.relay_id,
                "policy": summary,
                "policy_written": written is not None,
                "approved": enrolment.approved,
                "proxy": None if proxy is None else {"url": proxy.url, "source": proxy.source},
            }
        )
        return
    click.echo(click.style("This PC is enrolled.", fg="green"))
    fields(
        (
            ("Name", name),
            ("Connector", enrolment.connector_id),
            ("Group", enrolment.group or ""),
            ("Relay", relay.rstrip("/")),
            ("Proxy", "" if proxy is None else f"{proxy.url} ({proxy.source})"),
            ("Policy", f"{summary['class']} ({invocation.paths.policy_file})"),
        )
    )
    if not enrolment.approved:
        note("The relay's administrator has to approve this connector before it may connect.")
    if proxy is not None and proxy.personal:
        user = " (with username and password_file)" if proxy.sign_in else ""
        note(
            f"A service does not see {proxy.source}, which names the proxy: write"
            f' url = "{proxy.url}"{user} under [proxy] in {invocation.paths.config_file}.'
        )
    hint = invocation.hint()
    if sys.stdout.isatty():
        click.echo()
    note(
        "Next:\n"
        f"  cloud-connect{hint} procore app --environment live --client-id ID\n"
        f"  cloud-connect{hint} procore login --environment live --grant client-credentials"
        # The service's own command starts it at once.
        + ("" if invocation.is_service else f"\n  cloud-connect{hint} run")
    )
