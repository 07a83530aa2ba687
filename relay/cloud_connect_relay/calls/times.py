"""Where a call's time goes: on this relay, in the tunnel, on the agent's PC, at the source."""

import asyncio
from collections.abc import Mapping
from typing import Final

__all__ = ["CallTimes", "server_timing"]

# What agents tell of themselves. Another company's machine says it, and it becomes a header.
_AGENT: Final = (
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
        if hops:
            self._agent = {
                name: min(max(0.0, hops[name]), _MOST) for name in _AGENT if name in hops
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
        hops = {"relay": self._now() - self.began, "queue": self.queued()}
        if self.recorded:
            hops["record"] = self.recorded
        found = {name: round(seconds * 1000, 1) for name, seconds in hops.items()}
        if self.sent is None:
            return found
        out = round(self.out() * 1000, 1)
        agent = self._agent.get("agent")
        if agent is None:
            found["agent"] = out  # it is silent, or does not tell
        else:
            # What trailers tell of the agent goes beyond the answer's head.
            found["tunnel"] = round(max(0.0, out - min(agent, out)), 1)
        return found | self._agent

    def _now(self) -> float:
        return asyncio.get_running_loop().time() if self.ended is None else self.ended


def server_timing(hops: Mapping[str, float]) -> str:
    """Return *hops* as the value of ``Server-Timing`` (W3C)."""
    return ", ".join([f"{name};dur={spent:.1f}" for name, spent in hops.items()])
