"""Hanging files on records that take them within Procore's own form only."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from cloud_connect.calls import Environment, Operation, Source, UploadFlow
from cloud_connect.errors import (
    InvalidRequestError,
    Outcome,
    SourceUnavailableError,
    UnsupportedOperationError,
)
from cloud_connect_agent.policy import Verb
from cloud_connect_agent.procore.catalog import load_catalog
from cloud_connect_agent.procore.files.holding import HeldFiles
from cloud_connect_agent.procore.files.spool import Spool, SpooledFile
from cloud_connect_agent.procore.files.steps import NewFile
from doubles.agent_bench import Answered, Bench, bench
from doubles.fake_procore import Reply
from doubles.waiting import until

FILE = bytes(range(256)) * 1000
NAMED = {
    "filename": 'plan ".pdf',
    "content_type": "application/pdf",
    "resource": "purchase_order_contracts",
}
PLACE = {"resource": "purchase_order_contracts", "record_id": "7", "scope": {"project_id": "5001"}}
ORDERS = load_catalog().resource("purchase_order_contracts")
SOURCE = Source(company_id=8089, environment=Environment.DEVELOPER_SANDBOX)


@pytest.fixture
async def agent(tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench(tmp_path) as made:
        made.procore.api.default = lambda _: Reply(body={"id": 7, "title": "Steel"})
        yield made


def code(answer: Answered) -> str:
    assert answer.problem is not None
    return str(answer.problem.code)


async def sent_ahead(agent: Bench) -> str:
    answer = await agent.call(Operation.UPLOAD, {**NAMED, "project_id": 5001}, FILE)
    assert answer.head.status == 201
    assert answer.json["size"] == len(FILE)
    return str(answer.json["uuid"])


async def attach(agent: Bench, reference: str, **more: Any) -> Answered:
    return await agent.call(Operation.ATTACH, {**PLACE, "upload": reference}, **more)


async def test_the_form_holds_place_envelope_and_file(agent: Bench) -> None:
    reference = await sent_ahead(agent)
    assert agent.procore.api.seen == []  # Procore is told nothing before the change itself
    for turn in range(2):
        answer = await attach(agent, reference, call_id="call-x")
        assert (answer.head.status, answer.json["title"]) == (200, "Steel")
        assert answer.head.replayed is bool(turn)
    (seen,) = agent.procore.api.seen
    assert (seen.method, seen.target) == ("PATCH", "/rest/v1.0/purchase_order_contracts/7")
    kind, _, boundary = seen.headers["content-type"].partition("; boundary=")
    assert kind == "multipart/form-data"
    assert seen.headers["content-length"] == str(len(seen.body))
    project, order, file, end = seen.body.split(f"--{boundary}".encode())[1:]
    assert project.endswith(b'name="project_id"\r\n\r\n5001\r\n')
    assert order.endswith(b'name="purchase_order_contract[id]"\r\n\r\n7\r\n')
    head, _, content = file.partition(b"\r\n\r\n")
    assert b'name="attachments[]"; filename="plan %22.pdf"' in head
    assert b"Content-Type: application/pdf" in head
    assert content == FILE + b"\r\n"
    assert end == b"--\r\n"


async def test_a_form_that_procore_puts_off_or_wants_signed_anew_is_sent_whole_again(
    agent: Bench,
) -> None:
    reference = await sent_ahead(agent)
    agent.procore.api.then(
        Reply(status=429, headers={"retry-after": "0"}), Reply(status=401), Reply(body={"id": 7})
    )
    assert (await attach(agent, reference)).head.status == 200
    seen = agent.procore.api.seen
    assert len(seen) == 3
    assert all(FILE in one.body for one in seen)


async def test_a_refusal_names_the_record_and_says_what_procore_said(agent: Bench) -> None:
    reference = await sent_ahead(agent)
    agent.procore.api.then(Reply(status=422, body={"errors": {"attachments": ["is too big"]}}))
    answer = await attach(agent, reference)
    assert code(answer) == "source_rejected"
    assert "purchase order 7" in answer.problem.detail
    assert re.search("held-|plan", answer.problem.detail) is None


async def test_attaching_by_form_needs_the_right_to_change_the_record(agent: Bench) -> None:
    reference = await sent_ahead(agent)
    agent.policy.refused = {Verb.UPDATE}
    assert code(await agent.call(Operation.UPLOAD, NAMED, FILE)) == "policy_denied"
    assert code(await attach(agent, reference)) == "policy_denied"
    assert agent.procore.api.seen == []


async def test_a_file_is_there_once_and_for_its_own_resource_only(agent: Bench) -> None:
    reference = await sent_ahead(agent)
    other = {**PLACE, "resource": "work_order_contracts", "upload": reference}
    assert code(await agent.call(Operation.ATTACH, other)) == "source_unavailable"
    assert code(await attach(agent, "01UUID")) == "unsupported_operation"
    assert (await attach(agent, reference)).head.status == 200
    answer = await attach(agent, reference)
    assert code(answer) == "source_unavailable"
    assert answer.problem.outcome == "not_executed"


async def test_the_time_that_a_forms_bytes_take_is_not_the_answers(
    agent: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = await sent_ahead(agent)
    read = SpooledFile._read

    def slowly(self: SpooledFile, offset: int, size: int) -> bytes:
        time.sleep(0.1)  # in a thread: a slow way to Procore; 1.6 s for all of it
        return read(self, offset, size)

    monkeypatch.setattr("cloud_connect_agent.procore.files.spool._BLOCK", 16_000)
    monkeypatch.setattr(SpooledFile, "_read", slowly)
    answer = await attach(agent, reference, deadline_ms=1000)
    assert (answer.head.status, answer.json["title"]) == (200, "Steel")


@pytest.mark.parametrize("status", [200, 422])
async def test_signs_of_life_come_ahead_of_an_answer_whose_outcome_follows(
    agent: Bench, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    reference = await sent_ahead(agent)
    monkeypatch.setattr("cloud_connect_agent.file_calls._BEAT", 0.02)
    agent.procore.api.then(Reply(status=status, body={"id": 7, "title": "Steel"}, delay=0.2))
    answer = await attach(agent, reference, call_id="call-x")
    assert (answer.head.status, answer.head.outcome) == (200, None)
    assert answer.body.startswith(b" ")
    assert answer.trailers is not None
    if status == 200:
        assert (answer.trailers.outcome, answer.json["title"]) == (Outcome.COMPLETED, "Steel")
    else:
        assert answer.trailers.problem is not None
        assert answer.trailers.problem.code == "source_rejected"
    again = await attach(agent, reference, call_id="call-x")
    assert again.head.status == status
    assert again.head.replayed


async def test_it_must_be_said_which_record_is_meant(agent: Bench) -> None:
    reference = await sent_ahead(agent)
    answer = await agent.call(Operation.ATTACH, {**PLACE, "record_id": None, "upload": reference})
    assert code(answer) == "invalid_request"


async def test_change_events_take_uploads_as_objects(agent: Bench) -> None:
    params = {**PLACE, "resource": "change_events", "upload": "01UUID"}
    assert (await agent.call(Operation.ATTACH, params)).head.status == 200
    (seen,) = agent.procore.api.seen
    assert seen.body == b'{"attachments_by_uuid":[{"upload_uuid":"01UUID"}]}'


def new_file(size: int | None) -> NewFile:
    return NewFile(
        source=SOURCE,
        project_id=None,
        filename="a.pdf",
        content_type="application/pdf",
        flow=UploadFlow.SIMPLE,
        size=size,
    )


async def body() -> AsyncIterator[bytes]:
    yield b"abc"


async def test_a_file_that_nobody_takes_gives_its_room_back(tmp_path: Path) -> None:
    spool = Spool(tmp_path, max_bytes=lambda: 3)
    async with HeldFiles.open(spool, seconds=0.01) as held:
        told = await held.keep(new_file(3), ORDERS, body())
        await until(lambda: not spool.used)
        with pytest.raises(SourceUnavailableError, match="send it again"):
            async with held.taken(str(told["uuid"]), SOURCE, ORDERS):
                pytest.fail("it waits no longer")


async def test_files_are_let_go_of_at_the_end(tmp_path: Path) -> None:
    spool = Spool(tmp_path, max_bytes=lambda: 3)
    async with asyncio.timeout(5), HeldFiles.open(spool) as held:
        await held.keep(new_file(None), ORDERS, body())
    async with spool.keep(body(), advice="Try.") as kept:
        assert kept.size == 3


async def test_a_file_that_is_in_use_outlives_its_time(tmp_path: Path) -> None:
    spool = Spool(tmp_path, max_bytes=lambda: 100)
    async with HeldFiles.open(spool, seconds=0.01) as held:
        told = await held.keep(new_file(3), ORDERS, body())
        taken = held.taken(str(told["uuid"]), SOURCE, ORDERS)
        file = await taken.__aenter__()
    assert b"".join([piece async for piece in file.read()]) == b"abc"
    await taken.__aexit__(None, None, None)


async def test_a_file_of_another_length_than_said_is_refused(tmp_path: Path) -> None:
    async with HeldFiles.open(Spool(tmp_path, max_bytes=lambda: 100)) as held:
        with pytest.raises(InvalidRequestError, match="Content-Length"):
            await held.keep(new_file(4), ORDERS, body())


async def test_a_file_without_room_is_refused_with_what_helps(agent: Bench) -> None:
    agent.max_spool_bytes = 10
    answer = await agent.call(Operation.UPLOAD, {**NAMED, "project_id": 5001}, FILE)
    assert code(answer) == "payload_too_large"
    assert "raise max_spool_bytes in agent.toml" in answer.problem.detail
    assert "Content-Length" not in answer.problem.detail


async def test_an_upload_at_procore_is_no_file_that_is_held(tmp_path: Path) -> None:
    async with HeldFiles.open(Spool(tmp_path, max_bytes=lambda: 100)) as held:
        with pytest.raises(UnsupportedOperationError, match="send the file itself"):
            async with held.taken("01UUID", SOURCE, ORDERS):
                pytest.fail("there is none")
