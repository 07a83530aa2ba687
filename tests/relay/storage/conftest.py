from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from doubles.postgres import PostgresServer
from doubles.relay_node import Founded, founded


@pytest.fixture(params=["sqlite", "postgresql"])
async def store(
    request: pytest.FixtureRequest, tmp_path: Path, postgres: PostgresServer
) -> AsyncIterator[Founded]:
    url = postgres.database() if request.param == "postgresql" else None
    async with founded(tmp_path, url) as made:
        yield made


@pytest.fixture
async def sqlite(tmp_path: Path) -> AsyncIterator[Founded]:
    """For what only SQLite does."""
    async with founded(tmp_path) as made:
        yield made
