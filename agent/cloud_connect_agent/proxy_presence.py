"""Whether anybody answers at a proxy: asked only where hosts may be reached without it."""

import asyncio
import time
from collections.abc import Callable
from typing import Final, NamedTuple

import structlog

from cloud_connect_agent.happy_eyeballs import connect_first

__all__ = ["ProxyPresence"]

log = structlog.get_logger(__name__)

_LOOK_SECONDS: Final = 3.0  # a proxy in one's own network answers in milliseconds
_HOLDS_SECONDS: Final = 15.0  # for which the answer is believed
_MAX_PLACES: Final = 16  # of which something is remembered


class _Found(NamedTuple):
    there: bool
    until: float


class ProxyPresence:
    """Remembers for a moment which proxies can be reached.

    Args:
        seconds: For how long one look may go on.
        holds: For how many seconds its result is believed.
    """

    def __init__(
        self,
        *,
        seconds: float = _LOOK_SECONDS,
        holds: float = _HOLDS_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._seconds: Final = seconds
        self._holds: Final = holds
        self._clock: Final = clock
        self._found: Final[dict[tuple[str, int], _Found]] = {}
        self._one: Final = asyncio.Lock()

    async def look(self, host: str, port: int, *, afresh: bool = False) -> bool:
        """Return whether a connection to the proxy can be opened.

        Args:
            afresh: Look now, whatever was found a moment ago.
        """
        asked_at = self._clock()
        known = self._found.get((host, port))
        if not afresh and known is not None and asked_at < known.until:
            return known.there
        async with self._one:
            known = self._found.get((host, port))
            if known is not None and known.until - self._holds >= asked_at:
                return known.there  # somebody looked while this one waited
            there = await self._connects(host, port)
            if known is None or known.there is not there:
                log.info("proxy_found" if there else "proxy_away", host=host, port=port)
            if len(self._found) >= _MAX_PLACES:
                self._found.clear()
            self._found[host, port] = _Found(there=there, until=self._clock() + self._holds)
            return there

    def away(self, host: str, port: int) -> bool:
        """Whether nobody answered there when it was looked for last."""
        known = self._found.get((host, port))
        return known is not None and not known.there

    def forget(self) -> None:
        """Look anew the next time."""
        self._found.clear()

    async def _connects(self, host: str, port: int) -> bool:
        try:
            async with asyncio.timeout(self._seconds):
                sock = await connect_first(host, port)
        except (OSError, TimeoutError):
            return False
        sock.close()
        return True
