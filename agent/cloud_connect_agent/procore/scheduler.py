"""Who may send next: parallel requests per connector, and Procore's limits per grant."""

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from cloud_connect.calls import Environment
from cloud_connect.errors import DeadlineExceededError, RateLimitedError
from cloud_connect_agent.procore.budget import RateBudget

__all__ = ["Grant", "RateScheduler", "Slot"]

_MAX_BUDGETS: Final = 1024  # grants that are remembered; idle ones make room


class Grant(NamedTuple):
    """What Procore counts requests by."""

    environment: Environment
    client_id: str
    company_id: int


class _Waiter:
    __slots__ = ("deadline", "future", "interactive")

    def __init__(
        self, future: "asyncio.Future[None]", deadline: float, *, interactive: bool
    ) -> None:
        self.future = future
        self.deadline = deadline
        self.interactive = interactive


class _Queue:
    """The requests of one grant that wait for one lane, people's before bulk."""

    __slots__ = ("bulk", "interactive")

    def __init__(self) -> None:
        self.interactive: deque[_Waiter] = deque()
        self.bulk: deque[_Waiter] = deque()

    def head(self, *, interactive: bool) -> _Waiter | None:
        waiters = self.interactive if interactive else self.bulk
        while waiters and waiters[0].future.done():
            waiters.popleft()  # its caller went away
        return waiters[0] if waiters else None

    def pop(self, waiter: _Waiter) -> None:
        (self.interactive if waiter.interactive else self.bulk).popleft()

    def push(self, waiter: _Waiter) -> None:
        (self.interactive if waiter.interactive else self.bulk).append(waiter)


class _Lane:
    """A bound on parallel requests."""

    __slots__ = ("limit", "queues", "running")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.running = 0
        self.queues: dict[Grant, _Queue] = {}


class Slot:
    """The right to send one request, until it is released."""

    __slots__ = ("answered", "budget", "lane")

    def __init__(self, lane: _Lane, budget: RateBudget) -> None:
        self.lane = lane
        self.budget = budget
        self.answered = False


