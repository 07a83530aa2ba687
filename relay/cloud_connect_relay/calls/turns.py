"""Turns: so many calls go to a connector at once, and the others wait in a fair queue."""

import asyncio
from typing import TYPE_CHECKING, Final

from cloud_connect.calls import Operation
from cloud_connect.errors import QuotaExceededError, TunnelClosedError
from cloud_connect_relay.calls.fair_queue import FairQueue, Urgency

if TYPE_CHECKING:
    from cloud_connect_relay.calls.spec import CallSpec

__all__ = ["Turn", "Turns", "urgency_of"]

# An answer that takes longer is as slow as its reader: others need not wait for him.
_STREAM_SECONDS: Final = 1.0
_LOOK_INTERVAL: Final = 0.25  # seconds between two looks for such answers, while somebody waits
_RETRY_AFTER: Final = 1.0  # seconds
_RIVALRY_SECONDS: Final = 10.0  # after which a key that sends alone has the place of all
_ALONE: Final = 1.9  # times as many at once: nobody waits behind them at the agent


def urgency_of(spec: "CallSpec") -> Urgency:
    """Return how urgent a call is among those of its key."""
    if spec.operation is Operation.TEST:
        return Urgency.TEST
    return Urgency.PERSON if spec.interactive else Urgency.BULK


class Turn:
    """One place among those that go at once, until it is given back.

    Attributes:
        streaming_since: When its answer began, or the sending of a long body, on the event
            loop's clock.
    """

    __slots__ = ("_turns", "streaming_since")

    def __init__(self, turns: "Turns") -> None:
        self._turns: Turns | None = turns
        self.streaming_since: float | None = None

    def give_back(self) -> None:
        """Let the next one go; repeating it does no harm."""
        turns, self._turns = self._turns, None
        if turns is not None:
            turns.left(self)


class Turns:
    """The places of one connector, or of this node.

    The last places are kept for urgent calls, so that bulk never takes them all. A key that
    sends alone gets nearly twice as many: deeper queues at the agent delay only itself.

    Args:
        name: What the places are of, for refusals.
        at_once: Calls that go at once.
        max_calls: Calls that wait.
        max_bytes: Bytes of their bodies.
    """

    def __init__(self, name: str, *, at_once: int, max_calls: int, max_bytes: int) -> None:
        self._name: Final = name
        self._room: Final = _room(at_once)
        self._room_alone: Final = _room(int(at_once * _ALONE))
        self._last: tuple[str, str | None] | None = None  # who sent last
        self._rivals_until = 0.0
        self._queue: Final[FairQueue[asyncio.Future[Turn]]] = FairQueue(
            max_calls=max_calls, max_bytes=max_bytes
        )
        self._held: Final[set[Turn]] = set()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        """Calls that wait."""
        return len(self._queue)

    @property
    def waiting_bytes(self) -> int:
        """Bytes of their bodies."""
        return self._queue.bytes

    def is_free(self, urgency: Urgency) -> bool:
        """Whether a call would go at once."""
        return not self._queue and self._has_place(urgency)

    def enter(self, spec: "CallSpec", urgency: Urgency) -> Turn | None:
        """Go at once, if that is possible."""
        sender = (spec.subscription_id, spec.key_id)
        if sender != self._last:
            if self._last is not None:
                self._rivals_until = asyncio.get_running_loop().time() + _RIVALRY_SECONDS
            self._last = sender
        if not self.is_free(urgency):
            return None
        turn = Turn(self)
        self._held.add(turn)
        return turn

    def check_room(self, spec: "CallSpec") -> None:
        """Refuse what could not even wait.

        Raises:
            QuotaExceededError: If too many wait already.
        """
        urgency, queue, size = urgency_of(spec), self._queue, len(spec.body or b"")
        tenant, key = spec.subscription_id, spec.key_id or ""
        if not (
            self.is_free(urgency)
            or queue.has_room(size, urgency)
            or queue.may_displace(size, urgency, tenant=tenant, key=key)
        ):
            raise self._full()

    async def wait(self, spec: "CallSpec", *, until: float) -> Turn:
        """Wait for a turn.

        Args:
            until: When to give up, on the event loop's clock.

        Raises:
            QuotaExceededError: If too many wait already, or the turn did not come in time.
            TunnelClosedError: If the connector takes no more calls.
        """
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[Turn] = loop.create_future()
        number = self._add(spec, turn)
        if number is None:
            raise self._full()
        self._pump()  # it may be urgent enough for a place that those before it may not have
        self._look()
        late = loop.call_at(until, self._late, turn, loop.time())
        taken = False
        try:
            held = await turn
            taken = True
        finally:
            late.cancel()
            self._queue.remove(number)
            if not taken and turn.done() and not turn.cancelled() and not turn.exception():
                turn.result().give_back()
        return held

    def left(self, turn: Turn) -> None:
        """Take in that a place is free again."""
        self._held.discard(turn)
        if self._queue:
            self._pump()

    def close(self) -> None:
        """Send everybody who waits away: there is no next turn here."""
        while (waiter := self._queue.take()) is not None:
            if not waiter.done():
                waiter.set_exception(TunnelClosedError("the connector takes no more calls"))

    def _add(self, spec: "CallSpec", turn: "asyncio.Future[Turn]") -> int | None:
        """Let a call wait; a full queue gives it a place of who waits with most."""
        tenant, key, size = spec.subscription_id, spec.key_id or "", len(spec.body or b"")
        urgency = urgency_of(spec)
        others = self._queue.make_room(size, urgency, tenant=tenant, key=key)
        if others is None:
            return None
        for other in others:
            if not other.done():
                other.set_exception(self._full())
        return self._queue.add(turn, tenant=tenant, key=key, size=size, urgency=urgency)

    def _late(self, turn: "asyncio.Future[Turn]", since: float) -> None:
        if not turn.done():
            waited = asyncio.get_running_loop().time() - since
            turn.set_exception(
                QuotaExceededError(
                    f"The {self._name} was busy with other calls for the {waited:.1f} s that this"
                    " one could wait; nothing was sent, so it may be repeated.",
                    retry_after=_RETRY_AFTER,
                )
            )

    def _full(self) -> QuotaExceededError:
        return QuotaExceededError(
            f"The {self._name} has {len(self._held)} calls running and {self.waiting} waiting,"
            " which is all that it takes; repeat the request in a moment.",
            retry_after=_RETRY_AFTER,
        )

    def _has_place(self, urgency: Urgency) -> bool:
        running = len(self._held)
        return running < self._room[urgency] or (
            running < self._room_alone[urgency]
            and asyncio.get_running_loop().time() >= self._rivals_until
        )

    def _pump(self) -> None:
        """Let go whoever may."""
        while self._queue:
            least = next((one for one in reversed(Urgency) if self._has_place(one)), None)
            waiter = None if least is None else self._queue.take(least)
            if waiter is None:
                return
            if not waiter.done():
                turn = Turn(self)
                self._held.add(turn)
                waiter.set_result(turn)

    def _look(self) -> None:
        """Free the places of long answers, and look again while somebody waits."""
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(_LOOK_INTERVAL, self._look_again)

    def _look_again(self) -> None:
        self._timer = None
        began_before = asyncio.get_running_loop().time() - _STREAM_SECONDS
        for turn in tuple(self._held):
            if turn.streaming_since is not None and turn.streaming_since <= began_before:
                turn.give_back()
        if self._queue:
            self._look()


def _room(at_once: int) -> tuple[int, ...]:
    reserve = at_once // 16
    return tuple(at_once - reserve * urgency for urgency in Urgency)
