"""Uploads that broke off: a repeat goes on where the journal says, or begins anew."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from cloud_connect.calls import Operation
from cloud_connect.errors import CloudConnectError
from cloud_connect_agent.procore.files import spool
from doubles.agent_bench import Answered, Bench, bench
from doubles.fake_procore import Reply, Seen
from doubles.fake_storage import FakeStorage
from doubles.uploading import Uploading
from doubles.waiting import until

FILE = bytes(range(256)) * 1600  # 409,600 bytes: five pieces
FLOWS = pytest.mark.parametrize("flow", ["segmented", "unified"])


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cloud_connect_agent.procore.attempts._RETRY_PAUSE", 0.001)
    monkeypatch.setattr("cloud_connect_agent.procore.files.uploads._POLL_PAUSE", 0.001)
    monkeypatch.setattr(spool, "_SEGMENT_BYTES", 100_000)


@asynccontextmanager
async def life(folder: Path, storage: FakeStorage) -> AsyncIterator[tuple[Bench, Uploading]]:
    """One life of an agent on the same folder."""
    async with bench(folder) as agent:
        yield agent, Uploading(agent, storage)


async def upload(agent: Bench, body: bytes = FILE, **more: Any) -> Answered:
    headers = (("content-length", str(len(body))),)
    named = {"filename": "plan.pdf", "content_type": "application/pdf", **more}
    return await agent.call(Operation.UPLOAD, named, body, headers=headers)


def refuse_from(storage: FakeStorage, part: int, status: int = 400) -> None:
    """Have storage take no piece from *part* on."""

    def answer(seen: Seen) -> Reply:
        if int(seen.target.split("/")[2].partition("?")[0]) >= part:
            return Reply(status=status)
        return storage._serve(seen)

    storage.default = answer


def parts_sent(storage: FakeStorage) -> list[int]:
    return [int(seen.target.split("/")[2].partition("?")[0]) for seen in storage.seen]


@FLOWS
async def test_a_repeat_sends_the_pieces_that_are_missing_only(
    tmp_path: Path, storage: FakeStorage, flow: str
) -> None:
    async with life(tmp_path, storage) as (agent, procore):
        refuse_from(storage, 3)
        assert (await upload(agent, flow=flow)).problem.code == "source_unavailable"
        assert len([one for one in procore.asked if one[0] == "POST"]) == 1
    storage.default = storage._serve
    storage.seen.clear()
    async with life(tmp_path, storage) as (agent, procore):  # after a restart, too
        procore.statuses *= 2
        assert (await upload(agent, flow=flow)).head.status == 201
        assert not [one for one in procore.asked if one[0] == "POST"]
        assert parts_sent(storage) == [3, 4]
        storage.seen.clear()
        assert (await upload(agent, flow=flow)).head.status == 201  # a complete one is over
        assert parts_sent(storage) == [0, 1, 2, 3, 4]
    assert b"".join(storage.stored[key] for key in sorted(storage.stored)) == FILE


async def test_links_that_aged_meanwhile_begin_a_new_upload(
    tmp_path: Path, storage: FakeStorage
) -> None:
    async with life(tmp_path, storage) as (agent, procore):
        refuse_from(storage, 2)
        await upload(agent, flow="segmented")
        refuse_from(storage, 0, status=403)
        left = 1

        def aged(seen: Seen) -> Reply:
            nonlocal left
            left -= 1
            return Reply(status=403) if left >= 0 else storage._serve(seen)

        storage.default = aged
        storage.seen.clear()
        assert (await upload(agent, flow="segmented")).head.status == 201
        assert parts_sent(storage) == [2, 0, 1, 2, 3, 4]
        assert len([one for one in procore.asked if one[0] == "POST"]) == 2


@FLOWS
@pytest.mark.parametrize("status", [400, 404])
async def test_an_upload_that_storage_forgot_is_begun_anew(
    tmp_path: Path, storage: FakeStorage, flow: str, status: int
) -> None:
    async with life(tmp_path, storage) as (agent, procore):
        procore.statuses *= 3
        refuse_from(storage, 2, status=500)
        assert (await upload(agent, flow=flow)).problem.code == "source_unavailable"
        storage.default = storage._serve
        storage.seen.clear()
        storage.then(Reply(status=status))
        assert (await upload(agent, flow=flow)).head.status == 201
        assert parts_sent(storage) == [2, 0, 1, 2, 3, 4]
        assert len([one for one in procore.asked if one[0] == "POST"]) == 2


@FLOWS
async def test_an_answer_that_is_of_no_use_is_asked_for_again_by_a_repeat(
    tmp_path: Path, storage: FakeStorage, flow: str
) -> None:
    async with life(tmp_path, storage) as (agent, _):
        nonsense = {"uuid": "1", "upload_id": "1", "segments": []}
        agent.procore.api.then(Reply(status=201, body=nonsense))
        assert "0 places for 5" in (await upload(agent, flow=flow)).problem.detail
        assert (await upload(agent, flow=flow)).head.status == 201


async def test_an_upload_that_procore_forgot_is_begun_anew(
    tmp_path: Path, storage: FakeStorage
) -> None:
    async with life(tmp_path, storage) as (agent, procore):
        refuse_from(storage, 4)
        await upload(agent, flow="segmented")
        storage.default = storage._serve
        agent.procore.api.then(Reply(status=404, body={"errors": "gone"}))
        assert (await upload(agent, flow="segmented")).head.status == 201
        assert len([one for one in procore.asked if one[0] == "POST"]) == 2
        assert await rejected_twice(agent)


async def rejected_twice(agent: Bench) -> bool:
    """Whether a refusal of a fresh upload is told at once."""
    agent.procore.api.then(Reply(status=422, body={"errors": "no"}))
    return bool((await upload(agent, b"z" * 300_000, flow="segmented")).problem.status == 422)


async def test_another_file_or_name_is_another_upload(tmp_path: Path, storage: FakeStorage) -> None:
    async with life(tmp_path, storage) as (agent, procore):
        refuse_from(storage, 3)
        await upload(agent, flow="segmented")
        storage.default = storage._serve
        storage.seen.clear()
        await upload(agent, flow="segmented", filename="other.pdf")
        await upload(agent, FILE[::-1], flow="segmented")
        assert parts_sent(storage) == [0, 1, 2, 3, 4] * 2
        assert len([one for one in procore.asked if one[0] == "POST"]) == 3


async def test_two_at_once_do_not_share_an_upload(tmp_path: Path, storage: FakeStorage) -> None:
    async with life(tmp_path, storage) as (agent, procore):
        gate = asyncio.Event()

        async def slow(seen: Seen) -> Reply:
            await gate.wait()
            return storage._serve(seen)

        storage.default = slow
        async with asyncio.TaskGroup() as tasks:
            both = [tasks.create_task(upload(agent, flow="segmented")) for _ in range(2)]
            await until(lambda: len(storage.seen) == 2)
            gate.set()
        assert [task.result().head.status for task in both] == [201, 201]
        assert len([one for one in procore.asked if one[0] == "POST"]) == 2


async def test_a_journal_that_is_shut_only_costs_the_resumption(
    tmp_path: Path, storage: FakeStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with life(tmp_path, storage) as (agent, _):
        for name in ("steps", "note_steps", "forget_steps"):
            monkeypatch.setattr(agent.journal, name, refusing())
        assert (await upload(agent, flow="segmented")).head.status == 201


def refusing() -> Callable[..., Any]:
    async def refuse(*_: object) -> None:
        raise CloudConnectError("The journal is full.")

    return refuse
