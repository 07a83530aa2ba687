import asyncio
import os
import signal
import sys

import pytest

from cloud_connect_relay.cli.serve import _loop_factory
from cloud_connect_relay.cli.signals import stop_signals
from doubles.relay_commands import Commands


async def test_first_signal_asks_to_stop() -> None:
    with stop_signals() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        async with asyncio.timeout(5):
            await stop.wait()


async def test_second_signal_ends_the_block_at_once() -> None:
    went_on = False
    with stop_signals() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        await stop.wait()
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(10)
        went_on = True
    assert not went_on


async def test_cancellation_by_others_goes_on() -> None:
    async def wait() -> None:
        with stop_signals():
            await asyncio.sleep(10)

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_loop_that_knows_no_signals_is_served_by_handlers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        raise NotImplementedError

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(asyncio.get_running_loop(), "add_signal_handler", refuse)
    with stop_signals() as stop:
        signal.raise_signal(signal.SIGTERM)
        async with asyncio.timeout(5):
            await stop.wait()
    assert signal.getsignal(signal.SIGTERM) == before


def test_relay_runs_without_uvloop(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _loop_factory() is not None
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert _loop_factory() is None


def test_password_is_asked_for_on_a_terminal(
    initialised: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("click.prompt", lambda *_, **__: "typed unseen")
    made = initialised.json("user", "create", "--username", "bo", "--password-stdin")
    assert made["password"] is None
    told = initialised("user", "create", "--username", "cy", "--password-stdin")
    assert "Password" not in told.out
