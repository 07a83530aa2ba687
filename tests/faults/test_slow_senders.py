"""Callers who send a body slowly hold their own calls up, and nobody else's."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from doubles.world import World, open_world, until

pytestmark = pytest.mark.timeout(120)

START = 300_000  # bytes: more than anybody waits for before the rest is passed on as it comes
SENDERS = 80  # more than an agent writes at once, and than a connector has turns for one key


@contextlib.asynccontextmanager
async def slow_sender(world: World, base: str) -> AsyncIterator[None]:
    """A caller with a body of 10 MB: it begins at once, then a kilobyte comes each second."""
    _, writer = await asyncio.open_connection("127.0.0.1", world.relay.ready["port"])
    writer.write(
        f"POST {base}/procore/rest/v1.0/projects/{world.project['id']}/rfis HTTP/1.1\r\n"
        f"Host: relay\r\nAuthorization: Bearer {world.api_key}\r\n"
        "Content-Type: application/octet-stream\r\nContent-Length: 10000000\r\n\r\n".encode()
    )

    async def send() -> None:
        writer.write(b" " * START)
        while True:
            writer.write(b" " * 1000)
            await asyncio.sleep(1)

    sending = asyncio.create_task(send())
    try:
        yield
    finally:
        sending.cancel()
        writer.transport.abort()


async def test_more_slow_senders_than_an_agent_writes_at_once_block_nobody(tmp_path: Path) -> None:
    async with open_world(tmp_path, tunnel_proxies=False) as world:
        caller = await world.caller()
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(SENDERS):
                await stack.enter_async_context(slow_sender(world, caller.base))

            async def all_send() -> bool:  # each has a place for a second, then others may, too
                counters = await world.admin("GET", "/counters")
                return bool(counters["concurrent_api_requests"] >= SENDERS)

            await until(all_send, within=30, what="all of them at Procore")
            for number in range(3):
                began = time.monotonic()
                assert (await caller.create(f"write {number}")).status == 201
                assert (await caller.read()).status == 200
                assert time.monotonic() - began < 5
