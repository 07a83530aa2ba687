"""``cloud-connect-relay custom-connector``: how today's platform calls the relay."""

import sys
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

import click

from cloud_connect.terminal import fields, print_json
from cloud_connect_relay.cli.invocation import Invocation, pass_invocation, shared_options
from cloud_connect_relay.cli.parameters import NAME, subscription_option
from cloud_connect_relay.cli.terminal import print_items, secret

if TYPE_CHECKING:
    from cloud_connect_relay.settings import RelaySettings

__all__ = ["custom_connector"]

_MAX_SECRET: Final = 256  # characters


@click.group(name="custom-connector")
@shared_options
def custom_connector() -> None:
    """Create, list and delete registrations by which Kianda calls the relay."""


@custom_connector.command()
@click.argument("title", type=NAME)
@click.option(
    "--dialect",
    type=click.Choice(["A", "B"]),
    default="A",
    show_default=True,
    help="B is that of older registrations.",
)
@click.option("--secret-stdin", is_flag=True, help="Read the secret that Kianda gave out.")
@click.option(
    "--writes/--no-writes",
    "allow_writes",
    default=None,
    help="Whether it may change records.  [default: only in dialect A]",
)
@click.option(
    "--request-id-is-key",
    is_flag=True,
    help="Take the request id of a write for its idempotency key.",
)
@click.option(
    "--users",
    type=click.Choice(["members", "partners"]),
    default="members",
    show_default=True,
    help="What users count as whom the relay does not know.",
)
@subscription_option
@shared_options
@pass_invocation
def create(
    invocation: Invocation,
    *,
    title: str,
    dialect: str,
    secret_stdin: bool,
    allow_writes: bool | None,
    request_id_is_key: bool,
    users: str,
    subscription: str | None,
) -> None:
    """Register a custom connector; a secret that the relay makes is printed once."""
    made = invocation.run(
        _create(
            invocation,
            title=title,
            dialect=dialect,
            given=_secret_on_stdin() if secret_stdin else None,
            allow_writes=allow_writes,
            request_id_is_key=request_id_is_key,
            users=users,
            subscription=subscription,
        )
    )
    if invocation.json:
        print_json(made)
        return
    fields(
        [
            ("Id", made["id"]),
            ("Dialect", made["dialect"]),
            ("May write", "yes" if made["allow_writes"] else "no"),
            ("Metadata URL", made["metadata_url"]),
            ("Test URL", made["test_url"]),
            ("Query URL", made["query_url"]),
        ]
    )
    if made["secret"] is not None:
        secret("Secret key (shown this once)", made["secret"])


@custom_connector.command(name="list")
@subscription_option
@shared_options
@pass_invocation
def list_(invocation: Invocation, *, subscription: str | None) -> None:
    """List the custom connectors, of all subscriptions unless one is named."""
    items = invocation.run(_list(invocation, subscription))
    print_items(
        items,
        as_json=invocation.json,
        head=("ID", "TITLE", "DIALECT", "SUBSCRIPTION"),
        row=itemgetter("id", "title", "dialect", "subscription"),
        empty="There is no custom connector.",
    )


@custom_connector.command(name="set-secret")
@click.argument("registration_id", metavar="ID")
@subscription_option
@shared_options
@pass_invocation
def set_secret(invocation: Invocation, *, registration_id: str, subscription: str | None) -> None:
    """Take the secret that Kianda gave out, from standard input."""
    invocation.run(_set_secret(invocation, registration_id, _secret_on_stdin(), subscription))
    if invocation.json:
        print_json({"id": registration_id, "changed": True})
    else:
        click.echo(f"{registration_id} has the secret; the former one opens nothing any more.")


@custom_connector.command()
@click.argument("registration_id", metavar="ID")
@subscription_option
@shared_options
@pass_invocation
def delete(invocation: Invocation, *, registration_id: str, subscription: str | None) -> None:
    """Delete a custom connector: its secret opens nothing any more."""
    invocation.run(_delete(invocation, registration_id, subscription))
    if invocation.json:
        print_json({"id": registration_id, "deleted": True})
    else:
        click.echo(f"{registration_id} is deleted.")


def _secret_on_stdin() -> str:
    if sys.stdin.isatty():
        return str(click.prompt("Secret key", hide_input=True, err=True))
    return sys.stdin.read(_MAX_SECRET)


def _base_url(settings: "RelaySettings") -> str:
    from cloud_connect_relay.addresses import Addresses

    addresses = Addresses(
        host=settings.host,
        secure=settings.secure,
        public_url=settings.public_url,
        port=settings.port,
    )
    return addresses.base_url


async def _create(
    invocation: Invocation,
    *,
    title: str,
    dialect: str,
    given: str | None,
    allow_writes: bool | None,
    request_id_is_key: bool,
    users: str,
    subscription: str | None,
) -> dict[str, Any]:
    from cloud_connect_relay.access import Unknown
    from cloud_connect_relay.cli.store import ACTOR, open_workplace
    from cloud_connect_relay.custom_connector.desk import register_custom_connector
    from cloud_connect_relay.custom_connector.dialects import Dialect

    async with open_workplace(invocation) as work:
        tenant = await work.subscription(subscription)
        return await register_custom_connector(
            work.storage.of(tenant.id),
            pepper=work.identity.pepper,
            base_url=_base_url(work.settings),
            title=title,
            dialect=Dialect(dialect),
            secret=given,
            allow_writes=allow_writes,
            request_id_is_key=request_id_is_key,
            users=Unknown(users),
            actor=ACTOR,
            now=work.now,
        )


async def _list(invocation: Invocation, subscription: str | None) -> list[dict[str, Any]]:
    from cloud_connect_relay.cli.store import open_workplace
    from cloud_connect_relay.custom_connector.desk import describe_custom_connector

    async with open_workplace(invocation) as work:
        base_url = _base_url(work.settings)
        return [
            {
                **describe_custom_connector(one, base_url=base_url),
                "subscription": tenant.name,
                "subscription_id": tenant.id,
            }
            for tenant in await work.chosen(subscription)
            for one in await work.storage.of(tenant.id).custom_connectors.all()
        ]


async def _set_secret(
    invocation: Invocation, registration_id: str, given: str, subscription: str | None
) -> None:
    from cloud_connect_relay.cli.store import ACTOR, open_workplace
    from cloud_connect_relay.custom_connector.desk import set_custom_secret

    async with open_workplace(invocation) as work:
        for tenant in await work.chosen(subscription):
            changed = await set_custom_secret(
                work.storage.of(tenant.id),
                registration_id,
                given,
                pepper=work.identity.pepper,
                actor=ACTOR,
                now=work.now,
            )
            if changed:
                return
    raise _unknown(registration_id)


async def _delete(invocation: Invocation, registration_id: str, subscription: str | None) -> None:
    from cloud_connect_relay.cli.store import ACTOR, open_workplace

    async with open_workplace(invocation) as work:
        for tenant in await work.chosen(subscription):
            registrations = work.storage.of(tenant.id).custom_connectors
            if await registrations.delete(registration_id, actor=ACTOR, at=work.now):
                return
    raise _unknown(registration_id)


def _unknown(registration_id: str) -> Exception:
    from cloud_connect_relay.cli.store import StoreError

    return StoreError(
        f"There is no custom connector with the id '{registration_id[:64]}'; see:"
        " custom-connector list."
    )
