import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from cloud_connect.calls import MAX_RESULTS, Operation, ReportedResults, ResultsAnswer
from cloud_connect.errors import (
    JournalUnavailableError,
    Outcome,
    QuotaExceededError,
    TunnelClosedError,
)
from cloud_connect.exchange import Exchange
from cloud_connect.session import Handler, Role, Session
from cloud_connect.tunnel import Problem, ResponseHead
from cloud_connect.tunnel.heads import encode_head
from cloud_connect_agent import outbox
from cloud_connect_agent.journal import Journal
from cloud_connect_agent.outbox import Outbox
from doubles.memory_link import link_pair
from doubles.waiting import until


class Relay:
    """Takes results as it is told to."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.results: dict[str, Any] = {}
        self.later: set[str] = set()
        self.statuses: list[int] = []
        self.sizes: list[int] = []

    async def __call__(self, exchange: Exchange) -> None:
        assert exchange.request.operation == Operation.RESULTS
        body = b"".join([chunk async for chunk in exchange])
        self.sizes.append(len(body))
        results = ReportedResults.model_validate_json(body).results
        self.told += [result.call_id for result in results]
        self.results |= {result.call_id: result for result in results}
        status = self.statuses.pop(0) if self.statuses else 200
        await exchange.send_head(ResponseHead(status=status))
        taken = tuple(result.call_id for result in results if result.call_id not in self.later)
        answer = ResultsAnswer(
            acknowledged=(*taken, "call-of-nobody")[:MAX_RESULTS]
        ).model_dump_json()
        await exchange.send(answer.encode(), end_stream=True)


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "_RETRY_SECONDS", 0.01)
    monkeypatch.setattr(outbox, "_GATHER_SECONDS", 0.0)


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    async with Journal.open(tmp_path / "journal.sqlite3") as opened:
        yield opened


async def finish(journal: Journal, call_id: str, **more: Any) -> None:
    await journal.receive(call_id, operation="o", fingerprint="f")
    await journal.intend(call_id)
    head = encode_head(ResponseHead(status=201, outcome=Outcome.COMPLETED))
    facts = {"outcome": Outcome.COMPLETED, "status": 201, "head": head, "body": b"{}", **more}
    await journal.finish(call_id, **facts)


@asynccontextmanager
async def telling(journal: Journal, relay: Handler) -> AsyncIterator[Session]:
    """Run an outbox over a session with *relay*; yields the agent's end."""
    near, far = link_pair()
    session = Session(near, role=Role.AGENT)

    async def tell() -> None:
        with suppress(TunnelClosedError):
            await Outbox(journal).run(session)

    async with asyncio.TaskGroup() as tasks:
        running = [
            tasks.create_task(session.run()),
            tasks.create_task(Session(far, role=Role.RELAY, handler=relay).run()),
            tasks.create_task(tell()),
        ]
        yield session
        for task in running:
            task.cancel()


async def clear(journal: Journal) -> None:
    """Wait until everything is acknowledged."""
    async with asyncio.timeout(10):
        while await journal.untold():
            await asyncio.sleep(0.01)


async def test_what_ended_before_the_session_is_told_first_and_once(journal: Journal) -> None:
    relay = Relay()
    calls = [f"call-{number:03}" for number in range(2 * MAX_RESULTS + 1)]
    for call_id in calls:
        await finish(journal, call_id)
    async with telling(journal, relay):
        await clear(journal)
        await finish(journal, "call-later")
        await clear(journal)
    assert relay.told == [*calls, "call-later"]
    async with telling(journal, relay):
        await finish(journal, "call-of-another-session")
        await clear(journal)
    assert relay.told[-2:] == ["call-later", "call-of-another-session"]


async def test_a_result_that_is_not_taken_comes_again(journal: Journal) -> None:
    relay = Relay()
    relay.later = {"call-1"}
    for number in (1, 2):
        await finish(journal, f"call-{number}")
    async with telling(journal, relay):
        await until(lambda: relay.told.count("call-1") > 2)
        assert await journal.untold() == 1
        assert relay.told.count("call-2") == 1
        relay.later = set()
        await clear(journal)


async def test_a_relay_whose_store_is_away_is_told_again(journal: Journal) -> None:
    relay = Relay()
    relay.statuses = [503, 503]
    await finish(journal, "call-1")
    async with telling(journal, relay):
        await clear(journal)
    assert relay.told == ["call-1"] * 3


