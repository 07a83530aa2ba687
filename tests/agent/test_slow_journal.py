"""Writes that wait for a slow disk when their caller goes or their deadline passes."""

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cloud_connect.calls import Operation
from cloud_connect.errors import Outcome
from doubles.agent_bench import Bench, bench
from doubles.waiting import until

RFIS = {"resource": "rfis"}


@pytest.fixture
async def agent(tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench(tmp_path) as made:
        yield made


def hold(agent: Bench) -> "tuple[threading.Event, asyncio.Task[bool]]":
    """Keep the journal's disk busy until the event is set."""
    slow = threading.Event()
    return slow, asyncio.create_task(agent.journal._run(lambda _: slow.wait(10)))


@pytest.mark.parametrize("hangs_up", [True, False], ids=["hang-up", "deadline"])
async def test_caller_who_goes_while_the_journal_writes_leaves_a_call_that_has_ended(
    agent: Bench,
    hangs_up: bool,  # noqa: FBT001 - parameter of the table
) -> None:
    slow, blocked = hold(agent)
    deadline_ms = 10_000 if hangs_up else 200
    exchange = await agent.start(
        Operation.CREATE, RFIS, b"{}", call_id="one", deadline_ms=deadline_ms
    )
    await until(lambda: agent.dispatcher._writes.running == 1)
    if hangs_up:
        await agent.hang_up(exchange)
    else:
        answer = await agent.finish(exchange)
        assert answer.head.outcome is Outcome.NOT_EXECUTED
        assert "on its own disk (journal)" in answer.problem.detail
    slow.set()
    await blocked
    await agent.dispatcher.idle()
    assert agent.procore.api.seen == []
    told = await agent.call(Operation.JOURNAL, {"call_id": "one"})
    assert told.head.outcome is Outcome.NOT_EXECUTED
    assert await agent.journal.untold() == 1


async def test_deadline_of_a_repeat_leaves_the_first_one_in_doubt(agent: Bench) -> None:
    agent.executor.upserted = {"rfis"}
    slow, blocked = hold(agent)
    again = {**RFIS, "seed": "0123456789abcdef", "again": True}
    answer = await agent.call(Operation.CREATE, again, b"{}", call_id="one", deadline_ms=50)
    slow.set()
    await blocked
    assert answer.problem.code == "deadline_exceeded"
    assert answer.head.outcome is Outcome.UNKNOWN
