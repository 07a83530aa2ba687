import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from cloud_connect.audit import Checkpoint
from cloud_connect.calls import Operation
from cloud_connect.errors import ErrorCode, JournalUnavailableError, Outcome
from cloud_connect.signing import SigningKey
from cloud_connect_agent.audit import (
    AuditFolder,
    AuditTrail,
    AuditWriter,
    CallNote,
    Retention,
    reconcile,
)
from cloud_connect_agent.audit.reading import records, verify
from cloud_connect_agent.policy import Verb
from doubles.agent_bench import Bench, bench
from doubles.small_disk import fill, small_disk
from doubles.waiting import until

KEY = SigningKey.generate()
RFIS = {"resource": "rfis"}
CREATE = {"resource": "rfis", "scope": {"project_id": "5"}}


@contextlib.asynccontextmanager
async def trail_in(folder: Path, **options: Any) -> AsyncIterator[AuditTrail]:
    async with AuditTrail.open(
        AuditFolder(folder), signer=KEY, digest_key=b"k" * 32, **options
    ) as trail:
        yield trail


@pytest.fixture
async def trail(tmp_path: Path) -> AsyncIterator[AuditTrail]:
    async with trail_in(tmp_path / "audit") as made:
        yield made


@pytest.fixture
async def agent(tmp_path: Path, trail: AuditTrail) -> AsyncIterator[Bench]:
    async with bench(tmp_path, audit=trail) as made:
        yield made


def said(trail: AuditTrail) -> list[dict[str, Any]]:
    return [record.fields() for record in records(trail.folder)]


def signed(trail: AuditTrail) -> int:
    return 0 if trail.checkpoint is None else trail.checkpoint.seq


def is_well(trail: AuditTrail) -> bool:
    return not trail.problems


async def test_each_read_is_recorded_with_the_rule_that_let_it_through(
    agent: Bench, trail: AuditTrail
) -> None:
    await agent.call(Operation.LIST, RFIS, call_id="call-one")
    (record,) = said(trail)
    assert record["call_id"] == "call-one"
    assert (record["action"], record["actor"], record["decision"]) == ("call", "relay", "allowed")
    assert record["rule"]
    assert record["status"] == 200
    assert record["detail"]["operation"] == "records.list"
    assert record["detail"]["outcome"] == "completed"
    assert "digest" not in record  # it had no body


async def test_each_write_is_recorded_once_with_a_keyed_digest(
    agent: Bench, trail: AuditTrail
) -> None:
    first = await agent.call(Operation.CREATE, CREATE, b'{"subject":"x"}', call_id="call-one")
    again = await agent.call(Operation.CREATE, CREATE, b'{"subject":"x"}', call_id="call-one")
    assert (first.head.outcome, again.head.replayed) == (Outcome.COMPLETED, True)
    (record,) = said(trail)
    assert (record["call_id"], record["status"]) == ("call-one", 201)
    assert len(record["digest"]) == 32
    assert "subject" not in str(record)


async def test_refusal_is_recorded_with_its_rule(agent: Bench, trail: AuditTrail) -> None:
    agent.policy.refused.add(Verb.CREATE)
    await agent.call(Operation.CREATE, CREATE, b"{}")
    (record,) = said(trail)
    assert (record["decision"], record["status"]) == ("refused", 403)
    assert record["detail"]["verb"] == "create"


async def test_refusal_that_names_its_rule_in_a_sentence_is_recorded_so(
    trail: AuditTrail,
) -> None:
    for number, sentence in enumerate(("No (rule signatures).", "No. (rule rows-1)", "No.")):
        note = CallNote(f"call-{number}", "records.list")
        note.refused(sentence)
        trail.call(note, status=403, outcome=Outcome.NOT_EXECUTED)
    found = said(trail)
    assert [one["rule"] for one in found] == ["signatures", "rows-1", "policy"]
    assert {one["decision"] for one in found} == {"refused"}


async def test_queries_leave_a_digest_of_what_was_asked(agent: Bench, trail: AuditTrail) -> None:
    body = b'{"info":{"name":"rfis"},"action":"select","fields":[]}'
    answer = await agent.call(Operation.QUERY, {}, body)
    assert answer.head.status == 200, answer.body
    assert said(trail)[0]["digest"] == trail.digest_of(body)


