"""Writes that come without a key: refused by default, at most once where a tenant allows them."""

import asyncio
from pathlib import Path
from typing import Any

import httpx

from cloud_connect.calls import Operation
from cloud_connect.errors import Outcome
from cloud_connect.exchange import Exchange
from cloud_connect.tunnel import ResetCode, ResponseHead
from cloud_connect_relay.storage.subscriptions import Subscriptions
from doubles.call_relay import CallRelay, call_relay
from doubles.scripted_agent import Entry, ScriptedAgent, holding, problem

DONE = ResponseHead(status=200, outcome=Outcome.COMPLETED)
INSERT = {"action": "insert", "info": {"name": "rfis"}, "mappings": {"subject": "New"}}


async def allow(relay: CallRelay, *, allowed: bool = True) -> None:
    await Subscriptions(relay.store.storage).allow_keyless_writes(
        relay.store.subscription_id, allowed=allowed, actor="test", at=relay.clock()
    )


async def test_record_without_a_key_is_refused_until_the_tenant_allows_it(
    relay: CallRelay,
) -> None:
    agent, base = await relay.ready()
    refused = await relay.api.post(f"{base}/records/rfis", json={"name": "x"})
    assert (refused.status_code, refused.json()["code"]) == (400, "idempotency_key_required")
    assert agent.executed == {}
    await allow(relay)
    answers = [
        await relay.api.post(f"{base}/records/rfis", json={"name": "x"}),
        await relay.api.post(f"{base}/records/rfis", json={"name": "x"}),
        await relay.api.patch(f"{base}/records/rfis/7", json={"name": "x"}),
        await relay.api.delete(f"{base}/records/rfis/7"),
    ]
    assert [answer.status_code for answer in answers] == [201, 201, 200, 200]
    assert list(agent.executed.values()) == [1, 1, 1, 1]
    assert "seed" not in agent.calls[0].params
    await allow(relay, allowed=False)
    assert (await relay.api.delete(f"{base}/records/rfis/7")).status_code == 400


async def test_unknown_outcome_of_a_keyless_write_names_its_risk(relay: CallRelay) -> None:
    async def vanish(exchange: Exchange, _: bytes) -> None:
        agent.journal[exchange.request.call_id] = Entry(head=None)
        agent.execute(exchange.request.call_id)
        exchange.reset(ResetCode.INTERNAL)

    agent, base = await relay.ready(ScriptedAgent(script={Operation.CREATE: vanish}))
    await allow(relay)
    answer = await relay.api.post(
        f"{base}/records/rfis",
        json={"name": "x"},
        headers={"Cloud-Connect-Deadline-Ms": "900"},
    )
    told = answer.json()
    assert (answer.status_code, told["outcome"], told["retry_safe"]) == (502, "unknown", False)
    assert answer.headers["should-retry"] == "false"
    assert "a repeat would be another call, at your own risk" in told["detail"]
    assert list(agent.executed.values()) == [1]


async def insert(relay: CallRelay, base: str, body: Any = INSERT) -> httpx.Response:
    return await relay.api.post(f"{base}/query", json=body)


async def test_same_inserts_of_the_platform_at_once_are_one(relay: CallRelay) -> None:
    agent, release = holding(Operation.QUERY, DONE, b'{"id":7}\n')
    _, base = await relay.ready(agent)
    async with asyncio.TaskGroup() as tasks:
        same = [tasks.create_task(insert(relay, base)) for _ in range(20)]
        other = tasks.create_task(insert(relay, base, {**INSERT, "mappings": {"subject": "O"}}))
        async with asyncio.timeout(10):
            while len(agent.calls) < 2:
                await asyncio.sleep(0.01)
        release.set()
    answers = [task.result() for task in same]
    assert {answer.content for answer in answers} == {b'{"success":true,"items":[{"id":7}]}'}
    assert len({answer.headers["cloud-connect-call-id"] for answer in answers}) == 1
    assert other.result().json()["success"] is True
    assert list(agent.executed.values()) == [1, 1]
    again = await insert(relay, base)  # a moment later
    assert again.headers["cloud-connect-call-id"] == answers[0].headers["cloud-connect-call-id"]
    assert len(agent.executed) == 2


