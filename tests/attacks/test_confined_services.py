"""The units as they are delivered, under a real systemd: confined, and still able to work."""

import json
import re
import time
from pathlib import Path

import pytest

from doubles.booted_machine import BootedMachine, booted_machine

AGENT_HOME = "/var/lib/cloud-connect"
RELAY_DATA = "/var/lib/cloud-connect-relay"
PROGRAMS = "/opt/cloud-connect/bin"


def as_account(account: str, program: str, *words: str) -> tuple[str, ...]:
    return ("runuser", "-u", account, "--", f"{PROGRAMS}/{program}", *words)


def relay(*words: str) -> tuple[str, ...]:
    command, *rest = words
    first = (command,) if command == "init" else (command, rest.pop(0))
    program = "cloud-connect-relay"
    return as_account(program, program, *first, "--data-dir", RELAY_DATA, *rest)


def agent(*words: str) -> tuple[str, ...]:
    return as_account("cloud-connect", "cloud-connect", "--home", AGENT_HOME, *words)


def account(machine: BootedMachine, name: str, folder: str) -> None:
    """Make an account and its folder, as the unit's first lines say."""
    nobody = ("--shell", "/usr/sbin/nologin")
    machine.run("useradd", "--system", "--home-dir", folder, *nobody, name)
    machine.run("install", "-d", "-o", name, "-g", name, "-m", "0700", folder)


def simulator(machine: BootedMachine) -> dict[str, str]:
    """Start the simulator in the machine; return how to reach its sandbox."""
    machine.run(
        *("systemd-run", "--unit=simulator", "-p", "StandardOutput=file:/run/simulator.json"),
        *(f"{PROGRAMS}/procore-simulator", "--port", "9000", "--login-port", "9001", "--json"),
    )
    machine.until("cat", "/run/simulator.json", says="developer_sandbox")
    ready = json.loads(machine.run("head", "-n", "1", "/run/simulator.json"))
    found: dict[str, str] = ready["environments"]["developer_sandbox"]
    return found


def serve_without_a_proxy(machine: BootedMachine) -> None:
    """Have the relay's unit name its own address, where a proxy's stands."""
    unit = machine.root / "etc/systemd/system/cloud-connect-relay.service"
    text, changed = re.subn(r" \\\n\s+--public-url \S+", "", unit.read_text())
    assert changed == 1
    unit.write_text(text)
    machine.run("systemctl", "daemon-reload")


@pytest.mark.nightly
@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.catalogue("T129")
def test_confined_units_start_work_and_come_back(tmp_path: Path) -> None:
    with booted_machine(tmp_path) as machine:
        # Beside another machine, each systemd counts and kills its own processes only.
        groups = Path(f"/proc/{machine.init}/cgroup").read_text()
        assert f"/{machine.container.name}/" in groups
        account(machine, "cloud-connect-relay", RELAY_DATA)
        account(machine, "cloud-connect", AGENT_HOME)
        serve_without_a_proxy(machine)
        machine.told(*relay("init"))
        machine.run("systemctl", "start", "cloud-connect-relay")
        machine.until("systemctl", "status", "cloud-connect-relay", says="relay_ready")
        token = machine.told(*relay("token", "create", "--subscription", "Default"))["token"]
        machine.run(*agent("enrol", "--relay", "http://127.0.0.1:8080"), stdin=token)

        sandbox = simulator(machine)
        here = ("--environment", "developer-sandbox")
        urls = ("--api-url", sandbox["api_url"], "--login-url", sandbox["login_url"])
        app = ("--client-id", sandbox["client_id"], "--secret-stdin", *urls)
        machine.run(*agent("procore", "app", *here, *app), stdin=sandbox["client_secret"])
        machine.run(*agent("procore", "login", *here, "--grant", "client-credentials"))
        # The policy is root's: the unit refuses one that its own account could change.
        machine.run("chown", "root:cloud-connect", AGENT_HOME, f"{AGENT_HOME}/policy.toml")
        machine.run("chmod", "1770", AGENT_HOME)
        machine.run("chmod", "0640", f"{AGENT_HOME}/policy.toml")

        machine.run("systemctl", "start", "cloud-connect")  # until it says that it takes calls
        machine.until(*agent("status"), says="connected, since")
        said = machine.run(*agent("test", "--company", "4242", *here))
        assert "Connection test succeeded" in said

        machine.run("systemctl", "kill", "-s", "KILL", "cloud-connect")
        machine.until("systemctl", "show", "-p", "NRestarts", "cloud-connect", says="=1")
        machine.until(*agent("status"), says="connected, since")
        stopping = time.monotonic()
        machine.run("systemctl", "stop", "cloud-connect", "cloud-connect-relay")
        assert time.monotonic() - stopping < 40
        failed = machine.run("systemctl", "list-units", "--failed", "--no-legend")
        assert failed.strip() == ""
