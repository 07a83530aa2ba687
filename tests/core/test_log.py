"""Tests of ``cloud_connect.log``."""

import io
import json
import logging
import stat
import time
from pathlib import Path

import pytest
import structlog

from cloud_connect.log import configure, render_console
from cloud_connect.log_sinks import Keep
from doubles.machine_speed import slowness

pytestmark = pytest.mark.usefixtures("restored_logging")


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_one_line_of_json_with_time_level_and_facts() -> None:
    stream = io.StringIO()
    configure(stream=stream)
    structlog.get_logger("agent").info("request_finished", status=200)
    (event,) = lines(stream)
    assert event["event"] == "request_finished"
    assert event["level"] == "info"
    assert event["logger"] == "agent"
    assert event["status"] == 200
    assert str(event["time"]).endswith("Z")


def test_what_is_bound_at_the_boundary_stands_in_every_event() -> None:
    stream = io.StringIO()
    configure(stream=stream)
    with structlog.contextvars.bound_contextvars(call_id="call_1"):
        structlog.get_logger().info("a")
        logging.getLogger("other").warning("b")
    assert [event["call_id"] for event in lines(stream)] == ["call_1", "call_1"]


def test_secrets_are_masked_in_facts_messages_and_tracebacks() -> None:
    stream = io.StringIO()
    configure(stream=stream, level="debug")
    log = structlog.get_logger()
    log.info("a", client_secret="hunter22hunter22", note="cck_live_abcdefghijkl")
    logging.getLogger("other").error("got Bearer %s", "hunter22hunter22")
    try:
        int("password=hunter22hunter22")
    except ValueError:
        log.exception("failed")
    assert "hunter22" not in stream.getvalue()
    assert "abcdefghijkl" not in stream.getvalue()
    assert "ValueError" in str(lines(stream)[2]["exception"])


def test_talkative_libraries_are_silenced_also_when_debugging() -> None:
    stream = io.StringIO()
    configure(stream=stream, level="debug")
    logging.getLogger("httpx").info("GET https://x/?code=1")
    logging.getLogger("websockets.client").debug("> BINARY …")
    assert not stream.getvalue()


def test_lower_levels_are_left_out() -> None:
    stream = io.StringIO()
    configure(stream=stream, level="warning")
    structlog.get_logger().info("a")
    structlog.get_logger().warning("b")
    assert [event["event"] for event in lines(stream)] == ["b"]


def test_odd_values_are_logged_all_the_same() -> None:
    stream = io.StringIO()
    configure(stream=stream)
    structlog.get_logger().info("odd", huge=2**80, lone="\ud800", other=object(), raw=b"body")
    (event,) = lines(stream)
    assert event["huge"] == 2**80
    assert event["raw"] == "<4 bytes>"


def test_no_value_can_forge_a_line_on_the_console() -> None:
    stream = io.StringIO()
    configure(stream=stream, style="console")
    structlog.get_logger().info("named", name="x\n2026 [error] forged\x1b[2J\u2028")
    logging.getLogger("other").warning("x\r\nforged")
    text = stream.getvalue()
    assert len(text.splitlines()) == 2
    assert "\x1b" not in text


def test_a_traceback_on_the_console_keeps_its_lines() -> None:
    stream = io.StringIO()
    configure(stream=stream, style="console")
    try:
        int("x")
    except ValueError:
        structlog.get_logger().exception("failed")
    assert len(stream.getvalue().splitlines()) > 3


def test_the_log_file_is_private_and_bounded(tmp_path: Path) -> None:
    file = tmp_path / "agent.log"
    configure(stream=io.StringIO(), file=file, keep=Keep(max_file_bytes=2000, files=3))
    for number in range(100):
        structlog.get_logger().info("event", number=number, padding="x" * 50)
    kept = sorted(tmp_path.iterdir())
    assert [path.name for path in kept] == ["agent.log", "agent.log.1", "agent.log.2"]
    assert all(path.stat().st_size <= 2000 for path in kept)
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in kept)
    last = json.loads(file.read_text().splitlines()[-1])
    assert last["number"] == 99


def test_a_log_that_cannot_be_written_disturbs_nobody(tmp_path: Path) -> None:
    stream = io.StringIO()
    configure(stream=stream, file=tmp_path / "missing" / "agent.log")
    stream.close()
    structlog.get_logger().info("lost")


