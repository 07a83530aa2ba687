"""Sleep of the machine: noticed by two clocks, of which only one goes on meanwhile."""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Final

__all__ = ["boot_clock", "suspended", "tell_of_sleep"]

_TICK: Final = 1.0  # seconds
_GAP: Final = 10.0  # seconds of sleep after which the peer has probably given us up


def boot_clock() -> float:
    """Seconds since the machine was started, its sleep included (as far as the system tells)."""
    if sys.platform == "win32":
        return time.monotonic()
    else:  # noqa: RET505 - what is not Windows is not checked there
        clock = getattr(time, "CLOCK_BOOTTIME", None)
        return time.monotonic() if clock is None else time.clock_gettime(clock)


async def suspended(
    *,
    boot: Callable[[], float] = boot_clock,
    awake: Callable[[], float] = time.monotonic,
    tick: float = _TICK,
) -> float:
    """Wait until the machine has slept for a while; return how many seconds."""
    offset = boot() - awake()
    while True:
        await asyncio.sleep(tick)
        now = boot() - awake()
        slept, offset = now - offset, now
        if slept > _GAP:
            return slept


async def tell_of_sleep(
    told: Callable[[float], None], *, sleeping: Callable[[], Awaitable[float]] = suspended
) -> None:
    """Call *told* with the seconds of each sleep, for what counts on a clock that stood still."""
    while True:
        told(await sleeping())
