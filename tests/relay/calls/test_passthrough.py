import asyncio
import http.client
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from cloud_connect.calls import Operation
from cloud_connect.errors import Outcome
from cloud_connect.exchange import Exchange
from cloud_connect.tunnel import ResponseHead
from doubles.call_relay import CallRelay
from doubles.scripted_agent import ScriptedAgent, problem

MIB = 1024 * 1024
KEY = {"Idempotency-Key": "key-1"}


def answering(head: ResponseHead, body: bytes = b"") -> Any:
    async def act(exchange: Exchange, _: bytes) -> None:
        await exchange.send_head(head, end_stream=not body)
        if body:
            await exchange.send(body, end_stream=True)

    return act


async def raw(relay: CallRelay, method: str, path: str, **headers: str) -> tuple[int, bytes]:
    """Send a path that httpx would tidy up."""

    def send() -> tuple[int, bytes]:
        host = relay.services.addresses.api_url.removeprefix("http://")
        connection = http.client.HTTPConnection(host, timeout=10)
        try:
            authorization = f"Bearer {relay.store.api_key}"
            connection.request(method, path, headers={"Authorization": authorization, **headers})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    return await asyncio.to_thread(send)


async def test_request_goes_on_to_the_letter_without_the_callers_credential(
    relay: CallRelay,
) -> None:
    agent, base = await relay.ready()
    query = "filters[id][]=2&filters[id][]=1&a=%22x...y%22&a=1&&empty="
    status, body = await raw(
        relay,
        "GET",
        f"{base}/procore/rest/v1.0/projects/%35/rfis?{query}",
        Accept="application/json",
        Cookie="session=1",
        **{
            "Procore-Company-Id": "5",
            "X-Http-Method-Override": "DELETE",
            "X-Forwarded-For": "1.2.3.4",
        },
    )
    assert (status, json.loads(body)) == (200, {"ok": True})
    (heard,) = agent.calls
    assert heard.params["method"] == "GET"
    assert heard.params["target"] == f"rest/v1.0/projects/%35/rfis?{query}"
    names = {name for name, _ in heard.head.headers}
    assert names == {"accept", "procore-company-id"}
    assert relay.store.api_key not in repr(heard)


async def test_part_of_an_answer_can_be_asked_for(relay: CallRelay) -> None:
    agent, base = await relay.ready()
    head = ResponseHead(status=206, headers=(("Content-Range", "bytes 0-1/9"),))
    agent.script[Operation.PASSTHROUGH] = answering(head, b"ab")
    answer = await relay.api.get(
        f"{base}/procore/rest/v1.0/files/1",
        headers={"Range": "bytes=0-1", "If-Range": '"v1"'},
    )
    assert (answer.status_code, answer.content) == (206, b"ab")
    assert answer.headers["content-range"] == "bytes 0-1/9"
    asked = dict(agent.calls[0].head.headers)
    assert (asked["range"], asked["if-range"]) == ("bytes=0-1", '"v1"')


async def test_status_and_allowed_headers_come_back_and_no_others(relay: CallRelay) -> None:
    headers = (
        ("Content-Type", "text/csv"),
        ("Content-Disposition", 'attachment; filename="a.csv"'),
        ("Content-Length", "3"),
        ("ETag", 'W/"1"'),
        ("Link", '<https://api.procore.com/rest/v1.0/x?page=2>; rel="next"'),
        ("Total", "120"),
        ("Per-Page", "50"),
        ("X-Rate-Limit-Remaining", "9"),
        ("X-Request-Id", "abc"),
        ("Set-Cookie", "session=1"),
        ("Connection", "close"),
        ("Transfer-Encoding", "chunked"),
        ("Server", "procore"),
        ("Access-Control-Allow-Origin", "*"),
    )
    script = {Operation.PASSTHROUGH: answering(ResponseHead(status=206, headers=headers), b"a,b")}
    _, base = await relay.ready(ScriptedAgent(script=script))
    answer = await relay.api.get(f"{base}/procore/rest/v1.0/x")
    assert (answer.status_code, answer.content) == (206, b"a,b")
    passthrough = f"{relay.services.addresses.api_url}{base}/procore"
    assert answer.headers["link"] == f'<{passthrough}/rest/v1.0/x?page=2>; rel="next"'
    assert answer.headers["total"] == "120"
    assert answer.headers["per-page"] == "50"
    assert answer.headers["x-rate-limit-remaining"] == "9"
    assert answer.headers["x-request-id"] == "abc"
    assert answer.headers["etag"] == 'W/"1"'
    assert answer.headers["content-disposition"] == 'attachment; filename="a.csv"'
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cloud-connect-call-id"].startswith("call_")
    for name in ("set-cookie", "server", "access-control-allow-origin", "connection"):
        assert name not in answer.headers


