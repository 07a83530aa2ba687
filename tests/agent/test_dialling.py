import asyncio
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from websockets.server import ServerProtocol

from cloud_connect.errors import ConfigurationError
from cloud_connect_agent import reaching
from cloud_connect_agent.dialling import DialError, dial
from cloud_connect_agent.health import IDLE_SECONDS
from cloud_connect_agent.tls import client_context
from doubles.certificates import Authority
from doubles.link_bench import (
    QUICK,
    Agent,
    Relay,
    run_agent,
    serve_raw,
    serve_relay,
)
from doubles.silence import answers_upgrade_only, silent


@pytest.fixture
async def relay(tmp_path: Path) -> AsyncIterator[Relay]:
    async with serve_relay(tmp_path) as relay:
        yield relay


async def stopped(agent: Agent) -> float:
    began = time.monotonic()
    async with asyncio.timeout(10):
        await agent.task
    return time.monotonic() - began


@pytest.mark.parametrize(
    ("scheme", "server", "says"),
    [
        ("wss", silent, "TLS"),
        ("ws", silent, "upgrade"),
        ("ws", answers_upgrade_only, "handshake"),
    ],
)
async def test_server_that_falls_silent_is_given_up_in_time(
    relay: Relay, tmp_path: Path, scheme: str, server: object, says: str
) -> None:
    async with serve_raw(server) as port:  # type: ignore[arg-type]  # one of the two above
        url = f"{scheme}://127.0.0.1:{port}/tunnel"
        began = time.monotonic()
        async with run_agent(relay, tmp_path / "a", url=url) as agent:
            await agent.health.until("offline", times=2)
            assert says in agent.health.reasons[0]
            assert 0.9 < time.monotonic() - began < 4.0


async def hangs_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.close()


async def talks_nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"220 mail.example.com ESMTP\r\n\r\n")
    writer.close()


async def web_server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
    writer.close()


async def busy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(
        b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )
    writer.close()


