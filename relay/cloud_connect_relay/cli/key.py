"""``cloud-connect-relay key``: the API keys of programs."""

from collections.abc import Mapping, Sequence
from typing import Any

import click

from cloud_connect.terminal import fields, print_json
from cloud_connect_relay.cli.invocation import Invocation, pass_invocation, shared_options
from cloud_connect_relay.cli.parameters import (
    DURATION,
    NAME,
    NETWORK,
    quota_changes,
    quota_options,
    quota_text,
    subscription_option,
)
from cloud_connect_relay.cli.terminal import print_items, print_revoked, secret
from cloud_connect_relay.credentials import SCOPES
from cloud_connect_relay.key_desk import OVERLAP

__all__ = ["key"]


@click.group()
@shared_options
def key() -> None:
    """Create, list, rotate and revoke API keys."""


@key.command()
@click.option(
    "--scope",
    "scopes",
    type=click.Choice(sorted(SCOPES)),
    multiple=True,
    required=True,
    help="What the key may do; repeat it for several.",
)
@click.option("--name", type=NAME, default="unnamed", help="What it is for.")
@click.option("--expires-in", type=DURATION, help="Such as 30d; otherwise it never ends.")
@click.option(
    "--address",
    "addresses",
    type=NETWORK,
    multiple=True,
    metavar="ADDRESS|NETWORK",
    help="Where it may be used from; repeat it for several. Otherwise from anywhere.",
)
@click.option(
    "--acts-for",
    type=click.Choice(["members", "partners"]),
    help="It may name the user it acts for; users whom the relay does not know count as these.",
)
@quota_options
@subscription_option
@shared_options
@pass_invocation
def create(
    invocation: Invocation,
    /,
    *,
    scopes: Sequence[str],
    name: str,
    expires_in: int | None,
    subscription: str | None,
    addresses: Sequence[str],
    acts_for: str | None,
    **quota: int | str | None,
) -> None:
    """Create an API key; it is printed once."""
    made = invocation.run(
        _create(
            invocation,
            scopes=scopes,
            name=name,
            expires_in=expires_in,
            subscription=subscription,
            addresses=addresses,
            acts_for=acts_for,
            quota=quota_changes(quota),
        )
    )
    _show(invocation, made)


@key.command()
@click.argument("key_id", metavar="ID")
@click.option(
    "--overlap",
    type=DURATION,
    default=OVERLAP,
    show_default="1d",
    help="How long the former key still works.",
)
@subscription_option
@shared_options
@pass_invocation
def rotate(invocation: Invocation, *, key_id: str, overlap: int, subscription: str | None) -> None:
    """Make a key with the same rights; both work until the former one ends."""
    made = invocation.run(_rotate(invocation, key_id, subscription, overlap=overlap))
    _show(invocation, made)


@key.command()
@click.argument("key_id", metavar="ID")
@quota_options
@subscription_option
@shared_options
@pass_invocation
def update(
    invocation: Invocation, /, *, key_id: str, subscription: str | None, **quota: int | str | None
) -> None:
    """Bound the calls of a key; a running relay follows within seconds."""
    changes = quota_changes(quota)
    if not changes:
        raise click.UsageError("Say what to change, such as --quota-per-second 50.")
    changed = invocation.run(_update(invocation, key_id, subscription, changes))
    if invocation.json:
        print_json(changed)
        return
    fields([("Id", changed["id"]), ("Quota", quota_text(changed["quota"]))])


@key.command(name="list")
@subscription_option
@shared_options
@pass_invocation
def list_(invocation: Invocation, *, subscription: str | None) -> None:
    """List the keys, of all subscriptions unless one is named."""
    items = invocation.run(_list(invocation, subscription))
    print_items(
        items,
        as_json=invocation.json,
        head=("ID", "NAME", "STATUS", "SCOPES", "LAST USED", "SUBSCRIPTION", "QUOTA"),
        row=_row,
        empty="There is no key.",
    )


@key.command()
@click.argument("key_id", metavar="ID")
@subscription_option
@shared_options
@pass_invocation
def revoke(invocation: Invocation, *, key_id: str, subscription: str | None) -> None:
    """Refuse a key, and what was derived from it, within seconds."""
    invocation.run(_revoke(invocation, key_id, subscription))
    print_revoked(key_id, as_json=invocation.json, sentence=f"{key_id} is revoked.")


