"""One simulator for all tests of this folder, reset before each."""

from collections.abc import Iterator

import httpx
import pytest

from doubles.simulator_process import Simulator, simulator_process


@pytest.fixture(scope="session")
def shared_simulator() -> Iterator[Simulator]:
    with simulator_process() as simulator:
        yield simulator


@pytest.fixture
def simulator(shared_simulator: Simulator) -> Simulator:
    """A simulator in its first state."""
    shared_simulator.environment = "developer_sandbox"
    shared_simulator.state(reset=True)
    return shared_simulator


@pytest.fixture
def api(simulator: Simulator) -> Iterator[httpx.Client]:
    """A client signed in with client credentials, calling for the demo company."""
    with simulator.client() as client:
        yield client
