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
    tail = LogTail(file)
    assert tail.read() == ["one", "two"]
    assert tail.read() == []
    append(file, "three\n")
    assert tail.read() == ["three"]


def test_half_a_line_waits_for_its_end(file: Path) -> None:
    append(file, "whole\n")
    tail = LogTail(file)
    tail.read()
    append(file, "ha")
    assert tail.read() == []
    append(file, "lf\n")
    assert tail.read() == ["half"]


def test_file_that_is_missing_is_found_once_it_is_there(file: Path) -> None:
    tail = LogTail(file)
    assert tail.read() == []
    append(file, "begun\n")
    assert tail.read() == ["begun"]


def test_change_of_file_loses_no_line(file: Path) -> None:
    append(file, "old\n")
    tail = LogTail(file)
    assert tail.read() == ["old"]
    append(file, "last of the old\n")
    file.rename(file.with_name("agent.log.1"))
    append(file, "first of the new\n")
    assert tail.read() == ["last of the old", "first of the new"]
    append(file, "second of the new\n")
    assert tail.read() == ["second of the new"]


def test_long_log_begins_with_its_latest_lines(file: Path) -> None:
    append(file, "".join(f"line {number}\n" for number in range(5000)))
    found = LogTail(file).read()
    assert found[-1] == "line 4999"
    assert len(found) == 200


def test_flood_between_two_looks_is_cut_to_its_end(file: Path) -> None:
    tail = LogTail(file)
    tail.read()
    append(file, "".join(f"line {number}\n" for number in range(5000)))
    found = tail.read()
    assert (found[0], found[-1]) == ("line 3000", "line 4999")


def test_no_file_stays_open_between_two_looks(file: Path) -> None:
    append(file, "one\n")
    tail = LogTail(file)
    tail.read()
    held = {str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.exists()}
    assert str(file) not in held
