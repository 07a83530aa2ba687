"""The tests of core and agent, on Windows' Python."""

import re
from pathlib import Path
from typing import Final

import pytest

from doubles.wine import Wine

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(900)]

# Fewer would mean that they were not found, or were left out.
CORE_TESTS: Final = 900
# What is about Linux, each with its reason.
LEFT_OUT: Final = {
    "--ignore=tests/core/services": "systemd, its socket, accounts and modes of files",
    "--ignore=tests/core/test_file_lock.py": "its other holder uses fcntl",
    "--deselect=tests/core/test_log.py::test_the_log_file_is_private_and_bounded": "modes of files",
    "--deselect=tests/core/test_backup_file.py::test_it_says_whose_it_is_and_nothing_else_"
    "without_the_passphrase": "modes of files",
    "--deselect=tests/core/test_crumbs.py::test_message_in_single_bytes_is_whole_and_taken_in_"
    "by_few_goes": "how the kernel joins small packets",
}

AGENT_TESTS: Final = 90
# Parts of the agent whose tests are not about modes of files, signals or systemd.
AGENT_PARTS: Final = (
    *("tests/agent/hosting/test_windows_backend.py", "tests/agent/hosting/test_windows_sddl.py"),
    *(
        "tests/agent/test_backoff.py",
        "tests/agent/test_steadiness.py",
        "tests/agent/test_journal.py",
    ),
    "--deselect=tests/agent/test_journal.py::test_the_files_are_private",
)


def run_tests(wine: Wine, python: Path, *words: str) -> tuple[int, int, str]:
    """Run tests of the repository; return how many passed and failed, and what was said."""
    said = wine.run(
        *(python, "-I", "-B", "-c", "import sys, pytest; sys.exit(pytest.main(sys.argv[1:]))"),
        *("-n", "0", "-q", "-p", "no:cacheprovider", "-m", "not nightly and not soak"),
        *("--basetemp", "C:\\pytest", *words),
        within=600,
        at="/sources",
    )
    counts = {
        word: int(count) for count, word in re.findall(r"(\d+) (passed|failed|error)", said.output)
    }
    return counts.get("passed", 0), counts.get("failed", 0) + counts.get("error", 0), said.output


def test_the_core_is_the_same_on_windows(wine: Wine, python: Path) -> None:
    passed, failed, said = run_tests(wine, python, "tests/core", *LEFT_OUT)
    assert not failed, said[-20_000:]
    assert passed >= CORE_TESTS, said[-2000:]


def test_parts_of_the_agent_are_the_same_on_windows(wine: Wine, python: Path) -> None:
    passed, failed, said = run_tests(wine, python, *AGENT_PARTS)
    assert not failed, said[-20_000:]
    assert passed >= AGENT_TESTS, said[-2000:]
