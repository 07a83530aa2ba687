"""Tests of ``cloud-connect journal`` where the folder itself is the trouble."""

from pathlib import Path

import pytest

from agent.cli.conftest import Cli
from cloud_connect_agent.paths import AgentPaths

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]


def note_of(home: Path) -> Path:
    file = AgentPaths.of(home).journal_file
    file.parent.mkdir(parents=True, mode=0o700)
    return file.with_name(f"{file.name}.damage.json")


def test_folder_that_cannot_be_read_is_not_called_a_damaged_journal(cli: Cli, home: Path) -> None:
    note_of(home).mkdir()  # as unreadable as another account's file, for root as well
    for command in ("status", "accept-loss"):
        ended = cli("journal", command)
        assert (ended.status, ended.output) == (1, "")
        assert "Is a directory" in ended.errors
    told = cli("status", "--json").document
    assert told["journal"]["state"] == "unavailable"
    assert told["problems"] == ["The state folder cannot be read: Is a directory."]


def test_note_of_damage_that_makes_no_sense_is_accepted_by_name(cli: Cli, home: Path) -> None:
    note_of(home).write_text("{")
    told = cli("journal", "status", "--json")
    assert (told.status, told.document["kept_as"]) == (1, "journal.sqlite3.damaged")
    assert "Say --yes" in cli("journal", "accept-loss").errors
    assert "kept as journal.sqlite3.damaged." in cli("journal", "accept-loss", "--yes").output
    assert cli("journal", "status").status == 0
