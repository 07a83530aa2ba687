"""A pair of links in memory: what one side sends, the other receives."""

import asyncio
from collections import deque

__all__ = ["MemoryLink", "link_pair"]


class MemoryLink:
    """One end of a pair.

    Attributes:
        sent: How many messages went out.
        closed_with: Code and reason given to ``close``.
        blocked: While set to an event, ``send`` waits for it.
    """

    def __init__(self) -> None:
        self.peer: MemoryLink = self
        self.sent = 0
        self.closed_with: tuple[int, str] | None = None
        self.blocked: asyncio.Event | None = None
        self._messages: deque[bytes | str] = deque()
        self._news = asyncio.Event()
        self._gone = False

    async def send(self, message: bytes) -> None:
        if self.blocked is not None:
            await self.blocked.wait()
        if self._gone or self.peer._gone:
            raise EOFError("closed")
        self.sent += 1
        self.peer.inject(message)
        await asyncio.sleep(0)

    async def recv(self) -> bytes | str:
        while not self._messages:
            if self._gone:
                raise EOFError("closed")
            self._news.clear()
            await self._news.wait()
        return self._messages.popleft()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        if self.closed_with is None:
            self.closed_with = (code, reason)
        self.break_off()
        self.peer.break_off()

    def inject(self, message: bytes | str) -> None:
        self._messages.append(message)
        self._news.set()

    def break_off(self) -> None:
        self._gone = True
        self._news.set()


def link_pair() -> tuple[MemoryLink, MemoryLink]:
    one, other = MemoryLink(), MemoryLink()
    one.peer, other.peer = other, one
    return one, other
