"""Who listens to a subscription's events, and what each of them has not taken yet."""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import orjson

from cloud_connect.errors import QuotaExceededError
from cloud_connect_relay.ids import random_text

__all__ = ["About", "Event", "EventHub", "Listener"]

_MAX_WAITING: Final = 1024  # events that one listener has not taken; some 600 bytes each, shared
_MAX_REPLAY: Final = 512  # events of a subscription that are kept for who comes back
_MAX_REPLAY_BYTES: Final = 2 * 1024 * 1024  # of them; those of many connectors are long
_LINGER_SECONDS: Final = 60.0  # for which they are kept, and gathered, when nobody listens
_CALLS_PER_SECOND: Final = 100  # told one by one; a person cannot read more, a page not show it
_RETRY_AFTER: Final = 30.0  # seconds


class About(StrEnum):
    """What an event is about; one is heard by who may see that, and asked for it."""

    CONNECTORS = "connectors"
    CALLS = "calls"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that has happened.

    Attributes:
        id: What to come back with after a break (``Last-Event-ID``).
        name: Which kind of thing.
        about: ``None``: it concerns every listener.
        wire: The whole event as server-sent events have it.
    """

    id: str
    name: str
    data: Mapping[str, Any]
    about: About | None = None
    wire: bytes = field(repr=False, compare=False)

    @classmethod
    def of(
        cls, id_: str, name: str, data: Mapping[str, Any], about: About | None = None
    ) -> "Event":
        """Return the event, encoded once for all who hear it."""
        wire = b"id: %b\nevent: %b\ndata: %b\n\n" % (
            id_.encode(),
            name.encode(),
            orjson.dumps(data),  # without line breaks, which would end it
        )
        return cls(id=id_, name=name, data=data, about=about, wire=wire)


class Listener:
    """One reader's place: what it has not taken, up to a bound.

    Who falls behind that loses all of it, and is told to look at everything anew (``resync``).

    Attributes:
        ended: The relay takes nothing more to tell; it is about to stop.
    """

    def __init__(self, topic: "_Topic", about: frozenset[About], *, max_waiting: int) -> None:
        self.ended = False
        self._topic: Final = topic
        self._about: Final = about
        self._max_waiting: Final = max_waiting
        self._waiting: Final[deque[Event]] = deque()
        self._lost = False
        self._news: Final = asyncio.Event()

    def wants(self, about: About | None) -> bool:
        """Whether it hears events of that kind."""
        return about is None or about in self._about

    def put(self, event: Event) -> None:
        """Add an event, if it is one that the reader hears."""
        if self._lost or not self.wants(event.about):
            return
        if len(self._waiting) >= self._max_waiting:
            self._waiting.clear()
            self._lost = True
        else:
            self._waiting.append(event)
        self._news.set()

    def end(self) -> None:
        """Have the reader leave when it has taken what waits."""
        self.ended = True
        self._news.set()

    async def receive(self, within: float) -> list[Event]:
        """Return what has happened since the last time; nothing, if that is so for so long.

        Args:
            within: Seconds.
        """
        if not self.ended:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(within):
                    await self._news.wait()
            self._news.clear()
        if self._lost:
            self._lost = False
            return [self._topic.marker("resync")]
        taken = list(self._waiting)
        self._waiting.clear()
        return taken


class _Topic:
    """One subscription that somebody listens to, or did a moment ago."""

    __slots__ = (
        "_second",
        "_told",
        "left_at",
        "listeners",
        "number",
        "ring",
        "ring_bytes",
        "run",
        "skipped",
    )

    def __init__(self) -> None:
        self.run: Final = random_text(8)
        self.number = 0
        self.ring: Final[deque[Event]] = deque()
        self.ring_bytes = 0
        self.listeners: Final[set[Listener]] = set()
        self.left_at: float | None = None
        self.skipped = 0
        self._second = -1
        self._told = 0

    def marker(self, name: str, **data: Any) -> Event:
        """Return an event of one listener's own, which stands where all are."""
        return Event.of(f"{self.run}-{self.number}", name, data)

    def publish(self, name: str, data: Mapping[str, Any], about: About) -> None:
        self.number += 1
        event = Event.of(f"{self.run}-{self.number}", name, data, about)
        self.ring.append(event)
        self.ring_bytes += len(event.wire)
        while len(self.ring) > _MAX_REPLAY or self.ring_bytes > _MAX_REPLAY_BYTES:
            self.ring_bytes -= len(self.ring.popleft().wire)
        for listener in self.listeners:
            listener.put(event)

    def missed(self, after: str) -> list[Event] | None:
        """Return the events after that id; ``None`` if they are not all known."""
        run, _, number = after.partition("-")
        if run != self.run or not (number.isascii() and number.isdecimal()):
            return None
        missing = self.number - int(number)
        if not 0 <= missing <= len(self.ring):
            return None
        return list(self.ring)[len(self.ring) - missing :]

    def has_room(self, now: float) -> bool:
        """Whether one more call is told in this second; count it if not."""
        second = int(now)
        if second != self._second:
            self.settle()
            self._second, self._told = second, 0
        if self._told >= _CALLS_PER_SECOND:
            self.skipped += 1
            return False
        self._told += 1
        return True

    def settle(self) -> None:
        """Tell how many calls were not told one by one."""
        if self.skipped:
            skipped, self.skipped = self.skipped, 0
            self.publish("call", {"change": "skipped", "count": skipped}, About.CALLS)


