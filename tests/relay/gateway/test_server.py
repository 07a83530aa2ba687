import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidMessage, InvalidStatus
from websockets.typing import Subprotocol

from cloud_connect.closing import CloseCode
from cloud_connect.errors import ConfigurationError
from cloud_connect.signing import SigningKey
from cloud_connect_relay.gateway import listener
from cloud_connect_relay.gateway.registry import ConnectorStatus, status_of
from cloud_connect_relay.storage.connectors import ConnectorFlag
from doubles.link_bench import Relay, run_agent, serve_relay
from doubles.raw_agent import (
    SUBPROTOCOLS,
    agent_side,
    closed_with,
    greet,
    refused_with,
    session_at,
    socket_to,
)


@pytest.fixture
async def relay(tmp_path: Path) -> AsyncIterator[Relay]:
    async with serve_relay(tmp_path) as relay:
        yield relay


async def test_agent_that_proves_itself_is_listed(relay: Relay) -> None:
    key = SigningKey.generate()
    connector = await relay.enrol(key)
    async with socket_to(relay) as socket:
        agent = agent_side(relay, connector.id, key)
        assert await greet(socket, agent) == 1
        await socket.send(agent.confirm())
        live = await relay.session_of(connector.id)
        assert live.certificate == "unverified"
        stored = await relay.connector(connector.id)
        assert status_of(stored, live) is ConnectorStatus.ONLINE
        assert stored.generation == 1
    await relay.gone(connector.id)


async def test_upgrade_elsewhere_or_by_a_web_page_or_without_subprotocol_is_refused(
    relay: Relay,
) -> None:
    attempts: list[tuple[int, dict[str, Any]]] = [
        (403, {"origin": "https://evil.example"}),
        (400, {"subprotocols": None}),
        (400, {"subprotocols": [Subprotocol("cloud-connect.v9")]}),
    ]
    for status, options in attempts:
        with pytest.raises(InvalidStatus) as caught:
            async with socket_to(relay, **options):
                pass
        assert caught.value.response.status_code == status
    with pytest.raises(InvalidStatus) as caught:
        async with connect(relay.tunnel_url + "/other", subprotocols=SUBPROTOCOLS, proxy=None):
            pass
    assert caught.value.response.status_code == 404


async def test_compression_is_never_agreed(relay: Relay) -> None:
    async with connect(relay.tunnel_url, subprotocols=SUBPROTOCOLS, proxy=None) as socket:
        assert socket.response is not None
        assert "Sec-WebSocket-Extensions" not in socket.response.headers


async def test_wrong_key_and_unknown_connector_get_the_same_answer(relay: Relay) -> None:
    key = SigningKey.generate()
    connector = await relay.enrol(key)
    stranger = SigningKey.generate()
    assert await refused_with(relay, connector.id, stranger) == CloseCode.UNAUTHORIZED
    assert await refused_with(relay, "con_0000000000000000", key) == CloseCode.UNAUTHORIZED


async def test_signature_by_another_connectors_key_is_refused(relay: Relay) -> None:
    mine, theirs = SigningKey.generate(), SigningKey.generate()
    connector = await relay.enrol(mine)
    await relay.enrol(theirs)
    async with socket_to(relay) as socket:
        agent = agent_side(relay, connector.id, theirs)
        hello = json.loads(agent.receive_challenge(await socket.recv()))
        await socket.send(json.dumps({**hello, "key_id": mine.key_id}))
        assert await closed_with(socket) == CloseCode.UNAUTHORIZED


async def test_captured_handshake_is_refused_on_another_socket(relay: Relay) -> None:
    key = SigningKey.generate()
    connector = await relay.enrol(key)
    async with socket_to(relay) as first, socket_to(relay) as second:
        agent = agent_side(relay, connector.id, key)
        hello = agent.receive_challenge(await first.recv())
        await first.send(hello)
        await second.recv()
        await second.send(hello)
        assert await closed_with(second) == CloseCode.UNAUTHORIZED
        assert agent.receive_welcome(await first.recv()).generation == 1


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("{}", CloseCode.PROTOCOL_ERROR),
        ('{"type":"confirm","generation":1}', CloseCode.PROTOCOL_ERROR),
        (bytes(16), CloseCode.PROTOCOL_ERROR),
        ("x" * 4096, CloseCode.PROTOCOL_ERROR),
        ("x" * 4097, 1009),
    ],
)
async def test_anything_but_a_hello_closes_the_socket(
    relay: Relay, message: str | bytes, code: int
) -> None:
    async with asyncio.timeout(1), socket_to(relay) as socket:
        await socket.send(message)
        assert await closed_with(socket) == code


