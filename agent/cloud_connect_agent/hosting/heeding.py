"""The signals by which a terminal or a service manager tells the agent what to do."""

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator
from types import FrameType

__all__ = ["heed_signals"]


@contextlib.contextmanager
def heed_signals(*, stop: Callable[[], None], reload: Callable[[], None]) -> Iterator[None]:
    """Call *stop* at SIGTERM, SIGINT and Ctrl-Break, *reload* at SIGHUP, in the running loop."""
    loop = asyncio.get_running_loop()
    handlers = {signal.SIGTERM: stop, signal.SIGINT: stop}
    for name, handler in (("SIGHUP", reload), ("SIGBREAK", stop)):
        if hasattr(signal, name):
            handlers[getattr(signal, name)] = handler
    with contextlib.ExitStack() as undone:
        for number, handler in handlers.items():
            try:
                loop.add_signal_handler(number, handler)
            except NotImplementedError:  # the loop of Windows knows none
                undone.enter_context(_handled_by_python(number, handler, loop))
            else:
                undone.callback(loop.remove_signal_handler, number)
        yield


@contextlib.contextmanager
def _handled_by_python(
    number: signal.Signals, handler: Callable[[], None], loop: asyncio.AbstractEventLoop
) -> Iterator[None]:
    def handle(_number: int, _frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(handler)

    before = signal.signal(number, handle)
    try:
        yield
    finally:
        signal.signal(number, before)
