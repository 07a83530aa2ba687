"""Data sources that do not use Cloud Connect: they run on the agent beside the relay."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from cloud_connect_relay.demo.ensemble import ENVIRONMENT
from doubles.waiting import until_seen
from system.conftest import Running, cli

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(120)]

NONE = (
    "This data source does not use Cloud Connect and the subscription has no hosted connector."
    " Switch on 'Use Kianda Cloud Connect' and choose a connector."
)
QUERY = {"action": "select", "info": {"name": "projects"}}


def told(module: str, *arguments: str, stdin: str = "") -> dict[str, Any]:
    """Run a command that must succeed and return what it said."""
    done = cli(module, *arguments, "--json", stdin=stdin)
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout) if done.stdout.strip() else {}
    return said


def enrolled(running: Running, home: Path) -> str:
    """Enrol and sign in a hosted agent as docs/relay.md tells; return the connector's id."""
    ensemble = running.ensemble
    store = ("--data-dir", str(ensemble.data_dir))
    token = told("cloud_connect_relay", "token", "create", *store, "--hosted")
    assert token["hosted"] is True
    at_home = ("--home", str(home))
    connector = told(
        "cloud_connect_agent",
        *("enrol", *at_home, "--relay", ensemble.api_url, "--name", "hosted"),
        *("--policy", "read-write"),
        stdin=token["token"],
    )
    app = ensemble.simulator["environments"][ENVIRONMENT]
    named = ("--environment", ENVIRONMENT.replace("_", "-"))
    told(
        "cloud_connect_agent",
        *("procore", "app", *at_home, *named, "--api-url", ensemble.simulator["api_url"]),
        *("--login-url", ensemble.simulator["login_url"]),
        *("--client-id", app["client_id"], "--secret-stdin"),
        stdin=app["client_secret"],
    )
    told(
        "cloud_connect_agent",
        *("procore", "login", *at_home, *named, "--grant", "client-credentials"),
    )
    found: str = connector["connector_id"]
    return found


@contextmanager
def agent_at(home: Path) -> Iterator[None]:
    command = [sys.executable, "-m", "cloud_connect_agent", "run", "--home", str(home)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as agent:
        try:
            yield
        finally:
            agent.terminate()
            agent.wait(timeout=45)


def test_hosted_connector_runs_what_does_not_use_cloud_connect(
    running: Running, api: httpx.Client, tmp_path: Path
) -> None:
    pc = running.ensemble.connector["id"]
    made = api.post(
        "/api/datasources",
        json={**running.datasource, "title": "Without Cloud Connect", "useConnector": False},
    )
    base = f"/api/datasources/{made.json()['id']}"

    def status(connector_id: str) -> str:
        shown: str = api.get(f"/api/connectors/{connector_id}").json()["status"]
        return shown

    def ran_on() -> str:
        """Create a record and return the connector that did."""
        answer = api.post(
            f"{base}/records/punch_items",
            params={"project_id": running.project["id"]},
            headers={"Idempotency-Key": f"hosted-{time.time_ns()}"},
            json={"name": "hosted"},
        )
        assert answer.status_code == 201, answer.text
        call = api.get(f"/api/calls/{answer.headers['cloud-connect-call-id']}").json()
        ran: str = call["connector_id"]
        return ran

    tested = api.post(f"{base}/test").json()
    assert (tested["success"], tested["message"]) == (False, NONE)
    assert tested["steps"] == [{"step": 0, "name": "Connector", "status": "FAIL", "message": NONE}]
    shown = api.get(base).json()
    assert (shown["status"], shown["message"]) == ("test failed", NONE)
    refused = api.post(f"{base}/query", json=QUERY).json()
    assert (refused["success"], refused["message"]) == (False, NONE)

    home = tmp_path / "hosted"
    hosted = enrolled(running, home)
    with agent_at(home):
        until_seen(lambda: status(hosted) == "online", within=40)
        listed = {one["id"]: one["hosted"] for one in api.get("/api/connectors").json()["items"]}
        assert (listed[hosted], listed[pc]) == (True, False)
        tested = api.post(f"{base}/test").json()
        assert (tested["success"], tested["message"]) == (True, "Connection test succeeded")
        assert api.post(f"{base}/query", json=QUERY).json()["items"]
        assert ran_on() == hosted
        api.put(base, json={"useConnector": True})
        assert ran_on() == pc
        api.put(base, json={"useConnector": False})
        assert ran_on() == hosted
    until_seen(lambda: status(hosted) == "offline", within=20)
    assert api.delete(f"/api/connectors/{hosted}").status_code == 204
    assert api.post(f"{base}/query", json=QUERY).json()["message"] == NONE
