"""``cloud-connect keys``: the public keys of this PC, to be compared by people."""

from typing import TYPE_CHECKING

import click

from cloud_connect.terminal import fields, print_json
from cloud_connect_agent.cli.invocation import Invocation, pass_invocation, shared_options

if TYPE_CHECKING:
    from cloud_connect.sealing import SealingKey

__all__ = ["keys"]


@click.command(
    epilog=(
        "Give the sealing key to whoever seals calls to this PC by a way that does not lead "
        "through the relay: a relay that lies could show a key of its own.\n\n"
        "\b\nExamples:\n  cloud-connect keys\n  cloud-connect keys --json\n"
        "  cloud-connect keys --new-sealing-key"
    )
)
@click.option(
    "--new-sealing-key",
    is_flag=True,
    help="Make a new one first; the agent must not run, and callers must be told.",
)
@shared_options
@pass_invocation
def keys(invocation: Invocation, *, new_sealing_key: bool) -> None:
    """Print this PC's connector id, the name of its identity key, and its sealing key."""
    import asyncio
    import contextlib

    from cloud_connect.signing import to_text
    from cloud_connect_agent.identity import AgentKeys
    from cloud_connect_agent.run_lock import run_lock
    from cloud_connect_agent.sealing_keys import SealingKeys
    from cloud_connect_agent.vault import open_vault

    invocation.configure_logs()
    settings = invocation.enrolled()
    connector_id = settings.relay.connector_id
    paths = invocation.paths

    async def load() -> tuple[str, "SealingKey"]:
        async with open_vault(paths, settings.vault) as vault:
            own = SealingKeys(vault)
            sealing = await own.renew() if new_sealing_key else await own.load()
            return (await AgentKeys(vault).load()).key_id, sealing

    with run_lock(paths) if new_sealing_key else contextlib.nullcontext():
        identity, sealing = asyncio.run(load())
    if invocation.json:
        print_json(
            {
                "connector_id": connector_id,
                "identity_key_id": identity,
                "sealing_key": to_text(sealing.public_key),
            }
        )
        return
    fields(
        [
            ("Connector", connector_id),
            ("Identity key", identity),
            ("Sealing key", to_text(sealing.public_key)),
        ]
    )
