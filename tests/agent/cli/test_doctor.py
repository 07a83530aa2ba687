"""Tests of what ``cloud-connect doctor`` makes of its findings, where no agent is."""

from pathlib import Path

from agent.cli.conftest import run


def test_commands_name_the_folder_also_where_its_name_holds_backslashes(tmp_path: Path) -> None:
    folder = tmp_path / r"C:\Users\1"  # as on Windows, where every folder's does
    ended = run(None, "doctor", "--offline", "--only", "enrolment", "--home", str(folder))
    assert ended.status == 1
    assert f"`cloud-connect --home '{folder}' enrol" in ended.output
