"""``cloud-connect update``: tells whether there is a newer version, and installs none."""

from typing import TYPE_CHECKING

import click

from cloud_connect.terminal import fields, print_json
from cloud_connect_agent.cli.invocation import Invocation, pass_invocation, shared_options
from cloud_connect_agent.cli.terminal import note

if TYPE_CHECKING:
    from cloud_connect_agent.upkeep.asking_update import Recommended

__all__ = ["update"]


@click.group()
@shared_options
def update() -> None:
    """See whether there is a newer version; nothing here installs one."""


@update.command(epilog="\b\nExample:\n  cloud-connect update check --json")
@shared_options
@pass_invocation
def check(invocation: Invocation) -> None:
    """Ask the relay which version its operator recommends, and compare.

    Nothing is downloaded, installed or changed: neither the relay nor anybody else can update
    this PC. The relay says nothing unless its operator has set a version.
    """
    from cloud_connect_agent.upkeep.asking_update import is_newer
    from cloud_connect_agent.version import VERSION

    invocation.configure_logs()
    told = _ask(invocation)
    newer = None if told.latest is None else is_newer(told.latest, VERSION)
    if invocation.json:
        print_json(
            {
                "version": VERSION,
                "latest": told.latest,
                "newer": newer,
                "notes": told.notes,
            }
        )
        return
    click.echo(_sentence(told.latest, newer=newer))
    fields((("This PC", VERSION), ("Recommended", told.latest), ("Read", told.notes)))
    if newer:
        note(
            "Nothing was downloaded. Before you install it, make a backup: "
            f"cloud-connect{invocation.hint()} backup -o FILE"
        )


def _sentence(latest: str | None, *, newer: bool | None) -> str:
    if latest is None:
        return "The relay's operator recommends no version: ask there."
    if newer is None:
        return "This is no released version, so that it cannot be compared."
    if newer:
        return click.style("There is a newer version.", fg="yellow")
    return click.style("This version is as new as the one that is recommended.", fg="green")


def _ask(invocation: Invocation) -> "Recommended":
    import asyncio

    from cloud_connect.errors import ConfigurationError
    from cloud_connect.signing import to_bytes
    from cloud_connect_agent.proxies import Proxies
    from cloud_connect_agent.tls import client_context
    from cloud_connect_agent.upkeep.asking_update import ask_update

    settings = invocation.enrolled()
    relay = settings.relay
    if relay.url is None or relay.relay_id is None or relay.relay_public_key is None:
        raise ConfigurationError("The section relay is not complete: enrol this PC again.")
    try:
        key = to_bytes(relay.relay_public_key)
    except ValueError as exc:
        raise ConfigurationError(
            "The setting relay.relay_public_key is damaged: enrol this PC again."
        ) from exc
    proxy = asyncio.run(Proxies.of(settings.proxy).way(relay.url))
    return asyncio.run(
        ask_update(
            relay.url,
            relay_id=relay.relay_id,
            relay_key=key,
            tls=client_context(relay.ca_file),
            proxy=proxy,
        )
    )