class RateScheduler:
    """Lets requests go in order, as many as the connector and Procore allow.

    Args:
        clock: Monotonic seconds, the event loop's.
        spread: Random numbers from 0 to 1.
    """

    def __init__(
        self,
        *,
        read_concurrency: int = 32,
        write_concurrency: int = 8,
        clock: Callable[[], float] = time.monotonic,
        spread: Callable[[], float] = random.random,
    ) -> None:
        self._reads: Final = _Lane(read_concurrency)
        self._writes: Final = _Lane(write_concurrency)
        self._budgets: Final[dict[Grant, RateBudget]] = {}
        self._clock: Final = clock
        self._spread: Final = spread
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0

    @property
    def running(self) -> int:
        """Requests under way."""
        return self._reads.running + self._writes.running

    async def acquire(
        self, grant: Grant, *, write: bool, deadline: float, interactive: bool = True
    ) -> Slot:
        """Wait for the right to send one request; whoever gets it releases it.

        Raises:
            RateLimitedError: If Procore's limit outlasts the deadline; nothing was sent.
            DeadlineExceededError: If other calls do; nothing was sent.
        """
        lane = self._writes if write else self._reads
        budget = await self._enter(lane, grant, deadline, interactive=interactive)
        return Slot(lane, budget)

    def answered(self, slot: Slot, status: int, headers: Mapping[str, str]) -> None:
        """Learn from an answer's head what the limits are."""
        slot.answered = True
        slot.budget.answered(self._clock(), status, headers, self._spread())
        self._pump()

    def release(self, slot: Slot) -> None:
        """Let the next request go."""
        if not slot.answered:
            slot.budget.lost()
        self._leave(slot.lane)

    def hold(self, grant: Grant) -> float:
        """For how many seconds Procore's limits keep back a person's call; 0 is not at all."""
        budget = self._budgets.get(grant)
        return 0.0 if budget is None else budget.limited(self._clock(), interactive=True)

    def _budget(self, grant: Grant) -> RateBudget:
        budget = self._budgets.get(grant)
        if budget is None:
            if len(self._budgets) >= _MAX_BUDGETS:
                for key in [key for key, value in self._budgets.items() if value.idle]:
                    del self._budgets[key]
            budget = self._budgets[grant] = RateBudget()
        return budget

    async def _enter(
        self, lane: _Lane, grant: Grant, deadline: float, *, interactive: bool
    ) -> RateBudget:
        budget = self._budget(grant)
        now = self._clock()
        hold = budget.hold(now, interactive=interactive)
        if not hold and lane.running < lane.limit and grant not in lane.queues:
            lane.running += 1
            budget.sent(now)
            return budget
        limited = budget.limited(now, interactive=interactive) if hold else 0.0
        if limited and now + limited > deadline:
            raise _too_late(limited)
        waiter = _Waiter(
            asyncio.get_running_loop().create_future(), deadline, interactive=interactive
        )
        lane.queues.setdefault(grant, _Queue()).push(waiter)
        self._pump()
        try:
            async with asyncio.timeout(max(0.0, deadline - now)):
                await waiter.future
        except TimeoutError:
            self._give_back(waiter, lane, budget)
            limited = budget.limited(self._clock(), interactive=interactive)
            if limited:
                raise _too_late(limited) from None
            raise DeadlineExceededError(
                "The call waited behind other calls to Procore until its deadline."
            ) from None
        except asyncio.CancelledError:
            self._give_back(waiter, lane, budget)
            raise
        return budget

    def _give_back(self, waiter: _Waiter, lane: _Lane, budget: RateBudget) -> None:
        future = waiter.future
        if future.done() and not future.cancelled() and future.exception() is None:
            budget.lost()
            self._leave(lane)
        else:
            future.cancel()

    def _leave(self, lane: _Lane) -> None:
        lane.running -= 1
        self._pump()

    def _pump(self) -> None:
        """Let go whoever may, and set the alarm for who may later."""
        if not self._writes.queues and not self._reads.queues:
            return
        now = self._clock()
        wake: float | None = None
        for lane in (self._writes, self._reads):
            for interactive in (True, False):
                for grant in list(lane.queues):
                    at = self._pump_queue(lane, grant, now, interactive=interactive)
                    if at is not None:
                        wake = at if wake is None else min(wake, at)
        self._set_alarm(wake)

    def _pump_queue(
        self, lane: _Lane, grant: Grant, now: float, *, interactive: bool
    ) -> float | None:
        queue, budget = lane.queues[grant], self._budget(grant)
        while (waiter := queue.head(interactive=interactive)) is not None:
            limited = budget.limited(now, interactive=interactive)
            if limited and now + limited > waiter.deadline:
                queue.pop(waiter)
                waiter.future.set_exception(_too_late(limited))
                continue
            hold = budget.hold(now, interactive=interactive)
            if hold:
                return now + hold
            if lane.running >= lane.limit:
                return None  # whoever leaves the lane pumps again
            queue.pop(waiter)
            lane.running += 1
            budget.sent(now)
            waiter.future.set_result(None)
            lane.queues[grant] = lane.queues.pop(grant)  # the next turn is another grant's
        if not interactive and queue.head(interactive=True) is None:
            del lane.queues[grant]
        return None

    def _set_alarm(self, at: float | None) -> None:
        if self._timer is not None:
            if at is not None and self._timer_at <= at and not self._timer.cancelled():
                return
            self._timer.cancel()
            self._timer = None
        if at is not None:
            loop = asyncio.get_running_loop()
            self._timer_at = at
            self._timer = loop.call_later(max(0.0, at - self._clock()), self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._pump()


def _too_late(hold: float) -> RateLimitedError:
    return RateLimitedError(
        f"Procore's rate limit is used up for another {hold:.0f} s, longer than the call may wait.",
        retry_after=hold,
    )
