import asyncio
import gzip
import re
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope, Send
from structlog.testing import capture_logs

from cloud_connect.errors import NotFoundError
from cloud_connect_relay.api.border import Border, _counted
from cloud_connect_relay.metrics import Metrics
from doubles.relay_node import Node, running_node

TOKENS = "/api/enrolment-tokens"


async def test_unknown_path_is_a_problem_with_or_without_a_token(node: Node) -> None:
    known = await node.api.get("/api/nothing")
    stranger = await node.api.get("/nothing", headers={"Authorization": ""})
    assert known.status_code == stranger.status_code == 404
    assert known.headers["content-type"] == "application/problem+json"
    assert known.json() == stranger.json()
    assert known.json()["code"] == "not_found"


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/api/datasources", "GET, POST"),
        ("/api/datasources/ds_1", "DELETE, GET, PUT"),
        ("/Token", "POST"),
        ("/custom-connector/reg_1/test", "POST"),
        ("/api/datasources/ds_1/procore/rest/x", "DELETE, GET, HEAD, PATCH, POST, PUT"),
    ],
)
async def test_method_that_a_path_does_not_take_is_told_those_it_takes(
    node: Node, path: str, methods: str
) -> None:
    answer = await node.api.request("TRACE", path)
    assert answer.status_code == 405
    assert answer.headers["allow"] == methods


async def test_stranger_learns_nothing_below_api(node: Node) -> None:
    for path in ("/api", "/api/", "/api/nothing", "/api/connectors", "/metrics", "/api/x%0ay"):
        answer = await node.api.get(path, headers={"Authorization": ""})
        assert answer.status_code == 401, path
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.json()["code"] == "unauthorized"


async def test_refusal_comes_before_the_body_is_looked_at(node: Node) -> None:
    answer = await node.api.post(
        TOKENS, content=b"{", headers={"Authorization": "Bearer x", "Content-Type": "a/json"}
    )
    assert answer.status_code == 401


async def test_body_that_does_not_say_what_it_is_is_read_as_json(node: Node) -> None:
    answer = await node.api.post("/api/users", content=b'{"email":1}')
    assert answer.status_code == 400
    assert "email" in answer.text


@pytest.mark.parametrize("method", ["PUT", "DELETE", "TRACE"])
async def test_wrong_method_is_a_problem(node: Node, method: str) -> None:
    answer = await node.api.request(method, "/api/connectors")
    assert answer.status_code == 405
    assert answer.json()["code"] == "invalid_request"
    assert answer.json()["status"] == 405


async def test_trailing_slash_redirects_nobody(node: Node) -> None:
    answer = await node.api.get("/api/connectors/", headers={"Host": "evil.example"})
    assert answer.status_code == 404
    assert "location" not in answer.headers


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ('{"group":"a",}', "not valid JSON"),
        ('{"group":"a","group":"b"}', "repeats a member"),
        ('{"grup":"a"}', "grup: extra inputs are not permitted"),
        ('{"hosted":"perhaps"}', "hosted: "),
        ('{"expires_in":-1,"hosted":7}', "expires_in: .*; hosted: "),
        ('["group"]', "must be a JSON object"),
        ('{"group":"a\\nb"}', "group: "),
    ],
)
async def test_wrong_body_is_named(node: Node, body: str, reason: str) -> None:
    answer = await node.api.post(TOKENS, content=body)
    assert answer.status_code == 400
    assert answer.json()["code"] == "invalid_request"
    assert re.search(reason, answer.json()["detail"])
    assert "perhaps" not in answer.text


async def test_form_where_json_belongs_says_so(node: Node) -> None:
    answer = await node.api.post(TOKENS, data={"group": "a"})
    assert answer.status_code == 400
    assert "application/json" in answer.json()["detail"]


async def test_declared_body_over_the_limit_is_refused_unread(node: Node) -> None:
    answer = await node.api.post(TOKENS, content=b" " * (1024 * 1024 + 1))
    assert answer.status_code == 413
    assert answer.json()["code"] == "payload_too_large"
    assert "1048576" in answer.json()["detail"]


async def test_chunked_body_over_the_limit_is_refused_on_the_way(node: Node) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b" " * 65_536

    answer = await node.api.post(TOKENS, content=endless())
    assert answer.status_code == 413


