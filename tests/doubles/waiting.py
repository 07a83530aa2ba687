"""Waiting for what a test's own process brings about: a condition, and never a time."""

import asyncio
import time
from collections.abc import Callable
from typing import Final

__all__ = ["until", "until_seen"]

WITHIN: Final = 10.0  # seconds: the machine may be busy with other tests


async def until(holds: Callable[[], bool]) -> None:
    """Let the event loop go on until *holds* says so."""
    async with asyncio.timeout(WITHIN):
        while not holds():
            await asyncio.sleep(0.002)


def until_seen(holds: Callable[[], object], *, within: float = 20.0) -> None:
    """The same in a test without an event loop, of what another process or thread does."""
    end = time.monotonic() + within
    while not holds():
        assert time.monotonic() < end, f"it did not hold within {within:.0f} s"
        time.sleep(0.02)
