"""The simulator as a process of its own, and a client that signs in to it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from doubles.canaries import remember_document

__all__ = [
    "COMPANY",
    "HIDDEN",
    "LARGE_COMPANY",
    "OOB",
    "PERSON",
    "PROJECT",
    "SERVICE_USER",
    "UNCONNECTED",
    "Simulator",
    "simulator_process",
]

COMPANY = 4242
LARGE_COMPANY = 562949953421312
UNCONNECTED = 4343
HIDDEN = 9999
PROJECT = 5001
SERVICE_USER = 160586
PERSON = 160590
OOB = "urn:ietf:wg:oauth:2.0:oob"


class Simulator:
    """A running simulator and the few things every test does with it."""

    def __init__(self, ready: dict[str, Any], pid: int) -> None:
        self.ready = ready
        self.pid = pid
        # It outlives the tests that use it: a connection kept would be one that a test left open.
        once = httpx.Limits(max_keepalive_connections=0)
        self.http = httpx.Client(trust_env=False, timeout=15, limits=once)
        self.environment = "developer_sandbox"

    @property
    def app(self) -> dict[str, str]:
        found: dict[str, str] = self.ready["environments"][self.environment]
        return found

    def token(self, **more: Any) -> httpx.Response:
        facts = {key: self.app[key] for key in ("client_id", "client_secret")}
        return self.http.post(
            f"{self.ready['login_url']}/oauth/token",
            data={"grant_type": "client_credentials", **facts, **more},
        )

    def headers(self, company: int | None = COMPANY, *, user: bool = False) -> dict[str, str]:
        answer = self.user_token() if user else self.token()
        headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        return headers if company is None else {**headers, "Procore-Company-Id": str(company)}

    def code(self, redirect_uri: str = "http://localhost", **more: str) -> httpx.Response:
        return self.http.get(
            f"{self.ready['login_url']}/oauth/authorize",
            params={
                "response_type": "code",
                "client_id": self.app["client_id"],
                "redirect_uri": redirect_uri,
                "auto_approve": "true",
                **more,
            },
        )

    def user_token(self) -> httpx.Response:
        location = httpx.URL(self.code().headers["location"])
        return self.token(
            grant_type="authorization_code",
            code=location.params["code"],
            redirect_uri="http://localhost",
        )

    def client(
        self, company: int | None = COMPANY, *, user: bool = False, **options: Any
    ) -> httpx.Client:
        return httpx.Client(
            base_url=self.ready["api_url"],
            headers=self.headers(company, user=user),
            trust_env=False,
            timeout=15,
            **options,
        )

    def admin(self, method: str, path: str, **options: Any) -> Any:
        answer = self.http.request(method, f"{self.ready['admin_url']}{path}", **options)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def state(self, **changes: Any) -> Any:
        return self.admin("POST", "/state", json=changes)

    def behave(self, **switches: Any) -> None:
        self.state(behaviour=switches)

    def fault(self, action: Any, **rule: Any) -> Any:
        return self.admin("POST", "/faults", json={"action": action, **rule})

    def ledger(self, **query: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.admin("GET", "/ledger", params=query)["items"]
        return found

    def requests(self, **query: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.admin("GET", "/requests", params=query)["items"]
        return found

    def counters(self) -> dict[str, int]:
        found: dict[str, int] = self.admin("GET", "/counters")
        return found


@contextmanager
def simulator_process(*arguments: str) -> Iterator[Simulator]:
    """Run the simulator as a user would, on free ports."""
    command = [sys.executable, "-m", "procore_simulator", "--json"]
    ports = ["--port", "0", "--login-port", "0", "--admin-port", "0", "--storage-port", "0"]
    with subprocess.Popen([*command, *ports, *arguments], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            simulator = Simulator(json.loads(process.stdout.readline()), process.pid)
            remember_document("simulator", simulator.ready)
            with simulator.http:
                yield simulator
        finally:
            os.kill(process.pid, signal.SIGTERM)
            process.wait(timeout=10)
