"""What stands between a call and a change at Procore: its guard."""

from contextvars import ContextVar
from typing import Final, Protocol

__all__ = ["WriteGuard", "write_guard"]


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
