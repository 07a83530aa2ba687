"""The leak rule: a test leaves no task and no file descriptor behind."""

import asyncio
import contextlib
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest

__all__ = ["no_descriptor_left", "no_task_left"]

_PATIENCE: Final = 2.0  # seconds: what was told to end may need a moment
_DESCRIPTORS: Final = Path("/proc/self/fd")


def open_descriptors() -> Counter[str]:
    """What this process has open, by what it leads to."""
    found: Counter[str] = Counter()
    for place in tuple(_DESCRIPTORS.iterdir()):
        with contextlib.suppress(OSError):  # that of the listing itself
            found[str(place.readlink())] += 1
    return found


async def no_descriptor_left() -> AsyncIterator[None]:
    """Fail when what runs meanwhile leaves files, sockets or pipes open."""
    if sys.platform == "win32" or not _DESCRIPTORS.exists():
        yield
        return
    before = open_descriptors()
    yield
    end = time.monotonic() + _PATIENCE
    while left := open_descriptors() - before:
        if time.monotonic() > end:
            pytest.fail(f"left open: {', '.join(sorted(left))}", pytrace=False)
        await asyncio.sleep(0.01)  # transports that are closing do so in the loop's next turns


async def no_task_left() -> AsyncIterator[None]:
    """Fail when what runs meanwhile leaves tasks in this event loop."""
    before = asyncio.all_tasks()
    yield
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    if left:
        _, left = await asyncio.wait(left, timeout=_PATIENCE)
    for _ in range(3):  # transports close in the loop's next turns
        await asyncio.sleep(0)
    if left:
        names = ", ".join(sorted(task.get_name() for task in left))
        pytest.fail(f"left running: {names}", pytrace=False)
