"""Memory that a burst left behind goes back to the system."""

import asyncio
import ctypes
import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cloud_connect.memory import bound_heaps, keep_small, settle

MEBIBYTE = 1024 * 1024
BLOCK = 4096
BLOCKS = 20_000  # 78 MiB

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="glibc gives pages back")


def held() -> float:
    """The process's resident memory in MiB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / MEBIBYTE


async def a_burst() -> tuple[float, float, float]:
    """Fill a heap, free all but a few blocks, let the keeper come; the memory at each step."""
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    libc.free.argtypes = (ctypes.c_void_p,)
    blocks = [libc.malloc(BLOCK) for _ in range(BLOCKS)]
    for block in blocks:
        ctypes.memset(block, 1, BLOCK)
    full = held()
    for number, block in enumerate(blocks):
        if number % 100 and number < BLOCKS - 1:  # the last one keeps the heap's end from moving
            libc.free(block)
    freed = held()
    keeper = asyncio.create_task(keep_small(0.01))
    async with asyncio.timeout(10):
        while held() > freed - 40:
            await asyncio.sleep(0.01)
    keeper.cancel()
    return full, freed, held()


def test_collector_leaves_alone_what_was_loaded_and_looks_less_often() -> None:
    before = gc.get_threshold()
    try:
        settle()
        assert gc.get_freeze_count() > 10_000
        young, *older = gc.get_threshold()
        assert (young, older) == (20_000, list(before[1:]))
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)


@pytest.mark.slow
def test_free_pages_between_what_lives_on_go_back_to_the_system() -> None:
    code = "import asyncio; from test_memory import a_burst; print(*asyncio.run(a_burst()))"
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    full, freed, left = map(float, ran.stdout.split())
    assert full - freed < 10  # without the keeper they stay
    assert freed - left > 40


async def test_system_that_cannot_give_pages_back_is_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    bound_heaps()
    async with asyncio.timeout(10):
        await keep_small(3600.0)


async def test_system_whose_libraries_cannot_be_called_is_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refused(_name: str | None) -> None:
        raise MemoryError  # as where memory is never both written and run

    monkeypatch.setattr(ctypes, "CDLL", refused)
    bound_heaps()
    async with asyncio.timeout(10):
        await keep_small(3600.0)
