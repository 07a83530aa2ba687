"""The job itself: lists, limits and many users at once, against a simulator of its own."""

import asyncio
import math
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
from load import Target, paced_body
from processes import Watched
from workloads import Bench, Row, growth_rows, save_datasource

from cloud_connect_relay.demo import Ensemble, start_ensemble
from cloud_connect_relay.demo.processes import program, run_program

PAGE = 100
LATENCY = 0.15  # seconds per answer, as Procore's own
PARALLEL = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """An ensemble whose data source has a long list of RFIs."""

    ensemble: Ensemble
    datasource: str
    project: int

    @property
    def records(self) -> str:
        return f"{self.datasource}/records/rfis?project_id={self.project}"

    @property
    def query(self) -> dict[str, Any]:
        condition = {
            "operator": "eq",
            "arg1": {"name": "project_id"},
            "arg2": {"value": self.project},
        }
        group = {"group": "and", "conditions": [condition]}
        return {"action": "select", "info": {"name": "rfis"}, "conditions": [group]}

    async def counters(self) -> dict[str, Any]:
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.get(f"{self.ensemble.simulator['admin_url']}/counters")
        counters: dict[str, Any] = answer.json()
        return counters

    async def warm(self) -> None:
        """Sign in and open connections, as a process that has run for a while has."""
        answer = await self.ensemble.api.get(f"{self.datasource}/records/companies")
        assert answer.status_code == 200, answer.text


@asynccontextmanager
async def job(*simulator_arguments: str, rows: int) -> AsyncIterator[Job]:
    arguments = ("--rows", f"rfis={rows}", *simulator_arguments)
    with tempfile.TemporaryDirectory() as folder:
        async with start_ensemble(Path(folder), simulator_arguments=arguments) as ensemble:
            yield Job(
                ensemble=ensemble,
                datasource=await save_datasource(ensemble),
                project=_first_project(ensemble),
            )


async def _read_all(job: Job) -> tuple[int, float, float]:
    """Return the rows of the list, and the seconds until the first and the last of them."""
    began = time.perf_counter()
    first, rows = 0.0, 0
    async with job.ensemble.api.stream(
        "GET", job.records, headers={"Accept": "application/x-ndjson"}
    ) as response:
        assert response.status_code == 200, await response.aread()
        async for line in response.aiter_lines():
            first = first or time.perf_counter() - began
            rows += bool(line)
    return rows, first, time.perf_counter() - began


async def j1(_bench: Bench) -> list[Row]:
    """Read 10,000 records, 100 a page, 150 ms an answer."""
    async with job("--latency-ms", f"{LATENCY * 1000:.0f}", rows=10_000) as running:
        await running.warm()
        rows, first, total = await _read_all(running)
    assert rows >= 10_000, rows
    pages = math.ceil(rows / PAGE)
    alone = pages * LATENCY
    bound = (math.ceil((pages - 1) / PARALLEL) + 1) * LATENCY
    return [
        Row(name="J1", figure="10,000 rows", direct=alone, ours=total, unit="s",
            goal=f"{alone / total:.1f} x faster than one by one (8 x); bound {bound:.2f} s"),
        Row(name="J1", figure="first row", direct=LATENCY, ours=first, unit="s", goal="<= 0.20"),
    ]  # fmt: skip


async def j2(_bench: Bench) -> list[Row]:
    """The same with 25 requests in 10 s."""
    limit, window = 25, 10.0
    arguments = ("--latency-ms", f"{LATENCY * 1000:.0f}", "--spike-limit", str(limit))
    async with job(*arguments, rows=10_000) as running:
        await running.warm()
        await asyncio.sleep(window + 1)  # the window is whole again
        rows, first, total = await _read_all(running)
        refused = (await running.counters())["rate_limited"]
    assert rows >= 10_000, rows
    pages = math.ceil(rows / PAGE)
    bound = (math.ceil(pages / limit) - 1) * window + LATENCY
    return [
        Row(name="J2", figure="10,000 rows", direct=bound, ours=total, unit="s",
            goal="<= 1.2 x the window's bound"),
        Row(name="J2", figure="first row", direct=LATENCY, ours=first, unit="s", goal=""),
        Row(name="J2", figure="answers 429", direct=None, ours=float(refused), unit="", goal="0"),
    ]  # fmt: skip


