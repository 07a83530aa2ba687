"""Tests of ``cloud-connect wait`` where no agent runs, and of why it was not reached."""

from typing import Any

import pytest

from agent.cli.conftest import Cli
from cloud_connect_agent.cli.wait import _is, _why_not


def test_a_pc_that_is_not_enrolled_is_not_waited_for(cli: Cli) -> None:
    ended = cli("wait")
    assert ended.status == 3
    assert "not enrolled" in ended.errors


def test_where_no_agent_runs_it_has_stopped(cli: Cli) -> None:
    assert cli("wait", "--for", "stopped").output == "Stopped.\n"
    assert cli("wait", "--for", "drained", "--json").document["reached"] is True


@pytest.mark.parametrize("seconds", ["nan", "inf", "-1", "soon"])
def test_a_time_that_would_never_be_up_is_refused(cli: Cli, seconds: str) -> None:
    ended = cli("wait", "--for", "drained", "--timeout", seconds)
    assert ended.status == 2
    assert "--timeout" in ended.errors


@pytest.mark.parametrize(
    ("state", "seen", "reached"),
    [
        ("connected", {"state": "connected", "connected": True}, True),
        ("connected", {"state": "offline", "connected": False}, False),
        ("drained", {"state": "connected", "paused": True, "in_flight": 1}, False),
        ("drained", {"state": "connected", "paused": True, "in_flight": 0}, True),
        ("drained", {"state": "connected", "draining": True, "in_flight": 0}, True),
        ("drained", {"state": "connected", "in_flight": 0}, False),
        ("stopped", {"state": "offline"}, False),
    ],
)
def test_what_it_waits_for(state: str, seen: dict[str, Any], reached: bool) -> None:  # noqa: FBT001 - a table's column
    assert _is(state, seen) is reached


@pytest.mark.parametrize(
    ("state", "seen", "sentence"),
    [
        ("connected", {"state": "offline", "error": "No DNS."}, "the agent is offline. No DNS."),
        ("connected", {"state": "connecting", "error": None}, "the agent is connecting."),
        ("connected", {"state": "stopped"}, "start it with `cloud-connect run`"),
        ("drained", {"state": "connected", "in_flight": 0}, "`cloud-connect pause` first"),
        ("drained", {"state": "connected", "paused": True, "in_flight": 2}, "2 calls running"),
    ],
)
def test_the_reason_says_what_to_do(state: str, seen: dict[str, Any], sentence: str) -> None:
    said = _why_not(state, seen, 60.0)
    assert said.startswith(f"Not {state} after 60 s: ")
    assert sentence in said
