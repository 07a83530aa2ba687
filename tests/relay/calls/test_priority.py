"""Calls that nobody waits for, as their caller says."""

from typing import Any

import pytest

from cloud_connect_relay.calls.priority import is_interactive
from doubles.call_relay import CallRelay


@pytest.mark.parametrize(
    ("header", "interactive"),
    [
        (None, True),
        ("", True),
        ("u=0", True),
        ("u=3, i", True),
        ("u=4", True),
        ("u=5", False),
        ("i, u=7", False),
        ("u=7;x", False),
        ("u=9", True),
        ("umu=7", True),
        ("nonsense", True),
    ],
)
def test_only_background_urgencies_let_others_go_first(
    header: str | None, *, interactive: bool
) -> None:
    assert is_interactive(header) is interactive


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/records/rfis", None),
        ("POST", "/query", {"action": "select", "info": {"name": "rfis"}}),
        ("GET", "/procore/rest/v1.0/me", None),
    ],
)
async def test_the_connector_hears_of_it(
    relay: CallRelay, method: str, path: str, body: dict[str, Any] | None
) -> None:
    agent, place = await relay.ready()
    await relay.api.request(method, place + path, json=body)
    await relay.api.request(method, place + path, json=body, headers={"Priority": "u=7"})
    asked, background = agent.calls
    assert "interactive" not in asked.head.params
    assert background.head.params["interactive"] is False
