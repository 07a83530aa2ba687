"""``cloud-connect rotate-key``: a new key for this PC, before its time."""

import click

from cloud_connect.terminal import print_json
from cloud_connect_agent.cli.invocation import Invocation, pass_invocation, shared_options
from cloud_connect_agent.control import AgentNotAnsweringError, AgentNotRunningError, ask

__all__ = ["rotate_key"]

_PATIENCE = 20.0  # seconds: the running agent has to reach the relay


@click.command(
    epilog="\b\nExamples:\n  cloud-connect rotate-key\n  cloud-connect rotate-key --json"
)
@shared_options
@pass_invocation
def rotate_key(invocation: Invocation) -> None:
    """Give this PC a new key; the relay refuses the old one once the new one has connected.

    The agent does so by itself every 90 days (relay.rotate_key_days). If the link breaks on
    the way, both keys are kept until one is settled: nothing has to be repeated.
    """
    invocation.configure_logs()
    invocation.enrolled()
    running = True
    try:
        answer = ask(invocation.paths.control_socket, {"command": "rotate_key"}, timeout=_PATIENCE)
        key_id = str(answer["key_id"])
    except AgentNotAnsweringError:
        raise
    except AgentNotRunningError:
        running, key_id = False, _rotate(invocation)
    if invocation.json:
        print_json({"key_id": key_id, "running": running})
    elif running:
        click.echo(f"The relay knows {key_id}; the agent connects with it within half a minute.")
    else:
        click.echo(f"The relay knows {key_id}; it is used when the agent runs, within a day.")


def _rotate(invocation: Invocation) -> str:
    """Announce the next key without a running agent, which would hold the lock."""
    import asyncio

    from cloud_connect_agent.identity import AgentKeys
    from cloud_connect_agent.key_rotation import KeyAge, KeyRotation
    from cloud_connect_agent.keyring import Keyring
    from cloud_connect_agent.proxies import Proxies
    from cloud_connect_agent.relay_address import RelayAddress
    from cloud_connect_agent.run_lock import run_lock
    from cloud_connect_agent.tls import client_context
    from cloud_connect_agent.vault import open_vault

    settings = invocation.enrolled()

    async def announce() -> str:
        async with open_vault(invocation.paths, settings.vault) as vault:
            keyring = await Keyring.load(AgentKeys(vault))
            address = RelayAddress.of(
                settings.relay,
                key=keyring.current,
                tls=client_context(settings.relay.ca_file),
                proxies=Proxies.of(settings.proxy),
            )
            age = KeyAge(invocation.paths.key_age_file)
            return await KeyRotation(keyring, address, age, max_days=0).rotate()

    with run_lock(invocation.paths):
        return asyncio.run(announce())
