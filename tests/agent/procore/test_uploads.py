"""Uploads through the tunnel: all flows of Procore, what is repeated and what is refused."""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from cloud_connect.calls import Operation
from cloud_connect.errors import Outcome
from cloud_connect.tunnel import ResetCode
from cloud_connect_agent.policy import Access, Verb
from cloud_connect_agent.procore.files import spool
from doubles.agent_bench import Answered, Bench, bench
from doubles.fake_procore import Reply
from doubles.fake_storage import FakeStorage
from doubles.uploading import Uploading
from doubles.waiting import until

FILE = b"%PDF-1.7\r\n" + bytes(range(256)) * 1000
NAME = {"filename": 'plan "a".pdf', "content_type": "application/pdf"}


@pytest.fixture
async def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    monkeypatch.setattr("cloud_connect_agent.procore.attempts._RETRY_PAUSE", 0.001)
    monkeypatch.setattr("cloud_connect_agent.procore.files.uploads._POLL_PAUSE", 0.001)
    monkeypatch.setattr(spool, "_SEGMENT_BYTES", 100_000)
    async with bench(tmp_path) as made:
        yield made


@pytest.fixture(autouse=True)
def procore(agent: Bench, storage: FakeStorage) -> Uploading:
    return Uploading(agent, storage)


async def upload(
    agent: Bench, body: bytes = FILE, *, length: int | None = None, known: bool = True, **more: Any
) -> Answered:
    size = len(body) if length is None else length
    headers = (("content-length", str(size)),) if known else ()
    return await agent.call(Operation.UPLOAD, {**NAME, **more}, body, headers=headers)


def problem(answer: Answered) -> tuple[str, str]:
    return answer.failure.code, answer.failure.detail


def parsed(body: bytes) -> tuple[list[tuple[str, str]], bytes]:
    """Return a form's fields, and the file, which is its last part."""
    boundary = body.partition(b"\r\n")[0]
    assert body.endswith(b"\r\n" + boundary + b"--\r\n")
    *fields, file = body.removesuffix(b"\r\n" + boundary + b"--\r\n").split(boundary + b"\r\n")[1:]
    found = []
    for part in fields:
        head, _, value = part.partition(b"\r\n\r\n")
        name = re.search(rb'name="([^"]*)"', head)
        assert name is not None
        found.append((name[1].decode(), value.removesuffix(b"\r\n").decode()))
    head, _, content = file.partition(b"\r\n\r\n")
    assert b'name="file"; filename="plan %22a%22.pdf"\r\nContent-Type: application/pdf' in head
    return found, content


@pytest.mark.parametrize("known", [True, False])
async def test_the_simple_flow_sends_the_fields_and_then_the_file(
    agent: Bench, procore: Uploading, storage: FakeStorage, tmp_path: Path, *, known: bool
) -> None:
    answer = await upload(agent, known=known)
    assert answer.head.status == 201
    assert answer.json == {
        "uuid": "01UUID",
        "status": "complete",
        "flow": "simple",
        "filename": NAME["filename"],
        "content_type": "application/pdf",
        "size": len(FILE),
        "sha256": hashlib.sha256(FILE).hexdigest(),
    }
    names = {"response_filename": NAME["filename"], "response_content_type": "application/pdf"}
    assert procore.asked == [("POST", "/rest/v1.1/companies/8089/uploads", names)]
    fields, content = parsed(storage.stored["/bucket"])
    assert fields == [("key", "k/1"), ("Content-Type", "application/pdf"), ("policy", "p==")]
    assert content == FILE
    assert not storage.leaked
    assert (tmp_path / "spool").exists() is not known
    if not known:
        assert list((tmp_path / "spool").iterdir()) == []
        assert (tmp_path / "spool").stat().st_mode & 0o777 == 0o700


async def test_a_project_is_where_its_files_go(agent: Bench, procore: Uploading) -> None:
    await upload(agent, project_id=5001)
    assert procore.asked[0][1] == "/rest/v1.1/projects/5001/uploads"
    source = {"company_id": 8089, "environment": "developer_sandbox", "project_id": 77}
    await upload(agent, source=source, flow="unified")
    assert procore.asked[1][1] == "/rest/v2.1/companies/8089/projects/77/uploads"


