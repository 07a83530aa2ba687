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
