"""A DNS server that knows one name, fails on demand, and changes its mind."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, cast

__all__ = ["NameServer"]

PORT: Final = 53  # resolv.conf knows no other: this takes a network of its own
_A: Final = 1
_AAAA: Final = 28
_SERVFAIL: Final = 2
_NXDOMAIN: Final = 3


class NameServer(asyncio.DatagramProtocol):
    """Answers for one name with one address of each family, or with a failure.

    Attributes:
        address: What the name stands for; ``None`` fails (SERVFAIL), an IPv6 address is the
            only one that there is.
        silent: Say nothing at all instead.
        asked: Questions so far.
    """

    def __init__(self, name: str, address: str | None) -> None:
        self.address = address
        self.silent = False
        self.asked = 0
        self._name: Final = name.lower()
        self._transport: asyncio.DatagramTransport | None = None

    @classmethod
    @asynccontextmanager
    async def serve(
        cls, name: str, address: str | None, *, at: str = "127.0.0.1"
    ) -> AsyncIterator["NameServer"]:
        """Serve on port 53 of a private network until the block ends."""
        loop = asyncio.get_running_loop()
        transport, server = await loop.create_datagram_endpoint(
            lambda: cls(name, address), local_addr=(at, PORT)
        )
        try:
            yield server
        finally:
            transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A loop's datagram transports are no subclass of the public class.
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.asked += 1
        if self.silent:
            return
        labels, place = [], 12
        while length := data[place]:
            labels.append(data[place + 1 : place + 1 + length].decode("ascii"))
            place += 1 + length
        question = data[12 : place + 5]
        (kind,) = struct.unpack("!H", data[place + 1 : place + 3])
        answers = b""
        code = 0
        if ".".join(labels).lower() != self._name:
            code = _NXDOMAIN
        elif self.address is None:
            code = _SERVFAIL
        elif kind == (_AAAA if ":" in self.address else _A):
            family = socket.AF_INET6 if ":" in self.address else socket.AF_INET
            packed = socket.inet_pton(family, self.address)
            # The question's name again, class IN, a day to live: whoever caches it is wrong.
            answers = struct.pack("!HHHIH", 0xC00C, kind, 1, 86400, len(packed)) + packed
        head = data[:2] + struct.pack("!HHHHH", 0x8180 | code, 1, 1 if answers else 0, 0, 0)
        assert self._transport is not None
        self._transport.sendto(head + question + answers, addr)