async def test_an_older_relay_is_left_alone(journal: Journal) -> None:
    relay = Relay()
    relay.statuses = [405]
    await finish(journal, "call-1")
    near, far = link_pair()
    session = Session(near, role=Role.AGENT)
    async with asyncio.TaskGroup() as tasks:
        running = [
            tasks.create_task(session.run()),
            tasks.create_task(Session(far, role=Role.RELAY, handler=relay).run()),
        ]
        async with asyncio.timeout(5):
            await Outbox(journal).run(session)
        for task in running:
            task.cancel()
    assert await journal.untold() == 1


async def test_failures_and_crashes_are_told_as_they_are(tmp_path: Path) -> None:
    problem = Problem(
        code="source_rejected", detail="No. " * 300, outcome=Outcome.COMPLETED, status=422
    )
    async with Journal.open(tmp_path / "journal.sqlite3") as journal:
        head = encode_head(ResponseHead(status=422, outcome=Outcome.COMPLETED, problem=problem))
        await finish(journal, "refused", status=422, head=head)
        await journal.receive("received", operation="o", fingerprint="f")
        await journal.receive("intended", operation="o", fingerprint="f")
        await journal.intend("intended")
    relay = Relay()
    async with Journal.open(tmp_path / "journal.sqlite3") as journal:
        async with telling(journal, relay):
            await clear(journal)
        kept = await journal.find("refused")
    assert kept is not None
    assert kept.acknowledged
    refused = relay.results["refused"]
    assert (refused.outcome, refused.status, refused.code) == ("completed", 422, "source_rejected")
    assert len(refused.detail) == 500
    assert relay.results["received"].outcome is Outcome.NOT_EXECUTED
    assert relay.results["intended"].outcome is Outcome.UNKNOWN
    assert "stopped" in relay.results["intended"].detail


async def test_a_status_that_nobody_knows_holds_up_no_other_result(journal: Journal) -> None:
    relay = Relay()
    head = encode_head(ResponseHead(status=999, outcome=Outcome.UNKNOWN))
    await finish(journal, "odd", outcome=Outcome.UNKNOWN, status=999, head=head)
    await finish(journal, "good")
    async with telling(journal, relay):
        await clear(journal)
    assert relay.results["odd"].status == 999
    assert relay.results["good"].status == 201


async def test_a_relay_that_does_not_answer_costs_no_stream(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "_DEADLINE_SECONDS", 0.05)
    asked: list[int] = []

    async def silent(exchange: Exchange) -> None:
        asked.append(exchange.stream_id)
        await asyncio.Event().wait()

    await finish(journal, "call-1")
    async with telling(journal, silent) as session:
        await until(lambda: len(asked) >= 3)
        assert session.in_flight <= 2


async def test_a_session_without_room_is_tried_again(journal: Journal) -> None:
    class Full:
        def __init__(self) -> None:
            self.asked = 0

        async def open(self, _: object) -> Exchange:
            self.asked += 1
            if self.asked < 3:
                raise QuotaExceededError("full")
            raise TunnelClosedError("over")

    session: Any = Full()
    await finish(journal, "call-1")
    with pytest.raises(TunnelClosedError):
        await Outbox(journal).run(session)
    assert session.asked == 3


async def test_a_journal_that_stays_shut_is_logged_once() -> None:
    class Shut:
        def __init__(self) -> None:
            self.asked = 0

        async def to_tell(self, **_: object) -> list[Any]:
            self.asked += 1
            if self.asked > 3:
                raise TunnelClosedError("over")
            raise JournalUnavailableError("damaged")

    journal: Any = Shut()
    session: Any = None
    with capture_logs() as logs, pytest.raises(TunnelClosedError):
        await Outbox(journal).run(session)
    assert [entry["reason"] for entry in logs] == ["damaged"]


async def test_long_results_come_in_as_many_batches_as_they_need(journal: Journal) -> None:
    """Fifty of them in Chinese would be more than a relay reads at once."""
    relay = Relay()
    said = Problem(
        code="source_rejected", detail="\u7f3a" * 2000, status=422, outcome=Outcome.COMPLETED
    )
    head = ResponseHead(status=422, outcome=Outcome.COMPLETED, problem=said)
    for number in range(MAX_RESULTS):
        await finish(journal, f"call-{number}", status=422, head=encode_head(head))
    async with telling(journal, relay):
        await until(lambda: len(relay.results) == MAX_RESULTS)
    assert len(relay.told) == MAX_RESULTS, "each of them once"
    assert max(relay.sizes) <= 64 * 1024
    assert len(relay.sizes) == 2
