"""Tests of ``cloud_connect_agent.policy.followed``."""

import os
from pathlib import Path

import pytest

from cloud_connect.errors import ConfigurationError
from cloud_connect_agent.policy.followed import Faults, FollowedFile, ownership_warning


class Watched:
    """A file that holds a word, and the clock by which it is looked at."""

    def __init__(self, folder: Path, **more: bool) -> None:
        self.path = folder / "word.txt"
        self.seconds = 0.0
        self.reads = 0
        self.file: FollowedFile[str] = FollowedFile(
            self.path,
            parse=self._parse,
            faults=Faults(missing="missing", broken=lambda problem: f"broken: {problem}"),
            clock=lambda: self.seconds,
            **more,
        )

    def _parse(self, text: str) -> str:
        self.reads += 1
        if text == "bad":
            raise ConfigurationError("It is bad.")
        return text

    def later(self) -> str:
        self.seconds += 1.5
        return self.file.current()

    def replace(self, text: str) -> None:
        draft = self.path.with_suffix(".draft")
        draft.write_text(text)
        draft.chmod(0o600)
        draft.replace(self.path)


def test_file_that_takes_anothers_place_holds_at_once(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    assert watched.file.current() == "missing"
    for text in ("a", "b", "bad", "c"):
        watched.replace(text)
        assert watched.later() == ("broken: It is bad." if text == "bad" else text)
    watched.path.unlink()
    assert watched.later() == "missing"


def test_file_that_is_being_written_holds_when_it_rests(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    watched.replace("first")
    assert watched.later() == "first"
    for part in ("h", "ha", "half"):
        watched.path.write_text(part)
        assert watched.later() == "first"
    assert watched.later() == "half"
    reads = watched.reads
    watched.later()
    assert watched.reads == reads, "what did not change is not read again"


def test_writing_that_is_taken_back_leaves_all_as_it_was(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    watched.replace("first")
    assert watched.later() == "first"
    watched.path.write_text("second")
    assert watched.later() == "first"
    watched.replace("third")
    assert watched.later() == "third"


def test_reload_takes_what_stands_there(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    watched.replace("first")
    assert watched.later() == "first"
    watched.path.write_text("second")
    watched.file.reload()
    assert watched.file.current() == "second"


def test_file_that_changes_while_it_is_read_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = Watched(tmp_path)
    watched.replace("first")
    assert watched.later() == "first"
    watched.replace("second")
    parse = watched._parse

    def racing(text: str) -> str:
        with watched.path.open("a") as file:
            file.write("+")
        return parse(text)

    monkeypatch.setattr(watched.file, "_parse", racing)
    assert watched.later() == "first"
    monkeypatch.setattr(watched.file, "_parse", parse)
    assert {watched.later(), watched.later()} >= {"second+"}


@pytest.mark.skipif(os.name != "posix", reason="owners are those of POSIX")
def test_service_takes_only_what_is_out_of_its_accounts_reach(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = Watched(tmp_path, administered=True)
    watched.replace("mine")
    owner = watched.path.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner or 4711)
    os.chown(watched.path, owner or 4711, -1) if owner == 0 else None
    assert "chown root word.txt" in watched.later()


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files to root")
def test_service_takes_no_file_from_a_folder_that_it_can_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = Watched(tmp_path, administered=True)
    watched.replace("roots")
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    monkeypatch.setattr(os, "access", lambda *_, **__: True)
    assert "another file in its place" in watched.later()
    monkeypatch.setattr(os, "access", lambda *_, **__: False)
    watched.replace("roots own")
    assert watched.later() == "roots own"


def test_owner_of_a_file_that_is_not_roots_is_pointed_out(tmp_path: Path) -> None:
    assert ownership_warning(tmp_path / "none") is None
    file = tmp_path / "policy.toml"
    file.write_text("")
    if os.geteuid() == 0:
        assert ownership_warning(file) is None
        os.chown(file, 4711, -1)
    assert 'owner = "administrator"' in (ownership_warning(file) or "")
