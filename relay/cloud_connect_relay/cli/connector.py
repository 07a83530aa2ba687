"""``cloud-connect-relay connector``: the enrolled agents."""

from operator import itemgetter
from typing import TYPE_CHECKING, Any

import click

from cloud_connect_relay.cli.invocation import Invocation, pass_invocation, shared_options
from cloud_connect_relay.cli.parameters import subscription_option
from cloud_connect_relay.cli.terminal import print_items, print_revoked

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from cloud_connect_relay.storage.connectors import Connectors

__all__ = ["connector"]


@click.group()
@shared_options
def connector() -> None:
    """List, approve, recover and revoke enrolled agents; a running relay follows in seconds."""


@connector.command(name="list")
@subscription_option
@shared_options
@pass_invocation
def list_(invocation: Invocation, *, subscription: str | None) -> None:
    """List the connectors, of all subscriptions unless one is named."""
    items = invocation.run(_list(invocation, subscription))
    print_items(
        items,
        as_json=invocation.json,
        head=("ID", "NAME", "STATE", "GROUP", "LAST SEEN", "SUBSCRIPTION"),
        row=itemgetter("id", "name", "state", "group", "last_seen_at", "subscription"),
        empty="There is no connector.",
    )


@connector.command()
@click.argument("connector_id", metavar="ID")
@subscription_option
@shared_options
@pass_invocation
def revoke(invocation: Invocation, *, connector_id: str, subscription: str | None) -> None:
    """Refuse a connector from now on; its session is cut within seconds."""

    async def change(connectors: "Connectors", now: float) -> bool:
        return await connectors.revoke(connector_id, actor=_actor(), at=now)

    missing = f"There is no connector with the id '{connector_id}'; see: connector list."
    invocation.run(_change(invocation, subscription, change, missing=missing))
    print_revoked(connector_id, as_json=invocation.json, sentence=f"{connector_id} is revoked.")


@connector.command()
@click.argument("connector_id", metavar="ID")
@subscription_option
@shared_options
@pass_invocation
def approve(invocation: Invocation, *, connector_id: str, subscription: str | None) -> None:
    """Let a connector in whose join token asked for approval."""

    async def change(connectors: "Connectors", now: float) -> bool:
        return await connectors.approve(connector_id, actor=_actor(), at=now)

    missing = f"No connector with the id '{connector_id}' waits for approval; see: connector list."
    invocation.run(_change(invocation, subscription, change, missing=missing))
    _say(invocation, connector_id, "approved", f"{connector_id} may connect.")


@connector.command()
@click.argument("connector_id", metavar="ID")
@subscription_option
@shared_options
@pass_invocation
def recover(invocation: Invocation, *, connector_id: str, subscription: str | None) -> None:
    """Let a connector that seems to be copied connect once; stop the copy first."""

    async def change(connectors: "Connectors", now: float) -> bool:
        return await connectors.recover(connector_id, actor=_actor(), at=now)

    missing = f"No connector with the id '{connector_id}' is suspected; see: connector list."
    invocation.run(_change(invocation, subscription, change, missing=missing))
    _say(
        invocation,
        connector_id,
        "recovered",
        f"{connector_id} may connect once more, whatever its state: the first to come is it.",
    )


def _actor() -> str:
    from cloud_connect_relay.cli.store import ACTOR

    return ACTOR


def _say(invocation: Invocation, connector_id: str, done: str, sentence: str) -> None:
    from cloud_connect.terminal import print_json

    if invocation.json:
        print_json({"id": connector_id, done: True})
    else:
        click.echo(sentence)


async def _list(invocation: Invocation, subscription: str | None) -> list[dict[str, Any]]:
    from cloud_connect_relay.cli.store import open_workplace
    from cloud_connect_relay.times import iso_time

    async with open_workplace(invocation) as work:
        return [
            {
                "id": one.id,
                "name": one.name,
                "state": one.flag.value,
                "group": one.group,
                "hosted": one.hosted,
                "key_id": one.key_id,
                "enrolled_at": iso_time(one.enrolled_at),
                "last_seen_at": iso_time(one.last_seen_at),
                "subscription": tenant.name,
                "subscription_id": tenant.id,
            }
            for tenant in await work.chosen(subscription)
            for one in await work.storage.of(tenant.id).connectors.list()
        ]


async def _change(
    invocation: Invocation,
    subscription: str | None,
    change: "Callable[[Connectors, float], Awaitable[bool]]",
    *,
    missing: str,
) -> None:
    from cloud_connect_relay.cli.store import StoreError, open_workplace

    async with open_workplace(invocation) as work:
        for tenant in await work.chosen(subscription):
            if await change(work.storage.of(tenant.id).connectors, work.now):
                return
    raise StoreError(missing)
