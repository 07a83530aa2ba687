"""A relay and a simulator as processes, and the command line as a user would call it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from cloud_connect_agent.config_file import change_settings
from cloud_connect_agent.paths import AgentPaths
from doubles.browser_login import CALLBACK, ENVIRONMENT, Login, Logins
from doubles.ended import Ended
from doubles.simulator_process import Simulator, simulator_process


def run(home: Path | None, *arguments: str, stdin: str = "", **environ: str) -> Ended:
    """Run ``cloud-connect``; *home* is given as the variable, so that flags can be tested."""
    variables = {name: value for name, value in os.environ.items() if "CLOUD_CONNECT" not in name}
    if home is not None:
        variables["CLOUD_CONNECT_HOME"] = str(home)
    ended = subprocess.run(
        [sys.executable, "-m", "cloud_connect_agent", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**variables, **environ},
    )
    assert "Traceback" not in ended.stderr, ended.stderr
    return Ended(status=ended.returncode, output=ended.stdout, errors=ended.stderr)


Cli = Callable[..., Ended]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def cli(home: Path) -> Cli:
    """The command line on a home of its own."""

    def on_home(*arguments: str, stdin: str = "", **environ: str) -> Ended:
        return run(home, *arguments, stdin=stdin, **environ)

    return on_home


@contextmanager
def program(log: Path, *command: str) -> Iterator[dict[str, Any]]:
    """Run a program until the block ends; its first line of stdout is JSON."""
    with (
        log.open("wb") as sink,
        subprocess.Popen(
            [sys.executable, "-m", *command], stdout=subprocess.PIPE, stderr=sink, text=True
        ) as process,
    ):
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, log.read_text()
            yield json.loads(line)
        finally:
            process.terminate()


@dataclass(frozen=True, slots=True, kw_only=True)
class Relay:
    """A relay and its administrator."""

    url: str
    username: str
    password: str
    api: httpx.Client

    def join_token(self, **body: Any) -> str:
        answer = self.api.post("/api/enrolment-tokens", json=body)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["token"])

    def status_of(self, connector_id: str) -> str:
        return str(self.api.get(f"/api/connectors/{connector_id}").json()["status"])


@pytest.fixture(scope="session")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    folder = tmp_path_factory.mktemp("relay")
    store = ("--data-dir", str(folder / "data"), "--json")
    made = json.loads(
        subprocess.run(
            [sys.executable, "-m", "cloud_connect_relay", "init", *store],
            capture_output=True,
            check=True,
        ).stdout
    )
    serve = ("cloud_connect_relay", "serve", *store, "--port", "0", "--tunnel-port", "0")
    with (
        program(folder / "log", *serve) as ready,
        httpx.Client(
            base_url=ready["api_url"],
            headers={"Authorization": f"Bearer {made['api_key']}"},
            trust_env=False,
            timeout=30,
        ) as api,
    ):
        yield Relay(url=ready["api_url"], **made["administrator"], api=api)


@pytest.fixture(scope="session")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The simulator's ready line."""
    ports = (
        "--port",
        "0",
        "--login-port",
        "0",
        "--admin-port",
        "0",
        "--storage-port",
        "0",
        "--json",
    )
    log = tmp_path_factory.mktemp("simulator") / "log"
    with program(log, "procore_simulator", *ports) as ready:
        yield ready


@pytest.fixture
def connector_id(cli: Cli, relay: Relay) -> str:
    """Enrol the home; the connector's id."""
    ended = cli("enrol", "--relay", relay.url, "--json", stdin=relay.join_token())
    assert ended.status == 0, ended.errors
    return str(ended.document["connector_id"])


@pytest.fixture
def app(cli: Cli, simulator: dict[str, Any]) -> dict[str, str]:
    """Store the simulator's app in the home's vault; its credentials."""
    found: dict[str, str] = simulator["environments"]["developer_sandbox"]
    ended = cli(
        *("procore", "app", "--environment", ENVIRONMENT, "--secret-stdin"),
        *("--client-id", found["client_id"]),
        *("--api-url", found["api_url"], "--login-url", found["login_url"]),
        stdin=found["client_secret"],
    )
    assert ended.status == 0, ended.errors
    return found


@pytest.fixture(scope="session")
def procore() -> Iterator[Simulator]:
    with simulator_process("--redirect-uri", CALLBACK) as made:
        yield made


@pytest.fixture
def person(cli: Cli, home: Path, procore: Simulator) -> str:
    """Store the app; the login of whoever approves."""
    found = procore.app
    ended = cli(
        *(
            "procore",
            "app",
            "--environment",
            ENVIRONMENT,
            "--secret-stdin",
            "--client-id",
            found["client_id"],
        ),
        *("--api-url", found["api_url"], "--login-url", found["login_url"]),
        stdin=found["client_secret"],
    )
    assert ended.status == 0, ended.errors
    change_settings(
        AgentPaths.of(home), {("procore", "environments", ENVIRONMENT, "redirect_uri"): CALLBACK}
    )
    with procore.client(user=True) as client:
        return str(client.get("/rest/v1.0/me").json()["login"])


@pytest.fixture
def login_on(home: Path) -> Iterator[Logins]:
    """Begin to sign in on the home."""
    begun: list[Login] = []

    def begin(*arguments: str, browser: Path | None = None) -> Login:
        begun.append(Login(home, *arguments, browser=browser))
        return begun[-1]

    yield begin
    for login in begun:
        if login.process.poll() is None:
            login.process.kill()
            login.process.communicate()
