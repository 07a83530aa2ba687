import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from cloud_connect.calls import Operation
from cloud_connect.exchange import Exchange
from cloud_connect.tunnel import ResponseHead
from cloud_connect_relay.api import call_response, request_body
from cloud_connect_relay.calls import answer as answers
from doubles.call_relay import CallRelay
from doubles.scripted_agent import ScriptedAgent, row_lines


@contextlib.asynccontextmanager
async def begun(
    relay: CallRelay, path: str, first: bytes, *, keyed: bool = True
) -> AsyncIterator[asyncio.StreamReader]:
    """Send the beginning of a request, and no more."""
    port = relay.services.addresses.port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = (
        f"POST {path} HTTP/1.1\r\nHost: relay\r\nAuthorization: Bearer {relay.store.api_key}\r\n"
        f"Content-Length: {len(first) + 10}\r\n{'Idempotency-Key: 1' if keyed else 'X: 1'}\r\n\r\n"
    )
    try:
        writer.write(head.encode() + first)
        await writer.drain()
        yield reader
    finally:
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("path", ["records/rfis", "query", "procore/rest/v1.0/rfis"])
async def test_body_that_stops_coming_is_given_up(
    relay: CallRelay, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(request_body, "_STALL_SECONDS", 0.2)
    agent, base = await relay.ready()
    async with begun(relay, f"{base}/{path}", b'{"a":') as reader:
        answer = await reader.readuntil(b"}")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b'"code":"invalid_request"' in answer
    assert b"stopped coming" in answer
    assert agent.calls == []


async def test_long_upload_that_stops_coming_is_ended_at_the_agent(
    relay: CallRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_body, "_STALL_SECONDS", 0.3)
    agent, base = await relay.ready()
    place = f"{base}/procore/rest/v1.0/files"
    async with begun(relay, place, b"x" * 200_000, keyed=False) as reader:
        answer = await reader.readuntil(b"}")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"stopped coming" in answer
    assert b'"outcome":"unknown"' in answer
    await relay.quiet()
    async with asyncio.timeout(5):
        while not agent.cancelled:
            await asyncio.sleep(0.01)
    assert agent.executed == {}


@pytest.mark.parametrize("path", ["records/rfis", "query", "procore/rest/v1.0/rfis"])
async def test_caller_who_hangs_up_amid_a_body_costs_nothing(
    relay: CallRelay, path: str, capfd: pytest.CaptureFixture[str]
) -> None:
    agent, base = await relay.ready()
    async with begun(relay, f"{base}/{path}", b'{"a":'):
        await asyncio.sleep(0.1)
    assert (await relay.api.get(base)).status_code == 200
    assert agent.calls == []
    assert "Traceback" not in capfd.readouterr().out


async def test_caller_who_reads_nothing_is_given_up(
    relay: CallRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call_response, "UNREAD_SECONDS", 0.3)

    async def endless(exchange: Exchange, _: bytes) -> None:
        await exchange.send_head(ResponseHead(status=200))
        while True:
            await exchange.send(row_lines(1000))

    agent, base = await relay.ready(ScriptedAgent(script={Operation.LIST: endless}))
    async with relay.api.stream("GET", f"{base}/records/rfis") as answer:
        await relay.quiet()
        record = await relay.record(answer.headers["cloud-connect-call-id"])
    assert record.detail == "The caller stopped reading the answer."
    async with asyncio.timeout(5):
        while not agent.cancelled:
            await asyncio.sleep(0.01)


async def test_agent_that_sends_nothing_more_is_given_up(
    relay: CallRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "_STALL_SECONDS", 0.2)

    async def stall(exchange: Exchange, _: bytes) -> None:
        await exchange.send_head(ResponseHead(status=200))
        await asyncio.Event().wait()

    script: dict[Operation, Any] = {Operation.GET: stall, Operation.QUERY: stall}
    _, base = await relay.ready(ScriptedAgent(script=script))
    answer = await relay.api.get(f"{base}/records/rfis/7")
    assert (answer.status_code, answer.json()["code"]) == (502, "source_unavailable")
    assert answer.json()["retry_safe"] is True
    query = {"action": "select", "info": {"name": "rfis"}}
    told = (await relay.api.post(f"{base}/query", json=query)).json()
    assert told["success"] is False
    assert "sent nothing" in told["message"]


async def test_journal_that_does_not_answer_holds_nobody_else_up(
    relay: CallRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cloud_connect.errors import Outcome
    from cloud_connect_relay.calls import journals
    from cloud_connect_relay.storage.calls import CallRecord, CallsOfAll, CallState
    from doubles.scripted_agent import Entry

    class Deaf(ScriptedAgent):
        async def __call__(self, _: Exchange) -> None:
            self.arrived.set()
            await asyncio.Event().wait()

    monkeypatch.setattr(journals, "_ASK_SECONDS", 60)
    calls = CallsOfAll(relay.store.storage)
    deaf, lively = Deaf(), ScriptedAgent()
    connectors = [await relay.enrol(), await relay.enrol()]
    for number, connector in enumerate(connectors):
        call_id = f"call_{number:016d}"
        await calls.insert(
            CallRecord(
                id=call_id,
                subscription_id=relay.store.subscription_id,
                operation="records.create",
                connector_id=connector,
                state=CallState.UNKNOWN,
                outcome=Outcome.UNKNOWN,
                started_at=relay.clock(),
            )
        )
        lively.journal[call_id] = Entry(head=ResponseHead(status=201, outcome=Outcome.COMPLETED))
    await relay.connect(deaf, connectors[0])
    await deaf.arrived.wait()
    await relay.connect(lively, connectors[1])
    async with asyncio.timeout(5):
        while await calls.unresolved(connectors[1], limit=1):
            await asyncio.sleep(0.01)
    assert await calls.unresolved(connectors[0], limit=1)
