from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from doubles.call_relay import CallRelay, call_relay
from doubles.security_bench import Bench, security_bench


@pytest.fixture
async def relay(tmp_path: Path) -> AsyncIterator[CallRelay]:
    async with call_relay(tmp_path, connector_wait=2) as running:
        yield running


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with security_bench(tmp_path) as running:
        yield running


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=15, trust_env=False) as client:
        yield client
