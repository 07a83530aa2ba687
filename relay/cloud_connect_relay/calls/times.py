"""Where a call's time goes: on this relay, in the tunnel, on the agent's PC, at the source."""

import asyncio
from collections.abc import Mapping
from typing import Final

__all__ = ["CallTimes", "server_timing"]

# What agents tell of themselves. Another company's machine says it, and it becomes a header.
_KNOWN: Final = frozenset(
    {
        "agent",
        "request",
        "journal",
        "signin",
        "lane",
        "limit",
        "connect",
        "procore",
        "body",
        "retry",
    }
)
_MOST: Final = 86_400_000.0  # milliseconds that are believed


class CallTimes:
    """The times of one call, on the event loop's clock.

    Attributes:
        began: When the relay let it in.
        recorded: Seconds that its record took on the way to the agent.
        sent: When it left for the agent that has it, or had it last.
        answered: When the head of that agent's answer came.
        ended: When all was over.
    """

    __slots__ = ("_agent", "answered", "began", "ended", "recorded", "sent")

    def __init__(self, began: float) -> None:
        self.began: Final = began
        self.recorded = 0.0
        self.sent: float | None = None
        self.answered: float | None = None
        self.ended: float | None = None
        self._agent: dict[str, float] = {}

    def told(self, hops: Mapping[str, float]) -> None:
        """Take in what the agent says, in milliseconds; the last word counts."""
        if not hops:
            return
        if hops.keys() <= _KNOWN and min(hops.values()) >= 0 and max(hops.values()) <= _MOST:
            self._agent = dict(hops)
        else:
            self._agent = {
                name: min(max(0.0, spent), _MOST) for name, spent in hops.items() if name in _KNOWN
            }

    def queued(self) -> float:
        """Return the seconds until a connector got it, its record not counted."""
        until = self._now() if self.sent is None else self.sent
        return max(0.0, until - self.began - self.recorded)

    def out(self) -> float:
        """Return the seconds for which a connector has, or had, the call without an answer."""
        if self.sent is None:
            return 0.0
        until = self._now() if self.answered is None else self.answered
        return max(0.0, until - self.sent)

    def milliseconds(self) -> dict[str, float]:
        """Return the time of each hop until now or the end.

        ``relay`` is all of it, ``agent`` all of it on the PC; what follows ``agent`` is part
        of that.
        """
        now, sent, began = self._now(), self.sent, self.began
        queued = (now if sent is None else sent) - began - self.recorded
        found = {"relay": _tenths(now - began), "queue": _tenths(queued)}
        if self.recorded:
            found["record"] = _tenths(self.recorded)
        if sent is None:
            return found
        out = _tenths((now if self.answered is None else self.answered) - sent)
        agent = self._agent.get("agent")
        if agent is None:
            found["agent"] = out  # it is silent, or does not tell
        else:
            # What trailers tell of the agent goes beyond the answer's head.
            found["tunnel"] = _tenths((out - agent) / 1000)
            found.update(self._agent)
        return found

    def _now(self) -> float:
        return asyncio.get_running_loop().time() if self.ended is None else self.ended


def _tenths(seconds: float) -> float:
    """Return milliseconds with one digit behind the point: round() takes three times as long."""
    return int(seconds * 10_000 + 0.5) / 10 if seconds > 0 else 0.0


def server_timing(hops: Mapping[str, float]) -> str:
    """Return *hops* as the value of ``Server-Timing`` (W3C)."""
    return ", ".join([f"{name};dur={spent}" for name, spent in hops.items()])
