"""Where a call's time went: as its caller, its record and its failure tell it."""

import asyncio
import re

import pytest

from cloud_connect.calls import Operation
from cloud_connect.errors import Outcome
from cloud_connect.exchange import Exchange
from cloud_connect.tunnel import ResponseHead, Trailers
from cloud_connect_relay.calls.times import CallTimes, server_timing
from doubles.call_relay import CallRelay
from doubles.scripted_agent import ScriptedAgent, problem


def durations(header: str) -> dict[str, float]:
    """Read ``Server-Timing`` as a browser does."""
    found = re.findall(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+);dur=([0-9.e+]+)(?:, |$)", header)
    return {name: float(spent) for name, spent in found}


async def answer_with(exchange: Exchange, head: ResponseHead) -> None:
    await exchange.send_head(head, end_stream=True)


def answering(head: ResponseHead, **hops: float) -> ScriptedAgent:
    async def act(exchange: Exchange, _: bytes) -> None:
        await answer_with(exchange, head.model_copy(update={"hops": hops}))

    return ScriptedAgent(script={Operation.PASSTHROUGH: act, Operation.CREATE: act})


async def test_answer_says_what_each_hop_took(relay: CallRelay) -> None:
    done = ResponseHead(status=200, outcome=Outcome.COMPLETED)
    _, base = await relay.ready(answering(done, agent=40.0, limit=31.5, procore=8.0))
    answer = await relay.api.get(f"{base}/procore/rest/v1.0/me")
    told = durations(answer.headers["server-timing"])
    assert (told["agent"], told["limit"], told["procore"]) == (40, 31.5, 8)
    assert told["relay"] >= told["queue"] >= 0
    assert "tunnel" in told
    record = await relay.record(answer.headers["cloud-connect-call-id"])
    assert record.hops["limit"] == 31.5
    shown = (await relay.api.get(f"/api/calls/{record.id}")).json()
    assert shown["hops"]["procore"] == 8


async def test_failure_says_it_too_and_a_write_what_its_record_took(relay: CallRelay) -> None:
    no = problem("source_unavailable", outcome=Outcome.NOT_EXECUTED)
    _, base = await relay.ready(answering(no, agent=12.0, connect=11.0))
    answer = await relay.api.post(
        f"{base}/records/punch_items", json={"name": "a"}, headers={"Idempotency-Key": "k"}
    )
    assert answer.status_code == 502
    told = durations(answer.headers["server-timing"])
    assert (told["agent"], told["connect"]) == (12, 11)
    assert told["record"] > 0


async def test_hops_of_agents_are_neither_invented_names_nor_absurd_numbers(
    relay: CallRelay,
) -> None:
    done = ResponseHead(status=200, outcome=Outcome.COMPLETED)
    hostile = {"agent": -5.0, "procore": 1e300, 'x;dur=1, evil"\r\nSet-Cookie: a': 1.0}
    _, base = await relay.ready(answering(done, **hostile))
    answer = await relay.api.get(f"{base}/procore/rest/v1.0/me")
    told = durations(answer.headers["server-timing"])
    assert (told["agent"], told["procore"]) == (0, 86_400_000)
    assert set(told) == {"relay", "queue", "tunnel", "agent", "procore"}
    assert "set-cookie" not in answer.headers


async def test_silent_agent_is_named_when_the_deadline_strikes(relay: CallRelay) -> None:
    async def keep_silent(_: Exchange, __: bytes) -> None:
        await asyncio.Event().wait()  # until the relay cancels it

    agent = ScriptedAgent(script={Operation.PASSTHROUGH: keep_silent})
    _, base = await relay.ready(agent)
    answer = await relay.api.get(
        f"{base}/procore/rest/v1.0/me", headers={"Cloud-Connect-Deadline-Ms": "300"}
    )
    told = answer.json()
    assert (answer.status_code, told["code"]) == (504, "deadline_exceeded")
    assert re.search(r"connector 'pc' has had the call for 0\.\d s", told["detail"])
    assert durations(answer.headers["server-timing"])["agent"] >= 200


async def test_wait_for_a_connector_is_named_if_it_was_the_longest(relay: CallRelay) -> None:
    late = problem("deadline_exceeded", "The agent waited 0.1 s on Procore.", status=504)
    connector = await relay.enrol(last_seen_at=relay.clock())
    base = await relay.datasource(connector)
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(
            relay.api.get(
                f"{base}/procore/rest/v1.0/me", headers={"Cloud-Connect-Deadline-Ms": "2500"}
            )
        )
        while not relay.calls.running:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)
        await relay.connect(answering(late, agent=1.0), connector)
    answer = waiting.result()
    assert answer.status_code == 504
    assert re.search(r"it waited \d\.\d s for a connector", answer.json()["detail"])


async def test_deadline_that_an_agent_calls_early_is_kept_to_the_end(relay: CallRelay) -> None:
    late = problem("deadline_exceeded", "Late.", status=504)
    _, base = await relay.ready(answering(late, agent=1.0))
    loop = asyncio.get_running_loop()
    began = loop.time()
    answer = await relay.api.get(
        f"{base}/procore/rest/v1.0/me", headers={"Cloud-Connect-Deadline-Ms": "400"}
    )
    assert answer.status_code == 504
    assert loop.time() - began >= 0.39


async def test_numbers_are_short() -> None:
    assert server_timing({"relay": 1234.5, "queue": 0.0}) == "relay;dur=1234.5, queue;dur=0.0"


@pytest.mark.parametrize("told", [{}, {"agent": 5.0}])
async def test_times_of_a_call_that_never_left_are_all_queue(told: dict[str, float]) -> None:
    times = CallTimes(asyncio.get_running_loop().time() - 2)
    times.told(told)
    assert set(times.milliseconds()) == {"relay", "queue"}
    assert times.out() == 0


async def test_failure_at_an_answers_end_says_what_its_whole_time_went_to(
    relay: CallRelay,
) -> None:
    async def fail_late(exchange: Exchange, _: bytes) -> None:
        await exchange.send_head(ResponseHead(status=200, hops={"agent": 1.0}))
        await exchange.send_trailers(
            Trailers(
                outcome=Outcome.NOT_EXECUTED,
                problem=problem("rate_limited", status=429).problem,
                hops={"agent": 59.0, "limit": 58.0},
            )
        )

    _, base = await relay.ready(ScriptedAgent(script={Operation.QUERY: fail_late}))
    answer = await relay.api.post(
        f"{base}/query", json={"action": "select", "info": {"name": "rfis"}}
    )
    assert answer.json()["data"]["code"] == "rate_limited", answer.text
    told = durations(answer.headers["server-timing"])
    assert (told["agent"], told["limit"]) == (59, 58)
