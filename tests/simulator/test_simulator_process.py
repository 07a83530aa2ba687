"""The command: its ready line, its refusals, its end."""

import json
import re
import signal
import socket
import subprocess
import sys
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from doubles.simulator_process import COMPANY, LARGE_COMPANY, PROJECT, Simulator, simulator_process
from procore_simulator.cli import main

pytestmark = pytest.mark.usefixtures("cold_start")

COMMAND = [sys.executable, "-m", "procore_simulator"]
FREE = ["--port", "0", "--login-port", "0", "--admin-port", "0", "--storage-port", "0"]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=30, check=False
    )


def started(*arguments: str) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen([*COMMAND, *FREE, *arguments], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, process.stdout.readline()


@pytest.mark.slow
def test_first_line_says_where_everything_is_and_hints_follow() -> None:
    process, line = started()
    with process:
        assert re.fullmatch(
            r"ready api=http\S+ login=http\S+ admin=http\S+ storage=http\S+\n", line
        )
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0
        assert process.stdout is not None
        rest = process.stdout.read()
    assert "cloud-connect procore app --environment developer-sandbox --client-id" in rest
    assert str(COMPANY) in rest
    assert "not connected" in rest


@pytest.mark.slow
def test_interrupt_ends_it_cleanly() -> None:
    process, _ = started()
    with process:
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=10) == 0


@pytest.mark.slow
def test_stop_does_not_wait_for_a_request_that_hangs() -> None:
    with simulator_process() as simulator:
        simulator.fault("hang")
        with pytest.raises(httpx.TimeoutException):
            simulator.http.get(f"{simulator.ready['api_url']}/rest/v1.0/me", timeout=0.3)


@pytest.mark.slow
def test_json_line_names_environments_companies_and_projects() -> None:
    process, line = started("--json")
    with process:
        ready: dict[str, Any] = json.loads(line)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0
        assert process.stdout is not None
        assert process.stdout.read() == ""
    assert ready["ready"] is True
    apps = ready["environments"]
    assert set(apps) == {"live", "monthly_sandbox", "developer_sandbox"}
    assert apps["live"]["client_id"] != apps["developer_sandbox"]["client_id"]
    assert apps["live"]["client_id"] == apps["monthly_sandbox"]["client_id"]
    assert apps["developer_sandbox"]["api_url"] == ready["api_url"]
    assert {item["id"] for item in ready["companies"]} >= {COMPANY, LARGE_COMPANY}
    assert ready["projects"][0] == {"id": PROJECT, "name": "Harbour Tower", "company_id": COMPANY}


@pytest.mark.slow
def test_what_goes_wrong_is_told_on_stderr_and_the_ready_line_stays_alone() -> None:
    with subprocess.Popen(
        [*COMMAND, *FREE, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            simulator = Simulator(json.loads(process.stdout.readline()), process.pid)
            with simulator.http, simulator.client() as api:
                simulator.behave(duplicate_status=999)  # which version 2 has no name for
                path = f"/rest/v2.0/companies/{COMPANY}/projects/{PROJECT}/prime_contracts"
                answers = [api.post(path, json={"origin_id": "7"}) for _ in range(2)]
        finally:
            process.send_signal(signal.SIGTERM)
            said, told = process.communicate(timeout=10)
    assert [answer.status_code for answer in answers] == [201, 500]
    assert said == ""
    assert "request_failed" in told


def test_taken_port_is_one_sentence_and_exit_one() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        ended = run("--port", port, "--login-port", "0", "--admin-port", "0", "--storage-port", "0")
    assert ended.returncode == 1
    assert port in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1
    assert ended.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--rows", "rifs=5"), "rfis"),
        (("--rows", "rfis=many"), "rfis=10000"),
        (("--rows", "rfis=999999"), "100000"),
        (("--environment", "staging"), "developer-sandbox"),
        (("--environment", "live", "--environment", "live"), "at most once"),
        (("--clock", "yesterday"), "2026"),
        (("--storage-port", "70000"), "65535"),
    ],
)
def test_wrong_flags_are_usage_errors(arguments: tuple[str, ...], said: str) -> None:
    ended = CliRunner().invoke(main, [*FREE, *arguments])
    assert ended.exit_code == 2
    assert said in ended.output


@pytest.mark.slow
def test_flags_set_environment_clock_rows_and_behaviour() -> None:
    with simulator_process(
        *("--environment", "live", "--clock", "2026-03-01T08:00:00"),
        *("--rows", "rfis=7", "--rows", "vendors=3", "--token-lifetime", "120"),
        *("--no-retry-after", "--spike-limit", "3", "--hourly-limit", "100", "--latency-ms", "1"),
        *("--auto-approve", "--redirect-uri", "http://localhost:5555/back"),
    ) as simulator:
        simulator.environment = "live"
        assert set(simulator.ready["environments"]) == {"live"}
        assert simulator.token().json()["created_at"] // 86400 == 1772352000 // 86400
        assert simulator.token().json()["expires_in"] == 120
        place = simulator.code("http://localhost:5555/back", auto_approve="").headers["location"]
        assert place.startswith("http://localhost:5555/back?code=")
        with simulator.client() as api:
            rfis = api.get(f"/rest/v1.0/projects/{PROJECT}/rfis")
            assert rfis.headers["total"] == "7"
            assert rfis.headers["date"].startswith("Sun, 01 Mar 2026")
            vendors = api.get("/rest/v1.0/vendors", params={"company_id": COMPANY})
            assert vendors.headers["total"] == "3"
            api.get("/rest/v1.0/me")
            refused = api.get("/rest/v1.0/me")
        assert refused.status_code == 429
        assert "retry-after" not in refused.headers


@pytest.mark.slow
def test_same_seed_gives_the_same_data_and_another_seed_other_data() -> None:
    def rows(*arguments: str) -> Any:
        with (
            simulator_process("--clock", "2026-03-01T08:00:00Z", *arguments) as simulator,
            simulator.client() as api,
        ):
            text = api.get(f"/rest/v1.0/projects/{PROJECT}/rfis?per_page=20").text
            return re.sub(r'"url":"[^"]*"', "", text)  # signed, and on free ports

    first = rows("--seed", "3")
    assert rows("--seed", "3") == first
    assert rows("--seed", "4") != first
