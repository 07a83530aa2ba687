"""Tests of ``cloud-connect support-bundle`` where much is broken: that is when it is needed."""

import json
import zipfile
from pathlib import Path

import pytest

from agent.cli.conftest import Cli
from cloud_connect_agent.paths import AgentPaths


@pytest.fixture
def paths(home: Path) -> AgentPaths:
    paths = AgentPaths.of(home)
    paths.create()
    return paths


@pytest.mark.timeout(90)
def test_what_cannot_be_had_is_said_and_costs_nothing_else(
    cli: Cli, paths: AgentPaths, tmp_path: Path
) -> None:
    paths.config_file.write_text('[log]\nlevel = "loud"\n')
    paths.policy_file.write_text("[[rules]\n")
    paths.journal_file.mkdir()
    paths.log_file.mkdir()
    paths.vault_dir.mkdir(mode=0o700)
    (paths.vault_dir / "x.sealed").write_bytes(b"x")
    file = tmp_path / "bundle.zip"
    ended = cli("support-bundle", "-o", str(file), "--json")
    assert ended.status == 0, ended.errors
    with zipfile.ZipFile(file) as archive:
        inside = {
            name: json.loads(archive.read(name))
            for name in archive.namelist()
            if name.endswith(".json")
        }
    assert "log.level in agent.toml (line 2)" in inside["config.json"]["problem"]
    assert "log.level" in inside["status.json"]["problem"]
    assert "problem" in inside["policy.json"]
    assert "problem" in inside["journal.json"]
    assert inside["machine.json"]["python"]
    assert {one["name"] for one in inside["files.json"]} >= {"agent.toml", "vault/x.sealed"}
    remarks = " ".join(ended.document["manifest"]["remarks"])
    assert "The vault could not be opened" in remarks
    assert "The log cannot be read: Is a directory." in remarks


def test_a_log_that_cannot_be_read_is_a_sentence(cli: Cli, paths: AgentPaths) -> None:
    paths.log_file.mkdir()
    ended = cli("logs")
    assert ended.status == 1
    assert "cannot be read: Is a directory; run the command as the account" in ended.errors


def test_the_file_is_looked_for_before_anything_is_collected(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "bundle.zip"
    file.write_text("mine")
    ended = cli("support-bundle", "-o", str(file))
    assert ended.status == 1
    assert "is there already" in ended.errors
    assert file.read_text() == "mine"