async def test_same_insert_of_another_credential_or_data_source_is_another_one(
    relay: CallRelay,
) -> None:
    agent, base = await relay.ready()
    elsewhere = await relay.datasource(relay.connected[0].live.connector_id)
    other = {"Authorization": f"Bearer {await relay.store.key('all')}"}
    await insert(relay, base)
    await insert(relay, elsewhere)
    await relay.api.post(f"{base}/query", json=INSERT, headers=other)
    assert len(agent.executed) == 3


async def test_insert_that_had_no_effect_is_tried_again_at_once(relay: CallRelay) -> None:
    async def refuse(exchange: Exchange, _: bytes) -> None:
        await exchange.send_head(problem("rate_limited", "Later.", status=429), end_stream=True)

    agent, base = await relay.ready(ScriptedAgent(script={Operation.QUERY: refuse}))
    assert (await insert(relay, base)).json()["success"] is False
    agent.script.clear()
    assert (await insert(relay, base)).json()["success"] is True


async def test_insert_whose_caller_hangs_up_goes_on_for_the_others(relay: CallRelay) -> None:
    agent, release = holding(Operation.QUERY, DONE, b'{"id":7}\n')
    _, base = await relay.ready(agent)
    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(insert(relay, base))
        await agent.arrived.wait()
        second = tasks.create_task(insert(relay, base))
        async with asyncio.timeout(10):
            while max(one.waiting for one in relay.calls._coalescing._shared.values()) < 2:
                await asyncio.sleep(0.01)
        first.cancel()
        release.set()
    assert second.result().json()["success"] is True
    assert list(agent.executed.values()) == [1]


async def hung_up(relay: CallRelay, base: str, agent: ScriptedAgent) -> None:
    """Send an insert and hang up once its agent has it."""
    async with asyncio.TaskGroup() as tasks:
        impatient = tasks.create_task(insert(relay, base))
        await agent.arrived.wait()
        impatient.cancel()
    async with asyncio.timeout(10):
        while any(one.waiting for one in relay.calls._coalescing._shared.values()):
            await asyncio.sleep(0.01)


async def test_insert_that_comes_again_after_a_hang_up_is_the_one_under_way(
    relay: CallRelay,
) -> None:
    agent, release = holding(Operation.QUERY, DONE, b'{"id":7}\n')
    _, base = await relay.ready(agent)
    await hung_up(relay, base, agent)
    async with asyncio.TaskGroup() as tasks:
        again = tasks.create_task(insert(relay, base))
        async with asyncio.timeout(10):
            while not any(one.waiting for one in relay.calls._coalescing._shared.values()):
                await asyncio.sleep(0.01)
        release.set()
    assert again.result().json()["success"] is True
    assert list(agent.executed.values()) == [1]
    await relay.quiet()


async def test_insert_that_comes_again_after_its_deadline_is_the_one_under_way(
    tmp_path: Path,
) -> None:
    agent, release = holding(Operation.QUERY, DONE, b'{"id":7}\n')
    async with call_relay(tmp_path, insert_window=0) as relay:
        _, base = await relay.ready(agent)
        headers = {"Cloud-Connect-Deadline-Ms": "300"}
        for _ in range(2):
            late = await relay.api.post(f"{base}/query", json=INSERT, headers=headers)
            assert late.json()["data"]["outcome"] == "unknown"
        release.set()
        await relay.quiet()
        assert list(agent.executed.values()) == [1]
        assert (await insert(relay, base)).json()["success"] is True
        assert list(agent.executed.values()) == [1, 1]


async def test_caller_with_less_time_does_not_wait_as_long_as_the_first(
    relay: CallRelay,
) -> None:
    agent, release = holding(Operation.QUERY, DONE, b'{"id":7}\n')
    _, base = await relay.ready(agent)
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        first = tasks.create_task(insert(relay, base))
        await agent.arrived.wait()
        headers = {"Cloud-Connect-Deadline-Ms": "300"}
        late = await relay.api.post(f"{base}/query", json=INSERT, headers=headers)
        release.set()
    told = late.json()["data"]
    assert (told["code"], told["outcome"]) == ("deadline_exceeded", "unknown")
    assert told["call_id"] == first.result().headers["cloud-connect-call-id"]
    assert list(agent.executed.values()) == [1]
