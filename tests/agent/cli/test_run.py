"""Tests of ``cloud-connect run`` and of the commands that talk to a running agent."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.cli.conftest import Cli, Relay
from cloud_connect_agent.cli.run import loop_factory
from cloud_connect_agent.control import AgentNotRunningError, ask
from cloud_connect_agent.paths import AgentPaths
from cloud_connect_agent.pausing import Pause
from doubles.browser_login import ENVIRONMENT
from doubles.waiting import until_seen

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]


def status_of(home: Path) -> dict[str, Any]:
    try:
        answer = ask(AgentPaths.of(home).control_socket, {"command": "status"})
    except AgentNotRunningError:
        return {"state": "stopped"}
    found: dict[str, Any] = answer["status"]
    return found


class Agent:
    """A running agent."""

    def __init__(self, home: Path, log: Path) -> None:
        self.home = home
        self.log = log
        with log.open("wb") as sink:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "cloud_connect_agent", "run", "--home", str(home)],
                stdout=subprocess.PIPE,
                stderr=sink,
            )

    def wait_for(self, state: str) -> dict[str, Any]:
        until_seen(
            lambda: self.process.poll() is not None or status_of(self.home)["state"] == state
        )
        assert self.process.poll() is None, self.log.read_text()
        return status_of(self.home)

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(40)


@pytest.fixture
def agent(home: Path, connector_id: str, tmp_path: Path) -> Iterator[Agent]:
    assert connector_id
    agent = Agent(home, tmp_path / "agent.stderr")
    try:
        agent.wait_for("connected")
        yield agent
    finally:
        agent.process.kill()
        agent.process.wait()
        assert agent.process.stdout is not None
        agent.process.stdout.close()


def test_an_agent_that_is_not_enrolled_tells_systemd_before_it_ends(
    cli: Cli, tmp_path: Path
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(tmp_path / "notify"))
        heard.settimeout(10)
        ended = cli("run", NOTIFY_SOCKET=heard.getsockname())
        assert heard.recv(4096) == b"READY=1\nSTATUS=Not enrolled."
    assert ended.status == 3
    assert "enrol --relay URL" in ended.errors


def test_commands_to_type_next_have_the_name_of_the_services_own_command(cli: Cli) -> None:
    ended = cli("run", CLOUD_CONNECT_COMMAND="cloud-connect-site-2")
    assert "`cloud-connect-site-2 enrol --relay URL`" in ended.errors


def test_a_connected_agent_shows_its_round_trip(
    agent: Agent, cli: Cli, relay: Relay, connector_id: str
) -> None:
    until_seen(lambda: status_of(agent.home)["last_round_trip_ms"] is not None)
    ended = cli("status", "--json")
    assert ended.status == 0
    document = ended.document
    assert document["connected"] is True
    assert document["connector_id"] == connector_id
    assert document["relay"] == relay.url
    assert 0 < document["last_round_trip_ms"] < 10_000
    assert document["last_round_trip_at"].endswith("Z")
    text = cli("status").output
    assert "connected" in text
    assert connector_id in text


def test_an_idle_agent_is_small(agent: Agent) -> None:
    text = Path(f"/proc/{agent.process.pid}/status").read_text()
    (line,) = (line for line in text.splitlines() if line.startswith("VmRSS:"))
    assert int(line.split()[1]) <= 90 * 1024


def test_it_stops_in_order(agent: Agent, cli: Cli, relay: Relay, connector_id: str) -> None:
    assert agent.stop() == 0
    assert agent.process.stdout is not None
    assert agent.process.stdout.read() == b""  # results only
    ended = cli("status", "--json")
    assert ended.status == 4
    assert ended.document["state"] == "stopped"
    until_seen(lambda: relay.status_of(connector_id) == "offline")


def test_ctrl_c_stops_it_in_order_too(agent: Agent) -> None:
    assert agent.stop(signal.SIGINT) == 0


def test_without_uvloop_it_runs_on_asyncio(monkeypatch: pytest.MonkeyPatch) -> None:
    if sys.platform != "win32":
        assert loop_factory() is not None
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert loop_factory() is None


def test_a_second_run_on_one_home_is_refused(agent: Agent, cli: Cli) -> None:
    ended = cli("run")
    assert ended.status == 1
    assert "already running" in ended.errors
    assert agent.process.poll() is None


def test_a_killed_agent_leaves_nothing_in_the_way(agent: Agent, home: Path, tmp_path: Path) -> None:
    agent.process.kill()
    agent.process.wait()
    again = Agent(home, tmp_path / "again.stderr")
    again.wait_for("connected")
    assert again.stop() == 0
    assert again.process.stdout is not None
    again.process.stdout.close()


def test_app_and_login_take_effect_at_once(
    agent: Agent, cli: Cli, app: dict[str, str], relay: Relay, connector_id: str
) -> None:
    (grant,) = status_of(agent.home)["procore"]
    assert (grant["client_id"], grant["state"]) == (app["client_id"], "no_grant")
    assert cli("procore", "login", "--environment", ENVIRONMENT).status == 0
    assert status_of(agent.home)["procore"][0]["state"] == "ready"
    assert "signed in" in cli("status").output
    until_seen(
        lambda: (
            relay.api.get(f"/api/connectors/{connector_id}").json()["procore"][0]["state"]
            == "ready"
        )
    )


def test_settings_that_are_wrong_are_told_and_change_nothing(
    agent: Agent, cli: Cli, home: Path
) -> None:
    before = (home / "agent.toml").read_text()
    (home / "agent.toml").write_text(before + "nmae = 1\n")
    agent.process.send_signal(signal.SIGHUP)
    until_seen(lambda: bool(status_of(home)["problems"]))
    assert "nmae" in cli("status").output
    (home / "agent.toml").write_text(before)
    agent.process.send_signal(signal.SIGHUP)
    until_seen(lambda: not status_of(home)["problems"])
    assert status_of(home)["connected"]


def test_a_pause_is_known_at_the_relay(
    agent: Agent, cli: Cli, relay: Relay, connector_id: str
) -> None:
    assert cli("pause", "--for", "10m", "--json").document == {"paused": True, "seconds": 600.0}
    until_seen(lambda: relay.status_of(connector_id) == "paused")
    assert "paused" in cli("status").output
    assert agent.process.poll() is None
    assert cli("resume", "--json").document == {"paused": False}
    until_seen(lambda: relay.status_of(connector_id) == "online")
    assert "Paused" in cli("pause").output
    assert "Resumed" in cli("resume").output


def test_a_changed_policy_is_told_to_the_relay(
    agent: Agent, relay: Relay, connector_id: str
) -> None:
    policy = agent.home / "policy.toml"
    policy.write_text('mode = "read-only"\n[[rules]]\nid = "all"\neffect = "allow"\n')

    def told() -> bool:
        listed = relay.api.get(f"/api/connectors/{connector_id}").json()
        return bool(listed["policy"].get("mode") == "read-only")

    until_seen(told)


def test_the_log_is_shown_readably(agent: Agent, cli: Cli) -> None:
    assert agent.process.poll() is None
    assert "agent_started" in cli("logs").output
    events = cli("logs", "--json", "-n", "3").document
    assert len(events) <= 3
    assert all("event" in event for event in events)


def test_an_agent_that_hangs_is_not_called_stopped(agent: Agent, cli: Cli) -> None:
    agent.process.send_signal(signal.SIGSTOP)
    try:
        ended = cli("status", "--json")
    finally:
        agent.process.send_signal(signal.SIGCONT)
    assert ended.status == 4
    assert (ended.document["state"], ended.document["connected"]) == ("offline", False)
    assert "has not answered" in ended.document["error"]


def test_no_lines_of_the_log_are_no_reason_to_say_that_it_is_empty(agent: Agent, cli: Cli) -> None:
    assert agent.process.poll() is None
    assert cli("logs", "-n", "0").errors == ""


def test_the_log_is_followed(agent: Agent, home: Path, cli: Cli) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "cloud_connect_agent", "logs", "-f", "--home", str(home), "--json"],
        stdout=subprocess.PIPE,
        text=True,
    ) as follower:
        assert follower.stdout is not None
        found = threading.Event()

        def read() -> None:
            assert follower.stdout is not None
            for line in follower.stdout:
                if json.loads(line)["event"] == "resumed":
                    found.set()

        reader = threading.Thread(target=read)
        reader.start()
        try:
            until_seen(lambda: cli("resume").status == 0 and found.wait(0.5), within=30)
            follower.send_signal(signal.SIGINT)
            assert follower.wait(20) == 0
        finally:
            follower.kill()  # whatever failed, nobody waits for it
            reader.join()
    assert agent.process.poll() is None


def test_a_second_signal_stops_at_once(agent: Agent) -> None:
    os.kill(agent.process.pid, signal.SIGSTOP)
    agent.process.send_signal(signal.SIGTERM)
    agent.process.send_signal(signal.SIGINT)
    os.kill(agent.process.pid, signal.SIGCONT)
    assert agent.process.wait(10) == 1


def test_a_pause_is_shown_while_the_agent_is_stopped_as_well(cli: Cli, home: Path) -> None:
    assert cli("status", "--json").document["paused"] is False
    file = AgentPaths.of(home).pause_file
    file.parent.mkdir(parents=True, mode=0o700)
    Pause(file).begin(600)
    told = cli("status", "--json").document
    assert (told["state"], told["paused"]) == ("stopped", True)
    assert 500 < told["pause_seconds_left"] <= 600
    assert told["paused_until"].endswith("Z")
    assert "stopped, paused for another" in cli("status").output


def test_a_pause_needs_an_agent(cli: Cli, connector_id: str) -> None:
    assert connector_id
    ended = cli("pause")
    assert ended.status == 4
    assert "cloud-connect run" in ended.errors


@pytest.mark.parametrize("text", ["3x", "0", "-1", "31d", ""])
def test_a_pause_has_a_duration(cli: Cli, text: str) -> None:
    assert cli("pause", "--for", text).status == 2


def test_without_a_log_that_is_said(cli: Cli) -> None:
    ended = cli("logs")
    assert ended.status == 0
    assert "cloud-connect run" in ended.errors
    assert cli("logs", "--json").document == []


def test_a_relay_that_is_gone_is_offline_with_a_reason(
    cli: Cli, home: Path, connector_id: str, tmp_path: Path
) -> None:
    assert connector_id
    text = (home / "agent.toml").read_text().splitlines()
    (home / "agent.toml").write_text(
        "\n".join(
            'tunnel_url = "ws://127.0.0.1:9/tunnel"' if line.startswith("tunnel_url") else line
            for line in text
        )
    )
    agent = Agent(home, tmp_path / "agent.stderr")
    try:
        until_seen(lambda: bool(status_of(home).get("error")))
        ended = cli("status")
        assert ended.status == 4
        assert "Reason" in ended.output
        assert agent.stop() == 0
    finally:
        agent.process.kill()
        agent.process.wait()
        assert agent.process.stdout is not None
        agent.process.stdout.close()


def test_a_damaged_enrolment_is_status_78(cli: Cli, home: Path, connector_id: str) -> None:
    assert connector_id
    text = (home / "agent.toml").read_text()
    (home / "agent.toml").write_text(text.replace("relay_public_key = ", "relay_public_key = 'x'#"))
    ended = cli("run")
    assert ended.status == 78
    assert "relay_public_key" in ended.errors
    (home / "agent.toml").write_text(text)
    (home / "state" / "generation").unlink()
    ended = cli("run")
    assert ended.status == 78
    assert "enrol" in ended.errors
