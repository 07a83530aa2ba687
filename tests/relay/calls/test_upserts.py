"""Creates that make no second record: carried out again until their outcome is certain."""

import asyncio
from typing import Any

import httpx
import pytest

from cloud_connect.calls import Operation, Report, ReportedResult
from cloud_connect.errors import Outcome, TunnelClosedError
from cloud_connect.exchange import Exchange
from cloud_connect.tunnel import RequestHead, ResponseHead
from cloud_connect_relay.storage.calls import CallState
from doubles.call_relay import CallRelay
from doubles.scripted_agent import Entry, ScriptedAgent, hang, problem

KEY = {"Idempotency-Key": "key-1"}
DONE = ResponseHead(status=201, outcome=Outcome.COMPLETED)
UPSERTS = Report(upserts=("vendors",))
UNKNOWN = problem("outcome_unknown", "No answer came.", outcome=Outcome.UNKNOWN)


async def create(
    relay: CallRelay, base: str, *, seconds: float = 10, resource: str = "vendors"
) -> httpx.Response:
    return await relay.api.post(
        f"{base}/records/{resource}",
        headers={**KEY, "Cloud-Connect-Deadline-Ms": str(int(seconds * 1000))},
        json={"name": "Dent"},
    )


async def made(exchange: Exchange, _: bytes) -> None:
    await exchange.send_head(DONE)
    await exchange.send(b'{"id":7}', end_stream=True)


async def lost(exchange: Exchange, _: bytes) -> None:
    await exchange.send_head(UNKNOWN, end_stream=True)


async def test_upsert_goes_on_at_another_connector_when_its_own_is_lost(relay: CallRelay) -> None:
    first = ScriptedAgent(script={Operation.CREATE: hang})
    connected = await relay.connect(first, group="site", report=UPSERTS)
    base = await relay.datasource(connectorGroup="site")
    other = ScriptedAgent(script={Operation.CREATE: made})
    async with asyncio.TaskGroup() as tasks:
        asked = tasks.create_task(create(relay, base))
        await first.arrived.wait()
        await relay.connect(other, group="site", report=UPSERTS)
        await connected.lose()
    assert (asked.result().status_code, asked.result().json()) == (201, {"id": 7})
    (sent,), (again,) = first.calls, other.calls
    assert (sent.head.call_id, sent.params["seed"]) == (again.head.call_id, again.params["seed"])
    assert "again" not in sent.params
    assert again.params["again"] is True


async def test_create_that_is_no_upsert_stays_where_it_was_dispatched(relay: CallRelay) -> None:
    first = ScriptedAgent(script={Operation.CREATE: hang})
    connected = await relay.connect(first, group="site", report=UPSERTS)
    base = await relay.datasource(connectorGroup="site")
    other = ScriptedAgent()
    async with asyncio.TaskGroup() as tasks:
        asked = tasks.create_task(create(relay, base, seconds=1.2, resource="rfis"))
        await first.arrived.wait()
        await relay.connect(other, group="site", report=UPSERTS)
        await connected.lose()
    assert asked.result().json()["outcome"] == "unknown"
    assert other.calls == []


async def test_key_that_is_used_again_once_it_has_expired_means_another_record(
    relay: CallRelay,
) -> None:
    agent = ScriptedAgent(script={Operation.CREATE: made})
    connected = await relay.connect(agent, report=UPSERTS)
    base = await relay.datasource(connected.live.connector_id)
    assert (await create(relay, base)).status_code == 201
    relay.clock.ahead = 25 * 3600.0
    assert (await create(relay, base)).status_code == 201
    first, second = agent.calls
    assert first.head.call_id != second.head.call_id
    assert first.params["seed"] != second.params["seed"]


async def test_repeat_passes_by_a_connector_that_would_create_plainly(relay: CallRelay) -> None:
    first = ScriptedAgent(script={Operation.CREATE: hang})
    connected = await relay.connect(first, group="site", report=UPSERTS)
    base = await relay.datasource(connectorGroup="site")
    plain, other = ScriptedAgent(), ScriptedAgent(script={Operation.CREATE: made})
    async with asyncio.TaskGroup() as tasks:
        asked = tasks.create_task(create(relay, base))
        await first.arrived.wait()
        await relay.connect(plain, group="site")
        last = await relay.connect(other, group="site", report=UPSERTS)
        last.live.waiting = 100  # so that the plain one would be chosen first
        await connected.lose()
    assert asked.result().status_code == 201
    assert (len(plain.calls), len(other.calls)) == (0, 1)