async def test_public_url_is_what_links_lead_to(relay: CallRelay) -> None:
    relay.services.addresses.public_url = "https://relay.example.com"
    head = ResponseHead(status=200, headers=(("link", "<https://p/rest/v1.0/x>; rel=next"),))
    _, base = await relay.ready(ScriptedAgent(script={Operation.PASSTHROUGH: answering(head)}))
    answer = await relay.api.get(f"{base}/procore/rest/v1.0/x", headers={"Host": "evil.example"})
    assert answer.headers["link"] == (
        f"<https://relay.example.com{base}/procore/rest/v1.0/x>; rel=next"
    )


@pytest.mark.parametrize("status", [204, 304, 400, 401, 404, 422, 429, 500, 503])
async def test_procores_own_failures_pass_as_they_are(relay: CallRelay, status: int) -> None:
    body = b"" if status in {204, 304} else b'{"errors":["no"]}'
    script = {Operation.PASSTHROUGH: answering(ResponseHead(status=status), body)}
    _, base = await relay.ready(ScriptedAgent(script=script))
    answer = await relay.api.get(f"{base}/procore/rest/v1.0/x")
    assert (answer.status_code, answer.content) == (status, body)


@pytest.mark.parametrize("status", [100, 199, 600, 999])
async def test_status_that_http_does_not_know_is_a_failure(relay: CallRelay, status: int) -> None:
    script = {Operation.PASSTHROUGH: answering(ResponseHead(status=status))}
    _, base = await relay.ready(ScriptedAgent(script=script))
    answer = await relay.api.get(f"{base}/procore/rest/v1.0/x")
    assert (answer.status_code, answer.json()["code"]) == (502, "source_unavailable")


async def test_head_has_the_headers_and_no_body(relay: CallRelay) -> None:
    headers = (("content-length", "1234"), ("content-type", "application/pdf"))
    script = {Operation.PASSTHROUGH: answering(ResponseHead(status=200, headers=headers))}
    agent, base = await relay.ready(ScriptedAgent(script=script))
    answer = await relay.api.head(f"{base}/procore/rest/v1.0/file")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-length"] == "1234"
    assert agent.calls[0].params["method"] == "HEAD"
    record = await relay.record(answer.headers["cloud-connect-call-id"])
    assert record.outcome is Outcome.COMPLETED


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_writes_pass_with_any_kind_of_body(relay: CallRelay, method: str) -> None:
    agent, base = await relay.ready()
    answer = await relay.api.request(
        method,
        f"{base}/procore/rest/v1.0/rfis",
        content=b"\x00\xff binary",
        headers={"Content-Type": "application/octet-stream", "Idempotency-Token": "t"},
    )
    assert (answer.status_code, answer.json()) == (200, {"ok": True})
    (heard,) = agent.calls
    assert heard.body == b"\x00\xff binary"
    assert dict(heard.head.headers)["content-type"] == "application/octet-stream"
    assert dict(heard.head.headers)["content-length"] == "9"
    assert dict(heard.head.headers)["idempotency-token"] == "t"
    record = await relay.record(answer.headers["cloud-connect-call-id"])
    assert (record.state, record.operation) == ("completed", "passthrough")
    assert record.bytes == len(answer.content)


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE", "PROPFIND"])
async def test_other_methods_are_refused(relay: CallRelay, method: str) -> None:
    agent, base = await relay.ready()
    status, _ = await raw(relay, method, f"{base}/procore/rest/v1.0/me")
    assert status in {400, 405}
    assert agent.calls == []


@pytest.mark.parametrize(
    "path",
    ["", "/", "/admin", "/REST/v1.0/me", "//rest/v1.0/me", "/../connectors", "/oauth/authorize"],
)
async def test_paths_outside_rest_are_not_there(relay: CallRelay, path: str) -> None:
    agent, base = await relay.ready()
    status, _ = await raw(relay, "GET", f"{base}/procore{path}")
    assert status == 404
    assert agent.calls == []


async def test_path_tricks_with_the_prefix_find_nothing(relay: CallRelay) -> None:
    agent, base = await relay.ready()
    identifier = base.rsplit("/", 1)[1]
    for path in (
        f"/api/datasources/{identifier}%2Fprocore/rest/v1.0/me",
        f"/api/datasources/{identifier}%2f../procore/rest/v1.0/me",
        f"/api/datasources//{identifier}/procore/rest/v1.0/me",
        f"/api%2Fdatasources/{identifier}/procore/rest/v1.0/me",
        f"/api/datasources/{identifier}/%70rocore/rest/v1.0/me",
        "/api/datasources/ds_unknown/procore/rest/v1.0/me",
    ):
        status, _ = await raw(relay, "GET", path)
        assert status == 404, path
    assert agent.calls == []


async def test_too_long_targets_and_headers_are_refused(relay: CallRelay) -> None:
    agent, base = await relay.ready()
    place = f"{base}/procore/rest/v1.0/me"
    for answer in (
        await relay.api.get(f"{place}?q={'x' * 9000}"),
        await relay.api.get(place, headers={"Accept": "x" * 5000}),
        await relay.api.get(place, headers=[(b"Accept", b"a\x85b")]),
    ):
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    assert agent.calls == []


