"""Agents come and go, relays restart, policies refuse: each is said and nothing hangs."""

import asyncio
import json
import os
import signal
import socket
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from cloud_connect_relay.demo import Ensemble, start_ensemble
from cloud_connect_relay.demo.processes import program, run_program
from doubles.observing import until
from system.conftest import cli

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(120)]


async def datasource(ensemble: Ensemble) -> str:
    company = next(c for c in ensemble.simulator["companies"] if c.get("connected"))
    made = await ensemble.api.post(
        "/api/datasources",
        json={
            "title": "Procore",
            "type": "procore",
            "settings": {"companyId": str(company["id"]), "environment": "developer_sandbox"},
            "useConnector": True,
            "connectorId": ensemble.connector["id"],
        },
    )
    assert made.status_code == 201
    return f"/api/datasources/{made.json()['id']}"


def listed(ensemble: Ensemble, status: str) -> Callable[[], Awaitable[bool]]:
    async def holds() -> bool:
        (item,) = (await ensemble.api.get("/api/connectors")).json()["items"]
        return bool(item["status"] == status)

    return holds


async def test_stopped_agent_is_offline_and_comes_back(tmp_path: Path) -> None:
    async with start_ensemble(tmp_path) as ensemble:
        base = await datasource(ensemble)
        os.kill(ensemble.pids["agent"], signal.SIGTERM)
        await until(listed(ensemble, "offline"))
        status = await asyncio.to_thread(
            cli, "cloud_connect_agent", "status", "--json", "--home", str(ensemble.home)
        )
        assert status.returncode == 4
        assert json.loads(status.stdout)["state"] == "stopped"
        briefly = {"Cloud-Connect-Deadline-Ms": "1500"}
        refused = await ensemble.api.get(f"{base}/records/companies", headers=briefly)
        assert (refused.status_code, refused.json()["code"]) == (503, "connector_offline")
        assert refused.json()["outcome"] == "not_executed"
        platform = (await ensemble.api.post(f"{base}/test", headers=briefly)).json()
        assert platform["success"] is False
        async with program(
            "cloud_connect_agent",
            *("run", "--home", str(ensemble.home)),
            log=tmp_path / "again.log",
            says_ready=False,
        ):
            await until(listed(ensemble, "online"))
            assert (await ensemble.api.get(f"{base}/records/companies")).status_code == 200


async def test_call_waits_for_an_agent_that_was_just_there(tmp_path: Path) -> None:
    async with start_ensemble(tmp_path) as ensemble:
        base = await datasource(ensemble)
        os.kill(ensemble.pids["agent"], signal.SIGKILL)
        await until(listed(ensemble, "offline"))
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(ensemble.api.get(f"{base}/records/companies"))
            async with program(
                "cloud_connect_agent",
                *("run", "--home", str(ensemble.home)),
                log=tmp_path / "again.log",
                says_ready=False,
            ):
                answer = await waiting
        assert answer.status_code == 200


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


async def test_agent_reconnects_to_a_restarted_relay(tmp_path: Path) -> None:
    store = ("--data-dir", str(tmp_path / "relay"))
    made = await run_program("cloud_connect_relay", "init", *store)
    home = ("--home", str(tmp_path / "agent"))
    ports = ("--port", str(free_port()), "--tunnel-port", str(free_port()))
    serve = ("serve", *store, *ports, "--json")
    log = tmp_path / "relay.log"

    async def online(url: str) -> None:
        headers = {"Authorization": f"Bearer {made['api_key']}"}
        async with httpx.AsyncClient(base_url=url, headers=headers, trust_env=False) as api:

            async def holds() -> bool:
                items = (await api.get("/api/connectors")).json()["items"]
                return any(item["status"] == "online" for item in items)

            await until(holds, within=15)

    async with AsyncExitStack() as lasting:
        async with program("cloud_connect_relay", *serve, log=log) as relay:
            token = await run_program("cloud_connect_relay", "token", "create", *store)
            await run_program(
                "cloud_connect_agent",
                *("enrol", *home, "--relay", relay["api_url"]),
                stdin=token["token"],
            )
            await lasting.enter_async_context(
                program("cloud_connect_agent", "run", *home, log=log, says_ready=False)
            )
            await online(relay["api_url"])
        async with program("cloud_connect_relay", *serve, log=log) as relay:
            await online(relay["api_url"])


@pytest.mark.parametrize("policy", ["test-only", "read-only"])
async def test_policy_on_the_pc_decides(tmp_path: Path, policy: str) -> None:
    async with start_ensemble(tmp_path, policy=policy) as ensemble:
        base = await datasource(ensemble)
        assert (await ensemble.api.post(f"{base}/test")).json()["success"] is True
        read = await ensemble.api.get(f"{base}/records/companies")
        passed = await ensemble.api.get(f"{base}/procore/rest/v1.0/me")
        write = await ensemble.api.post(
            f"{base}/records/punch_items",
            params={"project_id": ensemble.simulator["projects"][0]["id"]},
            headers={"Idempotency-Key": "denied"},
            json={"name": "Not allowed"},
        )
        platform = await ensemble.api.post(
            f"{base}/query",
            json={
                "action": "insert",
                "info": {"name": "punch_items"},
                "mappings": {"name": "x", "project_id": ensemble.simulator["projects"][0]["id"]},
            },
        )
        expected = 403 if policy == "test-only" else 200
        assert read.status_code == passed.status_code == expected
        assert (write.status_code, write.json()["code"]) == (403, "policy_denied")
        assert write.json()["outcome"] == "not_executed"
        assert platform.json()["success"] is False
        assert "policy" in platform.json()["message"].lower()
        shown = await asyncio.to_thread(
            cli, "cloud_connect_agent", "policy", "show", "--home", str(ensemble.home)
        )
        assert shown.returncode == 0


async def test_running_calls_end_before_the_agent_does(tmp_path: Path) -> None:
    slow = ("--latency-ms", "800")
    async with start_ensemble(tmp_path, simulator_arguments=slow) as ensemble:
        base = await datasource(ensemble)

        async def call() -> Any:
            return await ensemble.api.get(f"{base}/procore/rest/v1.0/me")

        async with asyncio.TaskGroup() as group:
            calls = [group.create_task(call()) for _ in range(5)]

            async def all_dispatched() -> bool:
                (item,) = (await ensemble.api.get("/api/connectors")).json()["items"]
                return bool(item["in_flight"] >= 5)

            await until(all_dispatched)
            os.kill(ensemble.pids["agent"], signal.SIGTERM)
        assert [done.result().status_code for done in calls] == [200] * 5


async def test_revoked_connector_is_cut_off(tmp_path: Path) -> None:
    async with start_ensemble(tmp_path) as ensemble:
        place = f"/api/connectors/{ensemble.connector['id']}"
        assert (await ensemble.api.delete(place)).status_code == 204

        async def revoked() -> bool:
            status = await asyncio.to_thread(
                cli, "cloud_connect_agent", "status", "--json", "--home", str(ensemble.home)
            )
            return bool(json.loads(status.stdout)["state"] == "revoked")

        await until(revoked, within=10)
