"""``cloud-connect-relay init``: what a relay starts with."""

import asyncio
import time
from typing import TYPE_CHECKING, Any

import click

from cloud_connect.terminal import fields, print_json
from cloud_connect_relay.cli.invocation import Invocation, pass_invocation, shared_options
from cloud_connect_relay.cli.parameters import NAME, database_option
from cloud_connect_relay.cli.terminal import secret

if TYPE_CHECKING:
    from cloud_connect_relay.settings import RelaySettings

__all__ = ["init"]


@click.command()
@click.option("--subscription", type=NAME, default="Default", help="Name of the subscription.")
@click.option("--username", type=NAME, default="admin", help="Name of the administrator.")
@database_option
@shared_options
@pass_invocation
def init(
    invocation: Invocation, *, subscription: str, username: str, database_url: str | None
) -> None:
    """Create the store, the first subscription, an administrator and an API key.

    The password and the key are printed once.
    """
    invocation.configure_logs()
    settings = invocation.settings({"database_url": database_url})
    made = asyncio.run(_init(settings, subscription=subscription, username=username))
    if invocation.json:
        print_json(made)
        return
    click.echo("The relay is initialised. The password and the key are shown this once.\n")
    fields(
        [
            ("Subscription", f"{made['subscription']['name']} ({made['subscription_id']})"),
            ("Administrator", made["administrator"]["username"]),
            ("Data folder", made["data_dir"]),
            ("Console", f"{_console(settings)} once the relay serves"),
        ]
    )
    secret("Password", made["administrator"]["password"])
    secret("API key, all scopes", made["api_key"])
    click.echo(f"\nNext: {invocation.command('serve')}")


def _console(settings: "RelaySettings") -> str:
    from cloud_connect_relay.addresses import Addresses

    addresses = Addresses(
        host=settings.host,
        secure=settings.secure,
        public_url=settings.public_url,
        port=settings.port,
    )
    return f"{addresses.base_url}/console/"


async def _init(settings: "RelaySettings", *, subscription: str, username: str) -> dict[str, Any]:
    from cloud_connect_relay.cli.store import fresh_storage
    from cloud_connect_relay.credentials import Credential, CredentialKind
    from cloud_connect_relay.identity import RelayIdentity
    from cloud_connect_relay.passwords import Passwords, random_password
    from cloud_connect_relay.storage.founding import Founding, found

    identity = RelayIdentity.create(settings.paths)
    key = Credential.new(CredentialKind.API_KEY)
    password = random_password()
    async with fresh_storage(settings) as storage:
        subscription_id = await found(
            storage,
            Founding(
                relay_id=identity.relay_id,
                public_key=identity.public_key,
                subscription_name=subscription,
                username=username,
                password_hash=await Passwords().hash(password),
                key_id=key.id,
                key_hash=identity.pepper.digest(key.secret),
            ),
            at=time.time(),
        )
    return {
        "subscription": {"id": subscription_id, "name": subscription},
        "subscription_id": subscription_id,
        "administrator": {"username": username, "password": password},
        "api_key": key.reveal(),
        "relay_id": identity.relay_id,
        "data_dir": str(settings.data_dir.absolute()),
    }
