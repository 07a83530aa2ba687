"""Storms of calls that are begun and abandoned: ended as abuse, and Procore never hears them."""

import asyncio
import contextlib
import socket
import struct
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import pytest_asyncio
from websockets.exceptions import ConnectionClosed

from cloud_connect.closing import CloseCode
from cloud_connect.tunnel import Frame, FrameType, RequestHead, ResetCode
from cloud_connect.tunnel.heads import encode_head
from doubles.hostile_relay import open_siege
from doubles.observing import until
from doubles.program import told
from doubles.raw_agent import INTRODUCTION
from doubles.world import World, open_world

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(90)]

WITHIN: Final = 10.0  # seconds in which a storm must be called what it is
READS: Final = 32  # that a connector has at Procore at once
# An abandoned request's connection is closed before the next one begins, but Procore may read
# the news of both in either order.
UNNOTICED: Final = 2
AT_ONCE: Final = 16
SLOW_MS: Final = 300  # Procore's answers: what is begun is still running when it is abandoned


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    folder = tmp_path_factory.mktemp("cancel-storms")
    async with open_world(
        folder,
        tunnel_proxies=False,
        simulator_arguments=("--spike-limit", "100000", "--hourly-limit", "1000000"),
    ) as made:
        await made.behave(latency_ms=SLOW_MS)
        yield made


class Storm:
    """A caller that begins calls and hangs up on them, as fast as it can."""

    def __init__(self, world: World, key: str, target: str) -> None:
        url = httpx.URL(world.relay.ready["api_url"])
        self._place: Final = (url.host, url.port or 80)
        self._request: Final = (
            f"GET {target} HTTP/1.1\r\nHost: relay\r\nAuthorization: Bearer {key}\r\n\r\n".encode()
        )
        self.begun = 0
        self.refused: float | None = None
        self.refusal = b""

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(AT_ONCE):
                tasks.create_task(self._go_on())

    async def _go_on(self) -> None:
        began = time.monotonic()
        while self.refused is None and time.monotonic() - began < WITHIN:
            reader, writer = await asyncio.open_connection(*self._place)
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.write(self._request)
            self.begun += 1
            try:
                async with asyncio.timeout(0.02):
                    answer = await reader.read(4096)
            except (TimeoutError, ConnectionResetError):
                answer = b""
            if answer.startswith(b"HTTP/1.1 429 ") and self.refused is None:
                self.refused = time.monotonic() - began
                self.refusal = answer
            writer.transport.abort()


async def most_at_procore(world: World) -> int:
    counters: dict[str, int] = await world.admin("GET", "/counters")
    return counters["max_concurrent_api_requests"]


@pytest.mark.catalogue("T93")
async def test_callers_storm_is_refused_and_other_keys_go_on(world: World) -> None:
    caller = await world.caller()
    store = ("--data-dir", str(world.data_dir))
    key = (await told("cloud_connect_relay", "key", "create", "--scope", "all", *store))["key"]
    storm = Storm(world, key, f"{caller.base}/procore/rest/v1.0/me")
    before = world.relay.usage.rss_bytes
    await storm.run()
    assert storm.refused is not None, f"{storm.begun} calls were begun and none was refused"
    assert b"rate_abuse" in storm.refusal
    assert (await caller.read(deadline=20.0)).status == 200  # of another key

    async def settled() -> None:
        while (await world.gauges())["cloud_connect_calls_running"]:
            await asyncio.sleep(0.05)

    async with asyncio.timeout(10):
        await settled()
    most = await most_at_procore(world)
    print(f"T93: refused after {storm.refused:.2f} s and {storm.begun} calls;"  # noqa: T201
          f" at most {most} at Procore")  # fmt: skip
    assert most <= READS + UNNOTICED
    assert world.agent.program.alive
    assert (await world.connector(world.agent))["status"] == "online"
    assert world.relay.usage.rss_bytes - before < 64 * 1024 * 1024


def opening(stream_id: int, source: dict[str, Any]) -> bytes:
    head = RequestHead(
        operation="passthrough",
        call_id=f"call_{stream_id}",
        deadline_ms=10_000,
        params={"source": source, "method": "GET", "target": "rest/v1.0/me"},
    )
    payload = encode_head(head)
    return Frame(kind=FrameType.HEADERS, flags=1, stream_id=stream_id, payload=payload).encode()


def cancel(stream_id: int) -> bytes:
    code = int(ResetCode.CANCEL).to_bytes(4)
    return Frame(kind=FrameType.RST_STREAM, stream_id=stream_id, payload=code).encode()


@pytest.mark.catalogue("T93")
async def test_hostile_relays_storm_ends_its_session_and_procore_hears_as_much_as_ever(
    tmp_path: Path,
) -> None:
    async with open_siege(tmp_path) as siege, httpx.AsyncClient(trust_env=False) as admin:
        url = siege.simulator.ready["admin_url"]
        behaviour = {"behaviour": {"latency_ms": SLOW_MS}}
        (await admin.post(f"{url}/state", json=behaviour)).raise_for_status()
        link = await siege.relay.link()
        await link.send(INTRODUCTION)
        ids = iter(range(1, 1_000_001, 2))
        patient = [next(ids) for _ in range(200)]
        for stream_id in patient:  # more at once than Procore may hear, and some abandoned
            await link.send(opening(stream_id, siege.source))
        for stream_id in patient[:90]:
            await link.send(cancel(stream_id))

        async def answered() -> bool:
            counters = (await admin.get(f"{url}/counters")).json()
            return bool(counters["max_concurrent_api_requests"] >= READS // 2)

        await until(answered, within=10, what="calls at Procore")
        began = time.monotonic()
        sent = 0
        with contextlib.suppress(ConnectionClosed):
            while time.monotonic() - began < WITHIN:
                stream_id = next(ids)
                await link.send(opening(stream_id, siege.source) + cancel(stream_id))
                sent += 1
        async with asyncio.timeout(5):
            await link.wait_closed()
        took = time.monotonic() - began
        counters = (await admin.get(f"{url}/counters")).json()
        most = counters["max_concurrent_api_requests"]
        print(f"T93: a relay's storm ended after {took:.2f} s and {sent} calls;"  # noqa: T201
              f" at most {most} at Procore")  # fmt: skip
        assert took <= WITHIN
        assert link.close_code == CloseCode.PROTOCOL_ERROR
        assert (link.close_reason or "").startswith("rate_abuse")
        assert most <= READS + UNNOTICED
        await siege.relay.link()  # the agent is there again
        assert siege.agent.program.alive
