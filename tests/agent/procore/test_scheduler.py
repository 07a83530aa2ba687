"""Who may send when: parallel requests, and Procore's two windows."""

import asyncio
import time
from collections.abc import Iterator
from email.utils import formatdate

import pytest
import structlog

from cloud_connect.calls import Environment
from cloud_connect.errors import DeadlineExceededError, RateLimitedError
from cloud_connect_agent.procore.scheduler import Grant, RateScheduler, Slot

ONE = Grant(Environment.LIVE, "app", 1)
OTHER = Grant(Environment.LIVE, "app", 2)
EPOCH = 1_800_000_000  # what Procore's clock shows when ours shows 0


def headers(left: int, *, limit: int = 25, reset: float = 10.0, now: float = 0.0) -> dict[str, str]:
    """What Procore says at *now* of a window that ends at *reset*."""
    return {
        "date": formatdate(EPOCH + int(now), usegmt=True),
        "x-rate-limit-limit": str(limit),
        "x-rate-limit-remaining": str(left),
        "x-rate-limit-reset": str(int(EPOCH + reset)),
    }


class Held:
    """Takes slots and gives them back when told."""

    def __init__(self, scheduler: RateScheduler) -> None:
        self.scheduler = scheduler
        self.order: list[str] = []
        self.slots: list[Slot] = []

    async def take(
        self,
        name: str,
        grant: Grant = ONE,
        *,
        write: bool = False,
        interactive: bool = True,
        within: float = 10.0,
    ) -> None:
        slot = await self.scheduler.acquire(
            grant, write=write, deadline=time.monotonic() + within, interactive=interactive
        )
        self.order.append(name)
        self.slots.append(slot)

    def give_back(self, said: dict[str, str] | None = None, status: int = 200) -> None:
        slot = self.slots.pop(0)
        self.scheduler.answered(slot, status, said or {})
        self.scheduler.release(slot)


@pytest.fixture
def held() -> Iterator[Held]:
    made = Held(RateScheduler(read_concurrency=2, write_concurrency=1, spread=lambda: 0.0))
    yield made
    while made.slots:
        made.give_back()
    assert made.scheduler.running == 0


async def test_reads_and_writes_have_lanes_of_their_own(held: Held) -> None:
    await held.take("read 1")
    await held.take("read 2")
    await held.take("write", write=True)
    with pytest.raises(DeadlineExceededError, match="behind other calls"):
        await held.take("read 3", within=0.05)
    with pytest.raises(DeadlineExceededError):
        await held.take("write 2", write=True, within=0.05)


async def test_place_of_one_who_sends_slowly_is_lent_once_and_its_request_still_counts(
    held: Held,
) -> None:
    await held.take("write", write=True)
    with pytest.raises(DeadlineExceededError):
        await held.take("other", write=True, within=0.05)
    (slow,) = held.slots
    held.scheduler.lend(slow)
    held.scheduler.lend(slow)
    await held.take("other", write=True, within=0.05)
    assert slow.budget.in_flight == 2
    with pytest.raises(DeadlineExceededError):
        await held.take("third", write=True, within=0.05)
    held.give_back()
    assert held.scheduler.running == 1  # its place is not given back a second time


async def test_who_waits_for_a_limit_goes_when_it_ended_in_the_machines_sleep(held: Held) -> None:
    await held.take("first")
    held.give_back(said=headers(0, reset=5.0))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(held.take("second", within=20.0))
        await asyncio.sleep(0.01)
        assert held.order == ["first"]
        began = time.monotonic()
        held.scheduler.slept(3600.0)
    assert held.order == ["first", "second"]
    assert time.monotonic() - began < 2


async def test_people_go_before_bulk(held: Held) -> None:
    await held.take("a")
    await held.take("b")
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(held.take("bulk", interactive=False))
        await asyncio.sleep(0)
        tasks.create_task(held.take("person"))
        await asyncio.sleep(0)
        held.give_back()
        held.give_back()
    assert held.order == ["a", "b", "person", "bulk"]


async def test_bulk_gets_a_place_now_and_then_among_many_people(held: Held) -> None:
    await held.take("a")
    await held.take("b")
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(held.take("bulk", OTHER, interactive=False))
        await asyncio.sleep(0)
        for number in range(20):
            tasks.create_task(held.take(f"person {number}"))
        await asyncio.sleep(0)
        for _ in range(21):
            held.give_back()
            await asyncio.sleep(0)
    assert held.order.index("bulk") == 2 + 8


async def test_a_person_beside_bulk_keeps_the_share_of_people_free(held: Held) -> None:
    said = headers(12, limit=100, reset=5.0)
    await held.take("person")
    held.give_back(said=said)
    await held.take("bulk", interactive=False)
    await held.take("another person")
    held.give_back(said=headers(11, limit=100, reset=5.0))
    held.give_back(said=headers(10, limit=100, reset=5.0))
    with pytest.raises(RateLimitedError):
        await held.take("more bulk", interactive=False, within=0.1)
    await held.take("third person")


async def test_an_overload_of_procore_is_not_called_a_used_up_limit(held: Held) -> None:
    await held.take("a")
    held.give_back(status=503, said={"retry-after": "60"})
    with pytest.raises(RateLimitedError, match="overloaded and puts requests off for another 60"):
        await held.take("late")


async def test_each_way_of_throttling_is_logged_once(held: Held) -> None:
    with structlog.testing.capture_logs() as logged:
        for said in ({"retry-after": "0"}, {"retry-after": "0"}, {}):
            held.scheduler._budgets.clear()
            await held.take("x")
            held.give_back(status=429, said=said)
    assert [(entry["status"], entry["retry_after"]) for entry in logged] == [
        (429, "named"),
        (429, "absent"),
    ]


