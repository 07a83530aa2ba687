"""Files at the relay's API: passed on as they come, attached once."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import httpx
import orjson
import pytest

from cloud_connect.calls import Operation
from cloud_connect.errors import Outcome
from cloud_connect.exchange import Exchange
from cloud_connect.tunnel import ResponseHead, Trailers
from doubles.call_relay import CallRelay
from doubles.scripted_agent import ScriptedAgent, problem
from doubles.uploading_agent import FILE, NAMED, take_in, told, uploading_agent

MIB = 1024 * 1024


@pytest.fixture
async def agent() -> ScriptedAgent:
    return uploading_agent()


@pytest.fixture
async def base(relay: CallRelay, agent: ScriptedAgent) -> str:
    return (await relay.ready(agent))[1]


async def pieces(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 50_000):
        yield body[start : start + 50_000]


# Content.


async def test_content_comes_as_procore_has_it(
    relay: CallRelay, agent: ScriptedAgent, base: str
) -> None:
    headers = (
        ("content-type", "application/pdf"),
        ("content-length", str(len(FILE))),
        ("content-disposition", 'inline; filename="plan.pdf"'),
        ("etag", '"v1"'),
        ("accept-ranges", "bytes"),
        ("location", "https://storage.procore.com/secret"),
        ("set-cookie", "a=b"),
    )

    async def serve(exchange: Exchange, _: bytes) -> None:
        await exchange.send_head(ResponseHead(status=200, headers=headers))
        await exchange.send(FILE, end_stream=True)

    agent.script[Operation.CONTENT] = serve
    answer = await relay.api.get(
        f"{base}/records/rfis/7/content?field=attachments.0.url&project_id=5001",
        headers={"Range": "bytes=0-9", "If-None-Match": '"v0"', "X-Other": "1"},
    )
    assert (answer.status_code, answer.content) == (200, FILE)
    for name, value in headers[:5]:
        assert answer.headers[name] == value
    assert "location" not in answer.headers
    assert "set-cookie" not in answer.headers
    assert answer.headers["content-security-policy"] == "sandbox"
    assert answer.headers["x-content-type-options"] == "nosniff"
    (call,) = agent.calls
    assert call.params["field"] == "attachments.0.url"
    assert call.params["scope"] == {"project_id": "5001"}
    assert dict(call.head.headers) == {"range": "bytes=0-9", "if-none-match": '"v0"'}


@pytest.mark.parametrize("status", [206, 304])
async def test_a_part_and_an_unchanged_file_are_told_as_such(
    relay: CallRelay, agent: ScriptedAgent, base: str, status: int
) -> None:
    async def serve(exchange: Exchange, _: bytes) -> None:
        head = ResponseHead(status=status, headers=(("content-range", "bytes 0-1/9"),))
        await exchange.send_head(head, end_stream=True)

    agent.script[Operation.CONTENT] = serve
    answer = await relay.api.get(f"{base}/records/images/7/content")
    assert answer.status_code == status
    assert answer.headers["content-range"] == "bytes 0-1/9"
    assert "field" not in agent.calls[0].params


async def test_content_that_breaks_off_is_not_taken_for_a_whole_file(
    relay: CallRelay, agent: ScriptedAgent, base: str
) -> None:
    async def serve(exchange: Exchange, _: bytes) -> None:
        await exchange.send_head(ResponseHead(status=200, headers=(("content-length", "10"),)))
        await exchange.send(b"12345")
        found = problem("source_unavailable", "Broke off.").problem
        await exchange.send_trailers(Trailers(outcome=Outcome.NOT_EXECUTED, problem=found))

    agent.script[Operation.CONTENT] = serve
    with pytest.raises(httpx.RemoteProtocolError):
        await relay.api.get(f"{base}/records/images/7/content")


@pytest.mark.parametrize(
    ("query", "headers", "named"),
    [
        ("field=a&field=b", {}, "field"),
        ("field=" + "a" * 300, {}, "field"),
        ("other=1", {}, "other"),
        ("", {"Range": "bytes=0-" + "1" * 2000}, "range"),
    ],
)
async def test_a_malformed_request_for_content_is_named(
    relay: CallRelay, base: str, query: str, headers: dict[str, str], named: str
) -> None:
    answer = await relay.api.get(f"{base}/records/images/7/content?{query}", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    assert named in answer.json()["detail"]


async def test_a_refusal_of_the_agent_is_a_problem(
    relay: CallRelay, agent: ScriptedAgent, base: str
) -> None:
    async def refuse(exchange: Exchange, _: bytes) -> None:
        head = problem("policy_denied", "No (rule storage-hosts).", status=403)
        await exchange.send_head(head, end_stream=True)

    agent.script[Operation.CONTENT] = refuse
    answer = await relay.api.get(f"{base}/records/images/7/content")
    assert (answer.status_code, answer.json()["code"]) == (403, "policy_denied")


async def test_attachments_are_listed(relay: CallRelay, agent: ScriptedAgent, base: str) -> None:
    async def tell(exchange: Exchange, _: bytes) -> None:
        await exchange.send_head(ResponseHead(status=200, outcome=Outcome.COMPLETED))
        await exchange.send(b'[{"id":1,"field":"attachments.0.url"}]', end_stream=True)

    agent.script[Operation.ATTACHMENTS] = tell
    answer = await relay.api.get(f"{base}/records/punch_items/7/attachments?project_id=5001")
    assert answer.json() == [{"id": 1, "field": "attachments.0.url"}]


# Uploads.


@pytest.mark.parametrize("size", [0, 1000, 200_000])
@pytest.mark.parametrize("streamed", [True, False])
async def test_an_upload_passes_at_any_size(
    relay: CallRelay, agent: ScriptedAgent, base: str, size: int, *, streamed: bool
) -> None:
    body = FILE[:size]
    answer = await relay.api.post(
        f"{base}/uploads",
        params={**NAMED, "project_id": "5001", "flow": "segmented", "tool": "estimating"},
        content=pieces(body) if streamed else body,
    )
    assert (answer.status_code, answer.json()) == (201, orjson.loads(told(body)))
    (call,) = agent.calls
    assert call.body == body
    assert {name: call.params[name] for name in ("filename", "content_type", "flow", "tool")} == {
        **NAMED,
        "flow": "segmented",
        "tool": "estimating",
    }
    assert call.params["project_id"] == 5001
    lengths = dict(call.head.headers)
    known = not streamed or size <= 64 * 1024
    assert lengths == ({"content-length": str(size)} if known else {})


async def test_an_upload_of_more_than_a_record_may_have_passes(
    relay: CallRelay, agent: ScriptedAgent, base: str
) -> None:
    size = 0

    async def count(exchange: Exchange, _: bytes) -> None:
        nonlocal size
        async for piece in exchange:
            size += len(piece)
        await take_in(exchange, b"")

    agent.reads_body = False
    agent.script[Operation.UPLOAD] = count
    block = b"x" * MIB

    async def blocks() -> AsyncIterator[bytes]:
        for _ in range(120):
            yield block

    answer = await relay.api.post(f"{base}/uploads", params=NAMED, content=blocks())
    assert answer.status_code == 201
    assert size == 120 * MIB


async def test_an_upload_that_goes_on_at_procore_outlives_its_deadline(
    relay: CallRelay, agent: ScriptedAgent, base: str
) -> None:
    async def slowly(exchange: Exchange, body: bytes) -> None:
        await exchange.send_head(ResponseHead(status=201, outcome=Outcome.COMPLETED))
        for _ in range(4):
            await exchange.send(b" ")
            await asyncio.sleep(0.15)
        await exchange.send(told(body), end_stream=True)

    agent.script[Operation.UPLOAD] = slowly
    deadline = {"Cloud-Connect-Deadline-Ms": "300"}
    answer = await relay.api.post(f"{base}/uploads", params=NAMED, content=FILE, headers=deadline)
    assert (answer.status_code, answer.json()["size"]) == (201, len(FILE))


async def test_an_upload_that_fails_late_is_a_problem_all_the_same(
    relay: CallRelay, agent: ScriptedAgent, base: str
) -> None:
    async def fail(exchange: Exchange, _: bytes) -> None:
        await exchange.send_head(ResponseHead(status=201, outcome=Outcome.COMPLETED))
        await exchange.send(b" ")
        found = problem("payload_too_large", "Too large.", status=413).problem
        await exchange.send_trailers(Trailers(outcome=Outcome.NOT_EXECUTED, problem=found))

    agent.script[Operation.UPLOAD] = fail
    answer = await relay.api.post(f"{base}/uploads", params=NAMED, content=FILE)
    assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")
    assert answer.json()["outcome"] == "not_executed"
    assert answer.json()["retry_safe"] is True


@pytest.mark.parametrize(
    ("params", "named"),
    [
        ({}, "filename"),
        ({"filename": ""}, "filename"),
        ({"filename": "a\nb"}, "filename"),
        ({**NAMED, "flow": "quick"}, "flow"),
        ({**NAMED, "content_type": "x"}, "content_type"),
        ({**NAMED, "project_id": "-1"}, "project_id"),
        ({**NAMED, "other": "1"}, "other"),
    ],
)
async def test_a_malformed_upload_is_named(
    relay: CallRelay, agent: ScriptedAgent, base: str, params: dict[str, str], named: str
) -> None:
    answer = await relay.api.post(f"{base}/uploads", params=params, content=FILE)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    assert named in answer.json()["detail"]
    assert agent.calls == []


async def test_a_parameter_may_not_come_twice(relay: CallRelay, base: str) -> None:
    answer = await relay.api.post(f"{base}/uploads?filename=a&filename=b", content=b"x")
    assert "filename" in answer.json()["detail"]


async def test_a_caller_that_hangs_up_ends_its_upload(
    relay: CallRelay, agent: ScriptedAgent, base: str
) -> None:
    async def endless() -> AsyncIterator[bytes]:
        yield FILE
        await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await relay.api.post(f"{base}/uploads", params=NAMED, content=endless())
    await relay.quiet()
    async with asyncio.timeout(5):
        while not agent.cancelled:
            await asyncio.sleep(0.01)


@pytest.mark.slow
async def test_a_file_that_stops_coming_is_no_fault_of_the_connector(
    relay: CallRelay, base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def pausing() -> AsyncIterator[bytes]:
        yield FILE
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                await asyncio.Event().wait()

    monkeypatch.setattr("cloud_connect_relay.api.request_body._STALL_SECONDS", 0.1)
    answer = await relay.api.post(f"{base}/uploads", params=NAMED, content=pausing())
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (400, "invalid_request")
    assert "stopped coming" in problem["detail"]
    assert problem["outcome"] == Outcome.NOT_EXECUTED
