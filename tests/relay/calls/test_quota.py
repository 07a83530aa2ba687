import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cloud_connect.calls import Operation
from doubles.call_relay import CallRelay, call_relay
from doubles.scripted_agent import ScriptedAgent, hang


@pytest.fixture
async def narrow(tmp_path: Path) -> AsyncIterator[CallRelay]:
    async with call_relay(tmp_path, max_running=3) as running:
        yield running


async def test_subscription_over_its_running_calls_is_refused_promptly(
    narrow: CallRelay,
) -> None:
    agent, base = await narrow.ready(ScriptedAgent(script={Operation.GET: hang}))
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as tasks:
        held = [tasks.create_task(narrow.api.get(f"{base}/records/rfis/{n}")) for n in range(3)]
        async with asyncio.timeout(5):
            while len(agent.calls) < 3:
                await asyncio.sleep(0.01)
        assert "cloud_connect_calls_running 3.0" in (await narrow.api.get("/metrics")).text
        for method, path in (
            ("GET", "records/rfis"),
            ("POST", "records/rfis"),
            ("POST", "query"),
            ("POST", "test"),
            ("GET", "procore/rest/v1.0/me"),
            ("POST", "procore/rest/v1.0/me"),
        ):
            began = loop.time()
            answer = await narrow.api.request(
                method,
                f"{base}/{path}",
                headers={"Idempotency-Key": "key-1"},
                json={"action": "insert"},
            )
            assert loop.time() - began < 3
            assert (answer.status_code, answer.json()["code"]) == (429, "quota_exceeded")
            assert answer.headers["retry-after"] == "1"
            assert answer.json()["outcome"] == "not_executed"
        other = await narrow.store.subscription("Other")
        headers = {
            "Authorization": f"Bearer {await narrow.store.key('all', subscription_id=other)}"
        }
        theirs = await narrow.api.get("/api/datasources", headers=headers)
        assert theirs.status_code == 200
        for task in held:
            task.cancel()
    await narrow.quiet()
    assert len(agent.calls) == 3
    assert (await narrow.api.get(f"{base}/records/rfis")).status_code == 200
    assert "cloud_connect_calls_running 0.0" in (await narrow.api.get("/metrics")).text


async def test_many_cancelled_calls_leave_nothing_behind(narrow: CallRelay) -> None:
    agent, base = await narrow.ready(
        ScriptedAgent(script={Operation.GET: hang, Operation.CREATE: hang})
    )
    for number in range(8):
        async with asyncio.TaskGroup() as tasks:
            held = tasks.create_task(narrow.api.get(f"{base}/records/rfis/{number}"))
            async with asyncio.timeout(5):
                while len(agent.calls) <= number:
                    await asyncio.sleep(0.005)
            held.cancel()
        await narrow.quiet()
    async with asyncio.timeout(5):
        while narrow.connected[0].live.in_flight:
            await asyncio.sleep(0.005)
    assert len(agent.cancelled) == 8
