"""What happens to the PC under a link: it sleeps, its network goes, changes and comes back."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

import structlog

from cloud_connect.errors import TunnelClosedError
from cloud_connect_agent.network import ANYWHERE, Endpoints, Network, Reach
from cloud_connect_agent.suspension import suspended

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

    from cloud_connect.session import Session

__all__ = ["NO_NETWORK", "LinkWatch"]

log = structlog.get_logger(__name__)

NO_NETWORK: Final = "This PC has no network that leads to the relay."

_PING_SECONDS: Final = 5.0  # for a link whose way has changed to show that it lives
_SPREAD: Final = 0.5  # seconds over which agents of one office come back after its outage
_REASONS: Final = {
    Reach.NO_ROUTE: NO_NETWORK,
    Reach.ADDRESS_GONE: "This PC's network has changed: its former address is gone.",
    Reach.MOVED: "This PC's network has changed, and nothing comes through the former way.",
}


class LinkWatch:
    """Cuts links that are dead for a reason the PC knows, long before their silence shows it.

    Attributes:
        reason: Why the last link was cut, if it was.
    """

    def __init__(
        self,
        *,
        uniform: Callable[[float, float], float],
        sleeping: Callable[[], Awaitable[float]] = suspended,
        network: Network | None = None,
    ) -> None:
        self._uniform: Final = uniform
        self._sleeping: Final = sleeping
        self._network: Final = network or Network()
        self._last: Endpoints | None = None
        self.reason: str | None = None

    @property
    def offline(self) -> bool:
        """Whether no network leads to where the relay was met last."""
        return self._last is not None and not self._network.leads_to(self._last)

    async def over(self, session: "Session", link: "ClientConnection") -> None:
        """Watch over a link, and cut it when it is dead; runs until cancelled."""
        self.reason = None
        self._last = Endpoints.of(link.transport.get_extra_info("socket"))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._sleep(link), name="watch-sleep")
            tasks.create_task(self._footing(session, link), name="watch-network")

    async def rest(self, delay: float, *, hurry: bool) -> None:
        """Wait for *delay* seconds.

        Args:
            hurry: Not on after the PC slept or its network came back: what failed before may
                work then.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay):
                await self._news(hurry=hurry)

    async def _news(self, *, hurry: bool) -> None:
        news = asyncio.Event()

        async def note(waiting: Awaitable[object]) -> None:
            await waiting
            news.set()

        async with asyncio.TaskGroup() as tasks:
            watchers = []
            if hurry:
                watchers.append(tasks.create_task(note(self._sleeping()), name="rest-sleep"))
                where = self._last or ANYWHERE
                if not self._network.leads_to(where):
                    back = note(self._network.back(where))
                    watchers.append(tasks.create_task(back, name="rest-network"))
            await news.wait()
            for watcher in watchers:
                watcher.cancel()
        await asyncio.sleep(self._uniform(0.0, _SPREAD))

    async def _sleep(self, link: "ClientConnection") -> None:
        """After sleep the link looks open and is dead: a new one costs less than to wait."""
        slept = await self._sleeping()
        log.info("machine_slept", seconds=round(slept))
        self.reason = f"This PC slept for {slept:.0f} seconds."
        link.transport.abort()

    async def _footing(self, session: "Session", link: "ClientConnection") -> None:
        where, found = self._last, Reach.SAME
        while where is not None:
            found = await self._network.changed(where, known=found)
            if found is Reach.SAME or (found is Reach.MOVED and await _answers(session)):
                continue
            log.warning("network_changed", found=found.name.lower())
            self.reason = _REASONS[found]
            link.transport.abort()
            return


async def _answers(session: "Session") -> bool:
    """Whether the relay is heard over the link as it is."""
    try:
        async with asyncio.timeout(_PING_SECONDS):
            await session.ping()
    except (TimeoutError, TunnelClosedError):
        return False
    return True
