"""Tests of ``cloud_connect_agent.logs``."""

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from cloud_connect.log_sinks import FileSink, Keep
from cloud_connect_agent.logs import Mark, Wanted, follow_lines, last_lines, readable


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


def line(event: str, *, second: int = 0, level: str = "info", **facts: str) -> str:
    when = f"2026-11-24T09:00:{second:02}.000Z"
    return json.dumps({"time": when, "level": level, "event": event, **facts})


SINCE_SECOND_5 = 1_795_510_805.0  # 2026-11-24T09:00:05Z


def events(lines: list[str]) -> list[str]:
    return [json.loads(found)["event"] for found in lines]


def test_lines_are_chosen_by_time_level_and_call(file: Path) -> None:
    written = [
        line("a", second=1, call_id="call_1"),
        "no event",
        line("b", second=6, level="error"),
        line("c", second=7, level="warning", call_id="call_1"),
        line("d", second=8, level="debug"),
    ]
    file.write_text("\n".join(written) + "\n")

    def chosen(**wish: Any) -> list[str]:
        return events(last_lines(file, 10, wanted=Wanted(**wish)))

    assert chosen(since=SINCE_SECOND_5) == ["b", "c", "d"]
    assert chosen(level="warning") == ["b", "c"]
    assert chosen(call_id="call_1") == ["a", "c"]
    assert chosen(call_id="call_1", since=SINCE_SECOND_5, level="info") == ["c"]
    assert last_lines(file, 2, wanted=Wanted(level="info"))[0] == written[2]
    assert last_lines(file, 10) == written


def test_files_from_before_are_not_even_read(file: Path) -> None:
    file.write_text(line("new", second=6) + "\n")
    old = file.with_name("agent.log.1")
    old.write_text(line("old", second=7) + "\n")
    os.utime(old, (SINCE_SECOND_5 - 1,) * 2)
    assert events(last_lines(file, 10, wanted=Wanted(since=SINCE_SECOND_5))) == ["new"]


def test_nothing_is_lost_or_repeated_between_reading_and_following(file: Path) -> None:
    file.write_text("1\n2\n")
    mark = Mark.end_of(file)
    with file.open("a") as opened:
        opened.write("3\n")
    file.rename(file.with_name("agent.log.1"))
    file.write_text("4\n")
    assert last_lines(file, 10, until=mark) == ["1", "2"]
    lines = follow_lines(file, after=mark, poll=0.005)
    assert [next(lines) for _ in range(2)] == ["3", "4"]
    lines.close()


def test_files_that_began_and_ended_between_two_looks_are_followed_too(file: Path) -> None:
    file.write_text("1\n")
    lines = follow_lines(file, after=Mark(), poll=0.005)
    assert next(lines) == "1"
    for name, text in (("agent.log.3", ""), ("agent.log.2", "2\n"), ("agent.log.1", "3\n")):
        if name == "agent.log.3":
            file.rename(file.with_name(name))
        else:
            file.with_name(name).write_text(text)
    file.write_text("4\n")
    assert [next(lines) for _ in range(3)] == ["2", "3", "4"]
    lines.close()


def test_no_line_is_lost_or_repeated_while_files_change_under_the_reader(file: Path) -> None:
    sink = FileSink(file, Keep(max_file_bytes=600, files=100))
    written = [f"line {number}" for number in range(3000)]

    def write() -> None:
        for number, text in enumerate(written):
            sink.write(f"{text}\n".encode())
            if number % 50 == 0:
                time.sleep(0.001)
        sink.close()

    file.touch()  # or the first file may be gone by the first look, and was nobody's to follow
    lines = follow_lines(file, after=Mark.end_of(file), poll=0.0005)
    writer = threading.Thread(target=write)
    writer.start()
    found = [next(lines) for _ in written]
    lines.close()
    writer.join()
    assert found == written


def test_no_file_stays_open_between_two_looks(file: Path) -> None:
    file.write_text("1\n")
    lines = follow_lines(file, after=Mark(), poll=0.005)
    assert next(lines) == "1"
    held = [descriptor.resolve() for descriptor in Path("/proc/self/fd").iterdir()]
    assert file.resolve() not in held
    lines.close()


def test_a_file_that_was_cut_is_followed_from_its_beginning(file: Path) -> None:
    file.write_text("a long first line\n")
    lines = follow_lines(file, after=Mark(), poll=0.005)
    assert next(lines) == "a long first line"
    file.write_text("cut\n")
    assert next(lines) == "cut"
    lines.close()


def test_a_torn_character_is_put_together(file: Path) -> None:
    file.write_bytes("ü".encode()[:1])
    lines = follow_lines(file, after=Mark(), poll=0.005)

    def complete() -> None:
        with file.open("ab") as opened:
            opened.write("ü\n".encode()[1:])

    timer = threading.Timer(0.03, complete)
    timer.start()
    assert next(lines) == "ü"
    lines.close()
    timer.join()
