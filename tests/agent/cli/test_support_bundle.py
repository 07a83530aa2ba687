"""Tests of ``cloud-connect support-bundle`` where much is broken: that is when it is needed."""

import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from agent.cli.conftest import Cli
from cloud_connect_agent.cli.support_bundle import _usual_file
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


def test_it_goes_to_standard_output_where_the_shell_says_whose_the_file_is(home: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "cloud_connect_agent", "support-bundle", "-o", "-"],
        capture_output=True,
        timeout=60,
        check=True,
        env={**os.environ, "CLOUD_CONNECT_HOME": str(home)},
    )
    with zipfile.ZipFile(io.BytesIO(ended.stdout)) as archive:
        assert archive.testzip() is None
        assert "status.json" in archive.namelist()


def test_where_this_folder_is_not_ours_it_goes_beside_the_logs(
    paths: AgentPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert _usual_file(paths).parent == Path()
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write anywhere
    assert _usual_file(paths).parent == paths.log_dir


def test_a_document_and_a_zip_do_not_share_an_output(cli: Cli) -> None:
    assert cli("support-bundle", "-o", "-", "--json").status == 2
