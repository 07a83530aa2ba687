"""Tests of ``cloud-connect requests`` without an agent, and of its lines."""

import time
from pathlib import Path
from typing import Any

import click
import pytest

from agent.cli.conftest import Cli
from cloud_connect_agent.audit import AuditFolder, AuditWriter
from cloud_connect_agent.cli.requests import _row
from cloud_connect_agent.paths import AgentPaths

CALL = {
    "time": "2026-11-26T22:25:36.897Z",
    "call_id": "call_1",
    "operation": "records.create",
    "resource": "rfis",
    "outcome": "completed",
    "status": 201,
    "code": None,
    "ms": 13.0,
    "hops": {"agent": 13.0, "connect": 1.0, "procore": 5.0},
}


@pytest.mark.parametrize(
    ("facts", "line"),
    [
        ({}, "11-26 22:25:36.897 create rfis completed 13 201 call_1 procore 5"),
        (
            {"status": 403, "code": "policy_denied", "outcome": "not_executed"},
            "11-26 22:25:36.897 create rfis not_executed 13 403 call_1 policy_denied",
        ),
        (
            {"ms": None, "hops": {}, "status": None, "resource": None},
            "11-26 22:25:36.897 create - completed - - call_1",
        ),
        ({"hops": {"procore": 0.4}}, "11-26 22:25:36.897 create rfis completed 13 201 call_1"),
        (
            {"resource": "x\x1b[2J\u202e", "hops": {}},
            "11-26 22:25:36.897 create x?[2J? completed 13 201 call_1",
        ),
    ],
)
def test_a_line_says_what_for_how_it_ended_and_where_the_time_went(
    facts: dict[str, Any], line: str
) -> None:
    assert " ".join(click.unstyle(_row({**CALL, **facts})).split()) == line


def test_without_calls_it_says_so(cli: Cli) -> None:
    assert cli("requests", "--json").document == {"items": []}
    ended = cli("requests")
    assert ended.status == 0
    assert "No call has come through yet." in ended.errors


def test_without_an_agent_the_audit_log_tells(cli: Cli, home: Path) -> None:
    paths = AgentPaths.of(home)
    paths.create()
    with AuditWriter.open(AuditFolder(paths.audit_dir)) as writer:
        for number in range(30):
            writer.append(
                {
                    "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(number)),
                    "actor": "relay",
                    "action": "call" if number % 2 else "agent.paused",
                    "call_id": f"call_{number}",
                    "detail": {"operation": "records.list", "resource": "rfis"},
                }
            )
    found = cli("requests", "-n", "2", "--json").document["items"]
    assert [(call["call_id"], call["resource"], call["ms"]) for call in found] == [
        ("call_27", "rfis", None),
        ("call_29", "rfis", None),
    ]
