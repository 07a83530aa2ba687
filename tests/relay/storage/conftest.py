from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from doubles.relay_node import Founded, founded


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Founded]:
    async with founded(tmp_path) as made:
        yield made
