"""The agent's side of the handshake on a link: who we are, and whom we found."""

from typing import Protocol

from websockets.asyncio.client import ClientConnection

from cloud_connect.handshake import AgentCredentials, AgentHandshake
from cloud_connect.handshake_messages import Welcome
from cloud_connect.signing import SigningKey
from cloud_connect_agent.dialling import certificate_hash
from cloud_connect_agent.relay_address import RelayAddress

__all__ = ["greet"]


class GenerationCounter(Protocol):
    """What betrays a copy of this PC's disk."""

    async def read(self) -> int:
        """Return the last one that was stored."""
        ...

    async def store(self, generation: int) -> None:
        """Replace it durably."""
        ...


async def greet(
    link: ClientConnection,
    relay: RelayAddress,
    *,
    key: SigningKey,
    generation: GenerationCounter,
    instance: str,
) -> Welcome:
    """Prove who we are with the key, and return the welcome of a relay that did the same.

    Raises:
        HandshakeError: If the relay is not the pinned one, or somebody reads along who may not.
    """
    enrolled = relay.credentials
    handshake = AgentHandshake(
        AgentCredentials(
            connector_id=enrolled.connector_id,
            key=key,
            relay_id=enrolled.relay_id,
            relay_public_key=enrolled.relay_public_key,
        ),
        generation=await generation.read(),
        certificate_hash=certificate_hash(link),
        instance=instance,
        allow_intercepted=relay.allow_intercepted,
    )
    await link.send(handshake.receive_challenge(await link.recv()))
    welcome = handshake.receive_welcome(await link.recv())
    # Durable before it is confirmed: the relay will accept nothing older afterwards.
    await generation.store(welcome.generation)
    await link.send(handshake.confirm())
    return welcome
