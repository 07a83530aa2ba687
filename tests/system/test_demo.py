"""The README's first command, as far as it runs after installation."""

import pytest

from system.conftest import cli

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(120)]


def test_demo_tells_every_step_and_ends_well() -> None:
    told = cli("cloud_connect_relay", "demo", "--once")
    assert told.returncode == 0, told.stdout + told.stderr
    for step in (
        "Agent enrolled",
        "Listed under Connectors",
        "Connection test succeeded",
        "Created",
        "Read back",
        "Updated",
        "500 rows",
        "Deleted",
        "Ran on the hosted agent",
        "Every step succeeded.",
    ):
        assert step in told.stdout
    assert "Traceback" not in told.stdout + told.stderr
