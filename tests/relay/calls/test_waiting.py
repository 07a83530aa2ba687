"""Calls that wait while their connector reconnects."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from cloud_connect.calls import Operation, Report
from doubles.call_relay import CallRelay, call_relay
from doubles.scripted_agent import ScriptedAgent, hang


async def waiting(relay: CallRelay, count: int) -> None:
    """Wait until so many calls wait for a connector."""
    async with asyncio.timeout(10):
        while relay.calls.waiting < count:
            await asyncio.sleep(0.005)


async def test_calls_that_waited_go_on_in_order_within_a_second(relay: CallRelay) -> None:
    connector = await relay.enrol(last_seen_at=relay.clock())
    base = await relay.datasource(connector)
    agent = ScriptedAgent()
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as tasks:
        asked = []
        for number in range(20):
            asked.append(tasks.create_task(relay.api.get(f"{base}/records/rfis/{number + 1}")))
            await waiting(relay, number + 1)
        began = loop.time()
        await relay.connect(agent, connector)
        for task in asked:
            assert (await task).status_code == 200
        assert loop.time() - began < 1
    assert [one.params["record_id"] for one in agent.calls] == [str(n + 1) for n in range(20)]
    assert relay.calls.waiting == 0


async def test_more_calls_than_the_line_holds_are_refused_at_once(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    async with (
        call_relay(tmp_path, connector_wait=15, max_queued=20) as relay,
        asyncio.TaskGroup() as tasks,
    ):
        connector = await relay.enrol(last_seen_at=relay.clock())
        base = await relay.datasource(connector)
        held = [tasks.create_task(relay.api.get(f"{base}/records/rfis")) for _ in range(20)]
        await waiting(relay, 20)
        began = loop.time()
        answer = await relay.api.get(f"{base}/records/rfis")
        assert loop.time() - began < 0.5  # a machine that others use, too; alone it is 10 ms
        assert (answer.status_code, answer.json()["code"]) == (429, "quota_exceeded")
        assert answer.json()["outcome"] == "not_executed"
        assert "20 calls wait" in answer.json()["detail"]
        await relay.connect(ScriptedAgent(), connector)
        assert {(await task).status_code for task in held} == {200}


@pytest.mark.parametrize(
    ("change", "code"),
    [("pause", "connector_paused"), ("drain", "connector_draining"), ("revoke", "revoked")],
)
async def test_connector_that_turns_out_not_to_come_ends_the_wait(
    tmp_path: Path, change: str, code: str
) -> None:
    loop = asyncio.get_running_loop()
    async with call_relay(tmp_path, connector_wait=15) as relay, asyncio.TaskGroup() as tasks:
        connector = await relay.enrol(last_seen_at=relay.clock())
        base = await relay.datasource(connector)
        asked = tasks.create_task(relay.api.get(f"{base}/records/rfis"))
        await waiting(relay, 1)
        began = loop.time()
        if change == "pause":
            await relay.connect(ScriptedAgent(), connector, report=Report(paused=True))
        elif change == "drain":
            await relay.api.patch(f"/api/connectors/{connector}", json={"draining": True})
        else:
            await relay.api.delete(f"/api/connectors/{connector}")
        await asked
        assert loop.time() - began < 6
    assert asked.result().status_code == 503
    assert code in asked.result().text


async def test_wait_in_vain_says_who_did_not_come_and_how_long_it_took(relay: CallRelay) -> None:
    connector = await relay.enrol(last_seen_at=relay.clock() - 7, name="site office")
    base = await relay.datasource(connector)
    answer = await relay.api.get(f"{base}/records/rfis")
    told = re.fullmatch(
        "No connector is connected for this data source: 'site office', last heard"
        r" (\d+) s ago, did not come back within the 2\.0 s that the call waited\.",
        answer.json()["detail"],
    )
    assert told, answer.text
    assert 9 <= int(told[1]) < 20, "the 7 of before, and what this call waited"
    assert answer.json()["outcome"] == "not_executed"
    assert answer.headers["retry-after"] == "5"


async def test_moving_a_connector_to_the_group_sends_it_the_calls_that_wait(
    relay: CallRelay,
) -> None:
    await relay.enrol(last_seen_at=relay.clock(), group="site")
    base = await relay.datasource(connectorGroup="site")
    agent = ScriptedAgent()
    moved = await relay.connect(agent, group="office")
    async with asyncio.TaskGroup() as tasks:
        asked = tasks.create_task(relay.api.get(f"{base}/records/rfis"))
        await waiting(relay, 1)
        path = f"/api/connectors/{moved.live.connector_id}"
        assert (await relay.api.patch(path, json={"group": "site"})).status_code == 200
    assert asked.result().status_code == 200
    assert (await relay.api.patch(path, json={"group": "office"})).status_code == 200
    answer = await relay.api.get(f"{base}/records/rfis")
    assert answer.status_code == 503
    assert len(agent.calls) == 1


async def test_data_source_takes_chosen_connectors_and_a_group_together(relay: CallRelay) -> None:
    agents = [ScriptedAgent() for _ in range(3)]
    chosen = await relay.connect(agents[0])
    await relay.connect(agents[1], group="site")
    await relay.connect(agents[2], group="office")
    base = await relay.datasource([chosen.live.connector_id], connectorGroup="site")

    for agent in agents:
        agent.script[Operation.GET] = hang
    async with asyncio.TaskGroup() as tasks:
        held: list[asyncio.Task[Any]] = [
            tasks.create_task(relay.api.get(f"{base}/records/rfis/{number}")) for number in (1, 2)
        ]
        for agent in agents[:2]:
            await agent.arrived.wait()  # the least loaded takes the next
        assert agents[2].calls == []
        for task in held:
            task.cancel()
