"""What every test shares: in continuous integration no test may be skipped."""

import logging
import os
import signal
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, settings

from doubles.canary_plugin import (  # noqa: F401 - pytest finds its hooks here
    pytest_configure,
    pytest_runtest_logreport,
    pytest_sessionfinish,
    pytest_terminal_summary,
    pytest_unconfigure,
)
from doubles.leak_rule import no_descriptor_left, no_task_left
from doubles.one_trust import read_once
from doubles.postgres import PostgresServer, postgres_server
from doubles.taking_turns import take_turns
from doubles.untraced import untraced
from doubles.warm_start import cold_starts, start_warmly

# A script's background job ignores Ctrl-C, and what `nohup` starts a hangup; so would every program
# that the tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# Hypothesis judges what is true, not how busy the machine is.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")

# No test may touch the keyring of the person who runs it.
os.environ.pop("DBUS_SESSION_BUS_ADDRESS", None)

read_once()
ONE_OF_SEVERAL = "PYTEST_XDIST_WORKER" in os.environ
if ONE_OF_SEVERAL:  # a test by itself executes the programs that it starts
    start_warmly()

IN_PROCESS = tuple(Path(__file__).parent / name for name in ("agent", "core", "relay"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
    call: pytest.CallInfo[None],  # noqa: ARG001 - the hook's signature
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip into a failure where everything is installed."""
    report = yield
    if (
        report.skipped
        and not hasattr(report, "wasxfail")
        and os.environ.get("CLOUD_CONNECT_NO_SKIP")
    ):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, where no skip is allowed: {report.longrepr}"
    return report


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have several workers wait and compute at once."""
    if ONE_OF_SEVERAL:
        take_turns(items)


def log_plainly() -> None:
    """Log as structlog does by default, but for tracebacks that cost seconds each."""
    structlog.reset_defaults()
    *steps, _ = structlog.get_config()["processors"]
    plain = structlog.dev.ConsoleRenderer(
        colors=False, exception_formatter=structlog.dev.plain_traceback
    )
    structlog.configure(processors=[*steps, plain])


log_plainly()


@pytest.fixture(name="untraced")
def _untraced() -> Iterator[None]:
    """Time the product, here and in processes, and not the tool that counts its lines."""
    with untraced():
        yield


@pytest.fixture(scope="module")
def cold_start() -> Iterator[None]:
    """Execute the programs that the module starts, as users do, and not a copy that is warm."""
    with cold_starts():
        yield


@pytest.fixture
def restored_logging() -> Iterator[None]:
    """Undo what a test, or a command that it runs, configures for its process."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers = []
    yield
    for handler in root.handlers:
        handler.close()
    root.handlers, root.level = handlers, level
    logging.captureWarnings(capture=False)
    log_plainly()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server for all tests that share a store between relays."""
    with postgres_server() as server:
        yield server


_no_task_left = pytest.fixture(no_task_left)
_no_descriptor_left = pytest.fixture(no_descriptor_left)


@pytest.fixture(autouse=True)
def _nothing_left_behind(request: pytest.FixtureRequest) -> None:
    """Hold tests that run our parts in this process to the leak rule."""
    ours = any(request.path.is_relative_to(folder) for folder in IN_PROCESS)
    if not ours or request.node.get_closest_marker("asyncio") is None:
        return
    # The first to be set up, so the last to look. The event loop is there before and after, so
    # its own descriptors do not count.
    request.getfixturevalue("_no_task_left")
    request.getfixturevalue("_no_descriptor_left")