async def test_the_segmented_flow_declares_sends_and_completes(
    agent: Bench, procore: Uploading, storage: FakeStorage
) -> None:
    answer = await upload(agent, flow="segmented")
    assert answer.json["uuid"] == "01UUID"
    created, completed = procore.asked
    pieces = [FILE[:100_000], FILE[100_000:200_000], FILE[200_000:]]
    assert created[2]["segments"] == [
        {
            "size": len(piece),
            "sha256": hashlib.sha256(piece).hexdigest(),
            "md5": hashlib.md5(piece, usedforsecurity=False).hexdigest(),
        }
        for piece in pieces
    ]
    assert [storage.stored[f"/part/{n}?sig=x"] for n in range(3)] == pieces
    for seen, piece in zip(storage.seen, pieces, strict=True):
        assert seen.headers["x-amz-sha"] == hashlib.sha256(piece).hexdigest()
        assert "transfer-encoding" not in seen.headers
    assert completed == (
        "PATCH",
        "/rest/v1.1/companies/8089/uploads/01UUID",
        {"segments": [{"etag": "1"}, {"etag": "2"}, {"etag": "3"}]},
    )
    assert not storage.leaked


async def test_the_unified_flow_waits_until_the_file_is_available(
    agent: Bench, procore: Uploading
) -> None:
    answer = await upload(agent, flow="unified", tool="lessons_learned")
    assert (answer.json["upload_id"], answer.json["status"]) == ("01ULID", "available")
    created, completed, *polled = procore.asked
    assert created[2] | {"segments": None} == {
        "file_name": NAME["filename"],
        "file_size": len(FILE),
        "content_type": "application/pdf",
        "sha256": hashlib.sha256(FILE).hexdigest(),
        "segments": None,
        "uploader_tool_name": "lessons_learned",
    }
    assert completed[2] == {"part_etags": ["1", "2", "3"]}
    assert [method for method, *_ in polled] == ["GET", "GET"]


async def test_a_file_that_procore_cannot_take_in_is_refused(
    agent: Bench, procore: Uploading
) -> None:
    procore.statuses = ["receiving", "failed"]
    assert problem(await upload(agent, flow="unified"))[0] == "source_rejected"


