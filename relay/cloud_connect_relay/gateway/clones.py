"""Two processes that share one identity take turns: this notices."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

__all__ = ["CloneWatch"]

_TURNS: Final = 3
_WINDOW: Final = 300.0  # seconds
_MAX_WATCHED: Final = 10_000  # connectors; the one that took over longest ago is forgotten


@dataclass(frozen=True, slots=True, kw_only=True)
class _Takeover:
    time: float
    replaced: str
    instance: str


class CloneWatch:
    """Counts how often live sessions of a connector replace each other.

    A process that restarts is another instance each time and never comes back, so that a crash
    loop is no alarm; only somebody who was replaced and returns is.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock: Final = clock
        self._takeovers: Final[dict[str, deque[_Takeover]]] = {}

    def took_over(self, connector_id: str, *, replaced: str, instance: str) -> bool:
        """Note that one instance replaced another one; whether that is a clone's pattern."""
        if replaced == instance:
            return False
        now = self._clock()
        recent = self._takeovers.pop(connector_id, deque(maxlen=_TURNS))
        self._takeovers[connector_id] = recent
        if len(self._takeovers) > _MAX_WATCHED:
            del self._takeovers[next(iter(self._takeovers))]
        recent.append(_Takeover(time=now, replaced=replaced, instance=instance))
        return (
            len(recent) == _TURNS
            and now - recent[0].time <= _WINDOW
            and instance in {turn.replaced for turn in recent}
        )

    def forget(self, connector_id: str) -> None:
        """Start over with a connector that has been dealt with."""
        self._takeovers.pop(connector_id, None)
