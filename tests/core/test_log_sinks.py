"""Tests of ``cloud_connect.log_sinks``."""

import io
import threading
from pathlib import Path

import pytest

from cloud_connect.log_sinks import FileSink, StreamSink


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "agent.log"


def test_a_line_is_in_the_stream_at_once() -> None:
    stream = io.StringIO()
    StreamSink(stream).write("a\n")
    assert stream.getvalue() == "a\n"


def test_a_stream_that_is_gone_disturbs_nobody() -> None:
    stream = io.StringIO()
    stream.close()
    StreamSink(stream).write("a\n")


def test_lines_go_behind_those_of_an_earlier_run(path: Path) -> None:
    path.write_bytes(b"a\n")
    sink = FileSink(path, max_bytes=4, files=2)
    sink.write(b"b\n")
    assert path.read_bytes() == b"a\nb\n"
    sink.write(b"c\n")
    assert path.read_bytes() == b"c\n"
    assert path.with_name("agent.log.1").read_bytes() == b"a\nb\n"
    sink.close()


def test_a_single_file_begins_anew_when_it_is_full(path: Path) -> None:
    sink = FileSink(path, max_bytes=4, files=1)
    for line in (b"a\n", b"b\n", b"c\n"):
        sink.write(line)
    sink.close()
    assert path.read_bytes() == b"c\n"
    assert [file.name for file in path.parent.iterdir()] == ["agent.log"]


def test_a_line_over_the_limit_is_kept_whole(path: Path) -> None:
    sink = FileSink(path, max_bytes=4, files=2)
    sink.write(b"longer than that\n")
    sink.close()
    assert path.read_bytes() == b"longer than that\n"


def test_lines_are_dropped_while_the_file_cannot_be_written(tmp_path: Path) -> None:
    folder = tmp_path / "later"
    sink = FileSink(folder / "agent.log", max_bytes=100, files=2)
    sink.write(b"lost\n")
    folder.mkdir()
    sink.write(b"kept\n")
    sink.close()
    assert (folder / "agent.log").read_bytes() == b"kept\n"


def test_the_bound_holds_also_where_files_cannot_be_renamed(path: Path) -> None:
    path.with_name("agent.log.1").mkdir()
    sink = FileSink(path, max_bytes=4, files=2)
    for _ in range(10):
        sink.write(b"a\n")
    sink.close()
    assert path.stat().st_size <= 4


def test_nothing_is_written_after_the_end(path: Path) -> None:
    sink = FileSink(path, max_bytes=100, files=2)
    sink.write(b"a\n")
    sink.close()
    sink.close()
    sink.write(b"b\n")
    assert path.read_bytes() == b"a\n"


def test_threads_share_a_file(path: Path) -> None:
    sink = FileSink(path, max_bytes=1000, files=50)

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
