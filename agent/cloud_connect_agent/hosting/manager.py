"""What runs the agent: a service manager or a terminal, as far as the agent has to know it."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

from cloud_connect.services.notifying import ServiceManager, Vitality
from cloud_connect_agent.hosting.heeding import heed_signals

__all__ = ["Manager", "SignalledManager"]


class Manager(Protocol):
    """Hears how the agent fares, and says when it shall stop or read its settings again."""

    def ready(self) -> None:
        """Hear that the agent has started."""
        ...

    def stopping(self) -> None:
        """Hear that it ends, in order."""
        ...

    async def attend(self, agent: Vitality) -> None:
        """Hear how it fares, until cancelled."""
        ...

    def heeding(
        self, *, stop: Callable[[], None], reload: Callable[[], None]
    ) -> AbstractContextManager[None]:
        """Call *stop* and *reload* in the running loop, meanwhile, when it says so."""
        ...


class SignalledManager(ServiceManager):
    """systemd, a terminal or anything else that sends signals."""

    def heeding(
        self, *, stop: Callable[[], None], reload: Callable[[], None]
    ) -> AbstractContextManager[None]:
        """Call *stop* and *reload* in the running loop, meanwhile, at their signals."""
        return heed_signals(stop=stop, reload=reload)
