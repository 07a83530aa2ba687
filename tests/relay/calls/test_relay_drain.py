"""Calls at a relay that stops: what runs ends, what waits and what comes is refused."""

import asyncio

import httpx
import pytest

from cloud_connect.calls import Operation
from cloud_connect.errors import Outcome
from cloud_connect.exchange import Exchange
from cloud_connect.tunnel import ResponseHead
from doubles.call_relay import CallRelay
from doubles.scripted_agent import ScriptedAgent


def is_refusal(answer: httpx.Response) -> bool:
    told = answer.json()
    assert answer.headers["retry-after"] == "2"
    assert "relay is restarting" in told["detail"]
    return (answer.status_code, told["code"], told["outcome"]) == (
        503,
        "connector_draining",
        "not_executed",
    )


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_call_that_waits_for_a_connector_is_refused_and_ends(
    relay: CallRelay, method: str
) -> None:
    connector = await relay.enrol(last_seen_at=relay.clock())
    base = await relay.datasource(connector)
    async with asyncio.TaskGroup() as tasks, asyncio.timeout(5):
        waiting = tasks.create_task(
            relay.api.request(
                method,
                f"{base}/records/punch_items",
                json={"name": "a"} if method == "POST" else None,
                headers={"Idempotency-Key": "waits"} if method == "POST" else None,
            )
        )
        while not relay.calls.running:
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.05)
        relay.calls.drain()
    assert is_refusal(waiting.result())
    async with asyncio.timeout(5):
        await relay.calls.quiet()
    record = await relay.record(waiting.result().json()["call_id"])
    assert (record.outcome, record.final) == (Outcome.NOT_EXECUTED, True)


async def test_call_that_runs_goes_on_and_the_next_one_is_refused(relay: CallRelay) -> None:
    go_on = asyncio.Event()

    async def answer_late(exchange: Exchange, _: bytes) -> None:
        await go_on.wait()
        await exchange.send_head(
            ResponseHead(status=200, outcome=Outcome.COMPLETED), end_stream=True
        )

    agent, base = await relay.ready(ScriptedAgent(script={Operation.PASSTHROUGH: answer_late}))
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(relay.api.get(f"{base}/procore/rest/v1.0/me"))
        async with asyncio.timeout(5):
            await agent.arrived.wait()
        relay.calls.drain()
        assert is_refusal(await relay.api.get(f"{base}/procore/rest/v1.0/me"))
        assert relay.calls.running == 1
        go_on.set()
    assert running.result().status_code == 200
    async with asyncio.timeout(5):
        await relay.calls.quiet()