def test_configuring_again_replaces_the_first(tmp_path: Path) -> None:
    first, second = io.StringIO(), io.StringIO()
    configure(stream=first, file=tmp_path / "a.log")
    configure(stream=second)
    structlog.get_logger().info("a")
    assert not first.getvalue()
    assert lines(second)


def test_an_event_of_a_file_is_shown_readably() -> None:
    line = render_console(
        {"event": "connected", "level": "info", "time": "2026-11-24T00:00:00Z", "relay": "r1"},
        colors=False,
    )
    assert line.startswith("2026-11-24T00:00:00Z [info     ] connected")
    assert line.endswith("relay=r1")


def test_an_event_without_facts_of_its_own_is_redacted_too() -> None:
    stream = io.StringIO()
    configure(stream=stream)
    structlog.get_logger().info("token=abcdefgh")
    assert "abcdefgh" not in stream.getvalue()


def test_a_secret_is_masked_wherever_in_an_event_it_stands() -> None:
    stream = io.StringIO()
    configure(stream=stream)
    log = structlog.get_logger()
    log.info("a", client_secret="plainword")
    log.info("b", nested=[{"password": "plainword"}])
    log.info("c", note="Größe, token=plainword")
    log.info("d", lone="\ud800 token=plainword")
    log.info("e", **{"token=plainword": 1})
    with structlog.contextvars.bound_contextvars(url="https://user:plainword@host/"):
        log.info("f")
    logging.getLogger("other").warning("g", extra={"api_key": "plainword"})
    assert "plainword" not in stream.getvalue()
    assert len(lines(stream)) == 7


def test_a_fact_cannot_pose_as_time_level_or_logger() -> None:
    stream = io.StringIO()
    configure(stream=stream)
    structlog.get_logger("agent").info("a", time="never", level="error", logger="other")
    (event,) = lines(stream)
    assert event["level"] == "info"
    assert event["logger"] == "agent"
    assert event["time"] != "never"


def test_the_standard_librarys_records_are_events_too() -> None:
    stream = io.StringIO()
    configure(stream=stream)
    log = logging.getLogger("library")
    log.warning("%s of %d", "one", 2, extra={"size": 3}, stack_info=True)
    log.error("%d", "no number")
    try:
        int("x")
    except ValueError:
        log.exception("failed")
    first, second, third = lines(stream)
    assert (first["event"], first["size"], first["logger"]) == ("one of 2", 3, "library")
    assert "Stack" in str(first["stack"])
    assert second["event"] == "%d"
    assert "ValueError" in str(third["exception"])
    assert third["level"] == "error"


def test_an_event_tells_where_it_was_logged_if_asked() -> None:
    stream = io.StringIO()
    configure(stream=stream)
    structlog.get_logger().info("%s", "a", stack_info=True)
    (event,) = lines(stream)
    assert event["event"] == "a"
    assert "test_log" in str(event["stack"])


def test_a_terminal_and_the_file_both_get_an_event(tmp_path: Path) -> None:
    stream, file = io.StringIO(), tmp_path / "agent.log"
    configure(stream=stream, style="console", file=file)
    structlog.get_logger().info("connected", token="abcdefgh")
    assert "connected" in stream.getvalue()
    assert json.loads(file.read_text())["token"] == "***"


@pytest.mark.usefixtures("untraced")
def test_an_event_costs_little() -> None:
    configure(stream=io.StringIO())
    log = structlog.get_logger("agent")
    rounds = []
    for _ in range(10):
        start = time.process_time()
        for _ in range(200):
            log.info("request_finished", call_id="call_1", status=200, rows=0, duration_ms=1.5)
        rounds.append((time.process_time() - start) / 200)
    # A tenth of that, on a quick and quiet machine; the best round is the least disturbed one.
    assert min(rounds) < 100e-6 * slowness()


def test_the_journal_is_told_how_bad_an_event_is(tmp_path: Path) -> None:
    with (tmp_path / "journal").open("w+") as stream:
        facts = (tmp_path / "journal").stat()
        configure(stream=stream, journal=f"{facts.st_dev}:{facts.st_ino}")
        structlog.get_logger("test").error("broken")
        stream.seek(0)
        assert stream.read().startswith('<3>{"time":')
