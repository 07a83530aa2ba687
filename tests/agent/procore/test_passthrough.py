"""Raw calls: what is let through, and that it goes through as it is."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_connect.calls import Operation, PassthroughParams
from cloud_connect.errors import InvalidRequestError, Outcome, PolicyDeniedError
from cloud_connect.tunnel import ResetCode
from cloud_connect_agent.policy import Verb
from cloud_connect_agent.procore.passthrough import (
    BodyStart,
    RawCall,
    answer_headers,
    outcome_of,
    prepare,
)
from cloud_connect_agent.procore.target import parse_target
from doubles.agent_bench import Bench, bench
from doubles.fake_procore import SOURCE, Reply, Seen

EMPTY = BodyStart(data=b"", complete=True)


@pytest.fixture
async def agent(tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench(tmp_path) as made:
        yield made


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.005)


# Targets.


@pytest.mark.parametrize(
    "target",
    [
        "rest/v1.0/me",
        "rest/v2.1/companies/8089/projects/12/uploads",
        "rest/v1.0/rfis?filters[id][]=2&filters[id][]=1",
        "rest/v1.0/rfis?filters[updated_at]=2026-01-01T00:00:00Z...2026-01-31T23:59:59Z",
        'rest/v1.0/rfis?filters[q]="a"',
        "rest/v1.0/users?filters[email]=a@b.c",
        "rest/v1.0/files/plan%20A.pdf",
        "rest/v1.0/rfis/5.pdf",
        "rest/v1.0/rfis?",
        "rest/v1.0/rfis?a%2Fb=%252F",
        "rest/v1/rfis",
    ],
)
def test_what_procore_understands_goes_through_to_the_byte(target: str) -> None:
    assert parse_target(target).raw == f"/{target}"


TRICKS = [
    "",
    "/",
    "/rest/v1.0/me",
    "//evil.example/rest/v1.0/me",
    "https://evil.example/rest/v1.0/me",
    "http:rest/v1.0/me",
    "vapid/projects",
    "oauth/token",
    "rest",
    "rest/",
    "rest/v1.0",
    "rest/me",
    "rest/v1.0/",
    "REST/v1.0/me",
    "rest/vX/me",
    "rest/v1.0/../../oauth/token",
    "rest/v1.0/..",
    "rest/v1.0/./me",
    "rest/v1.0//me",
    "rest/v1.0/me//",
    "rest/v1.0/%2e%2e/oauth",
    "rest/v1.0/%2E%2E/oauth",
    "rest/v1.0/.%2e/oauth",
    "rest/v1.0/%2f..",
    "rest/v1.0/a%2fb",
    "rest/v1.0/a%2Fb",
    "rest/v1.0/a%5cb",
    "rest/v1.0/a%5Cb",
    "rest/v1.0/a\\b",
    "rest/v1.0/%252e%252e/oauth",
    "rest/v1.0/%25252e",
    "rest/v1.0/a%00b",
    "rest/v1.0/a%0d%0ab",
    "rest/v1.0/a%7fb",
    "rest/v1.0/me;a=b",
    "rest/v1.0/me%3ba",
    "rest/v1.0/a@b",
    "rest/v1.0/a%40b",
    "rest/v1.0/me#x",
    "rest/v1.0/me?a=b#x",
    "rest/v1.0/me%23x",
    "rest/v1.0/me%3fx",
    "rest/v1.0/me x",
    "rest/v1.0/me\tx",
    "rest/v1.0/me\r\nHost: evil",
    "rest/v1.0/me\x00",
    "rest/v1.0/mé",
    "rest/v1.0/\uff0e\uff0e/x",
    "rest/v1.0/\u2025/x",
    "rest/v1.0/%c0%ae%c0%ae/x",
    "rest/v1.0/%ef%bc%8e/x",
    "rest/v1.0/%",
    "rest/v1.0/%2",
    "rest/v1.0/%zz",
    "rest/v1.0/me?a=%zz",
    "rest/v1.0/me?_method=delete",
    "rest/v1.0/me?%5fmethod=delete",
    "rest/v1.0/me?a=b;_METHOD=delete",
    "rest/v1.0/" + "a" * 9000,
]


@pytest.mark.parametrize("target", TRICKS)
def test_a_trick_is_refused(target: str) -> None:
    with pytest.raises(InvalidRequestError):
        parse_target(target)


PIECES = [
    "..",
    ".",
    "/",
    "%2e",
    "%2f",
    "%5c",
    "%25",
    "\\",
    ";",
    "@",
    "#",
    "?",
    "a",
    "companies",
    "1",
    "%00",
    "%c3",
    "é",
    ":",
    "//",
]


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_no_mixture_of_tricks_leaves_the_api(tail: str) -> None:
    try:
        target = parse_target(f"rest/v1.0/{tail}")
    except InvalidRequestError:
        return
    url = httpx.URL("https://api.procore.com").join(target.raw)
    assert url.host == "api.procore.com"
    assert url.path.startswith("/rest/v1.0/")
    assert ".." not in target.path
    assert not set(target.path) & set("\\;@#%?")


def make(
    target: str,
    *,
    method: str = "GET",
    body: bytes = b"",
    complete: bool = True,
    headers: tuple[tuple[str, str], ...] = (),
) -> RawCall:
    params = PassthroughParams.model_validate(
        {"source": SOURCE, "method": method, "target": target}
    )
    return prepare(params, headers, BodyStart(data=body, complete=complete))


JSON = (("Content-Type", "application/json"),)
FORM = (("Content-Type", "application/x-www-form-urlencoded"),)


@pytest.mark.parametrize(
    ("target", "headers", "body"),
    [
        ("rest/v1.0/companies/1/users", (), b""),
        ("rest/v1.0/companies/08089/users", (), b""),
        ("rest/v1.0/Companies/1/users", (), b""),
        ("rest/v1.0/rfis?company_id=1", (), b""),
        ("rest/v1.0/rfis?company_id=8089&company_id=1", (), b""),
        ("rest/v1.0/rfis?company_id[]=1", (), b""),
        ("rest/v1.0/rfis?a=b;company_id=1", (), b""),
        ("rest/v1.0/rfis?Company%5Fid=1", (), b""),
        ("rest/v1.0/rfis?company_id=", (), b""),
        ("rest/v1.0/rfis", (("Procore-Company-Id", "1"),), b""),
        ("rest/v1.0/rfis", JSON, b'{"company_id":1}'),
        ("rest/v1.0/rfis", JSON, b'{"company_id":"1"}'),
        ("rest/v1.0/rfis", JSON, b'{"company_id":8089.5}'),
        ("rest/v1.0/rfis", JSON, b'{"company_id":[8089]}'),
        ("rest/v1.0/rfis", FORM, b"company_id=1"),
        ("rest/v1.0/rfis?project_id=1&project_id=2", (), b""),
        ("rest/v1.0/projects/1/rfis?project_id=2", (), b""),
        ("rest/v1.0/projects/1/rfis", JSON, b'{"project_id":2}'),
    ],
)
def test_another_company_or_two_projects_are_refused(
    target: str, headers: tuple[tuple[str, str], ...], body: bytes
) -> None:
    with pytest.raises(PolicyDeniedError, match="rule"):
        make(target, method="POST", headers=headers, body=body)


@pytest.mark.parametrize(
    ("target", "headers", "body"),
    [
        ("rest/v1.0/companies/8089/users", (), b""),
        ("rest/v1.0/companies", (), b""),
        ("rest/v1.0/companies/sync", (), b""),
        ("rest/v1.0/rfis?company_id=8089", (("procore-company-id", " 8089 "),), b""),
        ("rest/v1.0/rfis", JSON, b'{"company_id":8089}'),
        ("rest/v1.0/rfis", JSON, b"{broken"),
        ("rest/v1.0/rfis", JSON, b"[1]"),
    ],
)
def test_the_own_company_goes_through(
    target: str, headers: tuple[tuple[str, str], ...], body: bytes
) -> None:
    call = make(target, method="POST", headers=headers, body=body)
    assert call.access.company_id == 8089


@pytest.mark.parametrize(
    ("target", "headers", "body", "complete", "project"),
    [
        ("rest/v1.0/projects/12/rfis", (), b"", True, 12),
        ("rest/v1.0/projects/12/rfis", (), b"...", False, 12),
        ("rest/v1.0/rfis?project_id=12", (), b"", True, 12),
        ("rest/v1.0/rfis?project_id=12", JSON, b"{}", True, 12),
        ("rest/v1.0/rfis", JSON, b'{"project_id":12}', True, 12),
        ("rest/v1.0/rfis", FORM, b"project_id=12", True, 12),
        ("rest/v1.0/rfis?project_id=12", (), b"--multipart", True, None),
        ("rest/v1.0/rfis?project_id=12", JSON, b"{", True, None),
        ("rest/v1.0/rfis?project_id=12", JSON, b"{}", False, None),
        ("rest/v1.0/rfis?project_id=abc", (), b"", True, None),
        ("rest/v1.0/rfis", (), b"", True, None),
    ],
)
def test_the_policy_is_told_a_project_only_if_it_is_certain(
    target: str,
    headers: tuple[tuple[str, str], ...],
    body: bytes,
    complete: bool,  # noqa: FBT001 - parameter of the table
    project: int | None,
) -> None:
    call = make(target, method="POST", headers=headers, body=body, complete=complete)
    assert call.access.project_id == project
    assert call.access.verb is Verb.PASSTHROUGH_WRITE
    assert call.access.path == target.partition("?")[0]


def test_get_and_head_only_read() -> None:
    assert make("rest/v1.0/me").access.verb is Verb.PASSTHROUGH_READ
    assert make("rest/v1.0/me", method="HEAD").access.verb is Verb.PASSTHROUGH_READ


# Headers.


def test_only_listed_request_headers_go_along() -> None:
    call = make(
        "rest/v1.0/me",
        headers=(
            ("Authorization", "Bearer relay"),
            ("Cookie", "a=b"),
            ("Host", "evil.example"),
            ("X-HTTP-Method-Override", "DELETE"),
            ("X-Forwarded-For", "1.2.3.4"),
            ("Connection", "upgrade"),
            ("Transfer-Encoding", "chunked"),
            ("If-None-Match", '"x"'),
            ("Accept", "application/json"),
        ),
    )
    assert call.headers == (
        ("if-none-match", '"x"'),
        ("accept", "application/json"),
        ("accept-encoding", "identity"),
    )


def test_a_callers_encodings_are_its_own() -> None:
    assert make("rest/v1.0/me", headers=(("Accept-Encoding", "gzip"),)).headers == (
        ("accept-encoding", "gzip"),
    )


def test_only_listed_answer_headers_come_back_without_controls() -> None:
    headers = [
        (b"Set-Cookie", b"a=b"),
        (b"Location", b"http://127.0.0.1/"),
        (b"Connection", b"keep-alive"),
        (b"Transfer-Encoding", b"chunked"),
        (b"X-Evil", b"1"),
        (b"Total", b"5\r\nSet-Cookie: x\x00\x7f"),
        (b"ETag", b'"\xe9"'),
        (b"Link", b"<" + b"x" * 5000 + b">"),
    ]
    assert answer_headers(headers) == (("total", "5Set-Cookie: x"), ("etag", '"\xe9"'))
    many = [(b"Link", b"x" * 3000)] * 10
    assert len(answer_headers(many)) == 2


@pytest.mark.parametrize(
    ("status", "headers", "writes", "outcome"),
    [
        (200, {}, True, Outcome.COMPLETED),
        (404, {}, True, Outcome.COMPLETED),
        (429, {}, True, Outcome.NOT_EXECUTED),
        (503, {"retry-after": "1"}, True, Outcome.NOT_EXECUTED),
        (503, {}, True, Outcome.UNKNOWN),
        (408, {}, True, Outcome.UNKNOWN),
        (302, {}, True, Outcome.UNKNOWN),
        (503, {}, False, Outcome.COMPLETED),
    ],
)
def test_the_outcome_follows_from_the_answer(
    status: int,
    headers: dict[str, str],
    writes: bool,  # noqa: FBT001 - parameter of the table
    outcome: Outcome,
) -> None:
    assert outcome_of(status, headers, writes=writes) is outcome


# Through the tunnel.


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


# Bodies that stream.


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
    monkeypatch.setattr("cloud_connect_agent.procore.attempts._STALL", 0.1)
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
