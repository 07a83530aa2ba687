"""Agents and a relay that one command installed, in a real systemd."""

import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from doubles.booted_machine import ROOT, BootedMachine, booted_machine

PROGRAMS = "/opt/cloud-connect/bin"
AGENT = "/usr/local/bin/cloud-connect"
SECOND = "/usr/local/bin/cloud-connect-two"
HOSTED = "/usr/local/bin/cloud-connect-builders"
THIRD = "/usr/local/bin/cloud-connect-three"
RELAY = "/usr/local/bin/cloud-connect-relay"
NEWER = "99.0.0"
SHARED = "/var/tmp"  # noqa: S108 - of the booted machine
PASSPHRASE = "correct horse battery staple"
# What other programs write while the machine runs, and what useradd and systemd keep of their own.
OF_OTHERS = (
    r"^/(proc|sys|dev|run|tmp|wheels|newer)(/|$)|^/var/(log|tmp|cache)/|^/root/|__pycache__"
    r"|^/etc/(passwd|shadow|group|gshadow|subuid|subgid)-?$|^/etc/\.pwd\.lock$"
    r"|^/var/lib/systemd/|^/opt/cloud-connect/lib/.*/cloud_connect-.*dist-info"
)


def files(machine: BootedMachine) -> set[str]:
    """Return all files of the machine, without those of others."""
    found = machine.run("find", "/", "-xdev", "-not", "-path", "/proc/*").splitlines()
    return {path for path in found if not re.search(OF_OTHERS, path)}


def newer_wheel(folder: Path) -> Path:
    """Build a wheel of the same program that is newer."""
    source = folder / "source"
    ignored = shutil.ignore_patterns(".git", ".venv", "node_modules", "build", ".*_cache", "tests")
    shutil.copytree(ROOT, source, ignore=ignored)
    project = source / "pyproject.toml"
    text, changed = re.subn(
        r'(?m)^version = "[^"]+"', f'version = "{NEWER}"', project.read_text(), count=1
    )
    assert changed == 1
    project.write_text(text)
    pip = [sys.executable, "-m", "pip", "-q", "wheel", "--no-deps", "-w", str(folder / "newer")]
    subprocess.run([*pip, str(source)], check=True, timeout=300, capture_output=True)
    (wheel,) = (folder / "newer").iterdir()
    return wheel


def connected(machine: BootedMachine, command: str = AGENT) -> None:
    machine.until(command, "status", says="connected, since", within=60)


def waiting(machine: BootedMachine, command: str, advice: str) -> None:
    """See that a service that was started stands still without a failure, and says why."""
    machine.until(command, "service", "status", "--json", says='"state": "stopped"')
    status = json.loads(machine.run(command, "service", "status", "--json", check=False))
    assert advice in status["says"]
    assert not machine.run("systemctl", "list-units", "--failed", "--no-legend").strip()


def token(machine: BootedMachine, *words: str) -> str:
    made = machine.told(RELAY, "token", "create", *(words or ("--subscription", "Default")))
    return str(made["token"])


def restored(machine: BootedMachine) -> None:
    """Save relay and agent by the commands that people type, from a folder that is root's alone."""
    in_roots = ("sh", "-c", 'cd /root && exec "$@"', "sh")
    passphrase = ("--passphrase-file", "-")
    for command in (RELAY, AGENT):
        to = ("-o", f"{SHARED}/{Path(command).name}.backup")
        machine.run(*in_roots, command, "backup", *to, *passphrase, stdin=PASSPHRASE)
    for command in (AGENT, RELAY):
        machine.run(command, "service", "stop")
        saved = f"{SHARED}/{Path(command).name}.backup"
        machine.run(
            *(*in_roots, command, "restore", saved, "--force", *passphrase), stdin=PASSPHRASE
        )
    machine.run(RELAY, "recover", "--all")
    for command in (RELAY, AGENT):
        machine.run(command, "service", "start")
    connected(machine)
    checks = machine.told(AGENT, "service", "verify")["checks"]
    assert [check for check in checks if check["status"] != "PASS"] == []


def main_process(machine: BootedMachine) -> str:
    found = machine.told(AGENT, "service", "status")
    return str(found["pid"])


