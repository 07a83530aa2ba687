"""How slow this machine is, so that a limit of processor time judges the product alone."""

import time
from collections.abc import Callable
from functools import cache
from typing import Final

__all__ = ["slowness", "slowness_now"]

# Seconds that one needs for what `_reference` does.
_QUICK_MACHINE: Final = 0.012
_BUSY_MACHINE: Final = 0.05  # of two processors, with as many programs that compute


@cache
def slowness() -> float:
    """Return how many times slower than a quick machine this one is; 1 at least."""
    return max(1.0, _measured(time.thread_time) / _QUICK_MACHINE)


def slowness_now() -> float:
    """Return how many times slower than a busy one this is by the clock, just now; 1 at least."""
    return max(1.0, _measured(time.perf_counter) / _BUSY_MACHINE)


def _measured(clock: Callable[[], float]) -> float:
    times = []
    for _ in range(5):
        start = clock()
        _reference()
        times.append(clock() - start)
    return min(times)


def _reference() -> None:
    """Work that is alike: steps over a list, a look into a table, a small slice."""
    table, parts = {"cost_code": 1}, ["a"] * 2000
    for step in range(150_000):
        place = step % 2000
        table.get(parts[place])
        len(parts[place : place + 3])
