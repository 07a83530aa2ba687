"""Where a call's time goes on this PC, so that a slow one can be blamed on what was slow."""

import time
from collections.abc import Callable
from contextvars import ContextVar
from enum import StrEnum
from types import TracebackType
from typing import Final

__all__ = ["Stage", "Stages", "call_stages", "spent"]


class Stage(StrEnum):
    """What a call waits for; the names stand in ``hops`` and in ``Server-Timing``."""

    REQUEST = "request"  # the rest of its own body, from the relay
    JOURNAL = "journal"  # the disk of this PC
    SIGNIN = "signin"  # an access token, from Procore's login host
    LANE = "lane"  # a place, behind other calls of this PC
    LIMIT = "limit"  # Procore's rate limit
    CONNECT = "connect"  # a connection to Procore; a part of what follows
    PROCORE = "procore"  # Procore's answer
    BODY = "body"  # the rest of Procore's answer
    RETRY = "retry"  # the pause before what failed is tried again


_WAITED: Final = {
    Stage.REQUEST: "for the rest of the request's body",
    Stage.JOURNAL: "on its own disk (journal)",
    Stage.SIGNIN: "on Procore (sign-in)",
    Stage.LANE: "for a place behind other calls",
    Stage.LIMIT: "on Procore (rate limited)",
    Stage.CONNECT: "on Procore (no connection)",
    Stage.PROCORE: "on Procore (no answer)",
    Stage.BODY: "on Procore (answer incomplete)",
    Stage.RETRY: "between attempts that Procore failed",
}
_MIN_TOLD: Final = 0.05  # seconds; less than that made nobody late


class _Running:
    __slots__ = ("since", "times")

    def __init__(self, since: float) -> None:
        self.since = since
        self.times = 1


class Stages:
    """The seconds that a call spent in each stage.

    A call may do several things at once: a stage counts while at least one of them is in it,
    so no stage is longer than the call.

    Args:
        least: Seconds that have to be left for a request to be worth sending.
    """

    __slots__ = ("_clock", "_running", "_spent", "deadline", "least", "sent")

    def __init__(
        self,
        *,
        deadline: float = float("inf"),
        least: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock: Final = clock
        self._spent: Final[dict[Stage, float]] = {}
        self._running: Final[dict[Stage, _Running]] = {}
        self.deadline = deadline
        self.least: Final = least
        self.sent = False

    def enter(self, stage: Stage) -> None:
        """Begin a stage, or a further piece of work in it."""
        running = self._running.get(stage)
        if running is None:
            self._running[stage] = _Running(self._clock())
        else:
            running.times += 1

    def leave(self, stage: Stage) -> None:
        """End what :meth:`enter` began."""
        running = self._running[stage]
        running.times -= 1
        if not running.times:
            del self._running[stage]
            self._spent[stage] = self._spent.get(stage, 0.0) + self._clock() - running.since

    def worth_sending(self) -> bool:
        """Whether a request may still go out; once one went, the rest of its call may, too."""
        if not self.sent and self.deadline - self._clock() < self.least:
            return False
        self.sent = True
        return True

    @property
    def spare(self) -> float:
        """Seconds of the deadline that must be left when the next request goes out."""
        return 0.0 if self.sent else self.least

    def seconds(self) -> dict[Stage, float]:
        """Return what was spent by now, what goes on included."""
        found = dict(self._spent)
        for stage, running in self._running.items():
            found[stage] = found.get(stage, 0.0) + self._clock() - running.since
        return found

    def milliseconds(self) -> dict[str, float]:
        """Return the same as the tunnel carries it: whole numbers, so that short heads repeat."""
        found = self.seconds() if self._running else self._spent
        return {stage.value: float(int(spent * 1000 + 0.5)) for stage, spent in found.items()}

    def sentence(self) -> str | None:
        """Say where most of the time went, if it went anywhere."""
        found = self.seconds()
        connecting = found.get(Stage.CONNECT, 0.0)
        if connecting * 2 < found.get(Stage.PROCORE, 0.0):
            found.pop(Stage.CONNECT, None)  # it connected in time; the answer was late
        else:
            found.pop(Stage.PROCORE, None)
        stage = max(found, key=lambda one: found[one], default=None)
        if stage is None or found[stage] < _MIN_TOLD:
            return None
        return f"The agent waited {found[stage]:.1f} s {_WAITED[stage]}."


call_stages: Final[ContextVar[Stages | None]] = ContextVar("call_stages", default=None)
"""The stages of the call that the current task works for."""


class spent:  # noqa: N801  reads as the statement that it is: with spent(Stage.LIMIT)
    """Count the time of the block as the current call's in a stage."""

    __slots__ = ("_stage", "_stages")

    def __init__(self, stage: Stage) -> None:
        self._stage: Final = stage
        self._stages: Final = call_stages.get()

    def __enter__(self) -> None:
        if self._stages is not None:
            self._stages.enter(self._stage)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._stages is not None:
            self._stages.leave(self._stage)
