"""Downloads through the tunnel: redirects, resumption, and hosts that are refused."""

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from cloud_connect.calls import Operation
from cloud_connect.errors import Outcome
from cloud_connect_agent.policy import Verb
from doubles.agent_bench import Answered, Bench, bench
from doubles.fake_procore import Reply, Seen
from doubles.fake_storage import CONTENT, FakeStorage


@pytest.fixture
async def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    monkeypatch.setattr("cloud_connect_agent.procore.attempts._RETRY_PAUSE", 0.001)
    async with bench(tmp_path) as made:
        yield made


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_to_storage_is_followed_without_the_token(
    agent: Bench, storage: FakeStorage, status: int
) -> None:
    agent.procore.api.then(storage.leads_here(status=status))
    answer = await agent.raw("GET", "rest/v1.0/files/1/download")
    assert (answer.head.status, answer.body) == (200, CONTENT)
    headers = dict(answer.head.headers)
    assert headers["content-type"] == "application/pdf"
    assert headers["content-length"] == str(len(CONTENT))
    assert headers["content-disposition"] == 'inline; filename="plan.pdf"'
    assert "location" not in headers
    (seen,) = storage.seen
    assert seen.target == "/file?sig=secret"
    assert not storage.leaked
    assert "procore-company-id" not in seen.headers
    assert agent.procore.api.seen[0].headers["authorization"] == "Bearer token-1"


async def test_redirects_are_followed_up_to_five_times(agent: Bench, storage: FakeStorage) -> None:
    agent.procore.api.default = lambda _: storage.leads_here("/1")
    storage.then(*[Reply(status=302, headers={"location": f"/{n}"}) for n in range(2, 7)])
    answer = await agent.raw("GET", "rest/v1.0/x/y")
    assert answer.body == CONTENT
    assert [seen.target for seen in storage.seen] == [f"/{n}" for n in range(1, 7)]
    storage.default = lambda seen: Reply(status=302, headers={"location": seen.target})
    answer = await agent.raw("GET", "rest/v1.0/x/y")
    assert answer.failure.code == "source_unavailable"
    assert "more than 5 redirects" in answer.problem.detail


async def test_a_redirect_back_to_the_api_shows_the_token_there_only(
    agent: Bench, storage: FakeStorage
) -> None:
    agent.procore.api.then(storage.leads_here("/first"), Reply(body=b"file"))
    storage.then(
        Reply(status=302, headers={"location": f"{agent.procore.api.url}/rest/v1.0/files/2"})
    )
    answer = await agent.raw("GET", "rest/v1.0/files/1")
    assert answer.body == b"file"
    assert agent.procore.api.seen[1].headers["authorization"] == "Bearer token-1"
    assert not storage.leaked
    assert [access.path for access in agent.policy.asked] == [
        "rest/v1.0/files/1",
        "rest/v1.0/files/2",
    ]


async def test_a_redirect_may_be_relative_to_what_was_asked_for(agent: Bench) -> None:
    agent.procore.api.then(Reply(status=302, headers={"location": "download"}), Reply(body=b"file"))
    answer = await agent.raw("GET", "rest/v1.0/files/1/link?a=1")
    assert answer.body == b"file"
    assert agent.procore.api.seen[1].target == "/rest/v1.0/files/1/download"


async def test_a_redirect_to_another_company_at_the_api_is_refused(agent: Bench) -> None:
    location = f"{agent.procore.api.url}/rest/v1.0/companies/1/users"
    agent.procore.api.then(Reply(status=302, headers={"location": location}))
    answer = await agent.raw("GET", "rest/v1.0/files/1")
    assert answer.failure.code == "policy_denied"
    assert len(agent.procore.api.seen) == 1


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/latest/meta-data/",
        "https://169.254.169.254/latest/meta-data/",
        "http://10.0.0.1/",
        "https://internal.example/",
        "file:///etc/passwd",
        "http://example.com/",
        "\\\\server\\share",
    ],
)
async def test_a_redirect_into_the_site_is_refused(agent: Bench, location: str) -> None:
    agent.procore.api.then(Reply(status=302, headers={"location": location}))
    with capture_logs() as logs:
        answer = await agent.raw("GET", "rest/v1.0/files/1")
    assert "file_host_refused" in {entry["event"] for entry in logs}
    assert answer.head.status == 403
    assert answer.failure.code == "policy_denied"
    assert "storage-hosts" in answer.problem.detail
    assert "meta-data" not in answer.problem.detail


