"""A bare agent, for tests that say wrong things to a relay."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from cloud_connect.handshake import AgentCredentials, AgentHandshake
from cloud_connect.signing import SigningKey
from cloud_connect.tunnel.frames import Setting, encode_settings
from cloud_connect_relay.identity import RelayIdentity
from doubles.link_bench import Relay
from doubles.relay_node import Founded

SUBPROTOCOLS = [Subprotocol("cloud-connect.v1")]
INTRODUCTION: Final = encode_settings(
    dict(zip(Setting, (1, 1, 1024, 262_144, 4_194_304), strict=True))
)
"""What either end must say first in a session."""


@contextlib.asynccontextmanager
async def socket_to(relay: Relay, **options: Any) -> AsyncIterator[ClientConnection]:
    options.setdefault("subprotocols", SUBPROTOCOLS)
    async with connect(
        relay.tunnel_url, compression=None, proxy=None, ping_interval=None, **options
    ) as socket:
        yield socket


@contextlib.asynccontextmanager
async def connected(
    tunnel_url: str, identity: RelayIdentity, connector_id: str, key: SigningKey
) -> AsyncIterator[ClientConnection]:
    """A socket at a relay of another process, past the handshake."""
    async with connect(
        tunnel_url, subprotocols=SUBPROTOCOLS, compression=None, proxy=None, ping_interval=None
    ) as socket:
        side = _side(identity, connector_id, key)
        await greet(socket, side)
        await socket.send(side.confirm())
        yield socket


@contextlib.asynccontextmanager
async def session_at(relay: Relay) -> AsyncIterator[ClientConnection]:
    """The socket of a new connector, past the handshake."""
    key = SigningKey.generate()
    connector = await relay.enrol(key)
    async with socket_to(relay) as socket:
        agent = agent_side(relay, connector.id, key)
        await greet(socket, agent)
        await socket.send(agent.confirm())
        await relay.session_of(connector.id)
        yield socket


async def closed_with(socket: ClientConnection) -> int:
    """Wait for the end; which code the relay closed with."""
    async with asyncio.timeout(5):
        await socket.wait_closed()
    assert socket.close_code is not None
    return socket.close_code


def agent_side(
    relay: Relay | Founded, connector_id: str, key: SigningKey, *, generation: int = 0, **more: Any
) -> AgentHandshake:
    return _side(relay.identity, connector_id, key, generation=generation, **more)


def _side(
    identity: RelayIdentity, connector_id: str, key: SigningKey, *, generation: int = 0, **more: Any
) -> AgentHandshake:
    return AgentHandshake(
        AgentCredentials(
            connector_id=connector_id,
            key=key,
            relay_id=identity.relay_id,
            relay_public_key=identity.public_key,
        ),
        generation=generation,
        **more,
    )


async def greet(socket: ClientConnection, agent: AgentHandshake) -> int:
    await socket.send(agent.receive_challenge(await socket.recv()))
    return agent.receive_welcome(await socket.recv()).generation


async def refused_with(relay: Relay, connector_id: str, key: SigningKey, **more: Any) -> int:
    async with socket_to(relay) as socket:
        agent = agent_side(relay, connector_id, key, **more)
        await socket.send(agent.receive_challenge(await socket.recv()))
        return await closed_with(socket)
