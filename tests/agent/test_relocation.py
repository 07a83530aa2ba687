"""Tests of ``cloud_connect_agent.relocation``, and of the connection that follows."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from fastapi import FastAPI

from cloud_connect.handshake import AgentCredentials
from cloud_connect.signing import SigningKey
from cloud_connect_agent.relay_api import RelayRefusedError, RelayUnreachableError
from cloud_connect_agent.relocation import ask_tunnel_url
from cloud_connect_agent.tls import client_context
from cloud_connect_relay.addresses import Addresses
from cloud_connect_relay.gateway.server import serve_tunnel
from doubles.link_bench import (
    TEST_TIMES,
    Relay,
    open_relay,
    run_agent,
    serve_app,
    serve_enrolment,
    serve_raw,
    serve_relay,
)
from doubles.silence import silent


@pytest.fixture
async def relay(tmp_path: Path) -> AsyncIterator[Relay]:
    async with serve_relay(tmp_path) as relay:
        yield relay


def known(relay: Relay, *, key: SigningKey | None = None) -> AgentCredentials:
    pinned = relay.identity.public_key if key is None else key.public_key
    return AgentCredentials(
        connector_id="con_1",
        key=SigningKey.generate(),
        relay_id=relay.identity.relay_id,
        relay_public_key=pinned,
    )


async def test_agent_follows_its_relay_to_another_port_and_keeps_its_identity(
    tmp_path: Path,
) -> None:
    async with open_relay(tmp_path) as relay, serve_enrolment(relay) as api_url:
        agents = AsyncExitStack()
        async with serve_tunnel(relay.services, "127.0.0.1", 0, times=TEST_TIMES) as gateway:
            relay.gateway = gateway
            agent = await agents.enter_async_context(
                run_agent(relay, tmp_path / "a", api_url=api_url)
            )
            await agent.health.until("connected")
            old = gateway.port
        moved = serve_tunnel(relay.services, "127.0.0.1", 0, times=TEST_TIMES)
        async with agents, moved as gateway:
            assert gateway.port != old
            relay.services.addresses.bind(port=0, tunnel_port=gateway.port)
            await agent.health.until("connected", times=2)
            assert relay.registry.get(agent.connector_id) is not None
            assert agent.health.told.count("offline") >= 3


async def test_another_relay_with_another_key_is_not_believed(relay: Relay) -> None:
    async with serve_enrolment(relay) as url:
        trusting = known(relay)
        assert await ask_tunnel_url(url, trusting, tls=client_context()) == relay.tunnel_url
        other = known(relay, key=SigningKey.generate())
        with pytest.raises(RelayRefusedError, match="could not prove"):
            await ask_tunnel_url(url, other, tls=client_context())


async def test_address_that_must_not_be_used_is_refused_though_it_is_signed(relay: Relay) -> None:
    relay.services.addresses.host = "relay.example.com"  # plain text beyond this machine
    async with serve_enrolment(relay) as url:
        with pytest.raises(RelayRefusedError, match="must not be used"):
            await ask_tunnel_url(url, known(relay), tls=client_context())


async def test_relay_of_an_older_version_says_nothing_of_it(relay: Relay) -> None:
    async with serve_app(FastAPI()) as url:
        with pytest.raises(RelayRefusedError):
            await ask_tunnel_url(url, known(relay), tls=client_context())


async def test_relay_that_does_not_answer_delays_no_dial_for_long(relay: Relay) -> None:
    async with serve_raw(silent) as port:
        url = f"http://127.0.0.1:{port}"
        with pytest.raises(RelayUnreachableError, match="in time"):
            await ask_tunnel_url(url, known(relay), tls=client_context(), seconds=0.1)


async def test_agent_that_is_told_nothing_goes_on_dialling_and_stops_at_once(
    relay: Relay, tmp_path: Path
) -> None:
    async with serve_raw(silent) as dead:
        nowhere = "ws://127.0.0.1:9/tunnel"
        async with run_agent(
            relay, tmp_path / "a", url=nowhere, api_url="http://127.0.0.1:9"
        ) as agent:
            await agent.health.until("offline", times=7)
        async with run_agent(
            relay, tmp_path / "b", url=nowhere, api_url=f"http://127.0.0.1:{dead}"
        ) as agent:
            await agent.health.until("offline", times=3)
            await agent.health.until("connecting", times=4)
            agent.stop.request()
            async with asyncio.timeout(4):
                await agent.task


@pytest.mark.parametrize(
    "elsewhere",
    ["ws://127.0.0.2:8081/tunnel", "wss://intranet.example.com/tunnel", "ws://[::1]:8081/tunnel"],
)
async def test_a_signed_address_at_another_host_is_not_dialled(
    relay: Relay, elsewhere: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = relay.tunnel_url
    monkeypatch.setattr(Addresses, "tunnel_url", property(lambda _: elsewhere))
    async with serve_enrolment(relay) as url:
        with pytest.raises(RelayRefusedError, match="another host"):
            await ask_tunnel_url(url, known(relay), tls=client_context(), enrolled_at=ours)
        assert (
            await ask_tunnel_url(
                url, known(relay), tls=client_context(), enrolled_at=elsewhere.replace("8081", "1")
            )
            == elsewhere
        )