async def j3(_bench: Bench) -> list[Row]:
    """Stream 100,000 rows to a client that takes 2 MB/s for 20 s, and then the rest."""
    async with job(rows=100_000) as running:
        await running.warm()
        await _read_some(running)
        target = Target(
            url=running.ensemble.api_url + running.records,
            headers=(
                ("Authorization", f"Bearer {running.ensemble.api_key}"),
                ("Accept", "application/x-ndjson"),
            ),
        )
        rows = 0

        def count(piece: bytes) -> None:
            nonlocal rows
            rows += piece.count(b"\n")

        began = time.perf_counter()
        with Watched(running.ensemble.pids).growth() as grown:
            await paced_body(target, bytes_per_second=2_000_000, seconds=20, taken=count)
        total = time.perf_counter() - began
    assert rows >= 100_000, rows
    return [
        Row(name="J3", figure="100,000 rows", direct=None, ours=total, unit="s",
            goal="20 s slowly"),
        *growth_rows("J3", grown, goal="<= 32"),
    ]  # fmt: skip


async def _read_some(job: Job) -> None:
    """Read a few pages before, so that what every list costs once is not counted as growth."""
    answer = await job.ensemble.api.get(f"{job.records}&limit=1000")
    assert len(answer.json()) == 1000


async def j5(_bench: Bench) -> list[Row]:
    """Ask the same query 50 times at once."""
    users = 50
    async with job("--latency-ms", f"{LATENCY * 1000:.0f}", rows=50) as running:
        await running.warm()
        before = (await running.counters())["requests"]
        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(_ask(running)) for _ in range(users)]
        total = time.perf_counter() - began
        requests = (await running.counters())["requests"] - before
    answers = {task.result() for task in asked}
    assert len(answers) == 1, "the answers differ"
    return [
        Row(name="J5", figure="Procore requests", direct=float(users), ours=float(requests),
            unit="", goal="1"),
        Row(name="J5", figure="50 answers", direct=LATENCY, ours=total, unit="s", goal=""),
    ]  # fmt: skip


async def _ask(job: Job) -> bytes:
    answer = await job.ensemble.api.post(f"{job.datasource}/query", json=job.query)
    assert answer.status_code == 200, answer.text
    document = answer.json()
    assert document["success"], document
    assert len(document["items"]) == PAGE // 2, len(document["items"])
    return answer.content


async def j4(bench: Bench) -> list[Row]:
    """The idle agent: memory, CPU, and the time from its start until it is connected."""
    agent = psutil.Process(bench.ensemble.pids["agent"])
    with tempfile.TemporaryDirectory() as folder:
        async with start_ensemble(Path(folder)) as fresh:
            resting = psutil.Process(fresh.pids["agent"])
            await asyncio.sleep(2)
            before = resting.cpu_times()
            await asyncio.sleep(10)
            after = resting.cpu_times()
            idle = float(resting.memory_info().rss) / 1024 / 1024
            started = await _start_to_connected(fresh, Path(folder))
    busy = (after.user + after.system - before.user - before.system) / 10 * 100
    return [
        Row(name="J4", figure="idle RSS", direct=None, ours=idle, unit="MiB", goal="<= 90"),
        Row(name="J4", figure="idle CPU", direct=None, ours=busy, unit="%", goal="<= 0.3"),
        Row(name="J4", figure="start to connected", direct=None, ours=started, unit="s",
            goal="<= 2"),
        Row(name="J4", figure="RSS after this run", direct=None,
            ours=float(agent.memory_info().rss) / 1024 / 1024, unit="MiB", goal=""),
    ]  # fmt: skip


async def _start_to_connected(ensemble: Ensemble, folder: Path) -> float:
    token = (await ensemble.api.post("/api/enrolment-tokens", json={})).json()["token"]
    home = ("--home", str(folder / "second"))
    enrolled = await run_program(
        "cloud_connect_agent",
        *("enrol", *home, "--relay", ensemble.api_url, "--name", "second"),
        stdin=token,
    )
    began = time.perf_counter()
    async with program(
        "cloud_connect_agent", "run", *home, log=folder / "second.log", says_ready=False
    ):
        place = f"/api/connectors/{enrolled['connector_id']}"
        while (await ensemble.api.get(place)).json()["status"] != "online":
            await asyncio.sleep(0.01)
        return time.perf_counter() - began


def _first_project(ensemble: Ensemble) -> int:
    company = next(c for c in ensemble.simulator["companies"] if c.get("connected"))
    project = next(p for p in ensemble.simulator["projects"] if p["company_id"] == company["id"])
    found: int = project["id"]
    return found


JOBS = {"J1": j1, "J2": j2, "J3": j3, "J4": j4, "J5": j5}
