"""The calls of the last minutes, without their data, for whoever looks on from this PC.

They stand in a ring of bounded size and are fetched, never pushed: a terminal that stalls holds
up nothing, and what it missed is counted.
"""

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from cloud_connect.errors import CloudConnectError
from cloud_connect_agent.call_meter import CallMeter

if TYPE_CHECKING:
    from cloud_connect.errors import Outcome
    from cloud_connect_agent.audit.notes import CallNote

__all__ = ["LiveCalls"]

_MOST: Final = 500  # calls that are remembered
_MOST_AT_ONCE: Final = 200  # in one answer, which has a bound
_MOST_WAITING: Final = 6  # of those who look on: the others ask again after a moment
_MAX_WAIT: Final = 10.0  # seconds in which nothing happens, in one question
_MAX_WORD: Final = 100  # characters of an id or a name
_TOLD: Final = ("verb", "environment", "company_id", "project_id", "resource", "sealed")


class LiveCalls:
    """Remembers how calls ended.

    Attributes:
        epoch: Another one for each process: numbers of one mean nothing to the next.
        meter: Counts them.
    """

    def __init__(self, *, most: int = _MOST, wall: Callable[[], float] = time.time) -> None:
        self.epoch: Final = secrets.token_hex(8)
        self.meter: Final = CallMeter()
        self._calls: Final[deque[dict[str, Any]]] = deque(maxlen=most)
        self._wall: Final = wall
        self._last = 0
        self._waiting = 0
        self._news: Final = asyncio.Event()
        self._closed = False

    def ended(
        self,
        note: "CallNote",
        *,
        status: int | None,
        outcome: "Outcome",
        code: str | None,
        hops: Mapping[str, float],
    ) -> None:
        """Remember a call that has ended, by what is known of it beside its data."""
        self._last += 1
        facts = note.facts()
        call: dict[str, Any] = {
            "seq": self._last,
            "time": _iso(self._wall()),
            "call_id": note.call_id[:_MAX_WORD],
            "operation": note.operation[:_MAX_WORD],
        }
        for name in _TOLD:
            value = facts.get(name)
            if value is not None:
                call[name] = value[:_MAX_WORD] if isinstance(value, str) else value
        call |= {
            "outcome": outcome.value,
            "status": status,
            "code": code,
            "ms": hops.get("agent"),
            "hops": dict(hops),
        }
        self._calls.append(call)
        self.meter.note(call)
        self._news.set()

    async def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Return the calls after the number ``after``, at most ``limit``; wait for one if asked.

        Raises:
            CloudConnectError: If the request makes no sense.
        """
        after, limit = _number(request, "after"), _number(request, "limit")
        seconds = request.get("wait")
        if after is not None and isinstance(seconds, int | float) and seconds > 0:
            await self._wait_beyond(after, min(float(seconds), _MAX_WAIT))
        most = min(_MOST_AT_ONCE if limit is None else limit, _MOST_AT_ONCE)
        oldest = self._calls[0]["seq"] if self._calls else self._last + 1
        if after is None:  # the newest
            items = list(self._calls)[-most:] if most else []
            return self._document(items, next_seq=self._last, lost=0)
        # Numbers of another process lie ahead of ours: whoever has them begins anew.
        after = after if after <= self._last else 0
        items = [call for call in self._calls if call["seq"] > after][:most]
        lost = max(0, oldest - after - 1)
        return self._document(items, next_seq=items[-1]["seq"] if items else after, lost=lost)

    def close(self) -> None:
        """Keep nobody waiting any more."""
        self._closed = True
        self._news.set()

    def _document(self, items: list[dict[str, Any]], *, next_seq: int, lost: int) -> dict[str, Any]:
        return {"epoch": self.epoch, "items": items, "next": next_seq, "lost": lost}

    async def _wait_beyond(self, after: int, seconds: float) -> None:
        if self._waiting >= _MOST_WAITING:
            return
        self._waiting += 1
        try:
            async with asyncio.timeout(seconds):
                while self._last == after and not self._closed:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            pass
        finally:
            self._waiting -= 1


def _number(request: Mapping[str, Any], name: str) -> int | None:
    value = request.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise CloudConnectError(f"“{name}” is no number.")
    return value


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"
