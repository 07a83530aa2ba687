"""Tests of ``cloud_connect_agent.logs``."""

import json
import threading
from pathlib import Path

import pytest

from cloud_connect_agent.logs import follow_lines, last_lines, readable


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "agent.log"


def test_the_last_lines_reach_back_over_several_files(file: Path) -> None:
    file.write_text("5\n6\n")
    file.with_name("agent.log.1").write_text("3\n4\n")
    file.with_name("agent.log.2").write_text("1\n2\n")
    assert last_lines(file, 1) == ["6"]
    assert last_lines(file, 3) == ["4", "5", "6"]
    assert last_lines(file, 100) == ["1", "2", "3", "4", "5", "6"]


def test_without_a_file_there_are_no_lines(file: Path) -> None:
    assert last_lines(file, 10) == []


def test_new_lines_are_followed_across_a_change_of_file(file: Path) -> None:
    file.write_text("old\n")
    lines = follow_lines(file, poll=0.005)

    def write() -> None:
        with file.open("a") as opened:
            opened.write("first\nsec")
            opened.flush()
            opened.write("ond\n")
        file.rename(file.with_name("agent.log.1"))
        file.write_text("third\n")

    timer = threading.Timer(0.05, write)
    timer.start()
    assert [next(lines) for _ in range(3)] == ["first", "second", "third"]
    lines.close()
    timer.join()


def test_a_file_that_comes_later_is_followed(file: Path) -> None:
    lines = follow_lines(file, poll=0.005)
    timer = threading.Timer(0.03, lambda: file.write_text("first\n"))
    timer.start()
    assert next(lines) == "first"
    lines.close()
    timer.join()


def test_events_are_readable_and_other_lines_stay() -> None:
    event = json.dumps({"event": "connected", "level": "info", "time": "T", "relay": "r"})
    assert readable(event, colors=False).endswith("relay=r")
    assert readable("Traceback", colors=False) == "Traceback"
    assert readable('{"a":1}', colors=False) == '{"a":1}'
    assert readable("[1]", colors=False) == "[1]"