@pytest.mark.parametrize("refused", [False, True])
async def test_upsert_stays_with_the_connector_that_may_have_carried_it_out(
    relay: CallRelay, *, refused: bool
) -> None:
    """Its word, which comes later, is taken: another one that did nothing of it has none."""

    async def lost_late(exchange: Exchange, body: bytes) -> None:
        await asyncio.sleep(0.05 if refused else 0.6)  # no time is left to try another one
        await lost(exchange, body)

    async def refuse(exchange: Exchange, _: bytes) -> None:
        head = problem("source_unavailable", "Not signed in.", status=503)
        await exchange.send_head(head, end_stream=True)

    first = ScriptedAgent(script={Operation.CREATE: lost_late})
    connected = await relay.connect(first, group="site", report=UPSERTS)
    base = await relay.datasource(connectorGroup="site")
    async with asyncio.TaskGroup() as tasks:
        asked = tasks.create_task(create(relay, base, seconds=1.0))
        await first.arrived.wait()
        other = ScriptedAgent(script={Operation.CREATE: refuse})
        await relay.connect(other, group="site", report=UPSERTS)
        connected.live.waiting = 100  # so that the other one would be chosen
    told = asked.result().json()
    assert (told["outcome"], bool(other.calls)) == ("unknown", refused)
    record = await relay.record(told["call_id"])
    assert record.connector_id == connected.live.connector_id
    result = ReportedResult(call_id=record.id, outcome=Outcome.COMPLETED, status=201)
    taken = await relay.calls.take_results(connected.live.connector_id, [result], since=0.0)
    assert taken == [record.id]
    assert (await relay.record(record.id)).state is CallState.COMPLETED


async def test_refusal_of_a_repeat_leaves_the_outcome_unknown(relay: CallRelay) -> None:
    asked = 0

    async def refuse_later(exchange: Exchange, body: bytes) -> None:
        nonlocal asked
        asked += 1
        if asked == 1:
            await lost(exchange, body)
        else:
            head = problem("unsupported_operation", "No upsert any more.", status=405)
            await exchange.send_head(head, end_stream=True)

    agent = ScriptedAgent(script={Operation.CREATE: refuse_later})
    connected = await relay.connect(agent, report=UPSERTS)
    base = await relay.datasource(connected.live.connector_id)
    answer = await create(relay, base)
    assert (answer.json()["code"], answer.json()["outcome"]) == ("outcome_unknown", "unknown")
    assert [one.params.get("again") for one in agent.calls] == [None, True]


async def test_repeat_that_procore_refuses_is_told_and_not_sent_again(relay: CallRelay) -> None:
    """Whether the first attempt was carried out it leaves open, as its agent says."""
    asked = 0

    async def refuse_later(exchange: Exchange, body: bytes) -> None:
        nonlocal asked
        asked += 1
        if asked == 1:
            await lost(exchange, body)
        else:
            head = problem("source_rejected", "Taken.", status=422, outcome=Outcome.UNKNOWN)
            await exchange.send_head(head, end_stream=True)

    _, base = await relay.ready(ScriptedAgent(script={Operation.CREATE: refuse_later}))
    relay.connected[0].live.report = UPSERTS
    answer = await create(relay, base)
    assert (answer.json()["outcome"], answer.json()["detail"]) == ("unknown", "Taken.")
    assert asked == 2
    found = (await relay.api.get(f"/api/calls/{answer.json()['call_id']}")).json()
    assert (found["outcome"], found["final"]) == ("unknown", False)


@pytest.mark.parametrize("told", [UNKNOWN, problem("source_unavailable", "It stopped before.")])
async def test_unknown_upsert_is_never_final_and_its_repeat_finds_out(
    relay: CallRelay, told: ResponseHead
) -> None:
    agent = ScriptedAgent(script={Operation.CREATE: lost})
    connected = await relay.connect(agent, report=UPSERTS)
    base = await relay.datasource(connected.live.connector_id)
    first = await create(relay, base, seconds=1.2)
    call_id = first.json()["call_id"]
    assert first.json()["outcome"] == "unknown"
    agent.journal[call_id] = Entry(head=told)

    async def looked_up() -> dict[str, Any]:
        found: dict[str, Any] = (await relay.api.get(f"/api/calls/{call_id}")).json()
        return found

    known = await looked_up()
    assert (known["outcome"], known["final"]) == ("unknown", False)
    assert known["detail"].endswith("it makes no second record.")
    agent.script[Operation.CREATE] = made
    repeated = await create(relay, base)
    assert (repeated.status_code, repeated.json()) == (201, {"id": 7})
    assert repeated.headers["cloud-connect-call-id"] == call_id
    assert agent.calls[-1].params["again"] is True
    known = await looked_up()
    assert (known["outcome"], known["final"], known["status"]) == ("completed", True, 201)


