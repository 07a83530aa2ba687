"""A Procore on loopback, and a client of it that is signed in."""

from collections.abc import AsyncIterator

import pytest

from cloud_connect_agent.procore.client import ProcoreClient
from doubles.fake_procore import SANDBOX, FakeProcore, MemoryVault


@pytest.fixture
async def procore() -> AsyncIterator[FakeProcore]:
    async with FakeProcore().serve() as fake:
        yield fake


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