async def test_a_name_that_turns_to_a_private_address_is_not_connected_to(
    agent: Bench, storage: FakeStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def rebound(*_: Any, **__: Any) -> list[Any]:
        place = ("10.0.0.1", 443)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", place)]

    agent.procore.api.then(
        Reply(status=302, headers={"location": storage.url.replace("127.0.0.1", "localhost")})
    )
    await agent.raw("GET", "rest/v1.0/me")  # the API's connection is there already
    agent.procore.api.then(
        Reply(status=302, headers={"location": storage.url.replace("127.0.0.1", "localhost")})
    )
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", rebound)
    answer = await agent.raw("GET", "rest/v1.0/files/1")
    assert answer.failure.code == "policy_denied"
    assert "not on the internet" in answer.problem.detail


async def test_conditions_of_the_caller_reach_storage(agent: Bench, storage: FakeStorage) -> None:
    agent.procore.api.then(storage.leads_here())
    answer = await agent.raw("GET", "rest/v1.0/files/1", headers=(("If-None-Match", '"v1"'),))
    assert (answer.head.status, answer.body) == (304, b"")


async def test_a_link_that_aged_and_has_no_successor_is_told(
    agent: Bench, storage: FakeStorage
) -> None:
    agent.procore.api.then(storage.leads_here(), Reply(body={"gone": True}))
    storage.then(Reply(status=403))
    answer = await agent.raw("GET", "rest/v1.0/files/1")
    assert answer.failure.code == "source_unavailable"
    assert "not say any more" in answer.problem.detail


async def test_a_refusal_of_storage_is_the_answer(agent: Bench, storage: FakeStorage) -> None:
    agent.procore.api.then(storage.leads_here())
    storage.then(Reply(status=404, body=b"<Error/>", headers={"content-type": "text/xml"}))
    answer = await agent.raw("GET", "rest/v1.0/files/1")
    assert (answer.head.status, answer.body) == (404, b"<Error/>")
    assert answer.head.outcome is Outcome.COMPLETED


async def test_storage_that_fails_for_a_moment_is_asked_again(
    agent: Bench, storage: FakeStorage
) -> None:
    agent.procore.api.default = lambda _: storage.leads_here()
    storage.then(Reply(status=503), Reply(drop=True))
    answer = await agent.raw("GET", "rest/v1.0/files/1")
    assert answer.body == CONTENT
    storage.then(*[Reply(status=503, body=b"SlowDown")] * 3)
    answer = await agent.raw("GET", "rest/v1.0/files/1")
    assert (answer.head.status, answer.body) == (503, b"SlowDown")


async def test_storage_that_is_not_there_is_named(agent: Bench, storage: FakeStorage) -> None:
    gone = Reply(status=302, headers={"location": "http://127.0.0.1:1/x"})
    agent.procore.api.then(gone)
    answer = await agent.raw("GET", "rest/v1.0/files/1")
    assert answer.failure.code == "source_unavailable"
    assert "127.0.0.1 refused the connection" in answer.problem.detail
    agent.procore.api.then(storage.leads_here())
    storage.then(*[Reply(drop=True)] * 3)
    answer = await agent.raw("GET", "rest/v1.0/files/1")
    assert answer.failure.code == "source_unavailable"
    agent.procore.api.then(storage.leads_here())
    storage.then(Reply(delay=5))
    answer = await agent.raw("GET", "rest/v1.0/files/1", deadline_ms=300)
    assert answer.failure.code == "deadline_exceeded"
    agent.procore.api.then(storage.leads_here())
    storage.default = lambda _: Reply(body=b"x", headers={f"x-{n}": "1" for n in range(250)})
    answer = await agent.raw("GET", "rest/v1.0/files/1")
    assert "200 header lines" in answer.problem.detail


async def test_a_head_of_a_file_is_asked_for_as_links_allow(
    agent: Bench, storage: FakeStorage
) -> None:
    agent.procore.api.then(storage.leads_here())
    answer = await agent.raw("HEAD", "rest/v1.0/files/1")
    assert answer.body == b""
    assert ("content-length", str(len(CONTENT))) in answer.head.headers
    assert storage.seen[0].method == "GET"


async def test_a_write_is_never_sent_on(agent: Bench, storage: FakeStorage) -> None:
    agent.procore.api.then(storage.leads_here(status=307))
    answer = await agent.raw("POST", "rest/v1.0/files", b"{}")
    assert answer.head.status == 307
    assert answer.head.outcome is Outcome.UNKNOWN
    assert storage.seen == []


# A record's own file, by the name of its field.


def record(storage: FakeStorage, path: str = "/file?sig=secret") -> Reply:
    links = [{"name": "plan ü.pdf", "url": f"{storage.url}{path}"}]
    return Reply(body={"id": 7, "attachments": links, "link": f"{storage.url}/web"})


CONTENT_PARAMS = {"resource": "rfis", "record_id": "7"}


async def content(agent: Bench, field: str | None = None, **more: Any) -> Answered:
    return await agent.call(Operation.CONTENT, {**CONTENT_PARAMS, "field": field}, **more)


async def test_a_records_file_comes_with_type_length_and_name(
    agent: Bench, storage: FakeStorage
) -> None:
    agent.procore.api.default = lambda _: record(storage)
    serve = storage.default

    def nameless(seen: Seen) -> Reply:
        reply = serve(seen)
        assert isinstance(reply, Reply)
        del reply.headers["content-disposition"]
        return reply

    storage.then(nameless)
    answer = await content(agent, "attachments.0.url")
    assert (answer.head.status, answer.body) == (200, CONTENT)
    headers = dict(answer.head.headers)
    assert headers["content-type"] == "application/pdf"
    assert headers["content-disposition"] == "attachment; filename*=UTF-8''plan%20%C3%BC.pdf"
    assert not storage.leaked
    assert (await content(agent)).body == CONTENT  # the first attachment is its own file


async def test_a_part_of_a_records_file_can_be_asked_for(
    agent: Bench, storage: FakeStorage
) -> None:
    agent.procore.api.default = lambda _: record(storage)
    headers = (("Range", "bytes=0-9"), ("Cookie", "a=b"))
    answer = await content(agent, headers=headers)
    assert (answer.head.status, answer.body) == (206, CONTENT[:10])
    assert "cookie" not in storage.seen[0].headers


async def test_an_aged_link_is_read_again_once(agent: Bench, storage: FakeStorage) -> None:
    agent.procore.api.then(record(storage, "/old"), record(storage, "/new"))
    storage.then(Reply(status=403))
    assert (await content(agent)).body == CONTENT
    assert [seen.target for seen in storage.seen] == ["/old", "/new"]
    agent.procore.api.then(record(storage), record(storage))
    storage.then(Reply(status=403), Reply(status=403, body=b"<Error>secret</Error>"))
    answer = await content(agent)
    assert answer.head.status == 403
    assert answer.failure.code == "source_rejected"
    assert "secret" not in answer.problem.detail


async def test_a_record_without_the_file_says_so(agent: Bench, storage: FakeStorage) -> None:
    agent.procore.api.default = lambda _: record(storage)
    assert (await content(agent, "attachments.3.url")).failure.code == "not_found"
    assert (await content(agent, "link")).failure.code == "invalid_request"
    storage.default = lambda _: Reply(status=500)
    assert (await content(agent)).failure.code == "source_unavailable"


async def test_a_records_link_to_the_api_must_be_one_that_raw_calls_may_have(
    agent: Bench,
) -> None:
    url = f"{agent.procore.api.url}/rest/v1.0/images/7/download"
    agent.procore.api.then(Reply(body={"id": 7, "url": url}), Reply(body=b"image"))
    assert (await content(agent)).body == b"image"
    agent.policy.refused = {Verb.PASSTHROUGH_READ}
    agent.procore.api.then(Reply(body={"id": 7, "url": url}))
    assert (await content(agent)).failure.code == "policy_denied"


async def test_files_are_as_secret_as_their_records(agent: Bench) -> None:
    agent.policy.refused = {Verb.READ}
    assert (await content(agent)).failure.code == "policy_denied"
    answer = await agent.call(Operation.ATTACHMENTS, CONTENT_PARAMS)
    assert answer.failure.code == "policy_denied"
    assert agent.procore.api.seen == []


async def test_attachments_are_listed_with_their_fields(agent: Bench, storage: FakeStorage) -> None:
    agent.procore.api.default = lambda _: record(storage)
    answer = await agent.call(Operation.ATTACHMENTS, CONTENT_PARAMS)
    (found,) = answer.json
    assert (found["name"], found["field"]) == ("plan ü.pdf", "attachments.0.url")
    agent.procore.api.default = lambda _: Reply(body={}, delay=3)
    answer = await agent.call(Operation.ATTACHMENTS, CONTENT_PARAMS, deadline_ms=200)
    assert answer.failure.code == "deadline_exceeded"
