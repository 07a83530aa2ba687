"""Raw calls through the tunnel: as they are, both ways."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cloud_connect.calls import Operation
from cloud_connect.errors import Outcome
from cloud_connect.tunnel import ResetCode
from doubles.agent_bench import Bench, bench
from doubles.fake_procore import Reply, Seen
from doubles.waiting import until


@pytest.fixture
async def agent(tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench(tmp_path) as made:
        yield made


JSON = (("Content-Type", "application/json"),)


async def test_a_read_comes_back_as_procore_sent_it(agent: Bench) -> None:
    headers = {
        "X-Rate-Limit-Remaining": "24",
        "Link": '<https://x/rest/v1.0/rfis?page=2>; rel="next"',
        "Content-Type": "application/vnd.api+json",
        "Set-Cookie": "a=b",
    }
    agent.procore.api.then(Reply(status=203, body=b'{"raw":  1}', headers=headers))
    answer = await agent.raw("GET", "rest/v1.0/rfis?filters[a][]=1&filters[a][]=2")
    assert (answer.head.status, answer.body) == (203, b'{"raw":  1}')
    assert dict(answer.head.headers) == {
        "x-rate-limit-remaining": "24",
        "link": '<https://x/rest/v1.0/rfis?page=2>; rel="next"',
        "content-type": "application/vnd.api+json",
        "content-length": "11",
    }
    seen = agent.procore.api.seen[0]
    assert seen.target == "/rest/v1.0/rfis?filters[a][]=1&filters[a][]=2"
    assert seen.headers["accept-encoding"] == "identity"
    assert seen.headers["procore-company-id"] == "8089"
    assert seen.headers["authorization"] == "Bearer token-1"


async def test_packed_bytes_stay_packed_for_who_asked(agent: Bench) -> None:
    agent.procore.api.then(Reply(body=b"\x1f\x8bpacked", headers={"content-encoding": "gzip"}))
    answer = await agent.raw("GET", "rest/v1.0/me", headers=(("accept-encoding", "gzip"),))
    assert answer.body == b"\x1f\x8bpacked"
    assert ("content-encoding", "gzip") in answer.head.headers


async def test_a_head_has_no_body(agent: Bench) -> None:
    agent.procore.api.then(Reply(body=b"12345"))
    answer = await agent.raw("HEAD", "rest/v1.0/me")
    assert answer.body == b""
    assert ("content-length", "5") in answer.head.headers


@pytest.mark.parametrize("status", [401, 403, 404, 422, 302])
async def test_a_refusal_is_an_answer_too(agent: Bench, status: int) -> None:
    agent.procore.api.default = lambda _: Reply(status=status, body={"errors": ["no"]})
    answer = await agent.raw("GET", "rest/v1.0/me")
    assert (answer.head.status, answer.json) == (status, {"errors": ["no"]})
    assert answer.problem is None


async def test_a_throttled_read_is_told_with_its_header(agent: Bench) -> None:
    agent.procore.api.then(Reply(status=429, body=b"Later", headers={"retry-after": "60"}))
    answer = await agent.raw("GET", "rest/v1.0/me", deadline_ms=2000)
    assert (answer.head.status, answer.body) == (429, b"Later")
    assert ("retry-after", "60") in answer.head.headers
    assert answer.head.outcome is Outcome.NOT_EXECUTED


async def test_an_answer_without_an_end_is_no_success(agent: Bench) -> None:
    agent.procore.api.then(Reply(body=b"x" * 200_000, cut=150_000))
    answer = await agent.raw("GET", "rest/v1.0/me")
    assert answer.head.status == 200
    assert len(answer.body) == 150_000
    assert answer.trailers is not None
    assert answer.trailers.problem is not None
    assert answer.trailers.problem.code == "source_unavailable"


async def test_a_cut_chunked_answer_is_no_success(agent: Bench) -> None:
    raw = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n"
    agent.procore.api.then(Reply(raw=raw))
    answer = await agent.raw("GET", "rest/v1.0/me")
    assert answer.body == b"hello"
    assert answer.trailers is not None
    assert answer.trailers.problem is not None


async def test_a_chunked_answer_streams(agent: Bench) -> None:
    agent.procore.api.then(Reply(chunks=[b"a" * 70_000, b"b", b"c" * 300_000]))
    answer = await agent.raw("GET", "rest/v1.0/me")
    assert answer.body == b"a" * 70_000 + b"b" + b"c" * 300_000
    assert answer.trailers is None


@pytest.mark.slow
async def test_a_large_answer_closed_at_once_is_complete_every_time(agent: Bench) -> None:
    body = bytes(range(256)) * 8192
    digest = hashlib.sha256(body).hexdigest()
    head = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body)
    for _ in range(20):
        agent.procore.api.then(Reply(raw=head + body))
        answer = await agent.raw("GET", "rest/v1.0/folders")
        assert hashlib.sha256(answer.body).hexdigest() == digest
        assert answer.trailers is None


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_a_write_goes_through_once_and_is_journaled(agent: Bench, method: str) -> None:
    agent.procore.api.then(Reply(status=201, body={"id": 9}))
    for turn in range(2):
        answer = await agent.raw(
            method, "rest/v1.0/rfis", b'{"rfi":{}}', call_id="one", headers=JSON
        )
        assert (answer.head.status, answer.json) == (201, {"id": 9})
        assert answer.head.replayed is bool(turn)
    (seen,) = agent.procore.api.seen
    assert (seen.method, seen.body) == (method, b'{"rfi":{}}')
    assert seen.headers["content-type"] == "application/json"
    assert seen.headers["content-length"] == "10"
    assert seen.headers["connection"] == "close"


async def test_a_write_without_a_body_has_none(agent: Bench) -> None:
    await agent.raw("POST", "rest/v1.0/rfis/1/close")
    assert agent.procore.api.seen[0].headers["content-length"] == "0"


async def test_another_body_under_the_same_id_is_a_mismatch(agent: Bench) -> None:
    await agent.raw("POST", "rest/v1.0/rfis", b"{}", call_id="one")
    answer = await agent.raw("POST", "rest/v1.0/rfis", b"[]", call_id="one")
    assert answer.problem.code == "idempotency_mismatch"


async def test_a_rejected_token_is_renewed_and_the_write_repeated(agent: Bench) -> None:
    agent.procore.api.then(Reply(status=401, body=b"expired"), Reply(status=201, body={"id": 1}))
    answer = await agent.raw("POST", "rest/v1.0/rfis", b"{}")
    assert answer.head.status == 201
    assert [seen.headers["authorization"] for seen in agent.procore.api.seen] == [
        "Bearer token-1",
        "Bearer token-2",
    ]


async def test_a_lost_answer_to_a_write_is_unknown(agent: Bench) -> None:
    agent.procore.api.then(Reply(drop=True))
    answer = await agent.raw("POST", "rest/v1.0/rfis", b"{}", call_id="one")
    assert answer.problem.code == "outcome_unknown"
    agent.procore.api.then(Reply(status=201, body=b"x" * 100, cut=50))
    answer = await agent.raw("POST", "rest/v1.0/rfis", b"{}", call_id="two")
    assert answer.problem.code == "outcome_unknown"
    assert len(agent.procore.api.seen) == 2


async def test_a_broken_write_is_unknown_and_its_answer_goes_through(agent: Bench) -> None:
    agent.procore.api.then(Reply(status=500, body=b"oops"))
    answer = await agent.raw("POST", "rest/v1.0/rfis", b"{}")
    assert (answer.head.status, answer.body) == (500, b"oops")
    assert answer.head.outcome is Outcome.UNKNOWN


async def test_a_long_answer_to_a_write_streams_and_is_not_kept(agent: Bench) -> None:
    body = b"y" * 1_000_000
    agent.procore.api.then(Reply(status=201, body=body))
    answer = await agent.raw("POST", "rest/v1.0/rfis", b"{}", call_id="one")
    assert (answer.head.status, answer.body) == (201, body)
    again = await agent.raw("POST", "rest/v1.0/rfis", b"{}", call_id="one")
    assert again.problem.code == "not_found"
    assert again.problem.outcome is Outcome.COMPLETED
    assert not again.head.replayed


async def test_a_long_answer_to_a_write_that_breaks_off_says_so(agent: Bench) -> None:
    agent.procore.api.then(Reply(status=201, body=b"y" * 1_000_000, cut=900_000))
    answer = await agent.raw("POST", "rest/v1.0/rfis", b"{}", call_id="one")
    assert answer.trailers is not None
    assert answer.trailers.problem is not None


async def test_who_leaves_during_a_long_answer_to_a_write_harms_nothing(agent: Bench) -> None:
    agent.procore.api.then(Reply(status=201, body=b"y" * 20_000_000))
    params = {"method": "POST", "target": "rest/v1.0/rfis"}
    exchange = await agent.start(Operation.PASSTHROUGH, params, b"{}", call_id="one")
    assert (await exchange.receive_head()).status == 201
    exchange.reset(ResetCode.CANCEL)
    await agent.dispatcher.idle()
    entry = await agent.journal.find("one")
    assert entry is not None
    assert (entry.outcome, entry.status, entry.body) == (Outcome.COMPLETED, 201, None)


@pytest.mark.parametrize("with_length", [True, False], ids=["length", "chunked"])
async def test_a_long_body_streams_up(
    agent: Bench,
    with_length: bool,  # noqa: FBT001 - parameter of the table
) -> None:
    body = bytes(range(256)) * 4096
    headers = (("content-length", str(len(body))),) if with_length else ()
    answer = await agent.raw("POST", "rest/v1.0/files", body, headers=headers)
    assert answer.head.status == 200
    (seen,) = agent.procore.api.seen
    assert seen.body == body
    assert ("transfer-encoding" in seen.headers) is not with_length
    assert seen.headers.get("content-length") == (str(len(body)) if with_length else None)


async def test_a_long_body_goes_on_while_it_comes(agent: Bench) -> None:
    """The upload takes longer than the deadline, the answer comes at once after it."""
    params = {"method": "POST", "target": "rest/v1.0/files"}
    exchange = await agent.start(
        Operation.PASSTHROUGH, params, b"x" * 70_000, end=False, deadline_ms=300
    )
    for _ in range(6):
        await asyncio.sleep(0.1)
        await exchange.send(b"y" * 1000)
    await exchange.end()
    answer = await agent.finish(exchange)
    assert answer.head.status == 200
    assert len(agent.procore.api.seen[0].body) == 76_000


async def test_a_broken_upload_is_unknown_and_never_complete(agent: Bench) -> None:
    params = {"method": "POST", "target": "rest/v1.0/files"}
    exchange = await agent.start(
        Operation.PASSTHROUGH, params, b"x" * 70_000, end=False, call_id="one"
    )
    await until(lambda: agent.procore.api.open == 1)
    exchange.reset(ResetCode.CANCEL)
    await agent.dispatcher.idle()
    assert not agent.procore.api.seen
    entry = await agent.journal.find("one")
    assert entry is not None
    assert entry.outcome is Outcome.UNKNOWN


@pytest.mark.parametrize("length", ["5", "x", "-1"])
async def test_a_body_is_as_long_as_it_says(agent: Bench, length: str) -> None:
    answer = await agent.raw(
        "POST", "rest/v1.0/files", b"{}", headers=(("content-length", length),)
    )
    assert answer.problem.code == "invalid_request"
    assert not agent.procore.api.seen


@pytest.mark.parametrize("length", [80_000, 100_000])
async def test_a_long_body_is_as_long_as_it_says(agent: Bench, length: int) -> None:
    answer = await agent.raw(
        "POST", "rest/v1.0/files", b"x" * 90_000, headers=(("content-length", str(length)),)
    )
    assert answer.problem.code == "invalid_request"
    assert answer.head.outcome is Outcome.UNKNOWN
    assert not agent.procore.api.seen


async def test_a_body_that_stalls_is_given_up(
    agent: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloud_connect_agent.procore.pacing._STALL", 0.1)
    params = {"method": "POST", "target": "rest/v1.0/files"}
    exchange = await agent.start(Operation.PASSTHROUGH, params, b"x" * 70_000, end=False)
    answer = await agent.finish(exchange)
    assert answer.problem.code == "deadline_exceeded"
    assert answer.head.outcome is Outcome.UNKNOWN


async def test_replay_only_sends_nothing(agent: Bench) -> None:
    params = {"method": "POST", "target": "rest/v1.0/rfis", "replay_only": True}
    answer = await agent.call(Operation.PASSTHROUGH, params, b"{}", call_id="one")
    assert answer.problem.code == "not_found"
    assert not agent.procore.api.seen


async def test_a_reader_that_stalls_holds_procore_back(agent: Bench) -> None:
    """An endless answer is read only as fast as the caller takes it."""
    sent = 0

    async def endless(_: Seen) -> Reply:
        await asyncio.sleep(0)
        return Reply(body=b"z" * 60_000_000)

    agent.procore.api.then(endless)
    params = {"method": "GET", "target": "rest/v1.0/files"}
    exchange = await agent.start(Operation.PASSTHROUGH, params)
    await exchange.receive_head()
    for _ in range(4):
        sent += len(await exchange.receive())
    assert (await agent.call(Operation.GET, {"resource": "rfis"})).head.status == 200
    exchange.reset(ResetCode.CANCEL)
    await until(lambda: agent.procore.api.open <= 1)


async def test_a_rejected_token_is_renewed_for_the_next_when_a_long_body_is_gone(
    agent: Bench,
) -> None:
    agent.procore.api.then(Reply(status=401, body=b"expired"), Reply(status=201, body={"id": 1}))
    long = b"x" * 200_000
    first = await agent.raw("POST", "rest/v1.0/rfis", long, call_id="one")
    assert first.head.status == 401
    second = await agent.raw("POST", "rest/v1.0/rfis", long, call_id="two")
    assert second.head.status == 201
    assert [seen.headers["authorization"] for seen in agent.procore.api.seen] == [
        "Bearer token-1",
        "Bearer token-2",
    ]
