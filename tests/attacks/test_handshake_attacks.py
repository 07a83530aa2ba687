"""Strangers at the tunnel's door: what they say proves nothing, and little of it is read."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

from cloud_connect import handshake
from cloud_connect.closing import CloseCode
from cloud_connect.crumbs import PatientConnection
from cloud_connect.handshake_messages import MAX_MESSAGE_BYTES
from cloud_connect.signing import SigningKey, key_id_of, to_bytes, to_text
from cloud_connect_relay.storage.tables import connectors
from doubles.link_bench import Relay, serve_relay
from doubles.raw_agent import agent_side, closed_with, session_at, socket_to
from doubles.waiting import until

ORDER = 2**252 + 27742317777372353535851937790883648493
IDENTITY_POINT = (1).to_bytes(32, "little")
FORGERY = to_text(IDENTITY_POINT + bytes(32))  # R is the identity, S is zero


@pytest.fixture
async def relay(tmp_path: Path) -> AsyncIterator[Relay]:
    async with serve_relay(tmp_path) as relay:
        yield relay


async def refused(relay: Relay, hello: str) -> int:
    """Send a hello that somebody else prepared; return the close code."""
    async with socket_to(relay) as socket:
        await socket.recv()
        await socket.send(hello)
        return await closed_with(socket)


async def captured(relay: Relay, connector_id: str, key: SigningKey) -> str:
    """A hello that was good on a socket which is gone."""
    async with socket_to(relay) as socket:
        return agent_side(relay, connector_id, key).receive_challenge(await socket.recv())


@pytest.mark.catalogue("T68")
async def test_captured_hello_opens_no_other_socket_no_other_relay_and_nothing_later(
    relay: Relay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = SigningKey.generate()
    connector = await relay.enrol(key)
    hello = await captured(relay, connector.id, key)
    assert await refused(relay, hello) == CloseCode.UNAUTHORIZED

    other_folder = tmp_path / "other"
    other_folder.mkdir()
    async with serve_relay(other_folder) as other:
        there = await other.enrol(key)
        hello = await captured(relay, there.id, key)
        assert await refused(other, hello) == CloseCode.UNAUTHORIZED
        assert len(other.registry) == 0

    monkeypatch.setattr(handshake, "NONCE_LIFETIME", -1.0)  # every nonce is of long ago
    async with socket_to(relay) as socket:
        await socket.send(
            agent_side(relay, connector.id, key).receive_challenge(await socket.recv())
        )
        assert await closed_with(socket) == CloseCode.HANDSHAKE_TIMEOUT
    assert len(relay.registry) == 0


async def hello_of(
    socket: ClientConnection, relay: Relay, connector_id: str, key: SigningKey
) -> Any:
    agent = agent_side(relay, connector_id, key)
    return json.loads(agent.receive_challenge(await socket.recv()))


@pytest.mark.catalogue("T69")
async def test_wrong_key_swapped_key_id_weak_key_and_second_encoding_are_refused(
    relay: Relay,
) -> None:
    mine, theirs = SigningKey.generate(), SigningKey.generate()
    connector, other = await relay.enrol(mine), await relay.enrol(theirs)

    def swapped(hello: Any) -> Any:
        return {**hello, "key_id": theirs.key_id}

    def renamed(hello: Any) -> Any:  # theirs signed for my connector, under my key's name
        return {**hello, "key_id": mine.key_id}

    def second_encoding(hello: Any) -> Any:
        signature = to_bytes(hello["signature"])
        scalar = int.from_bytes(signature[32:], "little") + ORDER
        return {**hello, "signature": to_text(signature[:32] + scalar.to_bytes(32, "little"))}

    attacks = [(theirs, renamed), (mine, swapped), (mine, second_encoding)]
    for key, change in attacks:
        async with socket_to(relay) as socket:
            hello = await hello_of(socket, relay, connector.id, key)
            await socket.send(json.dumps(change(hello)))
            assert await closed_with(socket) == CloseCode.UNAUTHORIZED, change.__name__

    # Keys that verify "signatures" nobody made, should one ever get into the store.
    for weak in (bytes(32), IDENTITY_POINT):
        await store_key(relay, other.id, weak)
        async with socket_to(relay) as socket:
            hello = await hello_of(socket, relay, other.id, theirs)
            forged = {**hello, "key_id": key_id_of(weak), "signature": FORGERY}
            await socket.send(json.dumps(forged))
            assert await closed_with(socket) == CloseCode.UNAUTHORIZED
    assert len(relay.registry) == 0


async def store_key(relay: Relay, connector_id: str, public_key: bytes) -> None:
    async with relay.storage.write() as connection:
        await connection.execute(
            update(connectors)
            .where(connectors.c.id == connector_id)
            .values(public_key=public_key, key_id=key_id_of(public_key))
        )


SETTINGS_FRAME = bytes.fromhex("00000004000000000000")


@pytest.mark.catalogue("T76")
@pytest.mark.parametrize("attack", ["frames", "second hello", "huge hello", "pings", "deaf"])
async def test_stranger_is_closed_within_a_second_and_little_of_him_is_read(
    relay: Relay, attack: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = 0
    receive = PatientConnection.data_received

    def count(connection: PatientConnection, data: bytes) -> None:
        nonlocal read
        # What comes after the relay hung up is dropped unread.
        room = getattr(connection, "_handshake_room", None)
        if room is not None and connection.request and connection.protocol.state is State.OPEN:
            read += len(data)
        receive(connection, data)

    monkeypatch.setattr(PatientConnection, "data_received", count)
    key = SigningKey.generate()
    connector = await relay.enrol(key)
    assert relay.gateway is not None
    loop = asyncio.get_running_loop()
    async with socket_to(relay) as socket:
        agent = agent_side(relay, connector.id, key)
        hello = agent.receive_challenge(await socket.recv())
        began = loop.time()
        await strike(socket, attack, hello)
        admission = relay.gateway.admission
        await until(lambda: admission.pending == 0)
        assert loop.time() - began < 1.0
    assert read <= MAX_MESSAGE_BYTES + 256  # frames' headers included
    assert len(relay.registry) == 0


async def strike(socket: ClientConnection, attack: str, hello: str) -> None:
    match attack:
        case "frames":
            await socket.send(SETTINGS_FRAME)
        case "second hello":
            await socket.send(hello)
            await socket.send(hello)
        case "huge hello":
            await socket.send(hello[:-1] + " " * 1_000_000 + "}")
        case "pings":
            try:
                for number in range(1000):
                    await socket.ping(b"%0100d" % number)
            except ConnectionClosed:
                return
        case "deaf":  # it neither reads nor closes
            socket.transport.pause_reading()
            socket.transport.write(bytes([0x81, 0xFE, 0xFF, 0xFF]) + bytes(60_000))
            await until_aborted(socket)


async def until_aborted(socket: ClientConnection) -> None:
    """Wait until writing fails: the relay hung up without waiting for a farewell."""
    while not socket.transport.is_closing():
        socket.transport.write(bytes(16))
        await asyncio.sleep(0.01)


async def test_honest_hello_fits(relay: Relay) -> None:
    async with session_at(relay):
        pass
