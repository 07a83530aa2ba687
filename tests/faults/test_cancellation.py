"""Callers who hang up and deadlines that pass: what they end, what goes on, what they leave."""

import asyncio
import json
import random
import re
import socket
import struct
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable
from typing import Any, Final

import httpx
import pytest
import pytest_asyncio

from doubles.caller import Caller
from doubles.checker import check
from doubles.history import Attempt
from doubles.world import World, open_world, until

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(150),
]

SLOW_MS: Final = 5000  # Procore's patience test: five times the deadline
CALLS: Final = 10_000
AT_ONCE: Final = 50
MEAN_SECONDS: Final = 0.08  # until a caller is gone: most answers come in that time, too
SETTLED_WITHIN: Final = 5.0
SEED: Final = 54


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    folder = tmp_path_factory.mktemp("cancellation")
    # Its callers vanish on purpose: being refused for that is another test.
    settings = "[calls]\ncancel_burst = 1000000\n"
    async with open_world(folder, tunnel_proxies=False, relay_settings=settings, seed=SEED) as made:
        yield made


async def requests(world: World, **query: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await world.admin("GET", "/requests", params=query))["items"]
    return found


async def lookup(world: World, key: str) -> dict[str, Any]:
    answer = await world.api.get("/api/calls", params={"idempotency_key": key})
    answer.raise_for_status()
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.catalogue("T42")
async def test_late_read_is_cancelled_at_procore_and_late_write_goes_on(world: World) -> None:
    caller = await world.caller()
    assert (await caller.create("warm")).outcome == "completed"  # tokens, connections, catalogue
    assert (await caller.read()).status == 200
    await world.behave(latency_ms=SLOW_MS)
    known = {one["id"] for one in await requests(world)}

    async def hang_up(work: Awaitable[object]) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await work

    async with asyncio.TaskGroup() as tasks:
        read = tasks.create_task(caller.read(deadline=1.0))
        write = tasks.create_task(caller.create("late", deadline=1.0))
        tasks.create_task(hang_up(caller.read(limit=2)))
        tasks.create_task(hang_up(caller.create("left")))

    took = [one.result().ended_at - one.result().sent_at for one in (read, write)]
    for one in (read.result(), write.result()):
        assert one.status == 504
        assert 1.0 <= one.ended_at - one.sent_at <= 1.3
        record = (await world.api.get(f"/api/calls/{one.call_id}")).json()
        assert record["code"] == "deadline_exceeded"
        assert re.search(r"The agent waited 0\.\d s on Procore", record["detail"])
    assert (read.result().outcome, write.result().outcome) == ("not_executed", "unknown")

    async def reads_cancelled() -> bool:
        fresh = [one for one in await requests(world) if one["id"] not in known]
        reads = [one for one in fresh if one["method"] == "GET" and "punch_items" in one["path"]]
        return bool(reads) and all(one["ended"] == "disconnected" for one in reads)

    cancelled_after = await until(reads_cancelled, within=2, what="reads cancelled at Procore")
    print(f"T42: 504 after {took[0]:.2f} s, {took[1]:.2f} s;"  # noqa: T201
          f" reads cancelled {cancelled_after:.2f} s later")  # fmt: skip

    async def writes_completed() -> bool:
        both = [await lookup(world, key) for key in ("late", "left")]
        return all(one["outcome"] == "completed" for one in both)

    await until(writes_completed, within=SLOW_MS / 1000 + 5, what="writes completed")
    for marker in ("late", "left"):
        assert len(await world.ledger(marker=marker)) == 1
    await world.behave(latency_ms=0)
    assert not check(await world.history())


def settled(text: str) -> dict[str, float]:
    """Read the gauges that return to zero."""
    names = ("calls_running", "calls_queued", "streams_open")
    return {
        name: float(value)
        for name, value in re.findall(r"^cloud_connect_(\w+) ([0-9.e+]+)$", text, re.MULTILINE)
        if name in names
    }


