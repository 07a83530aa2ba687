"""Brings to disk, aside from the calls, what decisions leave behind."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final, Protocol

from cloud_connect_agent.tasks import lasting_tasks

__all__ = ["kept_on_disk"]

_WRITE_SECONDS: Final = 2.0  # what a crash may cost; a person who approves waits no longer


class _Written(Protocol):
    def write(self) -> None: ...


@asynccontextmanager
async def kept_on_disk(*parts: _Written, interval: float = _WRITE_SECONDS) -> AsyncIterator[None]:
    """Have each of *parts* written every few seconds while the block runs, and at its end."""

    async def keep() -> None:
        while True:
            await asyncio.sleep(interval)
            await _write(parts)

    async with lasting_tasks() as tasks:
        keeping = tasks.create_task(keep(), name="policy-keep")
        try:
            yield
        finally:
            keeping.cancel()
    await _write(parts)


async def _write(parts: Sequence[_Written]) -> None:
    for part in parts:
        await asyncio.to_thread(part.write)
