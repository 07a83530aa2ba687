"""Results that are used again for a short time."""

import asyncio

import pytest

from cloud_connect.errors import SourceUnavailableError
from cloud_connect_agent.procore.brief_memory import BriefMemory


class Bench:
    """A memory whose clock stands still, and something to make."""

    def __init__(self) -> None:
        self.now = 100.0
        self.seconds = 60.0
        self.made = 0
        self.failure: Exception | None = None
        self.memory: BriefMemory[int] = BriefMemory(
            seconds=lambda: self.seconds, clock=lambda: self.now
        )

    async def make(self) -> int:
        await asyncio.sleep(0)
        if self.failure is not None:
            raise self.failure
        self.made += 1
        return self.made

    async def get(self, key: str = "tree", *, refresh: bool = False) -> int:
        return await self.memory.get(key, self.make, deadline=self.now + 5, refresh=refresh)


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_a_result_is_used_again_until_it_is_old(bench: Bench) -> None:
    assert [await bench.get(), await bench.get()] == [1, 1]
    bench.now += 59
    assert await bench.get() == 1
    bench.now += 1
    assert await bench.get() == 2


async def test_other_keys_have_results_of_their_own(bench: Bench) -> None:
    assert [await bench.get("a"), await bench.get("b"), await bench.get("a")] == [1, 2, 1]


async def test_nothing_is_remembered_for_zero_seconds(bench: Bench) -> None:
    bench.seconds = 0
    assert [await bench.get(), await bench.get()] == [1, 2]


async def test_who_asks_at_the_same_time_waits_for_one(bench: Bench) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(bench.get()) for _ in range(20)]
    assert {task.result() for task in tasks} == {1}


async def test_a_refresh_makes_it_anew_for_all(bench: Bench) -> None:
    await bench.get()
    assert await bench.get(refresh=True) == 2
    assert await bench.get() == 2


async def test_what_is_forgotten_is_made_anew(bench: Bench) -> None:
    await bench.get()
    bench.memory.forget()
    assert await bench.get() == 2


async def test_what_began_before_it_was_forgotten_is_not_remembered(bench: Bench) -> None:
    early = asyncio.create_task(bench.get())
    await asyncio.sleep(0)
    bench.now += 1
    bench.memory.forget()
    assert await early == 1
    assert await bench.get() == 2


async def test_a_failure_is_not_remembered(bench: Bench) -> None:
    bench.failure = SourceUnavailableError("Not now.")
    with pytest.raises(SourceUnavailableError):
        await bench.get()
    bench.failure = None
    assert await bench.get() == 1


async def test_memory_has_an_end(bench: Bench) -> None:
    for number in range(200):
        await bench.get(str(number))
    assert len(bench.memory._made) == 64
    assert await bench.get("0") == 201
