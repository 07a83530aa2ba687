"""Keeps the memory of a daemon as small as what it holds, not as its busiest moment was.

A burst of calls, as after a partition, leaves free pages between what lives on. glibc gives back
only those at the end of the first heap, and opens more for threads, so that under faults a relay
grew by 11 MiB an hour and an agent by 2, with as much in use as at their start (mallopt(3),
malloc_trim(3)). One heap is as fast: calls wait for Python's own lock long before.
"""

import asyncio
import gc
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ctypes import CDLL

__all__ = ["bound_heaps", "keep_small", "settle"]

# Objects that outlive their call before cycles are looked for: at Python's 700, the look takes
# a seventh of a busy relay's time and finds next to nothing.
_YOUNG_OBJECTS: Final = 20_000
_INTERVAL: Final = 60.0  # seconds; a look at 60 MiB of heap takes 1 to 8 ms, in a thread
_M_ARENA_MAX: Final = -8  # of malloc.h
_HEAPS: Final = 1  # of all threads: free pages at the end of a second one are never given back


def settle() -> None:
    """Have the garbage collector leave alone what was loaded, and look less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, *gc.get_threshold()[1:])


def bound_heaps() -> None:
    """Have the C library open no second heap; before there are threads, which may get their own."""
    libc = _glibc()
    if libc is not None:
        libc.mallopt(_M_ARENA_MAX, _HEAPS)


async def keep_small(interval: float = _INTERVAL) -> None:
    """Give free pages back to the system, again and again; nothing where the system can't.

    Args:
        interval: Seconds between two times.
    """
    libc = _glibc()
    while libc is not None:
        await asyncio.sleep(interval)
        await asyncio.to_thread(libc.malloc_trim, 0)


def _glibc() -> "CDLL | None":
    """Return the C library, if it is one that knows how (musl, macOS and Windows do not).

    An older libffi cannot even be loaded where memory is never both written and run, as in a
    confined service: no daemon stays away for that.
    """
    if sys.platform != "linux":
        return None
    try:
        from ctypes import CDLL

        library = CDLL(None)
    except (ImportError, MemoryError, OSError):
        return None
    return library if hasattr(library, "malloc_trim") and hasattr(library, "mallopt") else None
