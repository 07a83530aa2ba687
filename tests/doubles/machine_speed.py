"""How slow this machine is, so that a limit of processor time judges the product alone."""

import time
from functools import cache
from typing import Final

__all__ = ["slowness"]

_QUICK_MACHINE: Final = 0.012  # seconds that one needs for what `_reference` does


@cache
def slowness() -> float:
    """Return how many times slower than a quick machine this one is; 1 at least."""
    times = []
    for _ in range(5):
        start = time.thread_time()
        _reference()
        times.append(time.thread_time() - start)
    return max(1.0, min(times) / _QUICK_MACHINE)


def _reference() -> None:
    """Work that is alike: steps over a list, a look into a table, a small slice."""
    table, parts = {"cost_code": 1}, ["a"] * 2000
    for step in range(150_000):
        place = step % 2000
        table.get(parts[place])
        len(parts[place : place + 3])
