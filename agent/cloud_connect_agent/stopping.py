"""The wish to stop: once in order, twice at once."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

__all__ = ["StopSignal"]


class StopSignal:
    """Told by signal handlers and the service manager, heeded by the connection."""

    def __init__(self) -> None:
        self._requested: Final = asyncio.Event()
        self._urgent: Final = asyncio.Event()
        self._scopes: Final[set[asyncio.Timeout]] = set()

    @property
    def requested(self) -> bool:
        """Whether somebody wants the agent to stop."""
        return self._requested.is_set()

    @property
    def urgent(self) -> bool:
        """Whether somebody asked twice: what runs is not waited for."""
        return self._urgent.is_set()

    def request(self) -> None:
        """Stop in order; asked again, stop at once."""
        if self.requested:
            self._urgent.set()
        self._requested.set()
        for scope in self._scopes:
            scope.reschedule(0)

    async def wait(self) -> None:
        """Wait until somebody wants the agent to stop."""
        await self._requested.wait()

    async def wait_urgent(self) -> None:
        """Wait until somebody asks for the second time."""
        await self._urgent.wait()

    @contextlib.asynccontextmanager
    async def interrupting(self) -> AsyncIterator[None]:
        """Break off what runs inside as soon as the agent shall stop.

        Raises:
            TimeoutError: If it was broken off.
        """
        async with asyncio.timeout(0 if self.requested else None) as scope:
            self._scopes.add(scope)
            try:
                yield
            finally:
                self._scopes.discard(scope)
