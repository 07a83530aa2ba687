"""Reads of identical shape, under way at the same time."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from cloud_connect.errors import (
    CloudConnectError,
    DeadlineExceededError,
    SourceRejectedError,
    SourceUnavailableError,
)
from cloud_connect_agent.procore.shared_reads import SharedReads


class Source:
    """Answers when told, and counts how often it was asked."""

    def __init__(self) -> None:
        self.shared: SharedReads[str] = SharedReads(
            clock=time.monotonic, keeps=lambda text: text != "long"
        )
        self.asked = 0
        self.gates: list[asyncio.Future[str]] = []

    async def read(self) -> str:
        self.asked += 1
        gate: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.gates.append(gate)
        return await gate

    def ask(self, key: str = "rfis", *, within: float = 10.0) -> Awaitable[str]:
        deadline = time.monotonic() + within
        return self.shared.run(
            key, self.read, deadline=deadline, hasty=lambda error: isinstance(error, HastyError)
        )


class HastyError(SourceUnavailableError):
    """A failure for lack of time."""


@pytest.fixture
async def source() -> Source:
    return Source()


async def settle(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


async def started(*asks: Awaitable[str]) -> list["asyncio.Task[str]"]:
    """Start calls in order; each waits for Procore or for another one."""
    tasks = []
    for ask in asks:
        tasks.append(asyncio.create_task(_of(ask)))
        for _ in range(3):
            await asyncio.sleep(0)
    return tasks


async def test_fifty_askers_cause_one_read(source: Source) -> None:
    tasks = await started(*(source.ask() for _ in range(50)))
    source.gates[0].set_result("rows")
    assert [await task for task in tasks] == ["rows"] * 50
    assert source.asked == 1


async def test_what_is_not_the_same_is_read_by_itself(source: Source) -> None:
    tasks = await started(source.ask("rfis"), source.ask("vendors"))
    source.gates[0].set_result("rfis")
    source.gates[1].set_result("vendors")
    assert [await task for task in tasks] == ["rfis", "vendors"]


async def test_nothing_is_kept_after_the_answer(source: Source) -> None:
    for answer in ("old", "new"):
        (task,) = await started(source.ask())
        source.gates[-1].set_result(answer)
        assert await task == answer
    assert source.shared._flights == {}


async def burst(source: Source, answer: str, key: str = "rfis") -> None:
    tasks = await started(source.ask(key), source.ask(key))
    source.gates[-1].set_result(answer)
    assert [await task for task in tasks] == [answer] * 2


async def test_latecomers_of_a_burst_get_what_it_read_for_a_moment(source: Source) -> None:
    await burst(source, "rows")
    assert await source.ask() == "rows"
    assert source.asked == 1
    await settle(lambda: source.shared._flights == {})
    await burst(source, "new")
    assert source.asked == 2


async def test_a_later_burst_is_not_forgotten_with_an_earlier_one(source: Source) -> None:
    await burst(source, "rows")
    earlier = source.shared._flights["rfis"]
    source.shared.part()
    await burst(source, "new")
    source.shared._leave("rfis", earlier)
    assert await source.ask() == "new"


async def test_long_results_and_too_many_are_not_kept(source: Source) -> None:
    await burst(source, "long")
    assert source.shared._flights == {}
    for number in range(40):
        await burst(source, "rows", f"table-{number}")
    assert len(source.shared._flights) == 32


async def test_a_write_ends_what_a_burst_shared(source: Source) -> None:
    await burst(source, "before")
    source.shared.part()
    await burst(source, "after")
    early = await started(source.ask("vendors"), source.ask("vendors"))
    source.shared.part()  # while it is under way
    source.gates[-1].set_result("before")
    assert [await task for task in early] == ["before"] * 2
    await burst(source, "after", "vendors")


async def test_after_a_write_nobody_joins_what_began_before_it(source: Source) -> None:
    early = await started(source.ask(), source.ask())
    source.shared.part()
    late = await started(source.ask(), source.ask())
    source.gates[0].set_result("before")
    source.gates[1].set_result("after")
    assert [await task for task in early] == ["before"] * 2
    assert [await task for task in late] == ["after"] * 2


async def test_who_leads_may_go_away(source: Source) -> None:
    first, second, third = await started(*(source.ask() for _ in range(3)))
    first.cancel()
    await settle(lambda: source.asked == 2)
    source.gates[1].set_result("rows")
    assert [await second, await third] == ["rows", "rows"]
    assert source.asked == 2
    assert first.cancelled()


async def test_who_follows_may_go_away(source: Source) -> None:
    first, second, third = await started(*(source.ask() for _ in range(3)))
    second.cancel()
    await asyncio.wait({second})
    source.gates[0].set_result("rows")
    assert [await first, await third] == ["rows", "rows"]


async def test_a_failure_is_everybodys_each_with_an_error_of_its_own(source: Source) -> None:
    tasks = await started(*(source.ask() for _ in range(3)))
    refusal = SourceRejectedError("No.", status=403, body={"errors": "no"})
    source.gates[0].set_exception(refusal)
    failures = [await _failure(task) for task in tasks]
    failures[0].call_id = "call_1"
    assert source.asked == 1
    for failure in failures:
        assert isinstance(failure, SourceRejectedError)
        assert (failure.message, failure.status, failure.body) == ("No.", 403, {"errors": "no"})
    assert [failure.call_id for failure in failures] == ["call_1", None, None]


async def test_a_failure_reaches_who_is_still_there(source: Source) -> None:
    first, second = await started(source.ask(), source.ask())
    source.gates[0].set_exception(SourceRejectedError("No.", status=403))
    second.cancel()
    await asyncio.wait({first, second})
    assert isinstance(await _failure(first), SourceRejectedError)


async def test_who_has_more_time_than_the_leader_reads_itself(source: Source) -> None:
    hasty, patient, hurried = await started(
        source.ask(within=5.0), source.ask(within=10.0), source.ask(within=4.0)
    )
    source.gates[0].set_exception(HastyError("Too late."))
    assert type(await _failure(hasty)) is HastyError
    assert type(await _failure(hurried)) is HastyError
    await settle(lambda: source.asked == 2)
    source.gates[1].set_result("rows")
    assert await patient == "rows"


async def test_who_waits_for_another_one_gives_up_at_its_own_deadline(source: Source) -> None:
    first, hasty = await started(source.ask(), source.ask(within=0.05))
    assert isinstance(await _failure(hasty), DeadlineExceededError)
    source.gates[0].set_result("rows")
    assert await first == "rows"


async def _of(ask: Awaitable[str]) -> str:
    return await ask


async def _failure(task: "asyncio.Task[str]") -> CloudConnectError:
    with pytest.raises(CloudConnectError) as caught:
        await task
    return caught.value
