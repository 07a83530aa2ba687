"""The commands of the simulator's page do what the page says."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from doubles.simulator_process import Simulator, simulator_process

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(60)]

PAGE = Path(__file__).parents[2] / "docs" / "simulator.md"


def blocks() -> dict[str, str]:
    found = re.findall(r"<!-- tested: (\S+) -->\n```sh\n(.+?)\n```", PAGE.read_text(), re.DOTALL)
    return dict(found)


def told(simulator: Simulator, script: str) -> str:
    """Give the commands this simulator's addresses and credentials, as a reader would."""
    app, ready = simulator.app, simulator.ready
    for page, real in (
        ("ID=…", f"ID={app['client_id']}"),
        ("SECRET=…", f"SECRET={app['client_secret']}"),
        ("http://127.0.0.1:9000", ready["api_url"]),
        ("http://127.0.0.1:9001", ready["login_url"]),
        ("http://127.0.0.1:9002", ready["admin_url"]),
    ):
        script = script.replace(page, real)
    return script


def run(simulator: Simulator, folder: Path, *names: str) -> str:
    """Run blocks in one shell and return what the last one printed."""
    *before, last = (told(simulator, blocks()[name]) for name in names)
    script = "\n".join(["set -euo pipefail", *before, "echo", "echo ---", last])
    # By standard input: a script with a secret in it is no argument, which every account sees.
    done = subprocess.run(
        ["bash", "-s"],
        input=script,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.rpartition("---\n")[2]


def test_commands_of_the_page_run_in_one_shell(tmp_path: Path) -> None:
    with simulator_process() as simulator:
        first = run(simulator, tmp_path, "first")
        assert '"status":"open"' in first
        (vendor,) = simulator.ledger(resource="vendors")
        assert vendor["marker"] == "Rehearsal Ltd"
        signed_in = json.loads(run(simulator, tmp_path, "first", "sign-in"))
        assert signed_in["refresh_token"]
        assert run(simulator, tmp_path, "first", "file") == "A rehearsed plan."
        fetched = simulator.requests(origin="storage", method="GET")
        assert [request["status"] for request in fetched] == [200]
        rule = json.loads(run(simulator, tmp_path, "first", "fault"))
        assert (rule["path"], rule["after_execute"]) == ("/rfis$", True)
