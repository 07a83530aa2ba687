"""The Windows service manager, as the agent knows it; the loop's side of the service's host."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import Final

import structlog

from cloud_connect.services.notifying import Vitality
from cloud_connect_agent.hosting.windows_host import ServiceHost

__all__ = ["WindowsManager"]

log = structlog.get_logger(__name__)

_BEAT_SECONDS: Final = 5.0  # between two signs of life; the host misses twelve of them


class WindowsManager:
    """Says how the agent fares, and hears what it shall do."""

    def __init__(self, host: ServiceHost, *, beat_seconds: float = _BEAT_SECONDS) -> None:
        self._host: Final = host
        self._beat_seconds: Final = beat_seconds

    def ready(self) -> None:
        """Say that the agent has started."""
        self._host.ready()

    def stopping(self) -> None:
        """Say that it ends, in order."""
        self._host.stopping()

    async def attend(self, agent: Vitality) -> None:
        """Give signs of life, until cancelled, for as long as the event loop and *agent* move."""
        while True:
            if agent.is_stuck:
                log.error("agent_stuck", summary=agent.summary)
            else:
                self._host.alive()
            await asyncio.sleep(self._beat_seconds)

    @contextlib.contextmanager
    def heeding(self, *, stop: Callable[[], None], reload: Callable[[], None]) -> Iterator[None]:
        """Have Windows' words reach the running loop meanwhile."""
        loop = asyncio.get_running_loop()
        self._host.listen(
            stop=lambda: _call(loop, stop),
            reload=lambda: _call(loop, reload),
        )
        try:
            yield
        finally:
            self._host.unlisten()


def _call(loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
    with contextlib.suppress(RuntimeError):  # it has ended meanwhile
        loop.call_soon_threadsafe(callback)