class EventHub:
    """Passes events on, inside this process, to those who listen.

    Where nobody does, asking costs one attribute: ``if hub.watched``.

    Args:
        max_listeners: Of one subscription at once.

    Attributes:
        watched: Whether anybody listens, or did a moment ago and may come back.
    """

    def __init__(
        self,
        *,
        max_listeners: int = 200,
        max_waiting: int = _MAX_WAITING,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.watched = False
        self._max_listeners: Final = max_listeners
        self._max_waiting: Final = max_waiting
        self._clock: Final = clock
        self._topics: Final[dict[str, _Topic]] = {}
        self._closed = False
        self._somebody: Final = asyncio.Event()

    @contextlib.contextmanager
    def listen(
        self, subscription_id: str, about: frozenset[About], *, after: str | None = None
    ) -> Iterator[Listener]:
        """Listen to a subscription until the block ends.

        The first event is ``ready``, which tells whether it goes on after *after*; the missed
        ones follow, or ``resync`` if they are not known any more.

        Args:
            after: The id of the last event that the reader took, before a break.

        Raises:
            QuotaExceededError: If too many listen to that subscription.
        """
        topic = self._topics.setdefault(subscription_id, _Topic())
        if len(topic.listeners) >= self._max_listeners:
            raise QuotaExceededError(
                f"{self._max_listeners} programs and pages follow this subscription's events"
                " already; end some of them, or ask again later.",
                retry_after=_RETRY_AFTER,
            )
        listener = Listener(topic, about, max_waiting=self._max_waiting)
        missed = topic.missed(after) if after else None
        if after and missed is not None:
            listener.put(Event.of(after, "ready", {"resumed": True}))
            for event in missed:
                listener.put(event)
        else:
            listener.put(topic.marker("ready", resumed=False))
            if after:
                listener.put(topic.marker("resync"))
        if self._closed:
            listener.end()
        topic.listeners.add(listener)
        topic.left_at = None
        self.watched = True
        self._somebody.set()
        try:
            yield listener
        finally:
            topic.listeners.discard(listener)
            if not topic.listeners:
                topic.left_at = self._clock()

    def subscriptions(self) -> tuple[str, ...]:
        """Return the subscriptions that are watched; forget those that nobody came back to."""
        now = self._clock()
        for subscription_id, topic in tuple(self._topics.items()):
            topic.settle()
            if topic.left_at is not None and now - topic.left_at > _LINGER_SECONDS:
                del self._topics[subscription_id]
        if not self._topics:
            self.watched = False
            self._somebody.clear()
        return tuple(self._topics)

    async def somebody(self) -> None:
        """Wait until anybody listens."""
        await self._somebody.wait()

    def takes_call(self, subscription_id: str) -> bool:
        """Whether to tell of one more call: somebody listens, and it is not too much."""
        topic = self._topics.get(subscription_id)
        return topic is not None and topic.has_room(self._clock())

    def publish(
        self, subscription_id: str, name: str, data: Mapping[str, Any], *, about: About
    ) -> None:
        """Tell those who listen to the subscription; *data* is JSON and is not changed later."""
        topic = self._topics.get(subscription_id)
        if topic is not None:
            topic.publish(name, data, about)

    def close(self) -> None:
        """End every listener, and those to come: the relay stops."""
        self._closed = True
        for topic in self._topics.values():
            for listener in topic.listeners:
                listener.end()
