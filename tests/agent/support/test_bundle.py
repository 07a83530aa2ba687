"""Tests of the other parts of ``cloud_connect_agent.support``."""

import hashlib
import json
import os
import sqlite3
import stat
import time
import zipfile
from pathlib import Path

import pytest

from cloud_connect.errors import CloudConnectError
from cloud_connect_agent.audit import AuditFolder, AuditWriter
from cloud_connect_agent.paths import AgentPaths
from cloud_connect_agent.support import Bundle, Part, Scrubber
from cloud_connect_agent.support.log_extract import log_extract
from cloud_connect_agent.support.statistics import audit_statistics, journal_statistics
from cloud_connect_agent.support.surroundings import file_list, machine

BUNDLE = Bundle(
    parts=[Part(name="status.json", purpose="how it is", data=b"{}\n", holds=("relay",))],
    version="1",
    made_at="2026-11-24T00:00:00Z",
    remarks=["No secrets."],
)


def test_the_file_is_ours_alone_and_lists_what_is_inside(tmp_path: Path) -> None:
    file = tmp_path / "bundle.zip"
    assert BUNDLE.write(file) == file.stat().st_size
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with zipfile.ZipFile(file) as archive:
        assert archive.namelist() == ["manifest.json", "status.json"]
        manifest = json.loads(archive.read("manifest.json"))
        content = archive.read("status.json")
    (entry,) = manifest["files"]
    assert entry["sha256"] == hashlib.sha256(content).hexdigest()
    assert (entry["bytes"], entry["purpose"], entry["holds"]) == (3, "how it is", ["relay"])
    assert manifest["remarks"] == ["No secrets."]


@pytest.mark.parametrize("kind", ["file", "link"])
def test_what_is_there_is_never_overwritten_or_followed(tmp_path: Path, kind: str) -> None:
    file, other = tmp_path / "bundle.zip", tmp_path / "other"
    if kind == "file":
        file.write_text("mine")
    else:
        file.symlink_to(other)
    with pytest.raises(CloudConnectError, match="is there already"):
        BUNDLE.write(file)
    assert not other.exists()
    assert kind == "link" or file.read_text() == "mine"


def test_a_folder_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(CloudConnectError, match="cannot be written"):
        BUNDLE.write(tmp_path / "missing" / "bundle.zip")


def test_the_log_is_cut_by_age_and_by_size_and_the_newest_stay(tmp_path: Path) -> None:
    file = tmp_path / "agent.log"

    def line(seconds_ago: float, event: str) -> str:
        when = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time() - seconds_ago))
        return json.dumps({"time": f"{when}.000Z", "event": event, "who": "a@b.example"}) + "\n"

    file.write_text(line(2 * 86400, "old") + line(60, "first") + line(0, "last"))
    data, cut = log_extract(file, Scrubber(), days=1)
    assert [json.loads(one)["event"] for one in data.splitlines()] == ["first", "last"]
    assert b"example" not in data
    assert not cut
    data, cut = log_extract(file, Scrubber(), days=1, max_bytes=len(data) - 1)
    assert [json.loads(one)["event"] for one in data.splitlines()] == ["last"]
    assert cut


@pytest.mark.parametrize("open_too", [False, True])
def test_the_journal_is_counted_and_not_touched(tmp_path: Path, open_too: bool) -> None:  # noqa: FBT001 - a parameter of pytest
    file = tmp_path / "journal.sqlite3"
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(
        "CREATE TABLE calls (operation, state, outcome, status, changed_at, acknowledged, body)"
    )
    connection.executemany(
        "INSERT INTO calls VALUES ('records.create', 'finished', 'completed', 201, 0, ?, 'DATA')",
        [(0,), (1,)],
    )
    connection.commit()
    if not open_too:
        connection.close()
    before = {path.name for path in tmp_path.iterdir()}
    found = journal_statistics(file)
    assert {path.name for path in tmp_path.iterdir()} == before
    assert found["results_to_tell"] == 1
    (row,) = found["calls"]
    assert (row["operation"], row["count"], row["oldest"]) == (
        "records.create",
        2,
        "1970-01-01T00:00:00Z",
    )
    assert "DATA" not in json.dumps(found)
    connection.close()


def test_a_journal_that_is_none_is_said(tmp_path: Path) -> None:
    file = tmp_path / "journal.sqlite3"
    assert journal_statistics(file) == {"files": {}}
    file.write_bytes(b"no database, but long enough to be looked at" * 100)
    assert "problem" in journal_statistics(file)


def test_the_audit_log_is_counted(tmp_path: Path) -> None:
    assert audit_statistics(tmp_path / "none") == {}
    folder = AuditFolder(tmp_path / "audit")
    with AuditWriter.open(folder) as writer:
        for action in ("call", "call", "agent.paused"):
            detail = {"outcome": "completed"} if action == "call" else {"note": "SECRET"}
            writer.append(
                {"time": "2026-11-24T00:00:00Z", "actor": "a", "action": action, "detail": detail}
            )
    found = audit_statistics(folder.path)
    assert found["by_action"] == {"call": 2, "agent.paused": 1}
    assert found["by_outcome"] == {"completed": 2}
    assert found["counted_records"] == 3
    assert "SECRET" not in json.dumps(found)


def test_files_are_listed_with_owner_and_mode_and_without_content(tmp_path: Path) -> None:
    paths = AgentPaths.of(tmp_path / "home")
    paths.create()
    paths.config_file.write_text("name = 'SECRET'")
    paths.config_file.chmod(0o640)
    (paths.state_dir / "link").symlink_to(paths.config_file)
    found = {(one["folder"], one["name"]): one for one in file_list(paths)}
    settings = found["config", "agent.toml"]
    assert (settings["kind"], settings["mode"], settings["bytes"]) == ("file", "0640", 15)
    assert settings["owner"] == "this account"
    assert found["state", "link"]["kind"] == "link"
    assert found["logs", "."]["kind"] == "folder"
    assert "SECRET" not in json.dumps(list(found.values()))


def test_the_machine_is_told_by_kind_not_by_name() -> None:
    found = machine()
    assert any(line.startswith("cryptography ") for line in found["packages"])
    assert found["python"]
    assert os.uname().nodename not in json.dumps(found)
