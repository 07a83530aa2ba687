"""Requests that the platform sends again, under the id that they had."""

import asyncio
import json
from typing import Any

import httpx
import pytest

from cloud_connect.calls import Operation
from cloud_connect.exchange import Exchange
from cloud_connect.tunnel import ResponseHead
from doubles.call_relay import CallRelay
from doubles.kianda_bed import INSERT, SELECT, connected, executions, registered
from doubles.scripted_agent import ScriptedAgent, holding


async def test_request_that_comes_again_gets_the_first_answer(
    relay: CallRelay, http: httpx.AsyncClient
) -> None:
    agent, kianda = await connected(relay, http)
    for query in (INSERT, SELECT):
        request = kianda.request("Query", query)
        first = await kianda.post(kianda.query_url, request)
        again = await kianda.post(kianda.query_url, request)
        assert again.headers["idempotency-replayed"] == "true"
        assert kianda.opened(again, request) == kianda.opened(first, request)
        fresh = {**request, **kianda.sealed()}
        assert kianda.opened(await kianda.post(kianda.query_url, fresh), fresh) == kianda.opened(
            first, request
        )
    assert len(agent.heard) == 2


async def test_request_that_comes_again_while_it_runs_waits_for_its_answer(
    relay: CallRelay, http: httpx.AsyncClient
) -> None:
    held, release = holding(Operation.QUERY, ResponseHead(status=200))
    agent, kianda = await connected(relay, http, held)
    request = kianda.request("Query", SELECT)
    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(kianda.post(kianda.query_url, request))
        await agent.arrived.wait()
        again = tasks.create_task(kianda.post(kianda.query_url, request))
        await asyncio.sleep(0.2)
        assert not again.done()
        release.set()
    assert kianda.opened(again.result(), request) == kianda.opened(first.result(), request)
    assert len(agent.heard) == 1


async def test_repeat_does_not_take_the_key_of_the_first_attempt(
    relay: CallRelay, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both come at once, and the second is the quicker one."""
    held, release = holding(Operation.QUERY, ResponseHead(status=201))
    agent, plain = await connected(relay, http, held)
    kianda = await registered(relay, http, plain.settings, request_id_is_key=True)
    working, slow = relay.calls.sources.target, asyncio.Event()

    async def target(*where: Any, **how: Any) -> Any:
        if not slow.is_set():
            slow.set()
            await asyncio.sleep(0.4)
        return await working(*where, **how)

    monkeypatch.setattr(relay.calls.sources, "target", target)
    request = kianda.request("Query", INSERT)
    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(kianda.post(kianda.query_url, request))
        await slow.wait()
        again = tasks.create_task(kianda.post(kianda.query_url, request))
        await asyncio.sleep(0.8)
        release.set()
    told = kianda.opened(first.result(), request)
    assert told["success"] is True
    assert kianda.opened(again.result(), request) == told
    assert len(agent.heard) == 1


async def test_request_that_was_never_answered_is_not_carried_out_again(
    relay: CallRelay, http: httpx.AsyncClient
) -> None:
    agent, kianda = await connected(relay, http)
    request = kianda.request("Query", INSERT)
    await kianda.post(kianda.query_url, request)
    from sqlalchemy import update

    from cloud_connect_relay.storage.tables import custom_requests

    async with relay.store.storage.write() as connection:
        await connection.execute(update(custom_requests).values(answer=None))
    relay.clock.ahead = 400.0
    told = kianda.opened(await kianda.post(kianda.query_url, request), request)
    assert told["success"] is False
    assert told["data"]["outcome"] == "unknown"
    assert executions(agent) == 1


async def test_key_of_a_request_that_was_never_answered_tells_what_became_of_it(
    relay: CallRelay, http: httpx.AsyncClient
) -> None:
    """The relay had stopped before the answer was kept."""
    agent, plain = await connected(relay, http)
    kianda = await registered(relay, http, plain.settings, request_id_is_key=True)
    request = kianda.request("Query", INSERT)
    first = kianda.opened(await kianda.post(kianda.query_url, request), request)
    from sqlalchemy import update

    from cloud_connect_relay.storage.tables import custom_requests

    async with relay.store.storage.write() as connection:
        await connection.execute(update(custom_requests).values(answer=None))
    told = kianda.opened(await kianda.post(kianda.query_url, request), request)
    assert (first["success"], told["success"]) == (True, True)
    assert told["data"]["call_id"] == first["data"]["call_id"]
    assert executions(agent) == 1


async def test_answer_too_long_to_be_kept_is_not_asked_for_again(
    relay: CallRelay, http: httpx.AsyncClient
) -> None:
    import random

    noise = random.Random(5)

    async def much(exchange: Exchange, _: bytes) -> None:
        await exchange.send_head(ResponseHead(status=200))
        for _number in range(40):
            row = json.dumps({"text": noise.randbytes(8192).hex()}).encode()
            await exchange.send(row + b"\n")
        await exchange.send(b"", end_stream=True)

    agent, kianda = await connected(relay, http, ScriptedAgent(script={Operation.QUERY: much}))
    request = kianda.request("Query", SELECT)
    assert kianda.opened(await kianda.post(kianda.query_url, request), request)["success"] is True
    told = kianda.opened(await kianda.post(kianda.query_url, request), request)
    assert told["success"] is False
    assert "not carried out again" in told["message"]
    assert len(agent.heard) == 1


async def test_id_is_a_key_only_where_the_registration_says_so(
    relay: CallRelay, http: httpx.AsyncClient
) -> None:
    agent, kianda = await connected(relay, http)
    await kianda.query(**INSERT)
    assert "seed" not in agent.heard[-1].params
    keyed = await registered(relay, http, kianda.settings, request_id_is_key=True)
    await keyed.query(**INSERT)
    assert agent.heard[-1].params["seed"]