async def test_scopes_are_by_method(relay: CallRelay) -> None:
    agent, base = await relay.ready()
    reader = {"Authorization": f"Bearer {await relay.store.key('calls:read')}"}
    writer = {"Authorization": f"Bearer {await relay.store.key('calls:write')}"}
    place = f"{base}/procore/rest/v1.0/rfis"
    assert (await relay.api.get(place, headers=reader)).status_code == 200
    assert (await relay.api.head(place, headers=reader)).status_code == 200
    assert (await relay.api.get(place, headers=writer)).status_code == 403
    override = {**reader, "X-HTTP-Method-Override": "POST"}
    assert (await relay.api.get(f"{place}?_method=DELETE", headers=override)).status_code == 200
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        refused = await relay.api.request(method, place, headers=reader)
        assert (refused.status_code, refused.json()["code"]) == (403, "insufficient_scope")
        assert (await relay.api.request(method, place, headers=writer)).status_code == 200
    assert {
        one.params["method"] for one in agent.calls if one.head.call_id not in agent.executed
    } == {"GET", "HEAD"}


async def test_no_credential_opens_nothing(relay: CallRelay) -> None:
    agent, base = await relay.ready()
    place = f"{base}/procore/rest/v1.0/me"
    for value in ("", "Bearer nonsense", "Basic eA=="):
        answer = await relay.api.get(place, headers={"Authorization": value})
        assert answer.status_code == 401
        assert answer.json()["code"] == "unauthorized"
        assert answer.headers["www-authenticate"] == "Bearer"
    assert agent.calls == []


async def test_incomplete_data_source_is_a_problem(relay: CallRelay) -> None:
    base = await relay.datasource(settings={})
    answer = await relay.api.get(f"{base}/procore/rest/v1.0/me")
    assert (answer.status_code, answer.json()["code"]) == (409, "data_source_incomplete")


async def test_policy_refusal_is_a_problem(relay: CallRelay) -> None:
    script = {Operation.PASSTHROUGH: answering(problem("policy_denied", "Rule 3.", status=403))}
    _, base = await relay.ready(ScriptedAgent(script=script))
    for method in ("GET", "POST"):
        answer = await relay.api.request(method, f"{base}/procore/rest/v1.0/me")
        assert (answer.status_code, answer.json()["code"]) == (403, "policy_denied")
        assert answer.headers["content-type"] == "application/problem+json"


async def test_answer_before_the_end_of_an_upload_passes(relay: CallRelay) -> None:
    head = ResponseHead(status=413, outcome=Outcome.COMPLETED)
    agent = ScriptedAgent(
        script={Operation.PASSTHROUGH: answering(head, b"too much")}, reads_body=False
    )
    _, base = await relay.ready(agent)

    async def blocks() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b"x" * MIB

    answer = await relay.api.post(f"{base}/procore/rest/v1.0/files", content=blocks())
    assert (answer.status_code, answer.content) == (413, b"too much")
    await relay.quiet()
    assert relay.connected[0].live.in_flight == 0


async def test_unclear_answer_of_procore_passes_and_is_recorded_as_unknown(
    relay: CallRelay,
) -> None:
    head = ResponseHead(status=502, outcome=Outcome.UNKNOWN)
    _, base = await relay.ready(ScriptedAgent(script={Operation.PASSTHROUGH: answering(head)}))
    answer = await relay.api.post(f"{base}/procore/rest/v1.0/rfis", content=b"{}")
    assert answer.status_code == 502
    record = await relay.record(answer.headers["cloud-connect-call-id"])
    assert record.outcome is Outcome.UNKNOWN


async def test_key_makes_a_pass_through_write_repeatable(relay: CallRelay) -> None:
    agent, base = await relay.ready()
    place = f"{base}/procore/rest/v1.0/rfis?run=1"
    first = await relay.api.post(place, headers=KEY, content=b'{"a":1}')
    again = await relay.api.post(place, headers=KEY, content=b'{"a":1}')
    assert again.json() == first.json()
    assert again.headers["idempotency-replayed"] == "true"
    assert list(agent.executed.values()) == [1]
    for other in (
        await relay.api.post(place, headers=KEY, content=b'{"a":2}'),
        await relay.api.put(place, headers=KEY, content=b'{"a":1}'),
        await relay.api.post(f"{place}1", headers=KEY, content=b'{"a":1}'),
    ):
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
    read = await relay.api.get(place, headers=KEY)
    assert "idempotency-replayed" not in read.headers


async def test_body_with_a_key_is_at_most_a_mebibyte(relay: CallRelay) -> None:
    agent, base = await relay.ready()
    place = f"{base}/procore/rest/v1.0/rfis"

    async def blocks() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"x" * MIB

    for content in (b"x" * (MIB + 1), blocks()):
        answer = await relay.api.post(place, headers=KEY, content=content)
        assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")
        assert "without a key" in answer.json()["detail"]
    assert agent.calls == []
    fits = await relay.api.post(place, headers=KEY, content=b"x" * MIB)
    assert fits.status_code == 200
