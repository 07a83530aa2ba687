"""A timeout that ends a call, and is put off while it makes progress."""

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from types import TracebackType

    from cloud_connect_relay.calls.running import RunningCall

__all__ = ["ending"]


class ending:  # noqa: N801  reads as the statement that it is: async with …, ending(call, timeout)
    """Have a timeout end the call, and be put off with it, until the block is left.

    A class with slots: it is on the path of every pass-through request.
    """

    __slots__ = ("_timeout", "_timeouts")

    def __init__(self, call: "RunningCall", timeout: asyncio.Timeout) -> None:
        self._timeouts: Final = call.timeouts
        self._timeout: Final = timeout

    async def __aenter__(self) -> None:
        self._timeouts.append(self._timeout)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: "TracebackType | None",
    ) -> None:
        self._timeouts.remove(self._timeout)  # one that is over must not be put off
