"""What stands between a call and a change at Procore: its guard."""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Final, Protocol

from cloud_connect.errors import InternalError

__all__ = ["WriteGuard", "without_writes", "write_guard"]


class WriteGuard(Protocol):
    """Told before a write leaves, and when Procore carried it out.

    It stands in a context variable: so no code between the call and the client can forget
    to hand it on, and a write cannot leave unrecorded.
    """

    async def before_write(self) -> None:
        """Return when the intent is durable; raise to keep the write back."""
        ...

    def carried_out(self) -> None:
        """Note a write that Procore answered with success."""
        ...


write_guard: Final[ContextVar[WriteGuard | None]] = ContextVar("write_guard", default=None)
"""The guard of the call that the current task works for."""


class _NothingLeaves:
    """The guard of a dry run."""

    async def before_write(self) -> None:
        """Keep every write back."""
        raise InternalError("A dry run tried to write; nothing was sent.")

    def carried_out(self) -> None:
        """Do nothing: no write gets this far."""


@contextlib.contextmanager
def without_writes() -> Iterator[None]:
    """Keep every write back that the current task, or one that it starts, would send.

    The client asks the guard, so no mistake between the call and the client lets one out.
    """
    before = write_guard.set(_NothingLeaves())
    try:
        yield
    finally:
        write_guard.reset(before)
