"""SIGTERM and SIGINT: the first drains, the second ends the process at once."""

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Final

__all__ = ["stop_signals"]

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def stop_signals() -> Iterator[asyncio.Event]:
    """Yield an event that the first signal sets; the second one cancels the current task."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    stop = asyncio.Event()

    def on_signal() -> None:
        if stop.is_set() and task is not None:
            task.cancel()
        stop.set()

    with _handling(loop, on_signal):
        try:
            yield stop
        except asyncio.CancelledError:
            if not stop.is_set() or task is None:
                raise
            task.uncancel()


@contextlib.contextmanager
def _handling(loop: asyncio.AbstractEventLoop, on_signal: Callable[[], None]) -> Iterator[None]:
    try:
        for number in _SIGNALS:
            loop.add_signal_handler(number, on_signal)
    except NotImplementedError:  # Windows has signals, but its loop does not know them

        def from_thread(_number: int, _frame: FrameType | None) -> None:
            loop.call_soon_threadsafe(on_signal)

        before = {number: signal.signal(number, from_thread) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
    else:
        try:
            yield
        finally:
            for number in _SIGNALS:
                loop.remove_signal_handler(number)
