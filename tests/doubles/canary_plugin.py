"""Has a whole test run searched for its secrets when it is over; see :mod:`doubles.canaries`."""

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, Final

import pytest

from cloud_connect.join_token import JoinToken
from cloud_connect.signing import SigningKey
from cloud_connect_relay.credentials import Credential
from doubles.canaries import FOLDER, Finding, note, remember, search, watch_processes

__all__ = [
    "pytest_configure",
    "pytest_runtest_logreport",
    "pytest_sessionfinish",
    "pytest_terminal_summary",
    "pytest_unconfigure",
]

WORKER: Final = "PYTEST_XDIST_WORKER"  # the variable that a worker has
FOUND: Final = pytest.StashKey[list[Finding]]()
TOOK: Final = pytest.StashKey[float]()


def pytest_configure(config: pytest.Config) -> None:
    """Begin to note secrets, in the controller and in each worker."""
    if _leads(config):
        os.environ[FOLDER] = tempfile.mkdtemp(prefix="canaries-")
    _observe(SigningKey, "generate", lambda key: remember("signing-key", key.seed()))
    _observe(JoinToken, "make", lambda token: remember("join-token", token.secret))
    _observe(Credential, "new", lambda made: remember("credential", made.secret))
    sys.addaudithook(watch_processes)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note what a test said; how a failure is explained shows its variables, and is left out."""
    if WORKER in os.environ:
        return  # the controller gets it, too
    for title, said in report.sections:
        note("said", f"{report.nodeid} {title}\n{said}")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Search, once all tests of all workers are over."""
    config = session.config
    if not _leads(config):
        return
    began = time.monotonic()
    factory = getattr(config, "_tmp_path_factory", None)
    places = () if factory is None else (Path(factory.getbasetemp()),)
    found = search(Path(os.environ[FOLDER]), *places)
    config.stash[FOUND], config.stash[TOOK] = found, time.monotonic() - began
    if found:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say what was found."""
    found = config.stash.get(FOUND, [])
    if found:
        terminalreporter.section("secrets where none may be", sep="=", red=True)
        for finding in found[:50]:
            terminalreporter.line(f"{finding.kind}: {finding.place}")
    if config.stash.get(TOOK, 0.0) > 1:
        terminalreporter.line(f"searched for secrets in {config.stash[TOOK]:.1f} s")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave nothing of that behind, unless somebody has to look at it."""
    if _leads(config) and not config.stash.get(FOUND, []):
        shutil.rmtree(os.environ.pop(FOLDER, ""), ignore_errors=True)


def _leads(config: pytest.Config) -> bool:
    return not hasattr(config, "workerinput")


def _observe(owner: type, name: str, tell: Callable[[Any], None]) -> None:
    """Have *tell* see whatever the class method *name* makes."""
    original = getattr(owner, name).__func__

    @wraps(original)
    def observed(cls: type, *given: Any, **named: Any) -> Any:
        made = original(cls, *given, **named)
        tell(made)
        return made

    setattr(owner, name, classmethod(observed))
