"""What goes on beside the calls while there is a session."""

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final, Protocol

from cloud_connect.errors import TunnelClosedError

if TYPE_CHECKING:
    from cloud_connect.session import Session

__all__ = ["SessionWork", "Together"]


class SessionWork(Protocol):
    """Something to do over each session."""

    async def run(self, session: "Session") -> None:
        """Do it until the session ends.

        Raises:
            TunnelClosedError: When it ends.
        """
        ...


class Together:
    """Several things at once."""

    def __init__(self, *works: SessionWork) -> None:
        self._works: Final = works

    async def run(self, session: "Session") -> None:
        """Do all of them until the session ends."""

        async def one(work: SessionWork) -> None:
            with contextlib.suppress(TunnelClosedError):
                await work.run(session)

        async with asyncio.TaskGroup() as tasks:
            for work in self._works:
                tasks.create_task(one(work), name=f"session-{type(work).__name__.lower()}")
