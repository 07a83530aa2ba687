from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from doubles.call_relay import CallRelay, call_relay


@pytest.fixture
async def relay(tmp_path: Path) -> AsyncIterator[CallRelay]:
    async with call_relay(tmp_path, connector_wait=2) as running:
        yield running