async def _create(
    invocation: Invocation,
    *,
    scopes: Sequence[str],
    name: str,
    expires_in: int | None,
    subscription: str | None,
    addresses: Sequence[str],
    acts_for: str | None,
    quota: Mapping[str, int | None],
) -> dict[str, Any]:
    from cloud_connect_relay.access import Unknown
    from cloud_connect_relay.cli.store import ACTOR, open_workplace
    from cloud_connect_relay.key_desk import issue_key
    from cloud_connect_relay.quota import NO_QUOTA

    async with open_workplace(invocation) as work:
        tenant = await work.subscription(subscription)
        made = await issue_key(
            work.storage.of(tenant.id),
            pepper=work.identity.pepper,
            name=name,
            scopes=scopes,
            now=work.now,
            actor=ACTOR,
            expires_in=expires_in,
            quota=NO_QUOTA.changed(quota),
            addresses=addresses,
            acts_for=None if acts_for is None else Unknown(acts_for),
        )
    return {**made, "subscription_id": tenant.id}


async def _rotate(
    invocation: Invocation, key_id: str, subscription: str | None, *, overlap: int
) -> dict[str, Any]:
    from cloud_connect_relay.cli.store import ACTOR, StoreError, open_workplace
    from cloud_connect_relay.key_desk import rotate_key

    async with open_workplace(invocation) as work:
        for tenant in await work.chosen(subscription):
            made = await rotate_key(
                work.storage.of(tenant.id),
                key_id,
                pepper=work.identity.pepper,
                overlap=overlap,
                now=work.now,
                actor=ACTOR,
            )
            if made is not None:
                return {**made, "subscription_id": tenant.id}
    raise StoreError(f"There is no live key with the id '{key_id}'; see: key list.")


async def _list(invocation: Invocation, subscription: str | None) -> list[dict[str, Any]]:
    from cloud_connect_relay.cli.store import open_workplace
    from cloud_connect_relay.key_desk import describe_key

    async with open_workplace(invocation) as work:
        return [
            {
                **describe_key(one, now=work.now),
                "subscription": tenant.name,
                "subscription_id": tenant.id,
            }
            for tenant in await work.chosen(subscription)
            for one in await work.storage.of(tenant.id).keys.all()
        ]


def _show(invocation: Invocation, made: Mapping[str, Any]) -> None:
    if invocation.json:
        print_json(made)
        return
    fields(
        [
            ("Id", made["id"]),
            ("Name", made["name"]),
            ("Scopes", ", ".join(made["scopes"])),
            ("Expires", made["expires_at"] or "never"),
            ("Used from", ", ".join(made["addresses"]) or "anywhere"),
            ("Acts for", made["acts_for"] or "nobody"),
            ("Quota", quota_text(made["quota"])),
        ]
    )
    secret("API key (shown this once)", made["api_key"])


def _row(item: Mapping[str, Any]) -> tuple[str | None, ...]:
    return (
        item["id"],
        item["name"],
        item["status"],
        ", ".join(item["scopes"]),
        item["last_used_at"] or "never used",
        item["subscription"],
        quota_text(item["quota"]),
    )


async def _update(
    invocation: Invocation,
    key_id: str,
    subscription: str | None,
    changes: Mapping[str, int | None],
) -> dict[str, Any]:
    from cloud_connect_relay.cli.store import ACTOR, StoreError, open_workplace

    async with open_workplace(invocation) as work:
        for tenant in await work.chosen(subscription):
            keys = work.storage.of(tenant.id).keys
            found = await keys.find(key_id)
            if found is not None:
                quota = found.quota.changed(changes)
                if await keys.set_quota(key_id, quota, actor=ACTOR, at=work.now):
                    return {"id": key_id, "quota": quota.limits()}
    raise StoreError(f"There is no live key with the id '{key_id}'; see: key list.")


async def _revoke(invocation: Invocation, key_id: str, subscription: str | None) -> None:
    from cloud_connect_relay.cli.store import ACTOR, StoreError, open_workplace

    async with open_workplace(invocation) as work:
        for tenant in await work.chosen(subscription):
            if await work.storage.of(tenant.id).keys.revoke(key_id, actor=ACTOR, at=work.now):
                return
    raise StoreError(f"There is no live key with the id '{key_id}'; see: key list.")
