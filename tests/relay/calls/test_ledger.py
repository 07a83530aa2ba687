"""Writing down what has ended, while more calls end all the time."""

import asyncio

import pytest

from doubles.call_relay import CallRelay


async def test_whoever_waits_for_what_was_noted_waits_for_nothing_that_comes_meanwhile(
    relay: CallRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, base = await relay.ready()
    ledger = relay.calls._ledger
    working, rounds = ledger._write_batch, 0
    flushing: asyncio.Task[None] | None = None

    async def one_more() -> None:
        await relay.api.get(f"{base}/records/rfis/1")
        while not ledger._waiting:
            await asyncio.sleep(0.001)

    async def write_while_another_ends() -> bool:
        nonlocal rounds
        rounds += asyncio.current_task() is flushing
        written = await working()
        await one_more()
        return written

    async with asyncio.timeout(10):
        await one_more()
        noted = set(ledger._waiting)
        with monkeypatch.context() as patch:
            patch.setattr(ledger, "_write_batch", write_while_another_ends)
            flushing = asyncio.create_task(ledger.flush())
            await flushing
    assert not noted & set(ledger._waiting)
    assert ledger._waiting
    assert rounds <= 2  # one, and one that the ledger's own took before it


async def test_full_ledger_keeps_the_ends_of_writes_rather_than_reads(
    relay: CallRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object, **__: object) -> None:
        raise ConnectionRefusedError

    monkeypatch.setattr("cloud_connect_relay.calls.ledger._MAX_WAITING", 2)
    monkeypatch.setattr("cloud_connect_relay.calls.ledger._GATHER_SECONDS", 5)
    _, base = await relay.ready()
    ledger = relay.calls._ledger
    with monkeypatch.context() as patch:
        patch.setattr(ledger._calls, "update", away)
        key = {"Idempotency-Key": "k"}
        written = await relay.api.post(f"{base}/records/rfis", headers=key, json={"subject": "A"})
    call_id = written.headers["cloud-connect-call-id"]
    reads = []
    for _ in range(4):
        answer = await relay.api.get(f"{base}/records/rfis")
        reads.append(answer.headers["cloud-connect-call-id"])
        await relay.quiet()
    assert set(ledger._waiting) == {call_id, reads[-1]}
    await ledger.flush()
    assert (await relay.record(call_id)).outcome is not None
    assert not ledger._reads
