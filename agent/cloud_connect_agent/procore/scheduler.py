"""Who may send next: parallel requests per connector, and Procore's limits per grant."""

import asyncio
import random
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import structlog

from cloud_connect.calls import Environment
from cloud_connect.errors import DeadlineExceededError, RateLimitedError
from cloud_connect_agent.procore.budget import RateBudget, WindowView
from cloud_connect_agent.procore.failures import is_throttled
from cloud_connect_agent.stages import Stage, spent

__all__ = ["Grant", "RateScheduler", "Slot"]

log = structlog.get_logger(__name__)

_MAX_BUDGETS: Final = 1024  # grants that are remembered; idle ones make room
_ANSWER_SECONDS: Final = 0.05  # of the deadline: who waited in vain is told so before it passes
_SOON_SECONDS: Final = 1.0  # after which to repeat what waited for a limit that has just ended
_PEOPLES_TURNS: Final = 8  # places that people take in a row while bulk requests wait


class Grant(NamedTuple):
    """What Procore counts requests by, and which of this PC's accounts makes them."""

    environment: Environment
    client_id: str
    company_id: int
    account: str = "default"


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
    """A bound on parallel requests.

    Attributes:
        bulk: Bulk requests under way, per grant.
        turns: Places that people took in a row while bulk requests waited.
    """

    __slots__ = ("bulk", "limit", "queues", "running", "turns")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.running = 0
        self.turns = 0
        self.queues: dict[Grant, _Queue] = {}
        self.bulk: Counter[Grant] = Counter()

    @property
    def bulk_waits(self) -> bool:
        return any(queue.head(interactive=False) for queue in self.queues.values())

    def has_bulk(self, grant: Grant) -> bool:
        """Whether bulk requests of a grant are under way or waiting."""
        if self.bulk[grant]:
            return True
        queue = self.queues.get(grant)
        return queue is not None and queue.head(interactive=False) is not None


