"""``cloud-connect-relay user``: the people who may sign in."""

from operator import itemgetter
from typing import Any

import click

from cloud_connect.terminal import fields, print_json
from cloud_connect_relay.cli.invocation import Invocation, pass_invocation, shared_options
from cloud_connect_relay.cli.parameters import NAME, read_password, subscription_option
from cloud_connect_relay.cli.terminal import print_items, print_revoked, secret
from cloud_connect_relay.credentials import ROLES

__all__ = ["user"]


@click.group()
@shared_options
def user() -> None:
    """Create, list, change and revoke the people who may sign in."""


@user.command()
@click.option("--username", type=NAME, required=True, help="What they sign in with.")
@click.option(
    "--role",
    type=click.Choice(sorted(ROLES)),
    default="operator",
    show_default=True,
    help="Operators run calls and manage connectors; viewers only look; partners query what is"
    " open to them.",
)
@click.option("--password-stdin", is_flag=True, help="Take the password from standard input.")
@subscription_option
@shared_options
@pass_invocation
def create(
    invocation: Invocation,
    *,
    username: str,
    role: str,
    password_stdin: bool,
    subscription: str | None,
) -> None:
    """Create a person; the password is made and printed once, unless you bring one."""
    password = read_password() if password_stdin else None
    made = invocation.run(
        _create(
            invocation, username=username, role=role, password=password, subscription=subscription
        )
    )
    if invocation.json:
        print_json(made)
        return
    fields([("User", made["username"]), ("Role", made["role"]), ("Id", made["id"])])
    if made["password"]:
        secret("Password (shown this once)", made["password"])


@user.command(name="list")
@subscription_option
@shared_options
@pass_invocation
def list_(invocation: Invocation, *, subscription: str | None) -> None:
    """List the people, of all subscriptions unless one is named."""
    items = invocation.run(_list(invocation, subscription))
    print_items(
        items,
        as_json=invocation.json,
        head=("ID", "USER", "ROLE", "STATUS", "SUBSCRIPTION"),
        row=itemgetter("id", "username", "role", "status", "subscription"),
        empty="There is nobody.",
    )


@user.command(name="update")
@click.argument("user")
@click.option("--role", type=click.Choice(sorted(ROLES)), help="Their new role.")
@click.option("--new-password", is_flag=True, help="Make a new password and print it once.")
@click.option("--password-stdin", is_flag=True, help="Take the new one from standard input.")
@subscription_option
@shared_options
@pass_invocation
def update(
    invocation: Invocation,
    /,
    *,
    user: str,
    role: str | None,
    new_password: bool,
    password_stdin: bool,
    subscription: str | None,
) -> None:
    """Change a person's role or password, by id or user name, and end their sessions."""
    if role is None and not new_password and not password_stdin:
        raise click.UsageError("Say what to change: --role, --new-password or --password-stdin.")
    password = read_password() if password_stdin else None
    changed = invocation.run(
        _update(
            invocation,
            user,
            subscription,
            role=role,
            password=password,
            makes_password=new_password and not password_stdin,
        )
    )
    if invocation.json:
        print_json(changed)
        return
    fields([("User", changed["username"]), ("Role", changed["role"]), ("Id", changed["id"])])
    if changed["password"]:
        secret("Password (shown this once)", changed["password"])


@user.command()
@click.argument("user")
@subscription_option
@shared_options
@pass_invocation
def revoke(invocation: Invocation, *, user: str, subscription: str | None) -> None:
    """Refuse a person, by id or user name, and end their tokens."""
    revoked = invocation.run(_revoke(invocation, user, subscription))
    sentence = f"{revoked} may not sign in any more."
    print_revoked(revoked, as_json=invocation.json, sentence=sentence)


async def _create(
    invocation: Invocation,
    *,
    username: str,
    role: str,
    password: str | None,
    subscription: str | None,
) -> dict[str, Any]:
    from cloud_connect_relay.cli.store import ACTOR, open_workplace
    from cloud_connect_relay.passwords import Passwords, random_password

    made_up = random_password() if password is None else None
    async with open_workplace(invocation) as work:
        tenant = await work.subscription(subscription)
        made = await work.storage.of(tenant.id).users.create(
            username,
            password_hash=await Passwords().hash(password or made_up or ""),
            role=role,
            actor=ACTOR,
            at=work.now,
        )
    return {
        "id": made.id,
        "username": made.username,
        "password": made_up,
        "role": made.role,
        "subscription_id": made.subscription_id,
    }


async def _update(
    invocation: Invocation,
    user: str,
    subscription: str | None,
    *,
    role: str | None,
    password: str | None,
    makes_password: bool,
) -> dict[str, Any]:
    from cloud_connect_relay.cli.store import ACTOR, StoreError, open_workplace
    from cloud_connect_relay.passwords import Passwords, random_password

    made_up = random_password() if makes_password else None
    password = password or made_up
    async with open_workplace(invocation) as work:
        for tenant in await work.chosen(subscription):
            users = work.storage.of(tenant.id).users
            found = await users.find(user)
            if found is None:
                continue
            if role is not None:
                await users.set_role(found.id, role, actor=ACTOR, at=work.now)
            if password is not None:
                hashed = await Passwords().hash(password)
                await users.set_password(found.id, hashed, actor=ACTOR, at=work.now)
            return {
                "id": found.id,
                "username": found.username,
                "role": role or found.role,
                "password": made_up,
                "subscription_id": tenant.id,
            }
    raise StoreError(f"There is nobody named '{user}' who may sign in; see: user list.")


async def _list(invocation: Invocation, subscription: str | None) -> list[dict[str, Any]]:
    from cloud_connect_relay.cli.store import open_workplace
    from cloud_connect_relay.times import iso_time

    async with open_workplace(invocation) as work:
        return [
            {
                "id": one.id,
                "username": one.username,
                "role": one.role,
                "status": "live" if one.revoked_at is None else "revoked",
                "subscription": tenant.name,
                "subscription_id": tenant.id,
                "created_at": iso_time(one.created_at),
                "revoked_at": iso_time(one.revoked_at),
            }
            for tenant in await work.chosen(subscription)
            for one in await work.storage.of(tenant.id).users.all()
        ]


async def _revoke(invocation: Invocation, user: str, subscription: str | None) -> str:
    from cloud_connect_relay.cli.store import ACTOR, StoreError, open_workplace

    async with open_workplace(invocation) as work:
        for tenant in await work.chosen(subscription):
            users = work.storage.of(tenant.id).users
            revoked = await users.revoke(user, actor=ACTOR, at=work.now)
            if revoked is not None:
                return revoked
    raise StoreError(f"There is nobody named '{user}' who may sign in; see: user list.")