async def test_upsert_is_found_out_though_the_one_who_took_it_over_hung_up(
    relay: CallRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = ScriptedAgent(script={Operation.CREATE: lost})
    connected = await relay.connect(agent, report=UPSERTS)
    base = await relay.datasource(connected.live.connector_id)
    call_id = (await create(relay, base, seconds=1.2)).json()["call_id"]
    calls = relay.calls._ledger._calls
    working, taken = calls.take_over, asyncio.Event()

    async def take_over_and_stall(wanted: str, *, owner: str) -> bool:
        assert await working(wanted, owner=owner)
        taken.set()
        await asyncio.Event().wait()
        return True

    monkeypatch.setattr(calls, "take_over", take_over_and_stall)
    async with asyncio.TaskGroup() as tasks:
        impatient = tasks.create_task(create(relay, base))
        await taken.wait()
        impatient.cancel()
    await relay.quiet()
    known = (await relay.api.get(f"/api/calls/{call_id}")).json()
    assert (known["outcome"], known["final"]) == ("unknown", False), "nobody has it"
    monkeypatch.setattr(calls, "take_over", working)
    agent.script[Operation.CREATE] = made
    repeated = await create(relay, base)
    assert (repeated.status_code, repeated.json()) == (201, {"id": 7})
    assert repeated.headers["cloud-connect-call-id"] == call_id


async def test_repeat_that_finds_no_connector_tells_so_and_does_not_blame_the_relay(
    relay: CallRelay,
) -> None:
    agent = ScriptedAgent(script={Operation.CREATE: lost})
    connected = await relay.connect(agent, report=UPSERTS)
    base = await relay.datasource(connected.live.connector_id)
    await create(relay, base, seconds=1.2)
    await connected.lose()
    told = (await create(relay, base, seconds=1.2)).json()
    assert told["outcome"] == "unknown"
    assert "no connector found that out" in told["detail"]
    assert "relay stopped" not in told["detail"]


async def test_other_requests_do_not_take_an_upsert_over(relay: CallRelay) -> None:
    agent = ScriptedAgent(script={Operation.CREATE: lost})
    connected = await relay.connect(agent, report=UPSERTS)
    base = await relay.datasource(connected.live.connector_id)
    await create(relay, base, seconds=1.2)
    heard = len(agent.calls)
    other = await relay.api.post(f"{base}/records/vendors", headers=KEY, json={"name": "Other"})
    assert other.status_code == 422
    assert len(agent.calls) == heard


async def test_create_that_its_connector_carries_out_plainly_is_repeated_by_no_other(
    relay: CallRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an earlier choice would have made of it, before it got there, counts no more."""
    first = ScriptedAgent(script={Operation.CREATE: made})
    other = ScriptedAgent(script={Operation.CREATE: lost})
    connected = await relay.connect(first, group="site", report=UPSERTS)
    plain = await relay.connect(other, group="site")
    plain.live.waiting = 100  # so that the other one is chosen first
    opened = 0
    working = connected.live.session.open

    async def gone_once(head: RequestHead, *, end_stream: bool = False) -> Exchange:
        nonlocal opened
        opened += 1
        if opened == 1:
            raise TunnelClosedError("it has just ended")
        return await working(head, end_stream=end_stream)

    monkeypatch.setattr(connected.live.session, "open", gone_once)
    base = await relay.datasource(connectorGroup="site")
    told = await create(relay, base, seconds=2)
    assert (told.json()["outcome"], opened) == ("unknown", 1)
    assert (len(first.calls), len(other.calls)) == (0, 1)


async def test_late_word_of_a_journal_takes_no_upsert_from_its_repeat(relay: CallRelay) -> None:
    agent = ScriptedAgent(script={Operation.CREATE: lost})
    connected = await relay.connect(agent, report=UPSERTS)
    base = await relay.datasource(connected.live.connector_id)
    call_id = (await create(relay, base, seconds=1.2)).json()["call_id"]
    agent.journal[call_id] = Entry(head=UNKNOWN)
    stale = await relay.record(call_id)
    records = relay.calls._ledger._calls
    assert await records.take_over(call_id, owner="run_of_another_node")
    told = await relay.calls._resolution.resolve(stale)
    assert told.state is CallState.DISPATCHED
    assert (await relay.record(call_id)).state is CallState.DISPATCHED
