import asyncio
import signal
from collections.abc import Iterator

import pytest

from cloud_connect_agent.hosting.heeding import heed_signals


@pytest.fixture(autouse=True)
def nobody_heeds() -> Iterator[None]:
    """Take away what a run that measures coverage does at SIGTERM: a loop does not put it back."""
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("loop_knows_signals", [True, False])
async def test_signals_stop_and_reload_and_are_free_again(
    monkeypatch: pytest.MonkeyPatch, *, loop_knows_signals: bool
) -> None:
    def unknown(*_: object) -> None:
        raise NotImplementedError  # as the loop of Windows does

    loop = asyncio.get_running_loop()
    if not loop_knows_signals:
        monkeypatch.setattr(loop, "add_signal_handler", unknown)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    stop, reload = asyncio.Event(), asyncio.Event()
    async with asyncio.timeout(5):
        with heed_signals(stop=stop.set, reload=reload.set):
            signal.raise_signal(signal.SIGHUP)
            await reload.wait()
            assert not stop.is_set()
            signal.raise_signal(signal.SIGTERM)
            await stop.wait()
    assert before == {number: signal.getsignal(number) for number in before}
