import asyncio
import hashlib
from collections.abc import AsyncIterator

import httpx
import pytest

from cloud_connect.calls import Operation
from cloud_connect.errors import Outcome
from cloud_connect.exchange import Exchange
from cloud_connect.tunnel import Problem, ResetCode, ResponseHead, Trailers
from doubles.call_relay import CallRelay
from doubles.scripted_agent import ScriptedAgent, hang

MIB = 1024 * 1024


async def test_long_upload_streams_through_and_is_answered(relay: CallRelay) -> None:
    digest, size, largest = hashlib.sha256(), 0, 0

    async def sink(exchange: Exchange, _: bytes) -> None:
        nonlocal size, largest
        async for piece in exchange:
            size += len(piece)
            largest = max(largest, len(piece))
            digest.update(piece)
        head = ResponseHead(status=201, outcome=Outcome.COMPLETED)
        await agent.write(exchange, b'{"ok":1}', head=head)

    agent = ScriptedAgent(script={Operation.PASSTHROUGH: sink}, reads_body=False)
    _, base = await relay.ready(agent)
    block = bytes(range(256)) * 4096

    async def blocks() -> AsyncIterator[bytes]:
        for _ in range(24):
            yield block

    answer = await relay.api.post(f"{base}/procore/rest/v1.0/files", content=blocks())
    assert (answer.status_code, answer.json()) == (201, {"ok": 1})
    assert size == 24 * MIB
    assert digest.hexdigest() == hashlib.sha256(block * 24).hexdigest()
    record = await relay.record(answer.headers["cloud-connect-call-id"])
    assert record.state == "completed"


async def test_caller_who_hangs_up_in_the_middle_of_an_upload_ends_it(relay: CallRelay) -> None:
    agent = ScriptedAgent()
    _, base = await relay.ready(agent)

    async def blocks() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"x" * MIB
        await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await relay.api.post(f"{base}/procore/rest/v1.0/files", content=blocks())
    await relay.quiet()
    async with asyncio.timeout(5):
        while not agent.cancelled:
            await asyncio.sleep(0.01)
    record = await relay.record(agent.cancelled[0])
    assert record.outcome is Outcome.UNKNOWN
    assert agent.executed == {}


async def test_upload_that_makes_progress_outlives_its_deadline(relay: CallRelay) -> None:
    agent, base = await relay.ready()

    async def slowly() -> AsyncIterator[bytes]:
        yield b"x" * 100_000
        for _ in range(10):
            await asyncio.sleep(0.05)
            yield b"x" * 20_000

    answer = await relay.api.post(
        f"{base}/procore/rest/v1.0/files",
        content=slowly(),
        headers={"Cloud-Connect-Deadline-Ms": "300"},
    )
    assert answer.status_code == 200
    assert len(agent.calls[0].body) == 300_000


async def test_long_download_streams_through_with_back_pressure(relay: CallRelay) -> None:
    sent = 0

    async def blob(exchange: Exchange, _: bytes) -> None:
        nonlocal sent
        await exchange.send_head(ResponseHead(status=200))
        for number in range(64):
            await exchange.send(bytes([number]) * MIB)
            sent += MIB
        await exchange.end()

    _, base = await relay.ready(ScriptedAgent(script={Operation.PASSTHROUGH: blob}))
    digest = hashlib.sha256()
    async with relay.api.stream("GET", f"{base}/procore/rest/v1.0/blob") as answer:
        pieces = answer.aiter_raw()
        digest.update(await anext(pieces))
        await asyncio.sleep(0.3)
        assert sent <= 24 * MIB  # windows and socket buffers, not the whole body
        async for piece in pieces:
            digest.update(piece)
    expected = hashlib.sha256()
    for number in range(64):
        expected.update(bytes([number]) * MIB)
    assert digest.digest() == expected.digest()


async def test_download_that_breaks_off_is_not_taken_for_a_whole_one(relay: CallRelay) -> None:
    passed_on = asyncio.Event()

    async def cut(exchange: Exchange, _: bytes) -> None:
        await exchange.send_head(ResponseHead(status=200, headers=(("content-length", "10"),)))
        await exchange.send(b"12345")
        await passed_on.wait()
        exchange.reset(ResetCode.TRUNCATED)

    async def short(exchange: Exchange, _: bytes) -> None:
        await exchange.send_head(ResponseHead(status=200, headers=(("content-length", "10"),)))
        await exchange.send(b"12345", end_stream=True)

    async def told(exchange: Exchange, _: bytes) -> None:
        await exchange.send_head(ResponseHead(status=200))
        await exchange.send(b"12345")
        failure = Problem(
            code="source_unavailable", detail="x", status=502, outcome=Outcome.NOT_EXECUTED
        )
        await exchange.send_trailers(Trailers(problem=failure))

    agent, base = await relay.ready()
    for act in (cut, short, told):
        agent.script[Operation.PASSTHROUGH] = act
        async with relay.api.stream("GET", f"{base}/procore/rest/v1.0/blob") as answer:
            pieces = answer.aiter_raw()
            assert await anext(pieces) == b"12345"
            passed_on.set()
            with pytest.raises(httpx.RemoteProtocolError):
                await anext(pieces)
    await relay.quiet()
    newest = (await relay.api.get("/api/calls")).json()["items"]
    assert {call["code"] for call in newest} == {"source_unavailable"}


async def test_write_whose_answer_breaks_off_was_executed(relay: CallRelay) -> None:
    async def cut(exchange: Exchange, _: bytes) -> None:
        await exchange.send_head(ResponseHead(status=201, outcome=Outcome.COMPLETED))
        await exchange.send(b"12345")
        exchange.reset(ResetCode.TRUNCATED)

    _, base = await relay.ready(ScriptedAgent(script={Operation.PASSTHROUGH: cut}))
    with pytest.raises(httpx.RemoteProtocolError):
        await relay.api.post(f"{base}/procore/rest/v1.0/rfis", content=b"{}")
    await relay.quiet()
    (call,) = (await relay.api.get("/api/calls")).json()["items"]
    assert (call["outcome"], call["status"]) == ("completed", 201)


async def test_hang_up_before_the_head_cancels_a_read(relay: CallRelay) -> None:
    agent, base = await relay.ready(ScriptedAgent(script={Operation.PASSTHROUGH: hang}))
    with pytest.raises(httpx.ReadTimeout):
        await relay.api.get(f"{base}/procore/rest/v1.0/me", timeout=0.2)
    await relay.quiet()
    async with asyncio.timeout(2):
        while not agent.cancelled:
            await asyncio.sleep(0.005)


async def test_hang_up_leaves_a_started_write_and_its_answer_is_dropped(relay: CallRelay) -> None:
    release = asyncio.Event()

    async def slowly(exchange: Exchange, _: bytes) -> None:
        await release.wait()
        await agent.write(
            exchange, b"x" * 300_000, head=ResponseHead(status=201, outcome=Outcome.COMPLETED)
        )

    agent, base = await relay.ready(ScriptedAgent(script={Operation.PASSTHROUGH: slowly}))
    with pytest.raises(httpx.ReadTimeout):
        await relay.api.post(f"{base}/procore/rest/v1.0/rfis", content=b"{}", timeout=0.2)
    release.set()
    await relay.quiet()
    (call,) = (await relay.api.get("/api/calls")).json()["items"]
    assert (call["outcome"], call["status"]) == ("completed", 201)
    async with asyncio.timeout(2):
        while relay.connected[0].live.in_flight:
            await asyncio.sleep(0.005)
