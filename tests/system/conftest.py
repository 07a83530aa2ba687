"""Both ends and the simulator as processes of their own, started once for all system tests."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from cloud_connect_relay.demo import Ensemble, start_ensemble


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """The ensemble as synchronous tests see it."""

    ensemble: Ensemble
    company: dict[str, Any]
    project: dict[str, Any]
    datasource: dict[str, Any]

    @property
    def base(self) -> str:
        return f"/api/datasources/{self.datasource['id']}"

    @property
    def passthrough(self) -> str:
        return f"{self.ensemble.api_url}{self.base}/procore"

    def client(self, **options: Any) -> httpx.Client:
        return httpx.Client(
            base_url=self.ensemble.api_url,
            headers={"Authorization": f"Bearer {self.ensemble.api_key}"},
            timeout=60,
            trust_env=False,
            **options,
        )

    def requests(self) -> list[dict[str, Any]]:
        """What Procore was asked for, with every header that it received."""
        answer = httpx.get(f"{self.ensemble.simulator['admin_url']}/requests", trust_env=False)
        found = answer.json()
        items: list[dict[str, Any]] = found["items"] if isinstance(found, dict) else found
        return items


def cli(module: str, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run one of our commands as a user would and return what it said."""
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _in_thread(folder: Path, started: Future[Ensemble], stop: threading.Event) -> None:
    async def hold() -> None:
        try:
            async with start_ensemble(folder) as ensemble:
                started.set_result(ensemble)
                await asyncio.to_thread(stop.wait)
        except BaseException as exc:
            if not started.done():
                started.set_exception(exc)
            raise

    asyncio.run(hold())


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("ensemble")
    started: Future[Ensemble] = Future()
    stop = threading.Event()
    thread = threading.Thread(target=_in_thread, args=(folder, started, stop), name="ensemble")
    thread.start()
    try:
        ensemble = started.result(timeout=60)
        yield _with_datasource(ensemble)
    finally:
        stop.set()
        thread.join(timeout=120)


@pytest.fixture(scope="session")
def limited(running: Running) -> Running:
    """A data source of the second company, whose rate limit is used up for an hour."""
    company = [c for c in running.ensemble.simulator["companies"] if c.get("connected")][1]
    source = _with_datasource(running.ensemble, company)
    httpx.post(
        f"{running.ensemble.simulator['admin_url']}/faults",
        json={
            "query": f"company_id={company['id']}",
            "times": 1,
            "action": {"kind": "rate_limited", "retry_after": 3600},
        },
        trust_env=False,
    )
    with source.client() as client:
        path = f"{source.base}/procore/rest/v1.1/projects?company_id={company['id']}"
        assert client.get(path).status_code == 429
    return source


def _with_datasource(ensemble: Ensemble, company: dict[str, Any] | None = None) -> Running:
    company = company or next(c for c in ensemble.simulator["companies"] if c.get("connected"))
    project = next(p for p in ensemble.simulator["projects"] if p["company_id"] == company["id"])
    made = httpx.post(
        f"{ensemble.api_url}/api/datasources",
        headers={"Authorization": f"Bearer {ensemble.api_key}"},
        json={
            "title": f"Procore {company['id']}",
            "type": "procore",
            "settings": {"companyId": str(company["id"]), "environment": "developer_sandbox"},
            "useConnector": True,
            "connectorId": ensemble.connector["id"],
        },
        trust_env=False,
    )
    assert made.status_code == 201, made.text
    return Running(ensemble=ensemble, company=company, project=project, datasource=made.json())


@pytest.fixture
def api(running: Running) -> Iterator[httpx.Client]:
    with running.client() as client:
        yield client
