"""``cloud-connect firewall-sheet``: what the network team has to let through."""

import contextlib
from typing import TYPE_CHECKING

import click

from cloud_connect.calls import Environment
from cloud_connect.terminal import print_json, table
from cloud_connect_agent.cli.invocation import Invocation, pass_invocation, shared_options
from cloud_connect_agent.cli.terminal import note

if TYPE_CHECKING:
    from cloud_connect_agent.firewall_sheet import Sheet
    from cloud_connect_agent.settings import AgentSettings

__all__ = ["firewall_sheet"]

_WIDTH = 98  # characters of a line, as tickets and terminals show it
_PATIENCE = 2.0  # seconds for an answer from the agent, which needs milliseconds


@click.command(
    epilog=(
        "Needs no enrolment, so that the network can be ready before the PC is.\n\n"
        "\b\nExamples:\n"
        "  cloud-connect firewall-sheet\n"
        "  cloud-connect firewall-sheet --relay https://relay.example.com --environment live"
    )
)
@click.option("--relay", metavar="URL", help="The relay, before this PC is enrolled at it.")
@click.option(
    "--environment",
    "flags",
    multiple=True,
    type=click.Choice([environment.flag for environment in Environment]),
    help="A Procore environment, also more than one.  [default: those set up on this PC]",
)
@shared_options
@pass_invocation
def firewall_sheet(invocation: Invocation, *, relay: str | None, flags: tuple[str, ...]) -> None:
    """Print the hosts and ports that this PC must reach, to paste into a ticket."""
    from cloud_connect.errors import ConfigurationError
    from cloud_connect_agent.firewall_sheet import sheet_of
    from cloud_connect_agent.procore.environments import endpoints_of
    from cloud_connect_agent.proxies import Proxies
    from cloud_connect_agent.settings import check_url

    invocation.configure_logs()
    settings = invocation.settings()
    known = settings.relay
    if relay is not None:
        try:
            relay = check_url(relay)
        except ValueError as exc:
            raise ConfigurationError(f"The relay's address is wrong: {exc}.") from exc
    other = relay is not None and relay != known.url
    sheet = sheet_of(
        relay_url=relay or known.url,
        tunnel_url=None if other else known.tunnel_url,
        environments=[
            endpoints_of(environment, settings.procore.environments)
            for environment in _environments(invocation, settings, flags)
        ],
        proxies=Proxies.of(settings.proxy),
        heartbeat_seconds=settings.tunnel.round_trip_interval,
    )
    if invocation.json:
        print_json(sheet.document())
    else:
        _show(sheet)


def _environments(
    invocation: Invocation, settings: "AgentSettings", flags: tuple[str, ...]
) -> list[Environment]:
    """Return the environments to list: those asked for, or those that this PC has to do with."""
    wanted = set(flags)
    if not wanted:
        wanted = {*settings.procore.environments, *_signed_in(invocation, settings)}
    return [environment for environment in Environment if environment.flag in wanted]


def _signed_in(invocation: Invocation, settings: "AgentSettings") -> set[str]:
    """Return the environments that an app is stored for; of another account's nothing is known."""
    import asyncio

    from cloud_connect.errors import CloudConnectError
    from cloud_connect_agent.cli.status import stored_grants
    from cloud_connect_agent.control import AgentNotRunningError, ask

    grants: list[dict[str, object]] = []
    with contextlib.suppress(CloudConnectError, OSError):
        try:
            answer = ask(invocation.paths.control_socket, {"command": "status"}, timeout=_PATIENCE)
            grants = answer["status"]["procore"]
        except AgentNotRunningError:
            if invocation.paths.state_dir.exists():
                grants = asyncio.run(stored_grants(invocation.paths, settings))
    return {Environment(str(grant["environment"])).flag for grant in grants}


def _show(sheet: "Sheet") -> None:
    click.echo("Connections that this PC opens. All of them go out; no inbound port is needed.\n")
    proxied = any(rule.via for rule in sheet.rules)
    head = ["TO", "PORT", "PROTOCOL", "INSPECT", "FOR"]
    rows = [
        [rule.host, rule.port, rule.protocol, rule.inspection, rule.reason] for rule in sheet.rules
    ]
    if proxied:
        head.insert(1, "VIA")
        for row, rule in zip(rows, sheet.rules, strict=True):
            row.insert(1, "proxy" if rule.via else "-")
    table(head, rows)
    click.echo()
    for sentence in sheet.notes:
        click.echo(click.wrap_text(sentence, _WIDTH, "- ", "  "))
    for sentence in sheet.missing:
        note(f"Note: {sentence}")
