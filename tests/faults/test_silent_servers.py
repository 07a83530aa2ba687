"""A server that takes the connection and then says nothing is left in time for the next one."""

import asyncio
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from cloud_connect_agent.settings import TunnelSettings
from doubles.certificates import Authority
from doubles.link_bench import Relay, run_agent, serve_raw, serve_relay
from doubles.namespaces import PrivateNetwork
from doubles.silence import answers_upgrade_only, silent

pytestmark = pytest.mark.timeout(60)

BOUNDS = {"tls": 10.0, "upgrade": 5.0, "challenge": 10.0}
NEXT = 5.0  # seconds: the first delay is a second at most


@pytest.mark.catalogue("T34")
async def test_silence_at_each_step_is_left_in_time_and_the_next_address_is_dialled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority.make()
    certificate, key = authority.issue(tmp_path, "localhost")
    ca_file = authority.trusted(tmp_path)
    (tmp_path / "secure").mkdir()
    tls: dict[str, Any] = {"tls_cert": certificate, "tls_key": key}
    async with (
        serve_relay(tmp_path) as plain,
        serve_relay(tmp_path / "secure", **tls) as secure,
        serve_raw(silent) as mute,
        serve_raw(answers_upgrade_only) as polite,
    ):
        places = {"tls": (mute, secure), "upgrade": (mute, plain), "challenge": (polite, plain)}
        loop = asyncio.get_running_loop()
        resolve = loop.getaddrinfo

        async def two_addresses(host: str, port: int, **more: Any) -> Any:
            # The port tells which of the three asks; the name has a dead address and a good one.
            if port not in range(1, 4):
                return await resolve(host, port, **more)
            dead, relay = list(places.values())[port - 1]
            assert relay.gateway is not None
            return [
                (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", each))
                for each in (dead, relay.gateway.port)
            ]

        monkeypatch.setattr(loop, "getaddrinfo", two_addresses)
        took: dict[str, tuple[float, float]] = {}

        async def run(number: int, step: str, relay: Relay) -> None:
            scheme = "wss" if step == "tls" else "ws"
            async with run_agent(
                relay,
                tmp_path / step,
                url=f"{scheme}://localhost:{number}/tunnel",
                ca_file=ca_file,
                settings=TunnelSettings(),
                uniform=lambda _, high: high,
            ) as agent:
                await agent.health.until("connecting")
                began = time.monotonic()
                await agent.health.until("offline", within=15)
                gave_up = time.monotonic() - began
                await agent.health.until("connected", within=15)
                took[step] = gave_up, time.monotonic() - began - gave_up
                assert agent.health.told == ["connecting", "offline", "connecting", "connected"]

        async with asyncio.TaskGroup() as tasks:
            for number, (step, (_, relay)) in enumerate(places.items(), start=1):
                tasks.create_task(run(number, step, relay))
        print(f"T34: gave up and reached the next after seconds: {took}")  # noqa: T201
        for step, (gave_up, reached) in took.items():
            assert BOUNDS[step] / 2 < gave_up <= BOUNDS[step]
            assert reached <= NEXT


@pytest.mark.catalogue("T34")
async def test_address_that_loses_every_packet_costs_a_quarter_of_a_second(
    network: PrivateNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serve_relay(tmp_path) as relay, serve_raw(silent) as lost:
        assert relay.gateway is not None
        port = relay.gateway.port
        network.drop(lost)
        found = [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", lost)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", lost)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)),
        ]

        async def lookup(*_: object, **__: object) -> list[Any]:
            return found

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", lookup)
        async with run_agent(
            relay,
            tmp_path / "a",
            url=f"ws://localhost:{port}/tunnel",
            settings=TunnelSettings(),
        ) as agent:
            await agent.health.until("connecting")
            began = time.monotonic()
            await agent.health.until("connected")
            assert agent.health.told == ["connecting", "connected"]
            assert time.monotonic() - began < BOUNDS["upgrade"], "neither address was waited for"
