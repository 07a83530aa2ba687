"""Tests of ``cloud_connect.log_sinks``."""

import io
import os
import threading
from pathlib import Path

import pytest

from cloud_connect.log_sinks import FileSink, Keep, StreamSink, is_journal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "agent.log"


def test_a_line_is_in_the_stream_at_once() -> None:
    stream = io.StringIO()
    StreamSink(stream).write("a\n")
    assert stream.getvalue() == "a\n"


@pytest.mark.parametrize(
    ("level", "priority"), [("debug", 7), ("info", 6), ("warning", 4), ("error", 3), ("odd", 6)]
)
def test_for_the_journal_a_line_begins_with_its_priority(level: str, priority: int) -> None:
    stream = io.StringIO()
    StreamSink(stream, prioritised=True).write("a\n", level=level)
    assert stream.getvalue() == f"<{priority}>a\n"


def test_the_journal_is_known_by_its_device_and_inode(path: Path) -> None:
    with path.open("w") as stream:
        facts = path.stat()
        assert is_journal(stream, f"{facts.st_dev}:{facts.st_ino}")
        assert not is_journal(stream, f"{facts.st_dev}:{facts.st_ino + 1}")
        assert not is_journal(stream, None)
    assert not is_journal(stream, "1:2")
    assert not is_journal(io.StringIO(), "1:2")


def test_a_stream_that_is_gone_disturbs_nobody() -> None:
    stream = io.StringIO()
    stream.close()
    StreamSink(stream).write("a\n")


def test_lines_go_behind_those_of_an_earlier_run(path: Path) -> None:
    path.write_bytes(b"a\n")
    sink = FileSink(path, Keep(max_file_bytes=4, files=2))
    sink.write(b"b\n")
    assert path.read_bytes() == b"a\nb\n"
    sink.write(b"c\n")
    assert path.read_bytes() == b"c\n"
    assert path.with_name("agent.log.1").read_bytes() == b"a\nb\n"
    sink.close()


def test_a_single_file_begins_anew_when_it_is_full(path: Path) -> None:
    sink = FileSink(path, Keep(max_file_bytes=4, files=1))
    for line in (b"a\n", b"b\n", b"c\n"):
        sink.write(line)
    sink.close()
    assert path.read_bytes() == b"c\n"
    assert [file.name for file in path.parent.iterdir()] == ["agent.log"]


def test_a_line_over_the_limit_is_kept_whole(path: Path) -> None:
    sink = FileSink(path, Keep(max_file_bytes=4, files=2))
    sink.write(b"longer than that\n")
    sink.close()
    assert path.read_bytes() == b"longer than that\n"


def test_lines_are_dropped_while_the_file_cannot_be_written(tmp_path: Path) -> None:
    folder = tmp_path / "later"
    sink = FileSink(folder / "agent.log", Keep(max_file_bytes=100, files=2))
    sink.write(b"lost\n")
    folder.mkdir()
    sink.write(b"kept\n")
    sink.close()
    assert (folder / "agent.log").read_bytes() == b"kept\n"


def test_the_bound_holds_also_where_files_cannot_be_renamed(path: Path) -> None:
    path.with_name("agent.log.1").mkdir()
    sink = FileSink(path, Keep(max_file_bytes=4, files=2))
    for _ in range(10):
        sink.write(b"a\n")
    sink.close()
    assert path.stat().st_size <= 4


def test_nothing_is_written_after_the_end(path: Path) -> None:
    sink = FileSink(path, Keep(max_file_bytes=100, files=2))
    sink.write(b"a\n")
    sink.close()
    sink.close()
    sink.write(b"b\n")
    assert path.read_bytes() == b"a\n"


def test_threads_share_a_file(path: Path) -> None:
    sink = FileSink(path, Keep(max_file_bytes=1000, files=50))

    def write(number: int) -> None:
        for count in range(100):
            sink.write(b"%d %d\n" % (number, count))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sink.close()
    written = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert len(set(written.splitlines())) == 400


HOUR = 3600.0
DAY = 24 * HOUR


class Wall:
    """A wall clock, and files that were written by it."""

    def __init__(self) -> None:
        self.now = 20_000 * DAY + 23.5 * HOUR

    def __call__(self) -> float:
        return self.now

    def write(self, sink: FileSink, path: Path, line: bytes) -> None:
        """Have the file say that it was written now, as the real clock would."""
        sink.write(line)
        os.utime(path, (self.now, self.now))


def kept(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(path.parent.iterdir())}


def test_each_day_has_a_file_of_its_own(path: Path) -> None:
    wall = Wall()
    keep = Keep(max_file_seconds=DAY, files=9)
    sink = FileSink(path, keep, clock=wall)
    wall.write(sink, path, b"monday\n")
    wall.write(sink, path, b"still monday\n")
    wall.now += HOUR
    wall.write(sink, path, b"tuesday\n")
    sink.close()
    assert kept(path) == {"agent.log": b"tuesday\n", "agent.log.1": b"monday\nstill monday\n"}


def test_a_day_ends_also_while_nothing_runs(path: Path) -> None:
    wall = Wall()
    keep = Keep(max_file_seconds=DAY, files=9)
    first = FileSink(path, keep, clock=wall)
    wall.write(first, path, b"monday\n")
    first.close()
    wall.now += HOUR
    second = FileSink(path, keep, clock=wall)
    wall.write(second, path, b"tuesday\n")
    second.close()
    assert kept(path) == {"agent.log": b"tuesday\n", "agent.log.1": b"monday\n"}


def test_a_clock_that_was_set_back_begins_no_file(path: Path) -> None:
    wall = Wall()
    sink = FileSink(path, Keep(max_file_seconds=DAY, files=9), clock=wall)
    wall.write(sink, path, b"a\n")
    wall.now -= 3 * DAY
    wall.write(sink, path, b"b\n")
    sink.close()
    assert kept(path) == {"agent.log": b"a\nb\n"}


def test_files_that_are_too_old_go(path: Path) -> None:
    wall = Wall()
    for number, days in ((1, 2), (2, 9), (3, 11)):
        old = path.with_name(f"agent.log.{number}")
        old.write_bytes(b"x\n")
        os.utime(old, (wall.now - days * DAY,) * 2)
    sink = FileSink(path, Keep(seconds=10 * DAY, files=9), clock=wall)
    wall.write(sink, path, b"a\n")
    assert sorted(kept(path)) == ["agent.log", "agent.log.1", "agent.log.2"]
    sink.close()


def test_all_files_together_have_a_bound_and_the_oldest_go_first(path: Path) -> None:
    sink = FileSink(path, Keep(max_file_bytes=4, files=50, max_total_bytes=12))
    for letter in b"abcdefgh":
        sink.write(bytes([letter]) + b"12\n")
    sink.close()
    assert kept(path) == {"agent.log": b"h12\n", "agent.log.1": b"g12\n", "agent.log.2": b"f12\n"}


def test_files_beyond_a_smaller_number_go(path: Path) -> None:
    for number in range(1, 6):
        path.with_name(f"agent.log.{number}").write_bytes(b"x\n")
    sink = FileSink(path, Keep(files=3))
    sink.write(b"a\n")
    sink.close()
    assert sorted(kept(path)) == ["agent.log", "agent.log.1", "agent.log.2"]
