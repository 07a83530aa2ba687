"""``rotate-key``, ``reset`` and approval as a user meets them, against a real relay."""

import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.cli.conftest import Cli, Relay, run
from agent.cli.test_run import Agent, status_of
from doubles.waiting import until_seen

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]


@contextmanager
def running_agent(home: Path, log: Path) -> Iterator[Agent]:
    agent = Agent(home, log)
    try:
        yield agent
    finally:
        agent.stop(signal.SIGTERM)
        assert agent.process.stdout is not None
        agent.process.stdout.close()


def key_of(relay: Relay, connector_id: str) -> str:
    return str(relay.api.get(f"/api/connectors/{connector_id}").json()["key_id"])


def test_key_is_changed_without_and_with_a_running_agent(
    cli: Cli, relay: Relay, connector_id: str, home: Path, tmp_path: Path
) -> None:
    first = key_of(relay, connector_id)
    ended = cli("rotate-key", "--json")
    assert ended.status == 0, ended.errors
    second = ended.document["key_id"]
    assert ended.document["running"] is False
    assert key_of(relay, connector_id) == first, "until the new one connects"
    again = cli("rotate-key", "--json")
    assert again.document["key_id"] == second, "a change that has begun is finished first"

    with running_agent(home, tmp_path / "agent.log") as agent:
        assert agent.wait_for("connected")["key_id"] == second
        until_seen(lambda: key_of(relay, connector_id) == second)
        ended = cli("rotate-key")
        assert ended.status == 0, ended.errors
        assert "within half a minute" in ended.output
        until_seen(lambda: key_of(relay, connector_id) not in {first, second})
        until_seen(lambda: status_of(home)["state"] == "connected")
        assert status_of(home)["key_id"] == key_of(relay, connector_id)
    records = b"".join(file.read_bytes() for file in (home / "state" / "audit").glob("*.ndjson"))
    assert records.count(b"agent.key_rotated") == 2
    assert cli("unenrol", "--yes").status == 0


def test_key_of_a_revoked_connector_is_not_changed(
    cli: Cli, relay: Relay, connector_id: str
) -> None:
    assert relay.api.delete(f"/api/connectors/{connector_id}").status_code == 204
    ended = cli("rotate-key")
    assert ended.status == 1
    assert "knows no connector" in ended.errors


def test_copied_home_gets_an_identity_of_its_own(
    cli: Cli, relay: Relay, connector_id: str, *, home: Path, app: dict[str, str], tmp_path: Path
) -> None:
    assert app
    copy = tmp_path / "copy"
    shutil.copytree(home, copy)
    assert run(copy, "reset", "--yes").status == 2, "nothing said what to reset"
    assert run(copy, "reset", "--new-identity").status == 2, "nobody is there to say yes"
    policy = (copy / "policy.toml").read_text()
    ended = run(copy, "reset", "--new-identity", "--yes")
    assert ended.status == 0, ended.errors
    assert f"{connector_id} no more" in ended.output
    assert f"enrol --relay {relay.url}" in ended.errors
    assert run(copy, "run").status == 3
    assert not (copy / "state" / "generation").exists()
    assert (copy / "policy.toml").read_text() == policy

    enrolled = run(copy, "enrol", "--relay", relay.url, "--json", stdin=relay.join_token())
    assert enrolled.status == 0, enrolled.errors
    assert enrolled.document["connector_id"] != connector_id
    (grant,) = run(copy, "procore", "list", "--json").document["items"]
    assert grant["state"] == "no_grant", "the app stayed, its sign-in did not"
    assert relay.status_of(connector_id) == "offline", "the original is as it was"
    assert cli("status", "--json").document["connector_id"] == connector_id


def test_reset_enrols_at_once_with_a_token(
    relay: Relay, connector_id: str, home: Path, tmp_path: Path
) -> None:
    token = tmp_path / "token.txt"
    token.write_text(relay.join_token())
    ended = run(home, "reset", "--new-identity", "--yes", "--json", "--token-file", str(token))
    assert ended.status == 0, ended.errors
    assert ended.document["connector_id"] != connector_id


def test_pc_that_waits_for_approval_says_so_and_is_let_in(
    cli: Cli, relay: Relay, home: Path, tmp_path: Path
) -> None:
    token = relay.join_token(approval=True)
    ended = cli("enrol", "--relay", relay.url, "--json", stdin=token)
    assert ended.status == 0, ended.errors
    assert ended.document["approved"] is False
    connector_id = str(ended.document["connector_id"])
    assert relay.status_of(connector_id) == "pending"
    with running_agent(home, tmp_path / "agent.log"):
        until_seen(lambda: "approve" in str(status_of(home).get("error")))
        assert relay.status_of(connector_id) == "pending"
    answer = relay.api.post(f"/api/connectors/{connector_id}/approve")
    assert answer.status_code == 200
    assert relay.api.post(f"/api/connectors/{connector_id}/approve").status_code == 400
    with running_agent(home, tmp_path / "agent.log") as agent:
        agent.wait_for("connected")


def test_leaving_keeps_the_audit_log_if_asked(
    cli: Cli, connector_id: str, home: Path, tmp_path: Path
) -> None:
    assert connector_id
    with running_agent(home, tmp_path / "agent.log") as agent:
        agent.wait_for("connected")
    assert cli("unenrol", "--yes", "--keep-audit", str(home)).status == 1, "no new folder"
    assert (home / "agent.toml").exists(), "nothing was removed"
    kept = tmp_path / "kept" / "audit"
    ended = cli("unenrol", "--yes", "--keep-audit", str(kept))
    assert ended.status == 0, ended.errors
    assert not home.exists()
    records = b"".join(file.read_bytes() for file in kept.glob("*.ndjson"))
    assert b"agent.started" in records
