"""Tests of ``cloud_connect_agent.live_calls``."""

import asyncio
from typing import Any

import pytest

from cloud_connect.calls import Environment
from cloud_connect.errors import CloudConnectError, Outcome
from cloud_connect_agent.audit.notes import CallNote
from cloud_connect_agent.live_calls import LiveCalls
from cloud_connect_agent.policy import Access, Verb


def end(live: LiveCalls, call_id: str = "call_1", resource: str = "rfis") -> None:
    note = CallNote(call_id, "records.list")
    note.accesses = [
        Access(verb=Verb.READ, environment=Environment.LIVE, company_id=7, resource=resource)
    ]
    live.ended(
        note, status=200, outcome=Outcome.COMPLETED, code=None, hops={"agent": 12.0, "lane": 2.0}
    )


async def ask(live: LiveCalls, **request: Any) -> dict[str, Any]:
    return await live.answer({"command": "requests", **request})


async def test_a_call_is_told_by_what_it_was_not_by_what_it_held() -> None:
    live = LiveCalls(wall=lambda: 0.0)
    end(live)
    (call,) = (await ask(live))["items"]
    assert call == {
        "seq": 1,
        "time": "1970-01-01T00:00:00.000Z",
        "call_id": "call_1",
        "operation": "records.list",
        "verb": "read",
        "environment": "live",
        "company_id": 7,
        "resource": "rfis",
        "outcome": "completed",
        "status": 200,
        "code": None,
        "ms": 12.0,
        "hops": {"agent": 12.0, "lane": 2.0},
    }


async def test_names_that_are_too_long_are_cut() -> None:
    live = LiveCalls()
    end(live, "c" * 5000, "r" * 5000)
    (call,) = (await ask(live))["items"]
    assert (len(call["call_id"]), len(call["resource"])) == (100, 100)


async def test_the_newest_are_told_and_then_what_comes_after_them() -> None:
    live = LiveCalls()
    for number in range(5):
        end(live, f"call_{number}")
    first = await ask(live, limit=2)
    assert [call["call_id"] for call in first["items"]] == ["call_3", "call_4"]
    end(live, "call_5")
    second = await ask(live, after=first["next"])
    assert [call["call_id"] for call in second["items"]] == ["call_5"]
    assert (await ask(live, after=second["next"]))["items"] == []
    assert (await ask(live, limit=0))["items"] == []


async def test_memory_is_bounded_and_what_was_missed_is_counted() -> None:
    live = LiveCalls(most=3)
    for number in range(10):
        end(live, f"call_{number}")
    found = await ask(live, after=2)
    assert [call["call_id"] for call in found["items"]] == ["call_7", "call_8", "call_9"]
    assert found["lost"] == 5


async def test_one_answer_holds_so_many_and_the_next_goes_on() -> None:
    live = LiveCalls()
    for _ in range(450):
        end(live)
    sizes, after = [], 0
    while (found := await ask(live, after=after))["items"]:
        sizes.append(len(found["items"]))
        after = found["next"]
    assert sizes == [200, 200, 50]


async def test_numbers_of_another_process_begin_anew() -> None:
    live, other = LiveCalls(), LiveCalls()
    end(live)
    found = await ask(live, after=77)
    assert found["next"] == 1
    assert found["epoch"] != other.epoch


async def test_who_waits_is_told_at_once() -> None:
    live = LiveCalls()
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(ask(live, after=0, wait=60))
        await asyncio.sleep(0)
        end(live)
    assert len(waiting.result()["items"]) == 1


async def test_a_wait_has_an_end_without_news() -> None:
    async with asyncio.timeout(5):
        assert (await ask(LiveCalls(), after=0, wait=0.01))["items"] == []


async def test_few_may_wait_and_the_others_are_answered_at_once() -> None:
    live = LiveCalls()
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        waiting = [tasks.create_task(ask(live, after=0, wait=60)) for _ in range(6)]
        await asyncio.sleep(0)
        assert (await ask(live, after=0, wait=60))["items"] == []
        assert not any(task.done() for task in waiting)
        live.close()


async def test_the_end_of_the_agent_keeps_nobody_waiting() -> None:
    live = LiveCalls()
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        tasks.create_task(ask(live, after=0, wait=60))
        await asyncio.sleep(0)
        live.close()
    async with asyncio.timeout(5):
        await ask(live, after=0, wait=60)


@pytest.mark.parametrize("wrong", [{"after": "x"}, {"after": -1}, {"limit": True}, {"limit": 1.5}])
async def test_a_question_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(CloudConnectError, match="is no number"):
        await ask(LiveCalls(), **wrong)


async def test_calls_are_counted_however_few_are_remembered() -> None:
    live = LiveCalls(most=2)
    for number in range(5):
        end(live, f"call_{number}")
    assert live.meter.document()["last_minute"] == 5
