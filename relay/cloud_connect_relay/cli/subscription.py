"""``cloud-connect-relay subscription``: the tenants of this relay."""

from collections.abc import Mapping
from typing import Any

import click

from cloud_connect.terminal import fields, print_json
from cloud_connect_relay.cli.invocation import Invocation, pass_invocation, shared_options
from cloud_connect_relay.cli.parameters import NAME, quota_changes, quota_options, quota_text
from cloud_connect_relay.cli.terminal import print_items, print_revoked, secret

__all__ = ["subscription"]

_keyless_option = click.option(
    "--keyless-writes/--no-keyless-writes",
    default=None,
    help="Take records' writes without an Idempotency-Key, at their callers' risk.  [default: no]",
)


@click.group()
@shared_options
def subscription() -> None:
    """Create, list and revoke subscriptions; what one has, the others never see."""


@subscription.command()
@click.argument("name", type=NAME)
@_keyless_option
@quota_options
@shared_options
@pass_invocation
def create(
    invocation: Invocation,
    /,
    *,
    name: str,
    keyless_writes: bool | None,
    **quota: int | str | None,
) -> None:
    """Create a subscription with its first API key (all scopes), printed once."""
    made = invocation.run(
        _create(invocation, name, quota_changes(quota), keyless_writes=bool(keyless_writes))
    )
    if invocation.json:
        print_json(made)
        return
    fields([("Subscription", made["name"]), ("Id", made["id"])])
    secret("API key, all scopes (shown this once)", made["api_key"])


@subscription.command()
@click.argument("subscription")
@_keyless_option
@quota_options
@shared_options
@pass_invocation
def update(
    invocation: Invocation,
    /,
    *,
    subscription: str,
    keyless_writes: bool | None,
    **quota: int | str | None,
) -> None:
    """Bound the calls of a subscription, by its id or name; a running relay follows in seconds."""
    changes = quota_changes(quota)
    if not changes and keyless_writes is None:
        raise click.UsageError("Say what to change, such as --quota-per-second 50.")
    changed = invocation.run(
        _update(invocation, subscription, changes, keyless_writes=keyless_writes)
    )
    if invocation.json:
        print_json(changed)
        return
    fields(
        [
            ("Subscription", changed["name"]),
            ("Quota", quota_text(changed["quota"])),
            ("Writes without a key", "allowed" if changed["keyless_writes"] else "refused"),
        ]
    )


@subscription.command(name="list")
@shared_options
@pass_invocation
def list_(invocation: Invocation) -> None:
    """List all subscriptions."""
    items = invocation.run(_list(invocation))
    print_items(
        items,
        as_json=invocation.json,
        head=("ID", "NAME", "STATUS", "CREATED", "QUOTA"),
        row=_row,
        empty="There is no subscription.",
    )


@subscription.command()
@click.argument("subscription")
@shared_options
@pass_invocation
def revoke(invocation: Invocation, *, subscription: str) -> None:
    """Refuse every credential and connector of a subscription, by its id or name."""
    revoked = invocation.run(_revoke(invocation, subscription))
    sentence = f"{revoked} is revoked; its connectors are cut within seconds."
    print_revoked(revoked, as_json=invocation.json, sentence=sentence)


def _row(item: Mapping[str, Any]) -> tuple[str | None, ...]:
    return (
        item["id"],
        item["name"],
        item["status"],
        item["created_at"],
        quota_text(item["quota"]),
    )


async def _create(
    invocation: Invocation, name: str, quota: Mapping[str, int | None], *, keyless_writes: bool
) -> dict[str, Any]:
    from cloud_connect_relay.cli.store import ACTOR, open_workplace
    from cloud_connect_relay.credentials import Credential, CredentialKind
    from cloud_connect_relay.quota import NO_QUOTA
    from cloud_connect_relay.storage.subscriptions import Subscriptions

    async with open_workplace(invocation) as work:
        bounds = NO_QUOTA.changed(quota)
        made = await Subscriptions(work.storage).create(
            name, actor=ACTOR, at=work.now, quota=bounds
        )
        if keyless_writes:
            await Subscriptions(work.storage).allow_keyless_writes(
                made.id, allowed=True, actor=ACTOR, at=work.now
            )
        key = Credential.new(CredentialKind.API_KEY)
        await work.storage.of(made.id).keys.create(
            key.id,
            name="initial",
            secret_hash=work.identity.pepper.digest(key.secret),
            scopes=["all"],
            actor=ACTOR,
            at=work.now,
        )
    return {
        "id": made.id,
        "name": made.name,
        "api_key": key.reveal(),
        "quota": made.quota.limits(),
        "keyless_writes": keyless_writes,
    }


async def _update(
    invocation: Invocation,
    wanted: str,
    changes: Mapping[str, int | None],
    *,
    keyless_writes: bool | None,
) -> dict[str, Any]:
    from cloud_connect_relay.cli.store import ACTOR, open_workplace
    from cloud_connect_relay.storage.subscriptions import Subscriptions

    async with open_workplace(invocation) as work:
        found = await work.subscription(wanted)
        subscriptions = Subscriptions(work.storage)
        quota = found.quota.changed(changes)
        if changes:
            await subscriptions.set_quota(found.id, quota, actor=ACTOR, at=work.now)
        if keyless_writes is None:
            keyless_writes = found.keyless_writes
        else:
            await subscriptions.allow_keyless_writes(
                found.id, allowed=keyless_writes, actor=ACTOR, at=work.now
            )
    return {
        "id": found.id,
        "name": found.name,
        "quota": quota.limits(),
        "keyless_writes": keyless_writes,
    }


async def _list(invocation: Invocation) -> list[dict[str, Any]]:
    from cloud_connect_relay.cli.store import open_workplace
    from cloud_connect_relay.storage.subscriptions import Subscriptions
    from cloud_connect_relay.times import iso_time

    async with open_workplace(invocation) as work:
        return [
            {
                "id": one.id,
                "name": one.name,
                "status": "live" if one.revoked_at is None else "revoked",
                "created_at": iso_time(one.created_at),
                "revoked_at": iso_time(one.revoked_at),
                "quota": one.quota.limits(),
                "keyless_writes": one.keyless_writes,
            }
            for one in await Subscriptions(work.storage).all()
        ]


async def _revoke(invocation: Invocation, wanted: str) -> str:
    from cloud_connect_relay.cli.store import ACTOR, open_workplace
    from cloud_connect_relay.storage.subscriptions import Subscriptions

    async with open_workplace(invocation) as work:
        found = await work.subscription(wanted)
        await Subscriptions(work.storage).revoke(found.id, actor=ACTOR, at=work.now)
        return found.id