async def no_subprotocol(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    protocol = ServerProtocol()
    while not (events := protocol.events_received()):
        protocol.receive_data(await reader.read(4096))
    protocol.send_response(protocol.accept(events[0]))  # type: ignore[arg-type]  # a request
    for data in protocol.data_to_send():
        writer.write(data)
    await reader.read()


@pytest.mark.parametrize(
    ("server", "says"),
    [
        (hangs_up, "was cut during"),
        (talks_nonsense, "no relay's tunnel"),
        (web_server, "status 200"),
        (busy, "busy"),
        (no_subprotocol, "protocol"),
    ],
)
async def test_server_that_is_no_relay_is_named(
    relay: Relay, tmp_path: Path, server: object, says: str
) -> None:
    async with serve_raw(server) as port:  # type: ignore[arg-type]  # one of those above
        url = f"ws://127.0.0.1:{port}/tunnel"
        async with run_agent(relay, tmp_path / "a", url=url, uniform=lambda low, _: low) as agent:
            await agent.health.until("offline")
            assert says in agent.health.reasons[0]


async def test_busy_relay_is_given_the_time_it_asks_for(relay: Relay, tmp_path: Path) -> None:
    async with serve_raw(busy) as port:
        url = f"ws://127.0.0.1:{port}/tunnel"
        async with run_agent(relay, tmp_path / "a", url=url, uniform=lambda low, _: low) as agent:
            await agent.health.until("offline")
            assert agent.delays == [0.05, 1.0]
            await asyncio.sleep(0.1)
            assert agent.health.told == ["connecting", "offline"]


async def test_gateway_that_asks_for_hours_is_dialled_before_the_agent_counts_as_stuck() -> None:
    async def busy_for_hours(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 503 Busy\r\nRetry-After: 9999\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with serve_raw(busy_for_hours) as port:
        url = f"ws://127.0.0.1:{port}/tunnel"
        with pytest.raises(DialError) as refused:
            async with dial(url, tls=client_context(None), settings=QUICK):
                pass
    assert refused.value.retry_after is not None
    assert 60 <= refused.value.retry_after < IDLE_SECONDS - 60


@pytest.mark.parametrize("known", [True, False])
async def test_tls_link_is_verified_when_the_relay_knows_its_certificate(
    tmp_path: Path, *, known: bool
) -> None:
    authority = Authority.make()
    certificate, key = authority.issue(tmp_path, "localhost")
    edge, _ = authority.issue(tmp_path, "edge")
    settings: dict[str, Any] = {
        "tls_cert": certificate,
        "tls_key": key,
        "tunnel": {"edge_certs": [edge]},
    }
    async with serve_relay(tmp_path, **settings) as relay:
        assert relay.gateway is not None
        url = f"wss://localhost:{relay.gateway.port}/tunnel"
        ca_file = authority.trusted(tmp_path) if known else None
        async with run_agent(relay, tmp_path / "a", url=url, ca_file=ca_file) as agent:
            if known:
                live = await relay.session_of(agent.connector_id)
                assert live.certificate == "verified"
            else:
                await agent.health.until("offline")
                assert "not trusted" in agent.health.reasons[0]


async def test_intercepted_link_is_refused_by_the_relay(tmp_path: Path) -> None:
    authority = Authority.make()
    edge, _ = authority.issue(tmp_path, "edge")
    async with (
        serve_relay(tmp_path, tunnel={"edge_certs": [edge]}) as relay,
        run_agent(relay, tmp_path / "a") as agent,
    ):
        await agent.health.until("intercepted")
        assert "a proxy in between" in agent.health.reasons[0]
        assert agent.connector_id in relay.registry.intercepted


async def test_intercepted_link_is_marked_where_the_pcs_administrator_allows_it(
    tmp_path: Path,
) -> None:
    authority = Authority.make()
    edge, _ = authority.issue(tmp_path, "edge")
    async with (
        serve_relay(tmp_path, tunnel={"edge_certs": [edge]}) as relay,
        run_agent(relay, tmp_path / "a", allow_intercepted=True) as agent,
    ):
        live = await relay.session_of(agent.connector_id)
        assert live.certificate == "intercepted"
        await agent.health.until("connected")
        assert agent.health.seen == "intercepted"
        assert not relay.registry.intercepted


@pytest.mark.parametrize("server", [silent, answers_upgrade_only])
async def test_agent_stops_at_once_while_it_dials(
    relay: Relay, tmp_path: Path, server: object
) -> None:
    async with serve_raw(server) as port:  # type: ignore[arg-type]  # one of both
        url = f"ws://127.0.0.1:{port}/tunnel"
        settings = QUICK.model_copy(update={"upgrade_timeout": 60, "handshake_timeout": 60})
        async with run_agent(relay, tmp_path / "a", url=url, settings=settings) as agent:
            await agent.health.until("connecting")
            await asyncio.sleep(0.05)
            agent.stop.request()
            assert await stopped(agent) < 4.0


async def test_plain_tunnel_to_another_machine_is_refused(relay: Relay, tmp_path: Path) -> None:
    with pytest.raises(ExceptionGroup) as caught:
        async with run_agent(relay, tmp_path / "a", url="ws://relay.example.com/tunnel") as agent:
            await agent.task
    assert caught.group_contains(ConfigurationError, match="loopback")


async def test_dead_first_address_does_not_hide_the_second(
    relay: Relay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert relay.gateway is not None
    port = relay.gateway.port
    loop = asyncio.get_running_loop()
    found = [(socket.AF_INET, 1, 6, "", ("127.0.0.1", each)) for each in (9, port)]

    async def lookup(*_: object, **__: object) -> list[Any]:
        return found

    monkeypatch.setattr(loop, "getaddrinfo", lookup)
    url = f"ws://localhost:{port}/tunnel"
    async with run_agent(relay, tmp_path / "a", url=url) as agent:
        await agent.health.until("connected")


async def test_address_that_accepts_and_says_nothing_is_not_dialled_first_again(
    relay: Relay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert relay.gateway is not None
    port = relay.gateway.port
    async with serve_raw(silent) as dead:
        found = [(socket.AF_INET, 1, 6, "", ("127.0.0.1", each)) for each in (dead, port)]

        async def lookup(*_: object, **__: object) -> list[Any]:
            return found

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", lookup)
        url = f"ws://localhost:{port}/tunnel"
        async with run_agent(relay, tmp_path / "a", url=url) as agent:
            await agent.health.until("connected")
            assert agent.health.told == ["connecting", "offline", "connecting", "connected"]


async def test_address_that_never_answers_is_given_up_in_time(
    relay: Relay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", never)
    async with run_agent(relay, tmp_path / "a") as agent:
        await agent.health.until("offline")
        assert "no answer" in agent.health.reasons[0]


async def test_lookup_that_never_ends_is_given_up_in_time(
    relay: Relay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: object, **__: object) -> list[Any]:
        return [await asyncio.Event().wait()]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", never)
    monkeypatch.setattr(reaching, "_RESOLVE_TIMEOUT", 0.05)
    async with run_agent(relay, tmp_path / "a") as agent:
        await agent.health.until("offline")
        assert "in time: check DNS" in agent.health.reasons[0]


async def test_stop_while_the_network_hangs_leaves_no_socket_behind(
    relay: Relay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = asyncio.Event()

    async def never(*_: object) -> None:
        waiting.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", never)
    settings = QUICK.model_copy(update={"connect_timeout": 60})
    async with run_agent(relay, tmp_path / "a", settings=settings) as agent:
        await waiting.wait()
        agent.stop.request()
        assert await stopped(agent) < 4.0


async def test_name_that_nobody_knows_is_a_dns_problem(relay: Relay, tmp_path: Path) -> None:
    url = "wss://relay.invalid/tunnel"
    async with run_agent(relay, tmp_path / "a", url=url) as agent:
        await agent.health.until("offline")
        assert "DNS" in agent.health.reasons[0]