@pytest.mark.nightly
@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_services_are_installed_come_back_are_upgraded_and_leave_nothing(tmp_path: Path) -> None:
    with booted_machine(tmp_path) as booted:
        machine = booted
        for unit in (machine.root / "etc/systemd/system").glob("cloud-connect*"):
            unit.unlink()  # put there for those who install by hand
        before = files(machine)

        # The relay.
        machine.run(f"{PROGRAMS}/cloud-connect-relay", "service", "install")
        machine.run("systemctl", "start", "cloud-connect-relay")  # as a restart of the machine does
        waiting(machine, RELAY, "cloud-connect-relay init")
        machine.told(RELAY, "init")
        machine.run(RELAY, "service", "start")
        assert machine.told(RELAY, "service", "status")["says"].startswith("0 connectors")

        # An agent: two commands from the wheel to a connected agent.
        begun = time.monotonic()
        installed = machine.told(f"{PROGRAMS}/cloud-connect", "service", "install")
        again = machine.told(f"{PROGRAMS}/cloud-connect", "service", "install")
        assert installed["changes"]
        assert again["changes"] == []
        join = ("enrol", "--relay", "http://127.0.0.1:8080", "--policy", "read-only")
        machine.run(AGENT, *join, stdin=token(machine))
        connected(machine)
        print(f"from `service install` to connected: {time.monotonic() - begun:.1f} s")  # noqa: T201 - the measured result
        assert machine.told(AGENT, "status")["vault"]["key"] == "systemd-credential"
        checks = machine.told(AGENT, "service", "verify")["checks"]
        assert [check for check in checks if check["status"] != "PASS"] == []
        found = {check["name"]: check for check in machine.told(AGENT, "doctor")["checks"]}
        expected = {"relay", "key", "session", "files", "vault", "policy", "service"}
        assert [found[name] for name in expected if found[name]["status"] != "PASS"] == []
        policy = machine.run("stat", "-c", "%U:%G %a", "/var/lib/cloud-connect/policy.toml")
        assert policy.strip() == "root:cloud-connect 640"
        assert "read-only" in machine.run(AGENT, "policy", "show")

        # It reads its settings again, and the journal knows what is bad and what is not.
        machine.run("systemctl", "reload", "cloud-connect")
        settings = machine.root / "var/lib/cloud-connect/agent.toml"
        good = settings.read_text()
        settings.write_text(f"what = 1\n{good}")
        machine.run("systemctl", "kill", "-s", "HUP", "--kill-who=main", "cloud-connect")
        severe = ("journalctl", "-u", "cloud-connect", "-o", "cat", "--no-pager", "-p", "warning")
        machine.until(*severe, says='"event":"reload_failed"')
        assert '"level":"info"' not in machine.run(*severe)
        settings.write_text(good)
        connected(machine)

        restored(machine)

        # Killed, and hung: both times it comes back.
        machine.run("systemctl", "kill", "-s", "KILL", "cloud-connect")
        machine.until(AGENT, "service", "status", "--json", says='"restarts": 1')
        connected(machine)
        drop_in = machine.root / "etc/systemd/system/cloud-connect.service.d"
        drop_in.mkdir()
        (drop_in / "soon.conf").write_text("[Service]\nWatchdogSec=4\nTimeoutAbortSec=2\n")
        machine.run("systemctl", "daemon-reload")
        machine.run(AGENT, "service", "restart")
        connected(machine)
        hung = time.monotonic()
        machine.run("python3", "-c", f"import os; os.kill({main_process(machine)}, 19)")  # SIGSTOP
        machine.until(AGENT, "service", "status", "--json", says='"restarts": 1', within=60)
        connected(machine)
        print(f"hung, found, restarted and connected: {time.monotonic() - hung:.1f} s")  # noqa: T201
        log = machine.run("journalctl", "-u", "cloud-connect", "-o", "cat", "--no-pager")
        assert "Watchdog timeout" in log

        # A second one, which was enrolled by root elsewhere and shares nothing with the first.
        elsewhere = (f"{PROGRAMS}/cloud-connect", "--home", "/srv/agent")
        machine.run(*elsewhere, *join, "--name", "second", stdin=token(machine))
        identity = machine.told(*elsewhere, "keys")["connector_id"]
        adopting = ("service", "install", "--name", "two", "--adopt", "/srv/agent")
        machine.run(f"{PROGRAMS}/cloud-connect", *adopting)
        connected(machine, SECOND)
        assert machine.told(SECOND, "status")["connector_id"] == identity
        assert machine.told(SECOND, "status")["vault"]["key"] == "key-file"
        owner = machine.run("stat", "-c", "%U", "/var/lib/cloud-connect-two/state")
        assert owner.strip() == "cloud-connect-two"
        ids = {machine.told(command, "status")["connector_id"] for command in (AGENT, SECOND)}
        assert len(ids) == 2

        # A hosted connector for another subscription.
        machine.told(RELAY, "subscription", "create", "Builders Ltd")
        installing = ("service", "install", "--hosted", "--name", "builders")
        machine.run(f"{PROGRAMS}/cloud-connect", *installing)
        joining = token(machine, "--subscription", "Builders Ltd", "--hosted")
        machine.run(HOSTED, *join, "--name", "hosted", stdin=joining)
        connected(machine, HOSTED)
        listed = machine.run(RELAY, "connector", "list", "--subscription", "Builders Ltd")
        assert str(machine.told(HOSTED, "status")["connector_id"]) in listed

        # An upgrade in place.
        shutil.copytree(newer_wheel(tmp_path / "build").parent, machine.root / "newer")
        install = (f"{PROGRAMS}/pip", "install", "-q", "--no-index", "--no-deps", "--upgrade")
        machine.run(*install, "--find-links", "/newer", "cloud-connect")
        for command in (RELAY, AGENT, SECOND):
            machine.run(command, "service", "restart")
        connected(machine)
        connected(machine, SECOND)
        assert machine.told(AGENT, "status")["version"] == NEWER
        assert machine.told(f"{PROGRAMS}/cloud-connect", "service", "install")["changes"] == []

        # The machine restarts, and all of them are back; one that is not enrolled is no failure.
        machine.run(f"{PROGRAMS}/cloud-connect", "service", "install", "--name", "three")
        machine = machine.rebooted()
        waiting(machine, THIRD, "cloud-connect-three enrol")
        connected(machine)
        connected(machine, SECOND)

        # Nothing is left.
        machine.run(SECOND, "service", "stop")
        machine.run(SECOND, "unenrol", "--yes")
        kept = machine.told(AGENT, "service", "uninstall")
        assert "/var/lib/cloud-connect" in " ".join(kept["notes"])
        machine.run(f"{PROGRAMS}/cloud-connect", "service", "uninstall", "--purge", "--yes")
        machine.run(SECOND, "service", "uninstall", "--purge", "--yes")
        for command in (THIRD, HOSTED):
            machine.run(command, "service", "uninstall", "--purge", "--yes")
        machine.run(RELAY, "service", "uninstall", "--purge", "--yes")
        assert files(machine) - before == set()
        for database in ("passwd", "group"):
            assert "cloud-connect" not in machine.run("getent", database)
        failed = machine.run("systemctl", "list-units", "--failed", "--no-legend")
        assert failed.strip() == ""