async def test_a_file_that_is_not_available_yet_is_told_with_its_status(
    agent: Bench, procore: Uploading, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloud_connect_agent.procore.files.uploads._POLL_SECONDS", 0.0)
    procore.statuses = ["receiving"]
    assert (await upload(agent, flow="unified")).json["status"] == "receiving"


async def test_the_tool_is_named_where_procore_asks_for_it(
    agent: Bench, procore: Uploading
) -> None:
    refusal = {"error": {"code": "BAD_REQUEST", "message": "uploader_tool_name is missing"}}
    agent.procore.api.then(Reply(status=400, body=refusal))
    assert (await upload(agent, flow="unified")).head.status == 201
    assert procore.asked[0][2]["uploader_tool_name"] == "document_management"
    agent.procore.api.then(Reply(status=400, body=refusal))
    answer = await upload(agent, flow="unified", tool="estimating")
    assert problem(answer)[0] == "source_rejected"


async def test_a_piece_is_sent_again_where_that_may_help(
    agent: Bench, storage: FakeStorage
) -> None:
    storage.then(Reply(status=503), Reply(drop=True))
    assert (await upload(agent, flow="segmented")).head.status == 201
    assert storage.stored["/part/0?sig=x"] == FILE[:100_000]
    storage.default = lambda _: Reply(status=503)
    code, detail = problem(await upload(agent, flow="segmented"))
    assert (code, "503" in detail) == ("source_unavailable", True)
    storage.default = lambda _: Reply(drop=True)
    assert problem(await upload(agent, flow="segmented"))[0] == "source_unavailable"
    storage.default = lambda _: Reply(status=200)
    assert "without an ETag" in problem(await upload(agent, flow="segmented"))[1]


async def test_links_that_aged_are_asked_for_again(
    agent: Bench, procore: Uploading, storage: FakeStorage
) -> None:
    fresh = [{"url": f"{storage.url}/fresh/{n}", "headers": {}} for n in (1, 2)]
    procore.unified = lambda method, body: {  # type: ignore[method-assign]
        "upload_id": "01ULID",
        "status": "available",
        "segments": procore.parts(body) if method == "POST" else fresh,
    }
    storage.then(storage.default, Reply(status=403))
    answer = await upload(agent, flow="unified")
    assert answer.head.status == 201
    assert storage.stored["/fresh/1"] == FILE[100_000:200_000]
    fresh.clear()
    storage.then(Reply(status=403))
    assert "aged" in problem(await upload(agent, flow="unified"))[1]


async def test_an_answer_that_got_lost_is_asked_for_again(agent: Bench) -> None:
    agent.procore.api.then(Reply(drop=True), Reply(status=500))
    answer = await upload(agent)
    assert answer.head.status == 201
    agent.procore.api.default = lambda _: Reply(drop=True)
    answer = await upload(agent)
    assert problem(answer)[0] == "source_unavailable"
    assert answer.problem.outcome is Outcome.NOT_EXECUTED  # nothing that anybody sees


async def test_nonsense_of_procore_is_told_as_such(agent: Bench, storage: FakeStorage) -> None:
    many = {str(number): "" for number in range(101)}
    for made in ({}, {"uuid": "1"}, {"uuid": "1", "url": f"{storage.url}/x", "fields": many}):
        reply = Reply(status=201, body=made)
        agent.procore.api.then(reply)
        assert problem(await upload(agent))[0] == "source_unavailable"
    agent.procore.api.default = lambda _: Reply(status=201, body={"uuid": "1", "segments": []})
    assert "0 places for 3 pieces" in problem(await upload(agent, flow="segmented"))[1]
    agent.procore.api.default = lambda _: Reply(status=201, body=[1])
    assert problem(await upload(agent))[0] == "source_unavailable"


async def test_bytes_go_to_no_host_of_the_site(agent: Bench) -> None:
    body = {"uuid": "1", "url": "https://10.0.0.1/x", "fields": {}}
    agent.procore.api.default = lambda _: Reply(status=201, body=body)
    code, detail = problem(await upload(agent))
    assert (code, "storage-hosts" in detail) == ("policy_denied", True)


async def test_a_refusal_of_storage_fails_the_upload(agent: Bench, storage: FakeStorage) -> None:
    for status in (403, 400):
        storage.then(Reply(status=status, body=b"<Error>secret</Error>"))
        code, detail = problem(await upload(agent))
        assert (code, "secret" in detail) == ("source_unavailable", False)


@pytest.mark.parametrize("length", [len(FILE) - 1, len(FILE) + 1])
@pytest.mark.parametrize("flow", ["simple", "segmented"])
async def test_a_file_that_is_not_as_long_as_it_said_is_refused(
    agent: Bench, storage: FakeStorage, length: int, flow: str
) -> None:
    answer = await upload(agent, length=length, flow=flow)
    assert problem(answer)[0] == "invalid_request"
    assert storage.stored == {}


async def test_an_empty_file_passes_in_the_simple_flow_only(
    agent: Bench, storage: FakeStorage
) -> None:
    assert (await upload(agent, b"")).json["size"] == 0
    assert parsed(storage.stored["/bucket"])[1] == b""
    assert problem(await upload(agent, b"", flow="unified"))[0] == "invalid_request"


async def test_the_disk_is_not_filled(agent: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    agent.max_spool_bytes = 1000
    code, detail = problem(await upload(agent, known=False))
    assert (code, "max_spool_bytes" in detail) == ("payload_too_large", True)
    agent.max_spool_bytes = 10**9

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(spool.SpooledFile, "_take", full)
    code, detail = problem(await upload(agent, known=False))
    assert (code, "No space left" in detail) == ("payload_too_large", True)


async def test_a_file_that_is_too_long_is_refused_before_its_bytes_come(agent: Bench) -> None:
    for size, flow, hint in ((6 * 10**9, "simple", "segmented"), (2000, "segmented", "spool")):
        agent.max_spool_bytes = 1000
        headers = (("content-length", str(size)),)
        params = {**NAME, "flow": flow}
        exchange = await agent.start(Operation.UPLOAD, params, b"begun", headers=headers, end=False)
        code, detail = problem(await agent.finish(exchange))
        assert (code, hint in detail) == ("payload_too_large", True)


async def test_a_slow_upload_gives_signs_of_life(
    agent: Bench, storage: FakeStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloud_connect_agent.file_calls._BEAT", 0.05)
    storage.then(Reply(delay=0.3, headers={"etag": '"1"'}))
    answer = await upload(agent, flow="segmented")
    assert answer.head.status == 201
    assert answer.body.startswith(b"  ")
    assert answer.json["uuid"] == "01UUID"
    storage.then(Reply(delay=0.3, status=400))
    answer = await upload(agent, flow="segmented")
    assert answer.trailers is not None
    assert problem(answer)[0] == "source_unavailable"


async def test_a_file_that_stops_coming_is_given_up(
    agent: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloud_connect_agent.reply._BODY_STALL", 0.05)
    exchange = await agent.start(Operation.UPLOAD, NAME, FILE, end=False)
    assert problem(await agent.finish(exchange))[0] == "deadline_exceeded"


async def test_a_caller_that_hangs_up_leaves_nothing(
    agent: Bench, storage: FakeStorage, tmp_path: Path
) -> None:
    exchange = await agent.start(Operation.UPLOAD, NAME, FILE, end=False)
    await until((tmp_path / "spool").exists)
    exchange.reset(ResetCode.CANCEL)
    await until(lambda: agent.dispatcher.in_flight == 0)
    assert storage.seen == []


async def test_uploads_are_allowed_like_what_they_are_for(
    agent: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await upload(agent, resource="punch_items", project_id=5001)
    (asked,) = agent.policy.asked
    assert (asked.verb, asked.resource, asked.project_id) == (Verb.UPDATE, "punch_items", 5001)
    agent.policy.refused = {Verb.UPDATE}
    assert problem(await upload(agent, resource="punch_items"))[0] == "policy_denied"
    assert (await upload(agent)).head.status == 201
    agent.policy.refused = {Verb.CREATE}
    agent.policy.asked.clear()
    assert problem(await upload(agent))[0] == "policy_denied"
    assert [access.resource for access in agent.policy.asked] == ["files", "images", "uploads"]
    decide = agent.policy.decide

    def only_images(access: Access) -> Any:
        agent.policy.refused = set() if access.resource == "images" else {Verb.CREATE}
        return decide(access)

    monkeypatch.setattr(agent.policy, "decide", only_images)
    assert (await upload(agent)).head.status == 201


async def test_bytes_are_not_sent_for_what_takes_none(
    agent: Bench, procore: Uploading, storage: FakeStorage
) -> None:
    answer = await upload(agent, resource="folders")
    assert problem(answer)[0] == "unsupported_operation"
    assert (procore.asked, storage.seen) == ([], [])
    await upload(agent, resource="managed_equipment", project_id=5001)
    assert procore.asked[0][1] == "/rest/v1.1/companies/8089/uploads"


async def test_uploads_leave_no_intent_in_the_journal(agent: Bench) -> None:
    await upload(agent)
    assert await agent.journal.find("call-1") is None


async def test_many_transfers_wait_for_their_turn(agent: Bench) -> None:
    async with asyncio.TaskGroup() as group:
        answers = [group.create_task(upload(agent)) for _ in range(30)]
    assert {answer.result().head.status for answer in answers} == {201}


@pytest.mark.parametrize("interactive", [True, False])
async def test_an_upload_that_nobody_waits_for_goes_behind_those_of_people(
    agent: Bench, monkeypatch: pytest.MonkeyPatch, *, interactive: bool
) -> None:
    acquire, urgent = agent.client.scheduler.acquire, set()

    async def noting(*grant: Any, interactive: bool = True, **more: Any) -> Any:
        urgent.add(interactive)
        return await acquire(*grant, interactive=interactive, **more)

    monkeypatch.setattr(agent.client.scheduler, "acquire", noting)
    answer = await upload(agent, flow="unified", interactive=interactive)
    assert answer.head.status == 201
    assert urgent == {interactive}
