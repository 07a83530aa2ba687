"""Changes of the network: noticed by what the system says of a link's addresses.

Nothing is sent. A socket that is bound or connected without a packet tells whether an address
still is this machine's, and from which one the system would go to a host, on every platform.
"""

import asyncio
import contextlib
import errno
import socket
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final, Self

__all__ = ["ANYWHERE", "Endpoints", "Network", "Reach"]

_TICK: Final = 1.0  # seconds between two looks, of some ten microseconds each
_GONE: Final = frozenset({errno.EADDRNOTAVAIL, 10049})  # the second is Windows'
_NO_ROUTE: Final = frozenset(
    {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, 10050, 10051, 10065}
)


class Reach(Enum):
    """What the system makes of the way between two addresses."""

    SAME = auto()  # as it was
    MOVED = auto()  # it would start from another address of this machine
    ADDRESS_GONE = auto()  # the address that the link uses is this machine's no more
    NO_ROUTE = auto()  # there is no network that leads there


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints:
    """The two addresses of a link."""

    family: int
    local: Any  # what the family calls an address
    remote: Any

    @classmethod
    def of(cls, sock: socket.socket | None) -> Self | None:
        """Read them from a connected socket, while it is one."""
        if sock is None:
            return None
        with contextlib.suppress(OSError):
            return cls(family=sock.family, local=sock.getsockname(), remote=sock.getpeername())
        return None


# Of the addresses for documentation (RFC 5737): reached by whatever reaches the world.
ANYWHERE: Final = Endpoints(
    family=socket.AF_INET,
    local=("0.0.0.0", 0),  # noqa: S104 - nobody listens there
    remote=("192.0.2.1", 9),
)


class Network:
    """Tells when a link has lost its footing, and when there is a way again.

    Args:
        reach: What the system says at the moment.
    """

    def __init__(
        self, *, reach: Callable[[Endpoints], Reach] | None = None, tick: float = _TICK
    ) -> None:
        self._reach: Final = reach or reach_of
        self._tick: Final = tick

    async def changed(self, link: Endpoints, *, known: Reach) -> Reach:
        """Wait until the way of *link* is another than *known*; return what it is.

        A missing route counts when it is missing twice: systems take routes away and put them
        back when anything changes.
        """
        missing = False
        while True:
            await asyncio.sleep(self._tick)
            found = self._reach(link)
            if found is not known and (found is not Reach.NO_ROUTE or missing):
                return found
            missing = found is Reach.NO_ROUTE

    def leads_to(self, link: Endpoints) -> bool:
        """Whether there is a way to the link's far end at the moment."""
        return self._reach(link) is not Reach.NO_ROUTE

    async def back(self, link: Endpoints) -> None:
        """Wait until there is a way to the link's far end."""
        while True:
            if self.leads_to(link):
                return
            await asyncio.sleep(self._tick)


def reach_of(link: Endpoints) -> Reach:
    """Ask the system, without a packet."""
    try:
        with socket.socket(link.family, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind((link.local[0], 0, *link.local[2:]))
            except OSError as exc:
                if exc.errno in _GONE:
                    # Which of the two it is, matters to a person only: the link is lost.
                    return Reach.NO_ROUTE if _source_of(link) is None else Reach.ADDRESS_GONE
                raise
        source = _source_of(link)
    except OSError:
        return Reach.SAME  # the system does not say, for want of a socket too; heartbeats will
    if source is None:
        return Reach.NO_ROUTE
    return Reach.SAME if source == link.local[0] else Reach.MOVED


def _source_of(link: Endpoints) -> str | None:
    """Return the address that a new connection would start from; ``None`` without a route."""
    with socket.socket(link.family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(link.remote)
        except OSError as exc:
            return None if exc.errno in _NO_ROUTE else str(link.local[0])
        return str(probe.getsockname()[0])