async def test_record_bodies_have_a_limit_of_their_own(tmp_path: Path) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(4):
            yield b" " * 1024

    async with running_node(tmp_path, calls={"max_body_bytes": 2048}) as node:
        path = "/api/datasources/ds_0000000000000000/records/rfis"
        headers = {"Idempotency-Key": "k"}
        for body in (b" " * 4096, chunks()):
            answer = await node.api.post(path, content=body, headers=headers)
            assert answer.status_code in {404, 413}, answer.text
        refused = await node.api.post(path, content=b" " * 4096, headers=headers)
        assert refused.status_code == 413
        assert "2048" in refused.json()["detail"]


async def test_counted_body_breaks_off_at_its_limit() -> None:
    async def receive() -> Message:
        return {"type": "http.request", "body": b"x" * 60, "more_body": True}

    async def gone() -> Message:
        return {"type": "http.disconnect"}

    counted = _counted({"type": "http", "headers": []}, receive, 100)
    assert await counted() == await receive()
    with pytest.raises(HTTPException) as refused:
        await counted()
    assert refused.value.status_code == 413
    assert await _counted({"type": "http", "headers": []}, gone, 100)() == await gone()


async def test_body_that_does_not_arrive_is_given_up(tmp_path: Path) -> None:
    async with running_node(tmp_path, api={"body_timeout": 0.2}) as node:
        reader, writer = await asyncio.open_connection("127.0.0.1", node.addresses.port)
        writer.write(
            b"POST /api/enrolment-tokens HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
            + f"Authorization: Bearer {node.store.api_key}\r\n\r\n{{".encode()
        )
        line = await reader.readline()
        writer.close()
        await writer.wait_closed()
    assert line.startswith(b"HTTP/1.1 400")


async def test_caller_who_hangs_up_midway_harms_nobody(node: Node) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", node.addresses.port)
    writer.write(
        b"POST /api/enrolment-tokens HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
        + f"Authorization: Bearer {node.store.api_key}\r\n\r\n".encode()
    )
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    assert (await node.api.get("/healthz")).status_code == 200


async def test_answers_are_not_cached_or_sniffed(node: Node) -> None:
    answer = await node.api.get("/api/connectors")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "server" not in answer.headers


async def test_encoded_body_is_not_decoded(node: Node) -> None:
    packed = gzip.compress(b'{"group":"a"}')
    answer = await node.api.post(TOKENS, content=packed, headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 400


async def test_fault_of_ours_is_an_internal_error_without_details(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Metrics) -> bytes:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(Metrics, "render", fail)
    with capture_logs() as logs:
        answer = await node.api.get("/metrics")
    assert answer.status_code == 500
    assert answer.json()["code"] == "internal_error"
    assert "secret" not in answer.text
    assert [(entry["event"], entry["path"]) for entry in logs if "exc_info" in entry] == [
        ("request_failed", "/metrics")
    ]


class Raw:
    """Takes what begins with ``/raw`` and fails as it is told."""

    def __init__(self, *, starts: bool, error: Exception) -> None:
        self.starts = starts
        self.error = error

    def matches(self, path: str) -> bool:
        return path.startswith("/raw")

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        if self.starts:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        raise self.error


async def _answer(raw: Raw) -> list[int]:
    sent: list[int] = []

    async def send(message: object) -> None:
        assert isinstance(message, dict)
        if message["type"] == "http.response.start":
            sent.append(message["status"])

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b"", "more_body": False}

    services = SimpleNamespace(
        ready=lambda: True, requests=SimpleNamespace(leave=lambda _scope: None)
    )
    border = Border(None, services, raw)  # type: ignore[arg-type]
    await border({"type": "http", "path": "/raw", "method": "GET", "headers": []}, receive, send)
    return sent


async def test_error_of_a_raw_endpoint_is_answered() -> None:
    assert await _answer(Raw(starts=False, error=NotFoundError("no"))) == [404]
    assert await _answer(Raw(starts=False, error=ZeroDivisionError())) == [500]


@pytest.mark.parametrize("error", [NotFoundError("no"), ZeroDivisionError()])
async def test_answer_that_has_begun_breaks_off(error: Exception) -> None:
    with pytest.raises(type(error)):
        await _answer(Raw(starts=True, error=error))