class Slot:
    """The right to send one request, until it is released."""

    __slots__ = ("answered", "budget", "grant", "interactive", "lane", "lent")

    def __init__(self, lane: _Lane, budget: RateBudget, grant: Grant, *, interactive: bool) -> None:
        self.lane = lane
        self.budget = budget
        self.grant = grant
        self.interactive = interactive
        self.answered = False
        self.lent = False


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
        self._logged: Final[set[tuple[int, bool]]] = set()

    @property
    def running(self) -> int:
        """Requests under way."""
        return self._reads.running + self._writes.running

    def resize(self, *, read_concurrency: int, write_concurrency: int) -> None:
        """Let so many requests go at once; of those under way none is broken off."""
        self._reads.limit, self._writes.limit = read_concurrency, write_concurrency
        self._pump()

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
        return Slot(lane, budget, grant, interactive=interactive)

    def answered(self, slot: Slot, status: int, headers: Mapping[str, str]) -> None:
        """Learn from an answer's head what the limits are."""
        slot.answered = True
        if is_throttled(status, headers):
            self._log_throttle(slot.grant, status, named="retry-after" in headers)
        slot.budget.answered(self._clock(), status, headers, self._spread())
        self._pump()

    def release(self, slot: Slot) -> None:
        """Let the next request go."""
        if not slot.answered:
            slot.budget.lost()
        if slot.lent:
            self._pump()  # the limits may have room for another
        else:
            self._leave(slot.lane, slot.grant, interactive=slot.interactive)

    def lend(self, slot: Slot) -> None:
        """Let another request go beside one that goes on at its sender's pace."""
        if not slot.lent:
            slot.lent = True
            self._leave(slot.lane, slot.grant, interactive=slot.interactive)

    def slept(self, seconds: float) -> None:
        """Let limits end that ended while the machine slept."""
        for budget in self._budgets.values():
            budget.slept(seconds)
        self._set_alarm(None)
        self._pump()

    def hold(self, grant: Grant) -> float:
        """For how many seconds Procore's limits keep back a person's call; 0 is not at all."""
        budget = self._budgets.get(grant)
        return 0.0 if budget is None else budget.limited(self._clock(), interactive=True)

    def views(self) -> list[tuple[Grant, list[WindowView]]]:
        """Return what is left of the limits that are known, grant by grant."""
        now = self._clock()
        found = ((grant, budget.view(now)) for grant, budget in self._budgets.items())
        return [(grant, views) for grant, views in found if views]

    def _log_throttle(self, grant: Grant, status: int, *, named: bool) -> None:
        """Say once of each kind how Procore tells the wait: its own pages disagree."""
        if (status, named) not in self._logged:
            self._logged.add((status, named))
            log.info(
                "procore_throttles",
                status=status,
                retry_after="named" if named else "absent",
                environment=grant.environment.flag,
                company_id=grant.company_id,
            )

    def _budget(self, grant: Grant) -> RateBudget:
        budget = self._budgets.get(grant)
        if budget is None:
            if len(self._budgets) >= _MAX_BUDGETS:
                now = self._clock()
                for key in [key for key, value in self._budgets.items() if value.idle(now)]:
                    del self._budgets[key]
            budget = self._budgets[grant] = RateBudget()
        return budget

    async def _enter(
        self, lane: _Lane, grant: Grant, deadline: float, *, interactive: bool
    ) -> RateBudget:
        budget = self._budget(grant)
        now = self._clock()
        if interactive and (lane.bulk or lane.queues) and lane.has_bulk(grant):
            budget.rivalled(now)
        hold = budget.hold(now, interactive=interactive)
        if not hold and lane.running < lane.limit and grant not in lane.queues:
            self._go(lane, grant, now, interactive=interactive)
            return budget
        limited = budget.limited(now, interactive=interactive) if hold else 0.0
        if limited and now + limited > deadline:
            raise _too_late(budget, limited)
        waiter = _Waiter(
            asyncio.get_running_loop().create_future(), deadline, interactive=interactive
        )
        lane.queues.setdefault(grant, _Queue()).push(waiter)
        self._pump()
        try:
            async with asyncio.timeout(max(0.0, deadline - _ANSWER_SECONDS - now)):
                with spent(Stage.LIMIT if limited else Stage.LANE):
                    await waiter.future
        except TimeoutError:
            self._give_back(waiter, lane, grant)
            left = budget.limited(self._clock(), interactive=interactive)
            if limited or left:
                raise _too_late(budget, max(left, _SOON_SECONDS)) from None
            raise DeadlineExceededError(
                "The call waited behind other calls to Procore until its deadline."
            ) from None
        except asyncio.CancelledError:
            self._give_back(waiter, lane, grant)
            raise
        return budget

    def _go(self, lane: _Lane, grant: Grant, now: float, *, interactive: bool) -> None:
        lane.running += 1
        if not interactive:
            lane.bulk[grant] += 1
        self._budget(grant).sent(now)

    def _give_back(self, waiter: _Waiter, lane: _Lane, grant: Grant) -> None:
        future = waiter.future
        if future.done() and not future.cancelled() and future.exception() is None:
            self._budget(grant).lost()
            self._leave(lane, grant, interactive=waiter.interactive)
        else:
            future.cancel()

    def _leave(self, lane: _Lane, grant: Grant, *, interactive: bool) -> None:
        lane.running -= 1
        if not interactive:
            lane.bulk[grant] -= 1
            if not lane.bulk[grant]:
                del lane.bulk[grant]
        self._pump()

    def _pump(self) -> None:
        """Let go whoever may, and set the alarm for who may later."""
        if not self._writes.queues and not self._reads.queues:
            return
        now = self._clock()
        wakes: list[float] = []
        for lane in (self._writes, self._reads):
            while lane.queues:
                # People go first, but bulk requests get a place now and then.
                people_first = lane.turns < _PEOPLES_TURNS
                wakes_of_lane: list[float] = []
                if not (
                    self._let_one_go(lane, now, wakes_of_lane, interactive=people_first)
                    or self._let_one_go(lane, now, wakes_of_lane, interactive=not people_first)
                ):
                    wakes += wakes_of_lane
                    break
        self._set_alarm(min(wakes, default=None))

    def _let_one_go(
        self, lane: _Lane, now: float, wakes: list[float], *, interactive: bool
    ) -> bool:
        """Let the next waiter of a kind go, if one may; else note when one may."""
        for grant in list(lane.queues):
            queue, budget = lane.queues[grant], self._budget(grant)
            while (waiter := queue.head(interactive=interactive)) is not None:
                limited = budget.limited(now, interactive=interactive)
                if not limited or now + limited <= waiter.deadline:
                    break
                queue.pop(waiter)
                waiter.future.set_exception(_too_late(budget, limited))
            if waiter is None:
                if queue.head(interactive=not interactive) is None:
                    del lane.queues[grant]
                continue
            hold = budget.hold(now, interactive=interactive)
            if hold:
                wakes.append(now + hold)
                continue
            if lane.running >= lane.limit:
                continue  # whoever leaves the lane pumps again
            queue.pop(waiter)
            lane.turns = lane.turns + 1 if interactive and lane.bulk_waits else 0
            self._go(lane, grant, now, interactive=interactive)
            waiter.future.set_result(None)
            lane.queues[grant] = lane.queues.pop(grant)  # the next turn is another grant's
            return True
        return False

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


def _too_late(budget: RateBudget, hold: float) -> RateLimitedError:
    why = (
        "Procore is overloaded and puts requests off for"
        if budget.overloaded
        else "Procore's rate limit is used up for"
    )
    return RateLimitedError(
        f"{why} another {hold:.0f} s, longer than the call may wait.", retry_after=hold
    )
