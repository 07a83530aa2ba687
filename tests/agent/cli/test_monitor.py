"""``cloud-connect monitor`` where no window can be opened; the window itself has its own tests."""

import subprocess
import sys

from agent.cli.conftest import Cli


def test_program_is_sent_to_status(cli: Cli) -> None:
    ended = cli("monitor", "--json")
    assert ended.status == 2
    assert "status --json" in ended.errors
    assert not ended.output


def test_what_is_no_terminal_is_wrong_usage(cli: Cli) -> None:
    ended = cli("monitor")
    assert ended.status == 2
    assert "needs a terminal" in ended.errors


def test_other_commands_load_nothing_of_the_window() -> None:
    code = (
        "import sys; from cloud_connect_agent.cli import root, status, monitor;"
        "import cloud_connect_agent.app; print([n for n in sys.modules if n.startswith('textual')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
