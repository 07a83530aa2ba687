"""``cloud-connect-relay token``: join tokens, each of which enrols one agent."""

from operator import itemgetter
from typing import Any, Final

import click

from cloud_connect.terminal import fields, print_json
from cloud_connect_relay.cli.invocation import Invocation, pass_invocation, shared_options
from cloud_connect_relay.cli.parameters import DURATION, NAME, subscription_option
from cloud_connect_relay.cli.terminal import print_items, print_revoked, secret

__all__ = ["token"]

_LONGEST: Final = 86_400  # seconds: a token that lies around longer is forgotten somewhere


@click.group()
@shared_options
def token() -> None:
    """Create, list and revoke join tokens; each enrols one agent."""


@token.command()
@click.option("--group", type=NAME, help="Connectors of a group may stand in for each other.")
@click.option(
    "--expires-in",
    type=DURATION,
    default="1h",
    show_default=True,
    help="How long it can be used; at most 1d.",
)
@click.option(
    "--policy",
    type=click.Choice(["test-only", "read-only", "read-write"]),
    default="read-write",
    show_default=True,
    help="The most that the agent's own policy may allow.",
)
@click.option("--hosted", is_flag=True, help="For an agent that the relay's operator runs.")
@click.option("--approval", is_flag=True, help="Have an administrator approve what it enrols.")
@subscription_option
@shared_options
@pass_invocation
def create(
    invocation: Invocation,
    *,
    group: str | None,
    expires_in: int,
    policy: str,
    hosted: bool,
    approval: bool,
    subscription: str | None,
) -> None:
    """Create a join token; it is printed once."""
    if expires_in > _LONGEST:
        raise click.BadParameter("a join token lives one day at most", param_hint="'--expires-in'")
    made = invocation.run(
        _create(
            invocation,
            group=group,
            expires_in=expires_in,
            policy=policy,
            hosted=hosted,
            approval=approval,
            subscription=subscription,
        )
    )
    if invocation.json:
        print_json(made)
        return
    fields(
        [
            ("Id", made["id"]),
            ("Group", made["group"]),
            ("Policy", f"at most {made['policy_class']}"),
            ("Runs", "with the relay's operator" if made["hosted"] else "on the company's PC"),
            ("Approval", "by an administrator (connector approve)" if made["approval"] else ""),
            ("Expires", made["expires_at"]),
        ]
    )
    secret("Join token (shown this once; give it to `cloud-connect enrol`)", made["token"])


@token.command(name="list")
@subscription_option
@shared_options
@pass_invocation
def list_(invocation: Invocation, *, subscription: str | None) -> None:
    """List the join tokens, of all subscriptions unless one is named."""
    items = invocation.run(_list(invocation, subscription))
    print_items(
        items,
        as_json=invocation.json,
        head=("ID", "STATUS", "GROUP", "EXPIRES", "SUBSCRIPTION"),
        row=itemgetter("id", "status", "group", "expires_at", "subscription"),
        empty="There is no join token.",
    )


@token.command()
@click.argument("token_id", metavar="ID")
@subscription_option
@shared_options
@pass_invocation
def revoke(invocation: Invocation, *, token_id: str, subscription: str | None) -> None:
    """Refuse a join token; a connector that it has enrolled stays."""
    invocation.run(_revoke(invocation, token_id, subscription))
    print_revoked(token_id, as_json=invocation.json, sentence=f"{token_id} is revoked.")


async def _create(
    invocation: Invocation,
    *,
    group: str | None,
    expires_in: int,
    policy: str,
    hosted: bool,
    approval: bool,
    subscription: str | None,
) -> dict[str, Any]:
    from cloud_connect_relay.cli.store import ACTOR, open_workplace
    from cloud_connect_relay.enrolment_desk import issue_join_token

    async with open_workplace(invocation) as work:
        tenant = await work.subscription(subscription)
        return await issue_join_token(
            work.storage.of(tenant.id),
            relay_public_key=work.identity.public_key,
            now=work.now,
            expires_in=expires_in,
            group=group,
            hosted=hosted,
            policy_class=policy,
            approval=approval,
            actor=ACTOR,
        )


async def _list(invocation: Invocation, subscription: str | None) -> list[dict[str, Any]]:
    from cloud_connect_relay.cli.store import open_workplace
    from cloud_connect_relay.enrolment_desk import describe_join_token

    async with open_workplace(invocation) as work:
        return [
            {
                **describe_join_token(one, now=work.now),
                "subscription": tenant.name,
                "subscription_id": tenant.id,
            }
            for tenant in await work.chosen(subscription)
            for one in await work.storage.of(tenant.id).join_tokens.list()
        ]


async def _revoke(invocation: Invocation, token_id: str, subscription: str | None) -> None:
    from cloud_connect_relay.cli.store import ACTOR, StoreError, open_workplace
    from cloud_connect_relay.enrolment_desk import revoke_join_token

    async with open_workplace(invocation) as work:
        for tenant in await work.chosen(subscription):
            desk = work.storage.of(tenant.id)
            if await revoke_join_token(desk, token_id, actor=ACTOR, now=work.now):
                return
    raise StoreError(f"There is no join token with the id '{token_id}'; see: token list.")
