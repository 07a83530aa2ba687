"""What the store said: believed for a moment, and for longer while it cannot be asked."""

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Final, Generic, NamedTuple, TypeVar

from sqlalchemy.exc import SQLAlchemyError

__all__ = ["Remembered", "Said"]

_K = TypeVar("_K", bound=Hashable)
_V = TypeVar("_V")

_BRIDGED_SECONDS: Final = 300.0  # how old an answer may become while the store is away
_PATIENCE: Final = 1.0  # seconds that a store may take where there is such an answer
_PAUSE: Final = 3.0  # seconds between two attempts to ask a store that is away


class Said(NamedTuple, Generic[_V]):
    """An answer of the store.

    Attributes:
        believed: Seconds for which nobody asks again.
        at_most: Seconds for which it is true at all.
    """

    value: _V
    believed: float
    at_most: float = math.inf


@dataclass(slots=True, kw_only=True)
class _Entry(Generic[_V]):
    value: _V
    until: float
    latest: float
    away: bool = False  # the store did not answer the last time
    asking: bool = False


class Remembered(Generic[_K, _V]):
    """Answers of the store by what was asked; with too many, the oldest are forgotten.

    Whoever could change an answer needs the store for that, so while it is away the last answer
    stands: calls that change nothing go on, whatever they look up.
    """

    def __init__(self, *, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most: Final = most
        self._clock: Final = clock
        self._entries: Final[OrderedDict[_K, _Entry[_V]]] = OrderedDict()

    def fresh(self, key: _K) -> _V | None:
        """Return what need not be asked; without any waiting, since each call asks this."""
        entry = self._entries.get(key)
        return entry.value if entry is not None and self._clock() < entry.until else None

    async def ask(self, key: _K, look: Callable[[], Awaitable[Said[_V] | None]]) -> _V | None:
        """Look in the store, and return what it says; ``None`` if it knows of nothing.

        Raises:
            SQLAlchemyError: If the store is away, and what it said last is too old.
            OSError: Likewise.
        """
        entry = self._entries.get(key)
        if entry is not None and self._clock() >= entry.latest:
            entry = None
        if entry is None:
            return self._take(key, await look())
        if entry.away and entry.asking:
            return entry.value
        entry.asking = True
        try:
            async with asyncio.timeout(_PATIENCE):
                said = await look()
        except (SQLAlchemyError, OSError):
            entry.away = True
            entry.until = min(self._clock() + _PAUSE, entry.latest)
            return entry.value
        finally:
            entry.asking = False
        return self._take(key, said)

    def forget(self, key: _K | None = None) -> None:
        """Believe nothing of it without a look at the store; without *key*, nothing at all."""
        if key is None:
            self._entries.clear()
        else:
            self._entries.pop(key, None)

    def _take(self, key: _K, said: Said[_V] | None) -> _V | None:
        self._entries.pop(key, None)
        if said is None:
            return None
        now = self._clock()
        self._entries[key] = _Entry(
            value=said.value,
            until=now + min(said.believed, said.at_most),
            latest=now + min(_BRIDGED_SECONDS, said.at_most),
        )
        if len(self._entries) > self._most:
            self._entries.popitem(last=False)
        return said.value
