import json
import re
from typing import Any

import pytest

from cloud_connect_agent.monitor.log_lines import LogLine


def line(**event: Any) -> LogLine:
    return LogLine.of(json.dumps(event))


def test_call_is_told_in_a_few_words() -> None:
    found = line(
        time="2026-03-04T10:00:00.123Z",
        level="info",
        logger="cloud_connect_agent.dispatch",
        event="request_finished",
        call_id="call_1",
        operation="list",
        rows=12,
        duration_ms=31.0,
        status=200,
    )
    assert re.fullmatch(r"\d\d:00:00", found.time)
    assert (found.level, found.event) == ("info", "finished list")
    assert found.facts == "200, 12 rows, 31 ms, call_1"


def test_other_facts_keep_their_names() -> None:
    assert line(event="network_changed", found="moved", gone=None).facts == "found=moved"


def test_facts_within_a_fact_stand_beside_the_others() -> None:
    found = line(event="policy_loaded", policy={"class": "read-only", "problem": None}, by="a")
    assert found.facts == "class=read-only, by=a"


@pytest.mark.parametrize("text", ["no json", "[1]", '{"level": "info"}', "3"])
def test_line_that_is_no_event_is_shown_as_it_is(text: str) -> None:
    found = LogLine.of(text)
    assert (found.time, found.event, found.facts) == ("", text, "")


def test_nothing_in_a_line_can_steer_the_terminal() -> None:
    found = line(event="odd\x1b[2J", reason="a\x1b]0;title\x07\nb\u2028c", time="\x1b")
    shown = f"{found.time}{found.event}{found.facts}"
    assert shown.isprintable()
    assert LogLine.of("plain \x1b[31m").event.isprintable()


def test_long_value_is_cut_and_says_so() -> None:
    found = line(event="x", reason="y" * 5000)
    assert len(found.facts) < 200
    assert found.facts.endswith("…")


def test_traceback_stays_in_the_file() -> None:
    assert line(event="request_broke", exception="Traceback …").facts == ""