async def test_what_is_left_is_shown_per_grant(held: Held) -> None:
    await held.take("a")
    await held.take("b", OTHER)
    held.give_back(said=headers(4))
    held.give_back()
    ((grant, views),) = held.scheduler.views()
    assert (grant, views[0].remaining) == (ONE, 4)


async def test_one_grant_does_not_starve_another(held: Held) -> None:
    await held.take("a")
    await held.take("b")
    async with asyncio.TaskGroup() as tasks:
        for name in ("one 1", "one 2", "one 3"):
            tasks.create_task(held.take(name))
        await asyncio.sleep(0)
        tasks.create_task(held.take("other", OTHER))
        await asyncio.sleep(0)
        for _ in range(4):
            held.give_back()
            await asyncio.sleep(0)
    assert held.order.index("other") == 3


async def test_a_grant_that_is_held_lets_others_pass(held: Held) -> None:
    await held.take("a")
    held.give_back(status=429, said={"retry-after": "60"})
    with pytest.raises(RateLimitedError, match="rate limit") as caught:
        await held.take("late")
    assert caught.value.retry_after == pytest.approx(60, abs=1)
    await held.take("other", OTHER)
    assert held.scheduler.hold(ONE) == pytest.approx(60, abs=1)
    assert held.scheduler.hold(OTHER) == 0.0
    assert held.scheduler.hold(Grant(Environment.LIVE, "nobody", 9)) == 0.0


async def test_who_waits_is_told_when_the_wait_becomes_too_long(held: Held) -> None:
    await held.take("a")
    await held.take("b")
    with pytest.raises(ExceptionGroup) as caught:  # noqa: PT012 - the group is what raises
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(held.take("late", within=3.0))
            await asyncio.sleep(0)
            held.give_back(status=429, said={"retry-after": "60"})
    assert isinstance(caught.value.exceptions[0], RateLimitedError)


async def test_a_wait_for_the_reset_ends_by_itself(held: Held) -> None:
    await held.take("a")
    said = {**headers(0), "date": formatdate(EPOCH, usegmt=True)}
    said["x-rate-limit-reset"] = str(EPOCH + 1)
    held.give_back(said=said)
    started = time.monotonic()
    await held.take("b")
    assert 0.9 <= time.monotonic() - started <= 3


async def test_a_wait_that_ends_with_its_deadline_says_it_was_the_limit(held: Held) -> None:
    await held.take("a")
    said = {**headers(0), "x-rate-limit-reset": str(EPOCH + 1)}
    held.give_back(said=said)
    with pytest.raises(RateLimitedError):
        await held.take("b", within=0.1)


async def test_a_cancelled_wait_leaves_no_trace(held: Held) -> None:
    await held.take("a")
    await held.take("b")
    waiting = asyncio.create_task(held.take("gone"))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait({waiting})
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(held.take("next"))
        await asyncio.sleep(0)
        held.give_back()
    assert held.order == ["a", "b", "next"]


async def test_a_slot_granted_to_a_cancelled_wait_comes_back(held: Held) -> None:
    await held.take("a")
    await held.take("b")
    waiting = asyncio.create_task(held.take("gone"))
    await asyncio.sleep(0)
    held.give_back()
    waiting.cancel()
    await asyncio.wait({waiting})
    assert held.scheduler.running == 1
    await held.take("next")


async def test_a_request_without_an_answer_is_counted_out(held: Held) -> None:
    for _ in range(10):
        slot = await held.scheduler.acquire(ONE, write=False, deadline=time.monotonic() + 1)
        held.scheduler.release(slot)
    assert held.scheduler.running == 0


async def test_idle_grants_make_room(held: Held) -> None:
    for company in range(1100):
        await held.take("x", Grant(Environment.LIVE, "app", company))
        held.give_back()
    assert len(held.scheduler._budgets) <= 1024


@pytest.mark.slow
async def test_a_burst_against_a_small_window_is_never_refused() -> None:
    """A sliding window of 5 per second, 20 calls at once, answered out of order."""
    scheduler = RateScheduler(spread=lambda: 0.0)
    sent: list[float] = []
    refused = 0
    start = time.monotonic()

    async def call(number: int) -> None:
        nonlocal refused
        slot = await scheduler.acquire(ONE, write=False, deadline=time.monotonic() + 15)
        now = time.monotonic()
        recent = [at for at in sent if at > now - 1.0]
        status = 200 if len(recent) < 12 else 429
        refused += status == 429
        if status == 200:
            sent.append(now)
            recent.append(now)
        server_now = EPOCH + now - start
        said = {
            "date": formatdate(int(server_now), usegmt=True),
            "x-rate-limit-limit": "12",
            "x-rate-limit-remaining": str(12 - len(recent)),
            "x-rate-limit-reset": str(int(server_now + 1.0 - (now - recent[0])) + 1),
        }
        await asyncio.sleep(0.01 * (number % 3))
        scheduler.answered(slot, status, said)
        scheduler.release(slot)

    async with asyncio.TaskGroup() as tasks:
        for number in range(30):
            tasks.create_task(call(number))
    assert refused == 0
    assert len(sent) == 30


async def test_more_may_go_at_once_as_soon_as_that_is_said() -> None:
    held = Held(RateScheduler(read_concurrency=1))
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        await held.take("first")
        waiting = tasks.create_task(held.take("second"))
        await asyncio.sleep(0)
        assert held.order == ["first"]
        held.scheduler.resize(read_concurrency=2, write_concurrency=1)
        await waiting
        held.scheduler.resize(read_concurrency=1, write_concurrency=1)
        late = tasks.create_task(held.take("third"))
        held.give_back()  # one is still under way, as many as may be
        await asyncio.sleep(0)
        assert held.order == ["first", "second"]
        held.give_back()
        await late
        held.give_back()
