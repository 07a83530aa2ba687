"""An agent in one file: saved while it runs, brought back, and never taken for a copy silently."""

from pathlib import Path

import pytest

from agent.cli.conftest import Cli, Relay, run
from agent.cli.test_identity_commands import running_agent
from agent.cli.test_run import status_of
from doubles.canaries import remember
from doubles.waiting import until_seen

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]

PASSPHRASE = "correct horse battery staple"
CLIENT_SECRET = "client-secret-of-the-backed-up-app"


@pytest.fixture
def secret(tmp_path: Path) -> str:
    remember("passphrase", PASSPHRASE)
    file = tmp_path.parent / f"{tmp_path.name}-passphrase"
    file.write_text(PASSPHRASE + "\n")
    return str(file)


def saved(cli: Cli, secret: str, file: Path) -> Path:
    ended = cli("backup", "-o", str(file), "--passphrase-file", secret, "--json")
    assert ended.status == 0, ended.errors
    assert ended.document["bytes"] == file.stat().st_size
    return file


def test_saved_agent_comes_back_elsewhere_with_key_secrets_policy_and_audit_log(
    cli: Cli, connector_id: str, home: Path, secret: str
) -> None:
    tmp_path = home.parent
    app = ("procore", "app", "--environment", "live", "--client-id", "id", "--secret-stdin")
    assert cli(*app, stdin=CLIENT_SECRET).status == 0
    (home / "policy.toml").write_text((home / "policy.toml").read_text() + "# mine\n")
    with running_agent(home, tmp_path / "agent.log") as agent:
        agent.wait_for("connected")
    file = saved(cli, secret, tmp_path / "pc.backup")
    data = file.read_bytes()
    assert not any(one in data for one in (PASSPHRASE.encode(), CLIENT_SECRET.encode()))

    new = tmp_path / "new"
    ended = run(new, "restore", str(file), "--passphrase-file", secret)
    assert ended.status == 0, ended.errors
    assert f"This PC is {connector_id} again." in ended.output
    assert f"connector recover {connector_id}" in ended.errors
    assert (new / "policy.toml").read_text().endswith("# mine\n")
    assert not (new / "state" / "journal.sqlite3").exists(), "it would be out of date"
    with running_agent(new, tmp_path / "new.log") as agent:
        agent.wait_for("connected")
        listed = run(new, "procore", "list", "--json")
        assert CLIENT_SECRET not in listed.output
        assert '"client_id": "id"' in listed.output
        verified = run(new, "audit", "verify", "--json")
        assert verified.document["ok"] is True, verified.output
        actions = run(new, "audit", "list").output
        assert "agent.backed_up" not in actions, "that was recorded after it"
        assert "agent.restored" in actions


@pytest.mark.nightly
@pytest.mark.timeout(540)
def test_backup_that_is_behind_is_refused_until_the_relay_lets_it_come_back(
    cli: Cli, relay: Relay, connector_id: str, home: Path, secret: str
) -> None:
    tmp_path = home.parent
    with running_agent(home, tmp_path / "agent.log") as agent:
        agent.wait_for("connected")
        file = saved(cli, secret, tmp_path / "pc.backup")  # also while it runs
        refused = cli("restore", str(file), "--passphrase-file", secret, "--force")
        assert (refused.status, "already running" in refused.errors) == (1, True)
        assert cli("pause").status == 0
        assert cli("audit", "verify").status == 0  # the relay has seen what is missing below
    with running_agent(home, tmp_path / "again.log") as agent:
        agent.wait_for("connected")
        assert cli("audit", "verify").status == 0

    refused = cli("restore", str(file), "--passphrase-file", secret)
    assert (refused.status, "--force" in refused.errors) == (1, True)
    ended = cli("restore", str(file), "--passphrase-file", secret, "--force", "--json")
    assert ended.status == 0, ended.errors
    assert ended.document["connector_id"] == connector_id
    with running_agent(home, tmp_path / "restored.log"):
        until_seen(lambda: relay.status_of(connector_id) == "clone_suspected")
        assert relay.api.post(f"/api/connectors/{connector_id}/recover").is_success
    with running_agent(home, tmp_path / "recovered.log") as agent:
        agent.wait_for("connected")
        bad = cli("audit", "verify", "--json")
        assert (bad.status, bad.document["ok"]) == (1, False)
        until_seen(lambda: any("audit log" in one for one in status_of(home)["problems"]))
        accepted = cli("audit", "accept", "--reason", "restored after the disk failed")
        assert accepted.status == 0, accepted.errors
        assert "does not go on from its record" in accepted.output
        verified = cli("audit", "verify", "--json")
        assert (verified.status, verified.document["ok"]) == (0, True), verified.output
        (shown,) = verified.document["accepted"]
        assert shown["reason"] == "restored after the disk failed"
        assert not any("audit log" in one for one in status_of(home)["problems"])
    assert "Accepted in record" in cli("audit", "verify").errors


def test_nothing_is_lost_by_a_backup_that_cannot_be_used(
    cli: Cli, connector_id: str, home: Path, tmp_path: Path, secret: str
) -> None:
    file = saved(cli, secret, tmp_path / "pc.backup")
    wrong = tmp_path / "wrong"
    wrong.write_text("another horse battery staple")
    again = cli("backup", "-o", str(file), "--passphrase-file", secret)
    assert (again.status, "is there already" in again.errors) == (1, True)
    for told, arguments in {
        "passphrase is not the one": (str(file), "--passphrase-file", str(wrong)),
        "no backup of Cloud Connect": (str(wrong), "--passphrase-file", secret),
        "where nobody can be asked": (str(file),),
    }.items():
        ended = cli("restore", *arguments, "--force")
        assert ended.status in {1, 2}
        assert told in ended.errors
    data = file.read_bytes()
    file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    ended = cli("restore", str(file), "--passphrase-file", secret, "--force")
    assert (ended.status, "damaged or not whole" in ended.errors) == (1, True)
    assert (home / "state" / "generation").exists()
    assert connector_id in (home / "agent.toml").read_text()
    assert not list((home / "state").glob(".restoring-*"))


def test_files_of_a_newer_version_are_refused_and_a_backup_is_the_way_back(
    cli: Cli, connector_id: str, home: Path, tmp_path: Path, secret: str
) -> None:
    file = saved(cli, secret, tmp_path / "pc.backup")
    (home / "state" / "format").write_text('{"format": 99, "program": "9.0.0"}')
    ended = cli("run")
    assert ended.status == 78
    assert "newer version of the agent (9.0.0)" in ended.errors
    ended = cli("restore", str(file), "--passphrase-file", secret, "--force")
    assert ended.status == 0, ended.errors
    assert connector_id in (home / "agent.toml").read_text()
    assert "99" not in (home / "state" / "format").read_text()


def test_update_is_told_and_never_installed(cli: Cli, connector_id: str, tmp_path: Path) -> None:
    assert connector_id
    before = sorted(one.name for one in tmp_path.iterdir())
    ended = cli("update", "check")
    assert ended.status == 0, ended.errors
    assert "recommends no version" in ended.output
    assert sorted(one.name for one in tmp_path.iterdir()) == before
