"""``cloud-connect-relay recover``: the connectors of a store that was restored come back."""

import click

from cloud_connect.terminal import print_json
from cloud_connect_relay.cli.invocation import Invocation, pass_invocation, shared_options
from cloud_connect_relay.cli.parameters import subscription_option

__all__ = ["recover"]


@click.command(epilog="\b\nExample:\n  cloud-connect-relay recover --all")
@click.option("--all", "everybody", is_flag=True, help="All connectors that are not revoked.")
@subscription_option
@shared_options
@pass_invocation
def recover(invocation: Invocation, *, everybody: bool, subscription: str | None) -> None:
    """Accept the next connect of every connector once, whatever its generation.

    A restored store is behind the agents, which then look like copies and are refused. This lets
    the first to come be the connector, so run it only after a restore, and before `serve`.
    `connector recover ID` does it for one that is suspected.
    """
    if not everybody:
        raise click.UsageError("Say --all; for one connector, use `connector recover ID`.")
    count = invocation.run(_recover(invocation, subscription))
    if invocation.json:
        print_json({"connectors": count})
        return
    what = "1 connector" if count == 1 else f"{count} connectors"
    click.echo(f"{what} may connect once, whatever the generation: the first to come is it.")


async def _recover(invocation: Invocation, subscription: str | None) -> int:
    from cloud_connect_relay.cli.store import ACTOR, open_workplace

    async with open_workplace(invocation) as work:
        return sum(
            [
                await work.storage.of(tenant.id).connectors.recover_all(actor=ACTOR, at=work.now)
                for tenant in await work.chosen(subscription)
            ]
        )
