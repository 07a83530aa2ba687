"""What attack tests share."""

from collections.abc import Iterator

import pytest

from doubles.policed_agent import SANDBOX
from doubles.simulator_process import Simulator, simulator_process
from doubles.untraced import untraced_processes


@pytest.fixture(scope="module", autouse=True)
def _processes_without_tracer() -> Iterator[None]:
    """What these processes execute is counted elsewhere; here it takes time."""
    with untraced_processes():
        yield


@pytest.fixture(scope="module")
def shared_simulator() -> Iterator[Simulator]:
    with simulator_process("--environment", SANDBOX.flag) as simulator:
        yield simulator


@pytest.fixture
def simulator(shared_simulator: Simulator) -> Simulator:
    shared_simulator.state(reset=True)
    return shared_simulator