async def test_what_was_recorded_is_signed_at_the_end(tmp_path: Path) -> None:
    async with trail_in(tmp_path / "audit") as trail:
        trail.event("agent.paused", {"seconds": 5, "nothing": None}, actor="administrator")
        assert trail.checkpoint is None
    verdict = verify(trail.folder, key=KEY.public_key)
    assert (verdict.fault, verdict.signed) == (None, 1)
    assert said(trail)[0]["detail"] == {"seconds": 5}


async def test_hundred_records_are_signed_at_once(tmp_path: Path) -> None:
    async with trail_in(tmp_path / "audit") as trail:
        for _ in range(99):
            trail.event("test.done")
        await trail._settle()
        assert signed(trail) == 0
        trail.event("test.done")
        await trail._settle()
        assert signed(trail) == 100
        await trail.checkpointed()


async def test_single_record_is_signed_after_a_minute(tmp_path: Path) -> None:
    now = 0.0
    async with trail_in(tmp_path / "audit", monotonic=lambda: now) as trail:
        trail.event("test.done")
        now = 59.0
        await trail._settle()
        assert signed(trail) == 0
        now = 60.0
        await trail._settle()
        assert signed(trail) == 1


async def test_full_disk_refuses_writes_and_counts_reads(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with small_disk(disk):
        async with trail_in(disk / "audit") as trail, bench(tmp_path, audit=trail) as agent:
            await agent.call(Operation.LIST, RFIS)
            ballast = fill(disk)
            reads = 0
            while is_well(trail):  # the last page may have room for some
                assert (await agent.call(Operation.LIST, RFIS)).head.status == 200
                reads += 1
                assert reads < 100
            refused = await agent.call(Operation.CREATE, CREATE, b"{}", call_id="refused")
            assert refused.failure.code == ErrorCode.JOURNAL_UNAVAILABLE
            assert refused.head.outcome is Outcome.NOT_EXECUTED
            assert "writes are refused" in refused.failure.detail
            assert (await agent.call(Operation.LIST, RFIS)).head.status == 200
            assert not is_well(trail)
            assert trail.document()["state"] == "unavailable"

            ballast.unlink()
            taken = await agent.call(Operation.CREATE, CREATE, b"{}", call_id="taken")
            assert taken.head.outcome is Outcome.COMPLETED
            assert is_well(trail)
            found = said(trail)
            gap = next(record for record in found if record["action"] == "audit.gap")
            assert gap["detail"] == {"reads": 2}
            refusal = next(one for one in found if one.get("call_id") == "refused")
            assert refusal["detail"]["outcome"] == "not_executed"
        assert verify(trail.folder).fault is None


async def test_log_that_cannot_be_opened_refuses_writes(tmp_path: Path) -> None:
    (tmp_path / "audit").write_bytes(b"no folder")
    async with trail_in(tmp_path / "audit") as trail:
        trail.event("test.done")
        with pytest.raises(JournalUnavailableError, match="cannot be written"):
            trail.require()
        assert trail.document()["records"] is None
        assert trail.log == ""


async def test_replaced_file_leaves_a_gap_in_sight(tmp_path: Path) -> None:
    async with trail_in(tmp_path / "audit") as trail:
        trail.event("test.done")
        trail.folder.segments()[0].path.unlink()
        await trail.sign()
        assert said(trail)[0]["action"] == "audit.file_lost"
    fault = verify(trail.folder).fault
    assert fault is not None
    assert fault.seq == 1


async def test_old_segments_go_at_a_checkpoint_and_a_record_says_so(tmp_path: Path) -> None:
    now = 0.0
    keeping = Retention(days=1, max_bytes=10**9)
    async with trail_in(
        tmp_path / "audit", clock=lambda: now, monotonic=lambda: now, retention=keeping
    ) as trail:
        assert trail._writer is not None
        trail._writer._segment_bytes = 1  # type: ignore[misc]  # small segments for the test
        for day in range(4):
            now = day * 86_400.0
            trail.event("test.done", {"day": day})
            await trail.sign()
        await trail._cut()
        found = said(trail)
        assert [one.get("detail") for one in found][-1] == {"up_to": 2}
        assert found[0]["detail"] == {"day": 2}
    assert verify(trail.folder).fault is None
    assert keeping.plan(trail.folder, now=now) is None


async def test_file_that_ends_behind_no_checkpoint_goes_with_the_next_that_does(
    tmp_path: Path,
) -> None:
    folder = AuditFolder(tmp_path / "audit")
    with AuditWriter.open(folder) as writer:
        for seq in range(1, 6):
            writer.append({"action": "test.done"})
            writer.close()
            if seq != 2:
                head = writer.head
                folder.add_checkpoint(
                    Checkpoint.sign(KEY, log=writer.log, seq=seq, digest=head.hash, at=seq)
                )
    large = Retention(max_bytes=1).plan(folder, now=0.0)
    assert large is not None
    assert (large.up_to, [one.first for one in large.segments]) == (4, [1, 2, 3, 4])
    old = Retention(days=1).plan(folder, now=86_400.0 + 4)
    assert old is not None
    assert old.up_to == 1


async def test_file_ends_at_a_checkpoint_however_much_goes_on(tmp_path: Path) -> None:
    async with trail_in(tmp_path / "audit") as trail:
        assert trail._writer is not None
        trail._writer._segment_bytes = 10_000  # type: ignore[misc]  # likewise
        enough = False

        async def go_on() -> None:
            while not enough:
                trail.event("test.done")
                await asyncio.sleep(0)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(go_on())
            while len(trail.folder.segments()) < 4:
                await trail._settle()
                await asyncio.sleep(0)
            enough = True
        signed_at = {one.seq for one in trail.folder.checkpoints()}
        assert {one.first - 1 for one in trail.folder.segments()[1:]} <= signed_at
    assert verify(trail.folder).fault is None


async def test_too_large_log_is_cut_from_its_beginning(tmp_path: Path) -> None:
    async with trail_in(tmp_path / "audit") as trail:
        assert trail._writer is not None
        trail._writer._segment_bytes = 1  # type: ignore[misc]  # likewise
        for _ in range(5):
            trail.event("test.done")
            await trail.sign()
        size = trail.folder.segments()[0].size()
        plan = Retention(max_bytes=3 * size).plan(trail.folder, now=0.0)
        assert plan is not None
        assert plan.up_to == 2


async def test_write_that_a_crash_kept_out_is_recorded_at_the_next_start(
    agent: Bench, trail: AuditTrail
) -> None:
    await agent.call(Operation.CREATE, CREATE, b"{}", call_id="kept")
    journal = agent.journal
    for call_id in ("lost", "unsent"):
        await journal.receive(call_id, operation="records.create", fingerprint="f")
    await journal.intend("lost")
    await journal.finish("lost", outcome=Outcome.COMPLETED, status=201, head=b"{}", body=None)
    await journal.finish("unsent", outcome=Outcome.NOT_EXECUTED, status=503, head=b"{}", body=None)
    assert await reconcile(trail, journal) == 1
    assert await reconcile(trail, journal) == 0
    (record,) = [one for one in said(trail) if one["call_id"] == "lost"]
    assert record["detail"] == {
        "operation": "records.create",
        "outcome": "completed",
        "recovered": True,
    }
    assert record["digest"] == trail.digest_of(b"f")


class NoJournal:
    async def ended_since(self, since: float) -> list[Any]:  # noqa: ARG002 - the seam's name
        raise JournalUnavailableError("It is damaged.", outcome=Outcome.NOT_EXECUTED)


async def test_journal_that_cannot_be_read_adds_nothing(trail: AuditTrail) -> None:
    assert await reconcile(trail, NoJournal()) == 0
    assert said(trail) == []


async def test_records_are_durable_within_seconds_of_their_making(trail: AuditTrail) -> None:
    synced: list[int] = []
    writer = trail._writer
    assert writer is not None
    sync = writer.sync
    writer.sync = lambda: (synced.append(1), sync())[1]  # type: ignore[method-assign,func-returns-value]
    async with asyncio.TaskGroup() as tasks:
        keeping = tasks.create_task(trail.keep())
        trail.call(CallNote("c", "test"), status=200, outcome=Outcome.COMPLETED)
        await until(lambda: bool(synced))
        keeping.cancel()