class Vanishing:
    """A caller that sends one request and vanishes: by FIN or RST, before, amid or after."""

    def __init__(self, world: World, caller: Caller, dice: random.Random) -> None:
        url = httpx.URL(world.relay.ready["api_url"])
        self._host, self._port = url.host, url.port or 80
        self._key = world.api_key
        self._caller = caller
        self._dice = dice

    def _request(self, number: int) -> bytes:
        where = f"{self._caller.base}/records/punch_items?project_id={self._caller.project_id}"
        lines = [f"Host: {self._host}", f"Authorization: Bearer {self._key}"]
        kind = self._dice.random()
        if kind < 0.05:
            body = json.dumps({"name": f"gone-{number}"})
            lines += [
                "Content-Type: application/json",
                f"Content-Length: {len(body)}",
                f"Idempotency-Key: gone-{number}",
            ]
            start = f"POST {where} HTTP/1.1"
        else:
            body = ""
            path = f"{where}&limit=1" if kind < 0.5 else f"{self._caller.base}/procore/rest/v1.0/me"
            start = f"GET {path} HTTP/1.1"
        return "\r\n".join([start, *lines, "", body]).encode()

    async def once(self, number: int) -> None:
        """Send a request, or a part of it, and be gone some milliseconds later."""
        request = self._request(number)
        sent_at = time.time()
        reader, writer = await asyncio.open_connection(self._host, self._port)
        if self._dice.random() < 0.5:
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        if self._dice.random() < 0.05:
            request = request[: self._dice.randrange(len(request))]
            answered = False
        else:
            # However slow the machine is, some writes end before their callers are gone.
            answered = request.startswith(b"POST") and self._dice.random() < 0.1
        writer.write(request)
        if answered:
            await asyncio.wait_for(reader.read(1), timeout=60)
        await asyncio.sleep(self._dice.expovariate(1 / MEAN_SECONDS))
        writer.transport.abort()
        if request.startswith(b"POST"):
            marker = f"gone-{number}"
            self._caller.attempts.append(
                Attempt(
                    effect=marker,
                    method="POST",
                    key=marker,
                    sent_at=sent_at,
                    ended_at=time.time(),
                    error="vanished",
                )
            )


@pytest.mark.catalogue("T54")
async def test_ten_thousand_calls_that_are_cancelled_leave_nothing_behind(world: World) -> None:
    print(f"T54: seed {SEED}")  # noqa: T201 - for a replay
    caller = await world.caller()
    vanishing = Vanishing(world, caller, random.Random(SEED))
    numbers = iter(range(CALLS))
    began = time.monotonic()

    async def vanish() -> None:
        for number in numbers:
            await vanishing.once(number)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(AT_ONCE):
            tasks.create_task(vanish())
    took = time.monotonic() - began

    async def all_zero() -> bool:
        gauges = settled((await world.api.get("/metrics")).text)
        status = await world.connector(world.agent)
        assert set(gauges) == {"calls_running", "calls_queued", "streams_open"}
        return not any(gauges.values()) and status["in_flight"] == 0

    zero_after = await until(all_zero, within=SETTLED_WITHIN, what="all gauges 0")
    print(f"T54: {CALLS} calls in {took:.1f} s, all gone {zero_after:.2f} s later")  # noqa: T201
    assert (await world.agent.status())["in_flight"] == 0
    assert (await caller.read()).status == 200  # nothing was cut for it
    history = await world.history()
    assert not check(history)
    ends = Counter(record.state for record in history.records)
    print(f"T54: {dict(ends)}")  # noqa: T201
    assert ends["completed"] >= 10  # some were cancelled after their end,
    assert ends["not_executed"] >= 100  # and some before it: how many is the machine's speed
    for said in (world.agent.log_text, (world.folder / "relay.log").read_text()):
        assert "Task was destroyed" not in said
        assert "never retrieved" not in said
        assert "Traceback" not in said
