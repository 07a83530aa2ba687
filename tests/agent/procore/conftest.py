"""A Procore on loopback, and a client of it that is signed in; and the same as a simulator."""

from collections.abc import AsyncIterator, Iterator

import pytest

from cloud_connect_agent.procore.client import ProcoreClient
from cloud_connect_agent.procore.executor import RecordExecutor
from doubles import record_executor
from doubles.fake_procore import SANDBOX, FakeProcore, MemoryVault
from doubles.fake_storage import FakeStorage, fake_storage
from doubles.simulator_process import Simulator, simulator_process


@pytest.fixture
async def procore() -> AsyncIterator[FakeProcore]:
    async with FakeProcore().serve() as fake:
        yield fake


@pytest.fixture
async def storage() -> AsyncIterator[FakeStorage]:
    async with fake_storage() as made:
        yield made


@pytest.fixture
def vault() -> MemoryVault:
    made = MemoryVault()
    made.store_app()
    return made


@pytest.fixture
async def client(procore: FakeProcore, vault: MemoryVault) -> AsyncIterator[ProcoreClient]:
    async with ProcoreClient.open(procore.settings, vault, spread=lambda: 0.0) as made:
        await made.authenticator.sign_in(SANDBOX)
        yield made


@pytest.fixture(scope="session")
def one_simulator() -> Iterator[Simulator]:
    with simulator_process("--environment", record_executor.SANDBOX.flag) as simulator:
        yield simulator


@pytest.fixture
def simulator(one_simulator: Simulator) -> Simulator:
    one_simulator.state(reset=True)
    return one_simulator


@pytest.fixture
async def executor(simulator: Simulator) -> AsyncIterator[RecordExecutor]:
    async with record_executor.executor_at(simulator, record_executor.SANDBOX) as executor:
        yield executor
