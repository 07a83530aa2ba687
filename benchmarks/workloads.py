"""The tunnel: each workload once directly and once through it."""

import json
import statistics
from dataclasses import dataclass
from typing import Any

import httpx
from load import Target, download, latencies, slow_download, throughput, upload
from processes import Watched

from cloud_connect_relay.demo import Ensemble

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
        *growth_rows("W3", grown),
    ]


async def w4(bench: Bench) -> list[Row]:
    path = "/rest/v1.0/simulator/sink"
    direct = await upload(bench.direct(path), size=BODY)
    with bench.watched.growth() as grown:
        ours = await upload(bench.ours(path), size=BODY)
    return [
        Row(name="W4", figure="upload", direct=direct, ours=ours, unit="MB/s", goal=">= 150"),
        *growth_rows("W4", grown),
    ]


async def w8(bench: Bench) -> list[Row]:
    target = bench.ours(f"/rest/v1.0/simulator/blob?size={BODY}")
    with bench.watched.growth() as grown:
        await slow_download(target, bytes_per_second=1_000_000, seconds=15)
    return growth_rows("W8", grown)


def growth_rows(name: str, grown: dict[str, float], *, goal: str = "<= 8") -> list[Row]:
    return [
        Row(name=name, figure=f"{end} grows", direct=None, ours=size, unit="MiB", goal=goal)
        for end, size in grown.items()
    ]


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


TUNNEL = {"W1": w1, "W2": w2, "W3": w3, "W4": w4, "W8": w8}
