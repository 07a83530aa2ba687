"""Looking at other processes from outside: conditions of theirs, files that they have open."""

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Final

__all__ = ["POLL_INTERVAL", "rows", "until"]

POLL_INTERVAL: Final = 0.05  # seconds between looks


async def until(
    holds: Callable[[], Awaitable[bool]], *, within: float = 20.0, what: str = "the condition"
) -> float:
    """Wait until *holds* says so; return the seconds that it took."""
    begin = time.monotonic()
    try:
        async with asyncio.timeout(within):
            while not await holds():
                await asyncio.sleep(POLL_INTERVAL)
    except TimeoutError:
        raise AssertionError(f"{what} did not hold within {within:.0f} s") from None
    return time.monotonic() - begin


def rows(database: Path, statement: str) -> list[dict[str, Any]]:
    """Read a SQLite file that another process has open."""
    uri = f"file:{database}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True, timeout=30)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(statement)]
