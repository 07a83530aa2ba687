"""How many sockets may wait to say who they are, and how many handshakes begin in a second."""

import time
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

__all__ = ["Admission", "PendingSocket", "Strangers"]

_CHANCE: Final = 1.0  # seconds that a socket may wait before a newcomer may take its place

_LONGEST_QUEUE: Final = 60.0  # seconds; whoever came later shares the last turn


class PendingSocket(Protocol):
    """A socket of whom nothing is known yet."""

    def abort(self) -> None:
        """Close it at once, without a word."""
        ...


class Strangers:
    """Keeps the sockets few of whom nothing is known yet.

    When there are as many as may be, a newcomer takes the place of the oldest one of the address
    that has most, if that has more than its own; else of the one that has waited longest, if
    that one had its chance: idle sockets must not lock honest peers out.

    Args:
        max_pending: Sockets of this node.
        max_pending_per_source: The same, of one address; ``None`` if a proxy hides them all.
    """

    def __init__(
        self,
        *,
        max_pending: int,
        max_pending_per_source: int | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_pending: Final = max_pending
        self._max_per_source: Final = max_pending_per_source
        self._clock: Final = clock
        # Insertion order is the order of arrival.
        self._pending: Final[dict[PendingSocket, tuple[str, float]]] = {}
        self._by_source: Final[dict[str, dict[PendingSocket, float]]] = {}

    @property
    def pending(self) -> int:
        """Sockets of whom nothing is known yet."""
        return len(self._pending)

    def admit(self, socket: PendingSocket, *, source: str) -> bool:
        """Count a socket that has just connected; if not, it must be closed."""
        of_source = self._by_source.get(source, {})
        if self._max_per_source is not None and len(of_source) >= self._max_per_source:
            oldest, since = next(iter(of_source.items()))
            if not self._displace(oldest, since):
                return False
        elif len(self._pending) >= self._max_pending and not self._make_room(len(of_source)):
            return False
        now = self._clock()
        self._pending[socket] = (source, now)
        self._by_source.setdefault(source, {})[socket] = now
        return True

    def release(self, socket: PendingSocket) -> None:
        """Forget a socket: it is no stranger any more, or it is gone."""
        entry = self._pending.pop(socket, None)
        if entry is not None:
            of_source = self._by_source[entry[0]]
            del of_source[socket]
            if not of_source:
                del self._by_source[entry[0]]

    def _make_room(self, own: int) -> bool:
        """Free a place for somebody whose address has *own* of them already."""
        most = max(self._by_source.values(), key=len)
        if len(most) > own + 1:
            self._remove(next(iter(most)))
            return True
        oldest, (_, since) = next(iter(self._pending.items()))
        return self._displace(oldest, since)

    def _displace(self, socket: PendingSocket, since: float) -> bool:
        if self._clock() - since < _CHANCE:
            return False
        self._remove(socket)
        return True

    def _remove(self, socket: PendingSocket) -> None:
        self.release(socket)
        socket.abort()


class Admission(Strangers):
    """Keeps agents few that have not authenticated, and the handshakes of a second.

    Args:
        max_pending: Sockets of this node that have not authenticated yet.
        max_pending_per_source: The same, of one address; ``None`` if a proxy hides them all.
        handshakes_per_second: No second has more, whenever within it they begin: what comes
            back in bunches after a slow moment finds the room that it left.
    """

    def __init__(
        self,
        *,
        max_pending: int,
        max_pending_per_source: int | None,
        handshakes_per_second: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(
            max_pending=max_pending,
            max_pending_per_source=max_pending_per_source,
            clock=clock,
        )
        self._rate: Final = handshakes_per_second
        self._begun: Final[deque[float]] = deque(maxlen=max(1, int(handshakes_per_second)))
        self._window: Final = max(1, int(handshakes_per_second)) / handshakes_per_second  # seconds
        self._next_turn = clock()

    def begin_handshake(self) -> float | None:
        """Take one handshake of this second's; else the seconds to come back after.

        Everybody who is sent away gets a turn of his own, so that a herd comes back as a queue.
        """
        now = self._clock()
        if len(self._begun) < (self._begun.maxlen or 0) or now - self._begun[0] >= self._window:
            self._begun.append(now)
            return None
        turn = max(self._next_turn, now) + 1 / self._rate
        self._next_turn = min(turn, now + _LONGEST_QUEUE)
        return self._next_turn - now
