"""What every test shares: in continuous integration no test may be skipped."""

import os
from collections.abc import Generator, Iterator

import pytest

from doubles.postgres import PostgresServer, postgres_server


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


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server for all tests that share a store between relays."""
    with postgres_server() as server:
        yield server
