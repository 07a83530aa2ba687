"""Sizes that hold: memory of both processes, long bodies, many calls at once."""

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import httpx
import psutil
import pytest

from doubles.hammer import hammer
from system.conftest import Running

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(180)]

MIB = 1024 * 1024
BODY = 256 * MIB
MAX_GROWTH = 8 * MIB


@contextmanager
def growth_of(pids: dict[str, int]) -> Iterator[dict[str, int]]:
    """Measure by how many bytes each process grows at its peak while the block runs."""
    watched = {name: psutil.Process(pids[name]) for name in ("relay", "agent")}
    before = {name: process.memory_info().rss for name, process in watched.items()}
    grown = dict.fromkeys(watched, 0)
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(0.02):
            for name, process in watched.items():
                grown[name] = max(grown[name], process.memory_info().rss - before[name])

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield grown
    finally:
        stop.set()
        thread.join()


def download(api: httpx.Client, running: Running, size: int) -> tuple[int, str]:
    digest, received = hashlib.sha256(), 0
    url = f"{running.passthrough}/rest/v1.0/simulator/blob?size={size}"
    with api.stream("GET", url) as response:
        assert response.status_code == 200
        for chunk in response.iter_bytes():
            received += len(chunk)
            digest.update(chunk)
    return received, digest.hexdigest()


def upload(api: httpx.Client, running: Running, size: int) -> dict[str, object]:
    block = b"\x5a" * MIB
    answer = api.post(
        f"{running.passthrough}/rest/v1.0/simulator/sink",
        content=(block for _ in range(size // MIB)),
        headers={"Content-Type": "application/octet-stream"},
    )
    assert answer.status_code in {200, 201}, answer.text
    counted: dict[str, object] = answer.json()
    return counted


def test_long_download_passes_without_staying_in_memory(
    api: httpx.Client, running: Running
) -> None:
    _, expected = download(api, running, 8 * MIB)  # warm-up: code and buffers are loaded
    with growth_of(running.ensemble.pids) as grown:
        received, digest = download(api, running, BODY)
    assert received == BODY
    assert digest != expected
    assert all(size <= MAX_GROWTH for size in grown.values()), grown


def test_long_upload_passes_without_staying_in_memory(api: httpx.Client, running: Running) -> None:
    upload(api, running, 8 * MIB)
    with growth_of(running.ensemble.pids) as grown:
        counted = upload(api, running, BODY)
    assert counted["size"] == BODY
    assert counted["sha256"] == hashlib.sha256(b"\x5a" * BODY).hexdigest()
    assert all(size <= MAX_GROWTH for size in grown.values()), grown


async def _many(running: Running, calls: int) -> list[int]:
    ensemble = running.ensemble
    headers = {"Authorization": f"Bearer {ensemble.api_key}"}

    async def one() -> int:
        async with asyncio.timeout(60), hammer(ensemble.api_url, headers) as asking:
            return (await asking.get(f"{running.base}/procore/rest/v1.0/me")).status

    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(one()) for _ in range(calls)]
    return [task.result() for task in asked]


async def test_thousand_calls_at_once_end_without_an_error(running: Running) -> None:
    statuses = await _many(running, 1000)
    assert len(statuses) == 1000
    assert set(statuses) <= {200, 429}, {status: statuses.count(status) for status in set(statuses)}
    assert statuses.count(200) >= 990


async def test_stalled_reader_does_not_hold_up_other_calls(running: Running) -> None:
    url = f"{running.base}/procore/rest/v1.0/simulator/blob?size={BODY}"
    async with (
        httpx.AsyncClient(
            base_url=running.ensemble.api_url,
            headers={"Authorization": f"Bearer {running.ensemble.api_key}"},
            timeout=30,
            trust_env=False,
        ) as client,
        client.stream("GET", url) as stalled,
    ):
        chunks: AsyncIterator[bytes] = stalled.aiter_raw(65536)
        await anext(chunks)
        for _ in range(20):
            answer = await client.get(f"{running.base}/procore/rest/v1.0/me")
            assert answer.status_code == 200