async def test_second_hello_closes_the_session(relay: Relay) -> None:
    key = SigningKey.generate()
    connector = await relay.enrol(key)
    async with socket_to(relay) as socket:
        agent = agent_side(relay, connector.id, key)
        hello = agent.receive_challenge(await socket.recv())
        await socket.send(hello)
        agent.receive_welcome(await socket.recv())
        await socket.send(agent.confirm())
        await socket.send(hello)
        assert await closed_with(socket) == CloseCode.PROTOCOL_ERROR
    await relay.gone(connector.id)


async def test_silent_socket_is_closed_in_time(tmp_path: Path) -> None:
    async with (
        serve_relay(tmp_path, tunnel={"auth_timeout": 0.1}) as relay,
        socket_to(relay) as socket,
    ):
        assert await closed_with(socket) == CloseCode.HANDSHAKE_TIMEOUT


async def test_socket_that_never_asks_for_the_upgrade_is_closed_in_time(tmp_path: Path) -> None:
    async with serve_relay(tmp_path, tunnel={"upgrade_timeout": 0.1}) as relay:
        assert relay.gateway is not None
        reader, writer = await asyncio.open_connection("127.0.0.1", relay.gateway.port)
        async with asyncio.timeout(5):
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""
        writer.close()
        assert relay.gateway.admission.pending == 0


async def test_endless_upgrade_request_is_cut_off(relay: Relay) -> None:
    assert relay.gateway is not None
    reader, writer = await asyncio.open_connection("127.0.0.1", relay.gateway.port)
    writer.write(b"GET /tunnel HTTP/1.1\r\n" + b"X-A: b\r\n" * 3000)
    async with asyncio.timeout(5):
        with contextlib.suppress(ConnectionResetError):
            await reader.read()
    writer.close()
    with contextlib.suppress(ConnectionResetError):
        await writer.wait_closed()
    assert relay.gateway.admission.pending == 0


async def test_strangers_of_one_address_are_few(tmp_path: Path) -> None:
    async with serve_relay(tmp_path, tunnel={"max_pending_per_source": 2}) as relay:
        async with socket_to(relay) as first, socket_to(relay) as second:
            await first.recv()
            await second.recv()
            with pytest.raises((OSError, InvalidMessage)):
                async with socket_to(relay, open_timeout=1):
                    pass
        async with session_at(relay):
            assert relay.gateway is not None
            assert relay.gateway.admission.pending == 0


async def test_too_many_handshakes_in_a_second_are_told_when_to_return(tmp_path: Path) -> None:
    async with serve_relay(tmp_path, tunnel={"handshakes_per_second": 1}) as relay:
        async with socket_to(relay):
            pass
        with pytest.raises(InvalidStatus) as caught:
            async with socket_to(relay):
                pass
        assert caught.value.response.status_code == 503
        assert caught.value.response.headers["Retry-After"] == "1"


async def test_lost_confirmation_is_no_clone(relay: Relay) -> None:
    key = SigningKey.generate()
    connector = await relay.enrol(key)
    generation = 0
    for _ in range(5):
        async with socket_to(relay) as socket:  # welcome received, never stored
            assert (
                await greet(socket, agent_side(relay, connector.id, key, generation=generation))
                == generation + 1
            )
        async with socket_to(relay) as socket:  # stored, confirmation lost
            agent = agent_side(relay, connector.id, key, generation=generation)
            generation = await greet(socket, agent)
    assert (await relay.connector(connector.id)).flag is ConnectorFlag.ACTIVE
    assert generation == 5


async def test_older_generation_is_a_clone_and_both_are_refused(
    relay: Relay, tmp_path: Path
) -> None:
    async with run_agent(relay, tmp_path / "a") as agent:
        live = await relay.session_of(agent.connector_id)
        code = await refused_with(relay, agent.connector_id, agent.key, generation=0)
        assert code == CloseCode.CLONE_SUSPECTED
        await relay.gone(agent.connector_id)
        await agent.health.until("offline")
        assert live.connector_id == agent.connector_id
        stored = await relay.connector(agent.connector_id)
        assert stored.flag is ConnectorFlag.CLONE_SUSPECTED
        code = await refused_with(relay, agent.connector_id, agent.key, generation=1)
        assert code == CloseCode.CLONE_SUSPECTED
        entries = await relay.tenant.audit.newest(limit=1)
        assert entries[0].action == "connector.clone_suspected"


async def test_revoked_connector_is_refused(relay: Relay) -> None:
    key = SigningKey.generate()
    connector = await relay.enrol(key)
    assert await relay.tenant.connectors.revoke(connector.id, actor="test", at=1.0)
    assert await refused_with(relay, connector.id, key) == CloseCode.REVOKED


def test_relay_does_not_serve_without_compiled_websockets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    listener.check_speedups()
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ConfigurationError, match="speedups"):
        listener.check_speedups()
