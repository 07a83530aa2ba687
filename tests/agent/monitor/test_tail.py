from pathlib import Path

import pytest

from cloud_connect_agent.monitor.tail import LogTail


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "agent.log"


def append(file: Path, text: str) -> None:
    with file.open("a") as opened:
        opened.write(text)


def test_what_is_there_already_comes_first_and_then_what_is_new(file: Path) -> None:
    append(file, "one\ntwo\n")
    with LogTail(file) as tail:
        assert tail.read() == ["one", "two"]
        assert tail.read() == []
        append(file, "three\n")
        assert tail.read() == ["three"]


def test_half_a_line_waits_for_its_end(file: Path) -> None:
    append(file, "whole\nha")
    with LogTail(file) as tail:
        assert tail.read() == ["whole"]
        append(file, "lf\n")
        assert tail.read() == ["half"]


def test_file_that_is_missing_is_found_once_it_is_there(file: Path) -> None:
    with LogTail(file) as tail:
        assert tail.read() == []
        append(file, "begun\n")
        assert tail.read() == ["begun"]


def test_rotation_loses_no_line(file: Path) -> None:
    append(file, "old\n")
    with LogTail(file) as tail:
        assert tail.read() == ["old"]
        append(file, "last of the old\n")
        file.rename(file.with_name("agent.log.1"))
        append(file, "first of the new\n")
        assert tail.read() == ["last of the old", "first of the new"]
        append(file, "second of the new\n")
        assert tail.read() == ["second of the new"]


def test_file_that_was_cut_is_read_from_its_beginning(file: Path) -> None:
    append(file, "a long line that goes\n")
    with LogTail(file) as tail:
        tail.read()
        file.write_text("new\n")
        assert tail.read() == ["new"]


def test_long_file_begins_with_a_whole_line_near_its_end(file: Path) -> None:
    append(file, "".join(f"line {number:06d} {'x' * 50}\n" for number in range(5000)))
    with LogTail(file) as tail:
        found = tail.read()
    assert found[-1].startswith("line 004999 ")
    assert found[0].startswith("line ")
    assert 500 < len(found) < 2000


def test_line_without_end_fills_no_memory(file: Path) -> None:
    file.touch()
    with LogTail(file) as tail:
        tail.read()
        append(file, "x" * 1_000_000)
        for _ in range(20):
            assert tail.read() == []
        append(file, "\nnext\n")
        found = [line for _ in range(3) for line in tail.read()]
    assert found[-1] == "next"
    assert all(len(line) < 400_000 for line in found)
