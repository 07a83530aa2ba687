"""Tests of ``cloud_connect_agent.durable``."""

import stat
import sys
from pathlib import Path

import pytest

from cloud_connect_agent.durable import make_private_dir, private_fault, write_durably


def test_missing_folders_are_made_private_and_others_stay(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    make_private_dir(tmp_path / "a" / "b")
    make_private_dir(tmp_path / "a" / "b")
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_a_file_is_replaced_as_a_whole_and_private(tmp_path: Path) -> None:
    file = tmp_path / "file"
    write_durably(file, b"one")
    write_durably(file, b"two")
    assert file.read_bytes() == b"two"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert private_fault(file) is None
    assert list(tmp_path.iterdir()) == [file]


def test_names_that_come_and_go_are_not_put_into_pythons_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    write_durably(file, b"one")
    met: list[str] = []

    def intern(name: str) -> str:
        met.append(name)
        return name

    monkeypatch.setattr(sys, "intern", intern)
    write_durably(file, b"two")
    assert not met


def test_a_read_only_file_is_replaced_too(tmp_path: Path) -> None:
    file = tmp_path / "file"
    write_durably(file, b"one", mode=0o400)
    write_durably(file, b"two", mode=0o400)
    assert file.read_bytes() == b"two"
