"""What an administrator accepts of what does not fit, in the log and never silently."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.audit.test_exchange import KEY, RELAY, Bench, Relay, of_relay
from cloud_connect.audit import AuditExchange, Checkpoint
from cloud_connect.errors import CloudConnectError, TunnelClosedError
from cloud_connect_agent.audit import AuditFolder, AuditTrail, CheckpointExchange, RecordedControl
from cloud_connect_agent.audit.reading import records, verify
from doubles.waiting import until

WHY = "restored after the disk failed"


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    folder = AuditFolder(tmp_path / "audit")
    async with AuditTrail.open(folder, signer=KEY, digest_key=b"k" * 32) as trail:
        yield Bench(Relay(), trail, CheckpointExchange(trail, relay_key=RELAY.public_key))


def lost_of(bench: Bench, *, log: str | None = None) -> Checkpoint:
    """A checkpoint of this log from before its backup was restored."""
    return Checkpoint.sign(KEY, log=log or bench.trail.log, seq=9, digest=b"h" * 32, at=0)


@pytest.mark.parametrize("log", [None, "aud_of_before"])
async def test_loss_of_this_log_is_accepted_in_a_record_with_its_reason(
    bench: Bench, log: str | None
) -> None:
    bench.trail.event("test.done")
    lost = bench.relay.held = lost_of(bench, log=log)
    async with bench.session():
        await until(lambda: bool(bench.problem()))
        assert await bench.exchange.accept(WHY) == (lost,)
        await bench.exchange.now()  # the relay complains still
        assert not bench.problem()
        with pytest.raises(CloudConnectError, match="nothing to accept"):
            await bench.exchange.accept(WHY)
        other = bench.relay.held = lost.model_copy(update={"seq": 8})
        await bench.exchange.now()
        assert bench.problem(), "what was not accepted is told as before"
    (record,) = [
        one.fields()
        for one in records(bench.trail.folder)
        if one.fields()["action"] == "audit.accepted"
    ]
    assert record["actor"] == "administrator"
    place = {"log": lost.log, "seq": 9, "hash": lost.hash}
    assert record["detail"] == {"reason": WHY, "checkpoints": [place]}
    verdict = verify(bench.trail.folder, held=[(lost, "the relay")])
    if log is None:
        assert verdict.fault is None
        assert verify(bench.trail.folder, held=[(lost, "it"), (other, "it")]).fault is None, (
            "that one is forged: its signature is of another number"
        )
    assert verdict.accepted[0].reason == WHY


async def test_acceptance_is_known_to_the_next_process(bench: Bench) -> None:
    bench.relay.held = lost_of(bench)
    async with bench.session():
        await until(lambda: bool(bench.problem()))
        await bench.exchange.accept(WHY)
    later = Bench(
        bench.relay, bench.trail, CheckpointExchange(bench.trail, relay_key=RELAY.public_key)
    )
    asked = len(bench.relay.told)
    async with later.session():
        await until(lambda: len(bench.relay.told) > asked)
        assert await later.exchange.now() is not None
        assert not later.problem()


async def test_relay_that_was_restored_is_held_to_its_new_log_from_then_on(bench: Bench) -> None:
    bench.trail.folder.keep_relay(AuditExchange(own=of_relay(9)))
    bench.relay.own = of_relay(4)
    async with bench.session():
        await until(lambda: bool(bench.problem()))
        assert await bench.exchange.accept(WHY) == (of_relay(9),)
        assert bench.trail.folder.relay().own == of_relay(4)
        bench.relay.own = of_relay(5)
        await bench.exchange.now()
        assert not bench.problem()
        bench.relay.own = of_relay(3)
        await bench.exchange.now()
        assert "does not go on from its record 5" in bench.problem()


async def test_what_is_not_known_cannot_be_accepted(bench: Bench) -> None:
    with pytest.raises(TunnelClosedError, match="not connected"):
        await bench.exchange.accept(WHY)
    async with bench.session():
        await until(lambda: bool(bench.relay.told))
        with pytest.raises(CloudConnectError, match="nothing to accept"):
            await bench.exchange.accept(WHY)


async def test_it_takes_a_reason_over_the_control_socket(bench: Bench) -> None:
    async def nothing(_: object) -> dict[str, object]:
        await asyncio.sleep(0)
        return {}

    control = RecordedControl(nothing, bench.trail, bench.exchange)
    for reason in (None, "", "  "):
        with pytest.raises(CloudConnectError, match="Say why"):
            await control.answer({"command": "audit-accept", "reason": reason})
    bench.relay.held = lost_of(bench)
    async with bench.session():
        await until(lambda: bool(bench.problem()))
        done = await control.answer({"command": "audit-accept", "reason": f" {WHY} "})
    assert [one["seq"] for one in done["accepted"]] == [9]
