"""Connecting to a name that stands for several addresses, some of which may be dead ends.

uvloop's own ``create_connection`` tries them one after the other, for as long as the system
waits; a company network that drops IPv6 silently would make every connection slow.
"""

import asyncio
import socket
from collections.abc import Sequence
from contextlib import suppress
from itertools import chain, zip_longest
from typing import Any, Final

__all__ = ["Address", "connect_fastest", "connect_first", "interleaved"]

_HEAD_START: Final = 0.25  # seconds before the next address is tried beside (RFC 8305, 5)
_MAX_ADDRESSES: Final = 8

Address = tuple[int, Any]  # family, and what the socket's connect takes


async def connect_first(host: str, port: int) -> socket.socket:
    """Return a socket that is connected to the first address that answers.

    Raises:
        OSError: If the name is not known, or why the last address refused.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = interleaved([(family, address) for family, _, _, _, address in found])
    return await connect_fastest(addresses[:_MAX_ADDRESSES])


async def connect_fastest(addresses: Sequence[Address]) -> socket.socket:
    """Return a socket that is connected to the first of *addresses* that answers.

    Raises:
        OSError: Why the last address refused.
    """
    return await _Race().run(addresses)


def interleaved(addresses: Sequence[Address]) -> list[Address]:
    """Return addresses with their families taking turns, the first one's first (RFC 8305, 4)."""
    families: dict[int, list[Address]] = {}
    for address in dict.fromkeys(addresses):
        families.setdefault(address[0], []).append(address)
    return [address for address in chain(*zip_longest(*families.values())) if address is not None]


class _Race:
    """Attempts side by side, each begun when those before it failed or had their head start."""

    def __init__(self) -> None:
        self._news: Final = asyncio.Event()
        self._attempts: Final[set[asyncio.Task[None]]] = set()
        self._winner: socket.socket | None = None
        self._error: OSError = OSError("the name has no address")

    async def run(self, addresses: Sequence[Address]) -> socket.socket:
        try:
            async with asyncio.TaskGroup() as group:
                for family, address in addresses:
                    attempt = self._try(family, address)
                    self._attempts.add(group.create_task(attempt, name="connect"))
                    with suppress(TimeoutError):
                        async with asyncio.timeout(_HEAD_START):
                            await self._news.wait()
                    self._news.clear()
                    if self._winner is not None:
                        break
        except BaseException:
            if self._winner is not None:
                self._winner.close()
            raise
        if self._winner is None:
            raise self._error
        return self._winner

    async def _try(self, family: int, address: Any) -> None:
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            await asyncio.get_running_loop().sock_connect(sock, address)
            if self._winner is None:
                self._winner = sock
                for attempt in self._attempts - {asyncio.current_task()}:
                    attempt.cancel()
        except OSError as exc:
            self._error = exc
        finally:
            if self._winner is not sock:
                sock.close()
            self._news.set()
