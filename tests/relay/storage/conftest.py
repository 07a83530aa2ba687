from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from doubles.relay_node import Founded, founded

if TYPE_CHECKING:
    from doubles.postgres import PostgresServer


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database without tables, of each kind in turn."""
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path / 'relay.sqlite3'}"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.database()


@pytest.fixture
async def store(tmp_path: Path, empty: str) -> AsyncIterator[Founded]:
    async with founded(tmp_path, empty) as made:
        yield made


@pytest.fixture
async def sqlite(tmp_path: Path) -> AsyncIterator[Founded]:
    """For what only SQLite does."""
    async with founded(tmp_path) as made:
        yield made
