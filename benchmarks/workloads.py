"""What is measured: each workload once directly and once through the tunnel."""

import asyncio
import json
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
from load import Target, download, latencies, slow_download, throughput, upload
from processes import Watched

from cloud_connect_relay.demo import Ensemble, start_ensemble
from cloud_connect_relay.demo.processes import program, run_program

BODY = 256 * 1024 * 1024
SMALL = "/rest/v1.0/simulator/blob?size=2048"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the result."""

    name: str
    figure: str
    direct: float | None
    ours: float
    unit: str
    goal: str

    @property
    def ratio(self) -> float | None:
        return self.ours / self.direct if self.direct else None


class Bench:
    """Everything that a workload needs of a running ensemble."""

    def __init__(self, ensemble: Ensemble, base: str, token: str) -> None:
        self.ensemble = ensemble
        self.base = base
        self.watched = Watched(ensemble.pids)
        self._token = token

    def direct(self, path: str) -> Target:
        company = next(c for c in self.ensemble.simulator["companies"] if c.get("connected"))
        return Target(
            url=self.ensemble.simulator["api_url"] + path,
            headers=(
                ("Authorization", f"Bearer {self._token}"),
                ("Procore-Company-Id", str(company["id"])),
            ),
        )

    def ours(self, path: str) -> Target:
        return Target(
            url=f"{self.ensemble.api_url}{self.base}/procore{path}",
            headers=(("Authorization", f"Bearer {self.ensemble.api_key}"),),
        )


async def w1(bench: Bench) -> list[Row]:
    count = 1500
    for target in (bench.direct(SMALL), bench.ours(SMALL)):
        await latencies(target, count=200)
    direct = sorted(await latencies(bench.direct(SMALL), count=count))
    ours = sorted(await latencies(bench.ours(SMALL), count=count))
    added = statistics.median(ours) - statistics.median(direct)
    p99 = ours[int(count * 0.99)] - direct[int(count * 0.99)]
    return [
        Row(name="W1", figure="p50", direct=statistics.median(direct),
            ours=statistics.median(ours), unit="ms", goal=f"added {added:.2f} ms"),
        Row(name="W1", figure="p99", direct=direct[int(count * 0.99)],
            ours=ours[int(count * 0.99)], unit="ms", goal=f"added {p99:.2f} ms"),
    ]  # fmt: skip


async def w2(bench: Bench) -> list[Row]:
    await throughput(bench.ours(SMALL), clients=64, seconds=1)
    direct = await throughput(bench.direct(SMALL), clients=64, seconds=4)
    before = bench.watched.cpu_seconds()
    seconds = 8.0
    ours = await throughput(bench.ours(SMALL), clients=64, seconds=seconds)
    cpu = (bench.watched.cpu_seconds() - before) / (ours * seconds) * 1000
    return [
        Row(name="W2", figure="64 clients", direct=direct, ours=ours, unit="req/s",
            goal="first 4,600, then 7,700"),
        Row(name="W2", figure="CPU per 1,000", direct=None, ours=cpu, unit="s",
            goal="relay + agent"),
    ]  # fmt: skip


async def w3(bench: Bench) -> list[Row]:
    path = f"/rest/v1.0/simulator/blob?size={BODY}"
    direct = await download(bench.direct(path))
    with bench.watched.growth() as grown:
        ours = await download(bench.ours(path))
    return [
        Row(name="W3", figure="download", direct=direct, ours=ours, unit="MB/s", goal=">= 150"),
        *_growth("W3", grown),
    ]


async def w4(bench: Bench) -> list[Row]:
    path = "/rest/v1.0/simulator/sink"
    direct = await upload(bench.direct(path), size=BODY)
    with bench.watched.growth() as grown:
        ours = await upload(bench.ours(path), size=BODY)
    return [
        Row(name="W4", figure="upload", direct=direct, ours=ours, unit="MB/s", goal=">= 150"),
        *_growth("W4", grown),
    ]


async def w8(bench: Bench) -> list[Row]:
    target = bench.ours(f"/rest/v1.0/simulator/blob?size={BODY}")
    with bench.watched.growth() as grown:
        await slow_download(target, bytes_per_second=1_000_000, seconds=15)
    return _growth("W8", grown)


def _growth(name: str, grown: dict[str, float]) -> list[Row]:
    return [
        Row(name=name, figure=f"{end} grows", direct=None, ours=size, unit="MiB", goal="<= 8")
        for end, size in grown.items()
    ]


async def j1(_bench: Bench) -> list[Row]:
    """Read 10,000 records, 100 a page, 150 ms an answer; in an ensemble of its own."""
    arguments = ("--latency-ms", "150", "--rows", "rfis=10000")
    with tempfile.TemporaryDirectory() as folder:
        async with start_ensemble(Path(folder), simulator_arguments=arguments) as ensemble:
            base = await save_datasource(ensemble)
            project = _first_project(ensemble)
            await ensemble.api.get(f"{base}/records/me")
            began = time.perf_counter()
            first = 0.0
            rows = 0
            async with ensemble.api.stream(
                "GET",
                f"{base}/records/rfis",
                params={"project_id": project},
                headers={"Accept": "application/x-ndjson"},
            ) as response:
                assert response.status_code == 200, await response.aread()
                async for line in response.aiter_lines():
                    first = first or time.perf_counter() - began
                    rows += bool(line)
            total = time.perf_counter() - began
    assert rows >= 10_000, rows
    pages = -(-rows // 100)
    alone = pages * 0.15
    bound = -(-(pages - 1) // 32) * 0.15 + 0.15
    return [
        Row(name="J1", figure="10,000 rows", direct=alone, ours=total, unit="s",
            goal=f"{alone / total:.1f} x faster than one by one (8 x); bound {bound:.2f} s"),
        Row(name="J1", figure="first row", direct=0.15, ours=first, unit="s", goal="<= 0.20"),
    ]  # fmt: skip


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


async def save_datasource(ensemble: Ensemble) -> str:
    company = next(c for c in ensemble.simulator["companies"] if c.get("connected"))
    made = await ensemble.api.post(
        "/api/datasources",
        json={
            "title": "Benchmark",
            "type": "procore",
            "settings": {"companyId": str(company["id"]), "environment": "developer_sandbox"},
            "useConnector": True,
            "connectorId": ensemble.connector["id"],
        },
    )
    assert made.status_code == 201, made.text
    return f"/api/datasources/{made.json()['id']}"


async def simulator_token(ensemble: Ensemble) -> str:
    app: dict[str, Any] = ensemble.simulator["environments"]["developer_sandbox"]
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.post(
            f"{ensemble.simulator['login_url']}/oauth/token",
            data={
                "grant_type": "client_credentials",
                "client_id": app["client_id"],
                "client_secret": app["client_secret"],
            },
        )
    token: str = json.loads(answer.text)["access_token"]
    return token


WORKLOADS = {"W1": w1, "W2": w2, "W3": w3, "W4": w4, "W8": w8, "J1": j1, "J4": j4}
